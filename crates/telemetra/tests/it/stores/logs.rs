//! Which log a partition's offsets count in, where a job began behind records left out by wish, and what its windows
//! lack for that: kept as they are committed, by both stores.

use telemetra_core::watermark::PartitionClock;
use telemetra_engine::{
    ids::{Offset, PartitionId},
    sink::{BatchKind, Commit, Position, PositionEntry, Recovered, Sink, SinkError, Tally},
    source::{Input, LogMark},
};

use super::{Store, on_both, story::*};

const LOG: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;

fn topics() -> [Input; 2] {
    ["chat", "viewer"].map(|name| {
        let topic = format!("telemetra.events.{name}");
        Input { name, topic: Some(topic.clone()), place: topic }
    })
}

fn mark(id: impl Into<Option<u128>>, epoch: impl Into<Option<i32>>) -> LogMark {
    LogMark { id: id.into(), epoch: epoch.into() }
}

fn at(partition: u32, next: Offset, mark: LogMark, begun_ms: Option<i64>) -> Position {
    let id = PartitionId { input: 0, partition };
    Position { id, next, replay: next, clock: PartitionClock::default(), head_since_ms: None, mark, begun_ms }
}

fn moved(expected_next: impl Into<Option<Offset>>, position: Position) -> PositionEntry {
    PositionEntry { expected_next: expected_next.into(), position }
}

/// Two partitions that begin behind their first offset, one in a log without an id.
fn begin() -> Commit<Rows> {
    let positions = vec![
        moved(None, at(0, 100, mark(LOG, 3), Some(T0 + 7))),
        moved(None, at(1, 0, mark(None, None), None)),
    ];
    Commit { kind: BatchKind::Begin, positions, ..batch(1, None, None) }
}

type Rows = telemetra_core::chat::rows::ChatRows;

/// The first partition is read, under another leadership; the second gets to know its log.
fn read() -> Commit<Rows> {
    let tally = Tally { records: 3, counted: 3, ..Tally::default() };
    let positions =
        vec![moved(100, at(0, 103, mark(LOG, 4), None)), moved(0, at(1, 0, mark(u128::MAX, 0), None))];
    let ranges = vec![range(CHAT, 100..103, tally)];
    Commit { positions, ranges, start_ms: Some(T0 - 5), ..batch(2, None, Some(5)) }
}

fn take_over(store: &impl Store) -> (Box<dyn Sink<telemetra_core::chat::Chat>>, Recovered) {
    let mut sink = store.sink();
    let recovered = sink.take_over(&topics(), "meaning").expect("nobody holds the job");
    (sink, recovered)
}

#[track_caller]
fn balanced(store: &impl Store) {
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
}

fn a_successor_finds_logs_and_beginnings_as_they_were_committed<S: Store>() {
    let store = S::new();
    let check = |batch: &Commit<Rows>, kind: &str| {
        let (mut sink, _) = take_over(&store);
        sink.commit(batch).expect("it adds up");
        drop(sink);
        let (sink, found) = take_over(&store);
        let positions: Vec<_> = batch.positions.iter().map(|entry| entry.position).collect();
        assert_eq!((found.positions, found.start_ms), (positions, batch.start_ms));
        drop(sink);
        balanced(&store);
        let sql = format!("SELECT kind, start_ms FROM telemetra.batch WHERE batch_id = {}", batch.batch_id);
        let start = batch.start_ms.map_or("NULL".to_owned(), |ms| ms.to_string());
        assert_eq!(store.text(&sql), format!("{kind} {start}"));
    };
    check(&begin(), "begin");
    check(&read(), "read");
    let columns = "topic, \"partition\", first_offset, next_offset, log_id, log_epoch, begun_ms";
    assert_eq!(
        store.text(&format!("SELECT {columns} FROM telemetra.position ORDER BY \"partition\"")),
        "telemetra.events.chat 0 100 103 00010203-0405-0607-0809-0a0b0c0d0e0f 4 NULL\n\
         telemetra.events.chat 1 0 0 ffffffff-ffff-ffff-ffff-ffffffffffff 0 NULL"
    );
    let places: Vec<_> = (store.reader().jobs(None).expect("a sound store answers")[0].positions)
        .iter()
        .map(|at| (at.partition, at.first, at.next))
        .collect();
    assert_eq!(places, [(0, 100, 103), (1, 0, 0)]);
}

fn a_position_never_moves_into_another_log<S: Store>() {
    let store = S::new();
    let (mut sink, _) = take_over(&store);
    sink.commit(&begin()).expect("it adds up");
    sink.commit(&read()).expect("it adds up");
    for other in [mark(LOG + 1, 4), mark(None, 4)] {
        let positions = vec![moved(103, at(0, 103, other, None))];
        let refused = sink.commit(&Commit { positions, start_ms: Some(T0), ..batch(3, Some(5), Some(5)) });
        assert!(matches!(refused, Err(SinkError::Fenced(_))), "{refused:?}");
        assert_eq!(store.text("SELECT last_batch FROM telemetra.job"), "2");
    }
    // A leadership may end, and be unknown.
    for epoch in [Some(2), None] {
        let number = if epoch.is_some() { 3 } else { 4 };
        let positions = vec![moved(103, at(0, 103, mark(LOG, epoch), None))];
        let start_ms = Some(T0 - 5);
        sink.commit(&Commit { positions, start_ms, ..batch(number, Some(5), Some(5)) })
            .expect("the same log");
    }
    drop(sink);
    balanced(&store);
    assert_eq!(take_over(&store).1.positions[0].mark, mark(LOG, None));
}

fn what_was_changed_by_hand_is_found<S: Store>() {
    let check = |tamper: &str, words: &str, is_in_audit: bool| {
        let store = S::new();
        let (mut sink, _) = take_over(&store);
        sink.commit(&begin()).expect("it adds up");
        sink.commit(&read()).expect("it adds up");
        drop(sink);
        store.sql(tamper);
        match store.sink().take_over(&topics(), "meaning") {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
            other => panic!("{tamper}: {other:?}"),
        }
        assert_eq!(store.audit().is_balanced(), !is_in_audit, "{tamper}");
    };
    check("UPDATE telemetra.job SET start_ms = 7", "start_ms", true);
    check("UPDATE telemetra.job SET start_ms = NULL", "start_ms", true);
    check("UPDATE telemetra.batch SET start_ms = NULL WHERE batch_id = 2", "start_ms", true);
    check("UPDATE telemetra.position SET log_id = 'x'", "log_id \"x\" in the store is no UUID", false);
    check("UPDATE telemetra.position SET first_offset = 99", "tiling: partition chat/1", true);
}

fn a_start_that_went_back_is_an_imbalance<S: Store>() {
    let store = S::new();
    let (mut sink, _) = take_over(&store);
    sink.commit(&begin()).expect("it adds up");
    sink.commit(&read()).expect("it adds up");
    drop(sink);
    store.sql("UPDATE telemetra.batch SET start_ms = 1735689600000 WHERE batch_id = 1");
    let report = store.audit();
    let found: Vec<_> = report.imbalances().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("start of the batch before"), "{found:#?}");
}

on_both![
    a_successor_finds_logs_and_beginnings_as_they_were_committed,
    a_position_never_moves_into_another_log,
    what_was_changed_by_hand_is_found,
    a_start_that_went_back_is_an_imbalance,
];
