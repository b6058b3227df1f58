//! The law on numbers alone: what balances, what does not, and that an imbalance says both values and where.

use proptest::prelude::*;
use telemetra_core::watermark::{PartitionClock, Watermark};

use super::*;
use crate::{
    ids::AttemptId,
    sink::{BatchKind, DeadLetter, Gap, LateEvent, Place, Position, PositionEntry, Tally},
};

const PARTITION: PartitionId = PartitionId { input: 1, partition: 2 };

#[test]
fn there_is_no_tolerance() {
    assert!(balances(0, 0) && balances(-7, -7));
    assert!(!balances(1, 0) && !balances(1_000_000_000, 1_000_000_001));
}

#[test]
fn an_imbalance_says_both_values_and_where() {
    let mut report = Report::new("chat");
    let window = WindowSpec::new(60_000, 10_000).expect("a valid spec");
    let totals = Totals { in_windows: 10, window_misses: 3, final_count: 0 };
    check_counts(&mut report, || "batch 7".into(), window, totals, 57);
    assert!(report.is_balanced());
    check_counts(&mut report, || "batch 7".into(), window, totals, 56);
    let text: Vec<String> = report.imbalances().map(ToString::to_string).collect();
    let expected = "counts: batch 7: count in final rows and open windows is 56, \
                    windows per event × events - misses is 57: -1";
    assert_eq!(text, [expected]);
}

#[test]
fn a_report_stays_small_and_counts_on() {
    let mut report = Report::new("chat");
    for number in 0..1_000_u64 {
        report.compare(Clause::Tally, String::new, Side::new(number, "found"), Side::new(0, "expected"));
    }
    let check = &report.checks[Clause::Tally as usize];
    assert_eq!((check.compared, check.failed, check.imbalances.len()), (1_000, 999, IMBALANCES_KEPT));
}

#[test]
fn clauses_stand_where_a_report_looks_for_them() {
    for (index, clause) in Clause::ALL.into_iter().enumerate() {
        assert_eq!(clause as usize, index, "{}", clause.name());
    }
}

#[test]
fn pieces_tile_a_partition() {
    let check = |pieces: &[(Offset, Offset)], expected: &[&str]| {
        let mut report = Report::new("chat");
        let mut tiling = Tiling::new("chat/0".into(), 5);
        (1..).zip(pieces).for_each(|(batch, &(from, to))| tiling.piece(&mut report, from..to, batch));
        tiling.finish(&mut report, 20);
        let found: Vec<String> = report.imbalances().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{pieces:?}: {found:?}");
        found.iter().zip(expected).for_each(|(found, expected)| assert!(found.contains(expected), "{found}"));
    };
    check(&[(5, 20)], &[]);
    check(&[(5, 9), (9, 10), (10, 20)], &[]);
    check(
        &[(5, 9), (10, 20)],
        &["batch 2, offsets 10..20: begin of the piece is 10, end of the piece before is 9"],
    );
    check(
        &[(5, 9), (8, 20)],
        &["batch 2, offsets 8..20: begin of the piece is 8, end of the piece before is 9"],
    );
    check(&[(6, 20)], &["begin of the piece is 6, end of the piece before is 5"]);
    check(&[(5, 19)], &["partition chat/0: next offset is 20, end of the last piece is 19"]);
    check(&[(5, 21)], &["next offset is 20, end of the last piece is 21"]);
    check(&[], &["next offset is 20, end of the last piece is 5"]);
    check(&[(5, 9), (9, 9), (9, 20)], &["pieces that hold nothing is 1, allowed is 0"]);
    // A hole is not made good by an overlap.
    check(&[(5, 12), (5, 20)], &["batch 2"]);
}

/// A batch with one range `from..` that holds these many of each, and the refusals that belong to it.
fn batch(from: Offset, empty: u64, counted: u64, late: u64, dead: u64, gap: u64) -> Commit<()> {
    let tally = Tally {
        records: counted + late + dead,
        empty,
        counted,
        in_windows: counted / 2,
        late,
        dead,
        window_misses: 1,
    };
    let to = from + tally.records + empty;
    let place = |offset| Place { partition: PARTITION, offset, file: None, line: None, bytes: None };
    let late_event = |offset| LateEvent {
        place: place(offset),
        key: "a".into(),
        event_time_ms: 0,
        watermark: Watermark::at(9),
        raw: Vec::new(),
    };
    let dead_letter = |offset| DeadLetter { place: place(offset), code: "utf8".into(), raw: Vec::new() };
    let passed =
        Gap { partition: PARTITION, offsets: to..to + gap, cause: "retention".into(), in_replay: false };
    let position = Position {
        id: PARTITION,
        next: to + gap,
        replay: from,
        clock: PartitionClock::default(),
        head_since_ms: None,
        mark: Default::default(),
        begun_ms: None,
    };
    Commit {
        batch_id: 3,
        attempt: AttemptId(1),
        kind: BatchKind::Read,
        planned_at_ms: 0,
        watermark_before: Watermark::at(9),
        watermark: Watermark::at(9),
        open_end_ms: None,
        open_digest: 0,
        open_count: 0,
        final_count: 0,
        window_misses: 1,
        start_ms: None,
        ranges: vec![RangeEntry { partition: PARTITION, from, to, tally }],
        positions: vec![PositionEntry { expected_next: Some(from), position }],
        segments: Vec::new(),
        dead_letters: (from..from + dead).map(dead_letter).collect(),
        late_events: (from + dead..from + dead + late).map(late_event).collect(),
        gaps: if gap > 0 { vec![passed] } else { Vec::new() },
        rows: (),
        close_early: false,
        new_meaning: None,
    }
}

/// One way each to make an honest batch wrong.
const FAULTS: [fn(&mut Commit<()>); 16] = [
    |batch| batch.ranges[0].tally.records += 1,
    |batch| batch.ranges[0].tally.empty += 1,
    |batch| batch.ranges[0].tally.counted += 1,
    |batch| batch.ranges[0].tally.late += 1,
    |batch| batch.ranges[0].tally.dead += 1,
    |batch| batch.ranges[0].tally.in_windows = batch.ranges[0].tally.counted + 1,
    |batch| batch.ranges[0].tally.window_misses += 1,
    |batch| batch.ranges[0].from += 1,
    |batch| batch.ranges[0].to += 1,
    |batch| batch.ranges[0].partition.partition += 1,
    |batch| batch.positions[0].position.next += 1,
    |batch| batch.positions[0].expected_next = Some(0),
    |batch| batch.positions.clear(),
    |batch| batch.positions[0].position.replay = batch.positions[0].position.next + 1,
    |batch| batch.watermark = Watermark::at(8),
    |batch| {
        // A refused record listed as a late one.
        let place = batch.dead_letters.remove(0).place;
        let watermark = batch.watermark;
        batch.late_events.push(LateEvent {
            place,
            key: "a".into(),
            event_time_ms: 0,
            watermark,
            raw: Vec::new(),
        });
    },
];

proptest! {
    #[test]
    fn an_honest_batch_passes_and_each_fault_is_found(
        from in 1..1_000_u64, empty in 0..5_u64, counted in 0..9_u64, late in 0..4_u64, dead in 1..4_u64,
        gap in 0..5_u64, fault in prop::sample::select(FAULTS.to_vec()),
    ) {
        let mut batch = batch(from, empty, counted, late, dead, gap);
        prop_assert_eq!(check_commit(&batch), Ok(()));
        fault(&mut batch);
        prop_assert!(check_commit(&batch).is_err());
    }
}
