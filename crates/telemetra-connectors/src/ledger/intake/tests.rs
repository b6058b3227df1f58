//! Candidates, what became of each, and what the ledger says of it.

use std::sync::Arc;

use telemetra_core::{
    commerce::rows::{Block, EventType, Payload},
    record::Origin,
    watermark::Watermark,
};
use telemetra_engine::{
    ids::AttemptId,
    sink::{BatchKind, DeadLetter},
    source::Segment,
};

use super::*;

const FOLDER: PartitionId = PartitionId { input: 0, partition: 0 };

/// Candidates `id=cents` at offsets from 0; `-` is an offset that is none.
fn rows(text: &str) -> CommerceRows {
    let file = Arc::from("a.csv");
    let mut block = Block::default();
    for (offset, word) in (0..).zip(text.split(' ')) {
        let Some((id, cents)) = word.split_once('=') else { continue };
        let payload = Payload {
            user_id: "u",
            product_id: "p",
            product_name: "n",
            category: "c",
            price_cents: cents.parse().unwrap(),
            event_type: EventType::View,
            time_us: 0,
        };
        let origin = Origin {
            offset,
            file: Some(&file),
            line: Some(offset + 2),
            raw: word.as_bytes(),
            ..Origin::default()
        };
        block.push(id, &payload, &origin);
    }
    CommerceRows::new(vec![block])
}

/// The verdicts, a letter each.
fn verdicts(intake: &Intake<'_>) -> String {
    let letter = |verdict| match verdict {
        Verdict::New => 'n',
        Verdict::Duplicate => 'd',
        Verdict::Conflict => 'c',
        Verdict::Refused => 'r',
    };
    intake.iter().map(|(_, _, verdict)| letter(verdict)).collect()
}

fn pending(intake: &Intake<'_>) -> Vec<usize> {
    assert_eq!(intake.pending().count(), intake.pending_count());
    intake.pending().map(|(number, _)| number).collect()
}

#[test]
fn whoever_is_refused_gives_way_to_the_next_of_its_id() {
    let rows = rows("a=1 b=1 a=2 a=1 b=1");
    let mut intake = Intake::new(&rows, vec![Stored::Unknown; 5]);
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("nncdd", vec![0, 1]));
    intake.settle([(0, Became::Refused("sqlstate:23514".into()))]);
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("rnncd", vec![2]));
    intake.settle([]);
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("rnncd", vec![]));
    assert_eq!(intake.applied(), Applied { accepted: 2, duplicates: 1, conflicts: 1, refused: 1 });
    assert_eq!(intake.code(0), Some("sqlstate:23514"));
}

#[test]
fn values_that_were_refused_are_not_tried_again() {
    let rows = rows("a=1 a=1 a=2 a=1 a=2 a=3");
    let mut intake = Intake::new(&rows, vec![Stored::Unknown; 6]);
    assert_eq!(verdicts(&intake), "ndcdcc");
    intake.settle([(0, Became::Refused("x".into()))]);
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("rrncdc", vec![2]));
    intake.settle([(2, Became::Refused("y".into()))]);
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("rrrrrn", vec![5]));
    assert_eq!([1, 3, 4].map(|number| intake.code(number)), [Some("x"), Some("x"), Some("y")]);
}

#[test]
fn another_writers_row_judges_every_candidate_of_its_id_at_once() {
    let rows = rows("a=1 b=1 a=2 a=1 b=2");
    let mut intake = Intake::new(&rows, vec![Stored::Unknown; 5]);
    assert_eq!(verdicts(&intake), "nncdc");
    // The other's row is that of the second candidate.
    let numbers: Vec<usize> = intake.of_id("a").iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [0, 2, 3]);
    let stored = [Stored::Other, Stored::Same, Stored::Other];
    intake.settle(numbers.into_iter().zip(stored.map(Became::Known)));
    assert_eq!((verdicts(&intake).as_str(), pending(&intake)), ("cndcc", vec![]));
    assert_eq!(intake.applied(), Applied { accepted: 1, duplicates: 1, conflicts: 3, refused: 0 });
    assert!(intake.of_id("").is_empty() && intake.of_id("c").is_empty());
}

fn segment(seq: u32, first_offset: Offset, records: u64) -> (PartitionId, Segment) {
    let segment = Segment {
        seq,
        file: format!("{seq}.csv"),
        bytes: 0..1,
        line: 1,
        first_offset,
        records,
        fingerprint: String::new(),
        head: None,
        modified_ns: None,
        span_ms: None,
    };
    (FOLDER, segment)
}

fn commit(
    rows: CommerceRows,
    to: Offset,
    dead: &[Offset],
    segments: Vec<(PartitionId, Segment)>,
) -> Commit<CommerceRows> {
    let place = |offset| Place { partition: FOLDER, offset, file: None, line: None, bytes: Some(1..2) };
    let (counted, refused) = (rows.len() as u64, dead.len() as u64);
    let tally = Tally {
        records: counted + refused,
        counted,
        dead: refused,
        empty: to - counted - refused,
        ..Tally::default()
    };
    Commit {
        batch_id: 1,
        attempt: AttemptId(1),
        kind: BatchKind::Read,
        planned_at_ms: 0,
        watermark_before: Watermark::NONE,
        watermark: Watermark::NONE,
        open_end_ms: None,
        open_digest: 0,
        open_count: 0,
        final_count: 0,
        window_misses: 0,
        start_ms: None,
        ranges: vec![RangeEntry { partition: FOLDER, from: 0, to, tally }],
        positions: Vec::new(),
        segments,
        dead_letters: dead
            .iter()
            .map(|&offset| DeadLetter {
                place: place(offset),
                code: "price_range".into(),
                raw: b"x".to_vec(),
            })
            .collect(),
        late_events: Vec::new(),
        gaps: Vec::new(),
        rows,
        close_early: false,
        new_meaning: None,
    }
}

/// The pieces as `from..to records accepted duplicates conflicts quarantined`.
fn check(commit: &Commit<CommerceRows>, expected: &[&str]) {
    let mut intake = Intake::new(&commit.rows, vec![Stored::Unknown; commit.rows.len()]);
    intake.settle([]);
    let shown = |piece: &Piece| {
        let RangeEntry { from, to, tally, .. } = &piece.range;
        let [accepted, duplicates, conflicts, quarantined] = piece.columns();
        format!("{from}..{to} {} {accepted} {duplicates} {conflicts} {quarantined}", tally.records)
    };
    let pieces = intake.pieces(commit);
    assert_eq!(pieces.iter().map(shown).collect::<Vec<_>>(), expected);
    let mut sum = Tally::default();
    pieces.iter().for_each(|piece| sum.add(&piece.range.tally));
    assert_eq!(sum, commit.ranges[0].tally);
}

#[test]
fn ranges_are_cut_where_files_end() {
    let text = "a=1 - a=1 b=1 - b=2 c=1";
    check(&commit(rows(text), 7, &[1, 4], vec![]), &["0..7 7 3 1 1 2"]);
    let files = vec![segment(0, 0, 3), segment(1, 3, 2), segment(2, 5, 9)];
    check(&commit(rows(text), 7, &[1, 4], files), &["0..3 3 1 1 0 1", "3..5 2 1 0 0 1", "5..7 2 1 0 1 0"]);
    // Files before and behind, and one without a record.
    let files = vec![segment(0, 0, 7), segment(1, 7, 0), segment(2, 7, 3)];
    check(&commit(rows(text), 7, &[1], files), &["0..7 6 3 1 1 1"]);
}

#[test]
fn the_quarantine_is_ordered_by_offset() {
    let commit = commit(rows("a=1 - a=2 - b=1"), 5, &[3, 1], vec![]);
    let mut intake = Intake::new(&commit.rows, vec![Stored::Unknown; 3]);
    intake.settle([(2, Became::Refused("sqlstate:23514".into()))]);
    let shown: Vec<_> = intake
        .quarantine(&commit)
        .iter()
        .map(|it| format!("{} {} {}", it.offset, it.codes, String::from_utf8_lossy(it.raw)))
        .collect();
    assert_eq!(
        shown,
        ["1 price_range x", "2 duplicate_conflict a=2", "3 price_range x", "4 sqlstate:23514 b=1"]
    );
}
