//! Rows that are unique by an id, on both stores: what becomes of every record, whoever else writes and whatever the
//! table refuses.
//!
//! | file | holds |
//! |---|---|
//! | `accepted` | new rows, duplicates and conflicts, in a batch and across batches |
//! | `refused` | rows that the table refuses, and other writers |
//! | `quarantine` | refused records: listed, exported, replayed |
//! | `law` | the audit finds what the law forbids |
//! | `views` | the five views |
//! | `migrated` | stores of before commerce |
//!
//! A batch is written as words, one an offset: `a=150` is the event `a` at 1.50, `!` a record that the rules refuse,
//! `.` an offset without a record, `|` the end of a file.

mod accepted;
mod law;
mod migrated;
mod quarantine;
mod refused;
mod views;

use std::sync::Arc;

use telemetra_connectors::Rejected;
use telemetra_core::{
    commerce::{
        Commerce,
        rows::{Block, CommerceRows, EventType, Payload},
    },
    record::Origin,
    watermark::{PartitionClock, Watermark},
};
use telemetra_engine::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{Applied, BatchKind, Commit, DeadLetter, Place, Position, PositionEntry, RangeEntry, Sink, Tally},
    source::{Input, Segment},
};

use super::{Lite, Pg, Store, on_both, story::T0};

const FOLDER: PartitionId = PartitionId { input: 0, partition: 0 };

fn inputs() -> [Input; 1] {
    [Input { name: "events", topic: None, place: "data/raw".into() }]
}

/// A job that runs on a store.
struct Shop<S> {
    store: S,
    sink: Box<dyn Sink<Commerce>>,
    batch_id: u64,
    next: Offset,
    files: u32,
}

impl<S: Store> Shop<S> {
    fn new() -> Self {
        Self::on(S::new())
    }

    fn on(store: S) -> Self {
        let mut sink = store.open_commerce("commerce").expect("the store is there");
        sink.take_over(&inputs(), "meaning").expect("nobody holds the job");
        Self { store, sink, batch_id: 0, next: 0, files: 0 }
    }

    /// The next batch; it is not committed yet.
    fn batch(&self, words: &str) -> Commit<CommerceRows> {
        let mut read = Read { block: Block::default(), dead: Vec::new(), segments: Vec::new() };
        let mut tally = Tally::default();
        let (from, mut to, mut first) = (self.next, self.next, self.next);
        for word in words.split_whitespace().chain(["|"]) {
            let file = self.files + u32::try_from(read.segments.len()).expect("few files");
            match word {
                "|" => {
                    read.segments.push((FOLDER, segment(file, first, to - first)));
                    first = to;
                    continue;
                }
                "." => tally.empty += 1,
                "!" => {
                    tally.dead += 1;
                    read.dead.push(dead(file, to));
                }
                word => {
                    tally.counted += 1;
                    push(&mut read.block, word, file, to);
                }
            }
            to += 1;
        }
        tally.records = tally.counted + tally.dead;
        let position = Position {
            id: FOLDER,
            next: to,
            replay: to,
            clock: PartitionClock::default(),
            head_since_ms: None,
            mark: Default::default(),
            begun_ms: None,
        };
        let mut ranges = vec![RangeEntry { partition: FOLDER, from, to, tally }];
        let mut positions =
            vec![PositionEntry { expected_next: (self.batch_id > 0).then_some(from), position }];
        if from == to {
            // Nothing was read.
            ranges.clear();
            positions.clear();
            read.segments.clear();
        }
        Commit {
            batch_id: self.batch_id + 1,
            attempt: AttemptId(u128::from(self.batch_id) << 64 | 7),
            kind: if from == to { BatchKind::Flush } else { BatchKind::Read },
            planned_at_ms: T0,
            watermark_before: Watermark::NONE,
            watermark: Watermark::NONE,
            open_end_ms: None,
            open_digest: 0,
            open_count: 0,
            final_count: 0,
            window_misses: 0,
            start_ms: None,
            ranges,
            positions,
            segments: read.segments,
            dead_letters: read.dead,
            late_events: Vec::new(),
            gaps: Vec::new(),
            rows: CommerceRows::new(vec![read.block]),
            close_early: false,
            new_meaning: None,
        }
    }

    /// Takes in that a batch was committed.
    fn done(&mut self, batch: &Commit<CommerceRows>) {
        self.batch_id = batch.batch_id;
        self.next = batch.ranges.first().map_or(self.next, |range| range.to);
        self.files += u32::try_from(batch.segments.len()).expect("few files");
    }

    /// Commits a batch and returns accepted, duplicates, conflicts and what the store refused.
    fn commit(&mut self, words: &str) -> [u64; 4] {
        let batch = self.batch(words);
        let applied = self.sink.commit(&batch).expect("it adds up");
        self.done(&batch);
        numbers(applied)
    }

    /// Ids, prices and places of the rows in the order of their ids, and their batches.
    fn rows(&self) -> String {
        let price = "(SELECT CAST(v.price AS text) FROM v_recent_activity v WHERE v.event_id = e.event_id)";
        let sql = format!(
            "SELECT event_id, {price}, batch_id, origin, origin_position FROM user_events e ORDER BY id"
        );
        self.store.text(&sql)
    }

    /// Offsets, codes, raw bytes and places of what is in quarantine.
    fn rejected(&self) -> String {
        let sql =
            "SELECT \"offset\", codes, raw, file, line, byte_from, byte_to, batch_id FROM rejected_events
                   ORDER BY \"offset\"";
        self.store.text(sql)
    }

    #[track_caller]
    fn assert_balanced(&self) {
        let report = self.store.audit();
        assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    }
}

struct Read {
    block: Block,
    dead: Vec<DeadLetter>,
    segments: Vec<(PartitionId, Segment)>,
}

fn numbers(applied: Applied) -> [u64; 4] {
    [applied.accepted, applied.duplicates, applied.conflicts, applied.refused]
}

fn file_name(file: u32) -> Arc<str> {
    format!("{file}.csv").into()
}

fn segment(seq: u32, first_offset: Offset, records: u64) -> Segment {
    Segment {
        seq,
        file: file_name(seq).to_string(),
        bytes: 0..records * 10,
        line: 1,
        first_offset,
        records,
        fingerprint: format!("{seq:04x}"),
        head: Some(Arc::from(&b"head"[..])),
        modified_ns: None,
        span_ms: None,
    }
}

fn dead(file: u32, offset: Offset) -> DeadLetter {
    let place = Place {
        partition: FOLDER,
        offset,
        file: Some(file_name(file)),
        line: Some(offset + 2),
        bytes: Some(offset * 10..offset * 10 + 9),
    };
    DeadLetter { place, code: "missing_field:user_id|price_range".into(), raw: b"e,,\xff".to_vec() }
}

/// Adds the event `id=cents`, or `id=cents/user/type/product/microseconds after T0`, each part but the first optional.
fn push(block: &mut Block, word: &str, file: u32, offset: Offset) {
    let mut parts = word.split('/');
    let (id, cents) = parts.next().and_then(|part| part.split_once('=')).expect("id=cents");
    let (user_id, event_type) = (parts.next().unwrap_or("u"), parts.next().unwrap_or("view"));
    let (product_id, after_us) = (parts.next().unwrap_or("p"), parts.next().unwrap_or("0"));
    let payload = Payload {
        user_id,
        product_id,
        product_name: "Crème, 2 m",
        category: "Home",
        price_cents: cents.parse().expect("a number"),
        event_type: EventType::of(event_type).expect("one of the three"),
        time_us: T0 * 1_000 + after_us.parse::<i64>().expect("a number"),
    };
    let file = file_name(file);
    let origin = Origin {
        partition: (0, 0),
        offset,
        file: Some(&file),
        line: Some(offset + 2),
        bytes: Some(offset * 10..offset * 10 + 9),
        raw: word.as_bytes(),
    };
    block.push(id, &payload, &origin);
}

/// The candidates of refused records whose raw bytes are events as written here.
fn candidates<'a>(rejected: impl IntoIterator<Item = &'a Rejected>) -> CommerceRows {
    let mut block = Block::default();
    for record in rejected {
        let word = String::from_utf8(record.raw.clone()).expect("a word");
        push(&mut block, &word, 0, record.offset);
    }
    CommerceRows::new(vec![block])
}
