//! Records of Kafka on both stores: their places in the tables of refused and late records and of shop events, and a job
//! that is given other inputs than before.

use telemetra_connectors::{Replayed, Wanted};
use telemetra_core::{
    commerce::rows::{Block, CommerceRows, EventType, Payload},
    record::Origin,
    watermark::{PartitionClock, Watermark},
};
use telemetra_engine::{
    ids::{Offset, PARTITIONS_PER_GENERATION, PartitionId},
    sink::{Commit, DeadLetter, LateEvent, Place, Position, PositionEntry, RangeEntry, SinkError, Tally},
    source::{Input, LogMark},
};

use super::{Store, on_both, story::*};

/// The second making of partition 3.
const ANEW: PartitionId = PartitionId { input: 0, partition: PARTITIONS_PER_GENERATION + 3 };

fn topics<const N: usize>(names: [&'static str; N]) -> [Input; N] {
    names.map(|name| {
        let topic = format!("t.{name}");
        Input { name, topic: Some(topic.clone()), place: topic }
    })
}

fn place(partition: PartitionId, offset: Offset) -> Place {
    Place { partition, offset, file: None, line: None, bytes: None }
}

fn begun(id: PartitionId, next: Offset) -> PositionEntry {
    let mark = LogMark { id: Some(9), epoch: Some(1) };
    let clock = PartitionClock::default();
    let position = Position { id, next, replay: next, clock, head_since_ms: None, mark, begun_ms: None };
    PositionEntry { expected_next: None, position }
}

fn refused_and_late_records_have_their_offset_and_no_line<S: Store>() {
    let store = S::new();
    let mut sink = store.sink();
    sink.take_over(&topics(["chat", "viewer"]), "meaning").expect("nobody holds the job");
    sink.commit(&batch(1, None, Some(60))).expect("it adds up");
    let dead = DeadLetter { place: place(ANEW, 17), code: "utf8".into(), raw: b"\xff".to_vec() };
    let late = LateEvent {
        place: place(ANEW, 18),
        key: "a".into(),
        event_time_ms: T0,
        watermark: Watermark::at(T0 + 60_000),
        raw: b"{}".to_vec(),
    };
    let tally = Tally { records: 2, empty: 1, dead: 1, late: 1, ..Tally::default() };
    sink.commit(&Commit {
        ranges: vec![range(ANEW, 17..20, tally)],
        positions: vec![begun(ANEW, 20)],
        dead_letters: vec![dead],
        late_events: vec![late],
        ..batch(2, Some(60), Some(60))
    })
    .expect("it adds up");
    assert_eq!(sink.dead_offsets(ANEW, 0..100).expect("a sound store answers"), [17]);
    for (table, offset) in [("dead_letters", 17), ("late_events", 18)] {
        let sql = format!("SELECT input, topic, \"partition\", \"offset\", file, line FROM {table}");
        assert_eq!(store.text(&sql), format!("chat t.chat 1000003 {offset} NULL NULL"));
    }
    drop(sink);
    assert!(store.audit().is_balanced(), "{:#?}", store.audit());
    store.sql("DELETE FROM late_events");
    let told = store.audit().imbalances().next().expect("one is missing").to_string();
    assert!(told.contains("partition chat/3 (topic made anew, 2nd), batch 2, offsets 17..20"), "{told}");
}

fn other_inputs_than_before_halt_with_the_way_on<S: Store>() {
    let folders = inputs();
    let check = |before: &[Input], now: &[Input], words: &str| {
        let store = S::new();
        let mut sink = store.sink();
        sink.take_over(before, "meaning").expect("nobody holds the job");
        sink.commit(&Commit { positions: vec![begun(CHAT, 0)], ..batch(1, None, None) }).expect("it adds up");
        drop(sink);
        match store.sink().take_over(now, "meaning") {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
            other => panic!("{words}: {other:?}"),
        }
        store.sink().take_over(before, "meaning").expect("as before");
    };
    let kafka = topics(["chat", "viewer"]);
    let mut renamed = kafka.clone();
    renamed[0].topic = Some("t.new".into());
    check(&folders, &kafka, "reads input chat from a folder, not from topic t.chat: set it back, or use");
    check(&kafka, &folders, "reads input chat from topic t.chat, not from a folder: set it back, or use");
    check(&kafka, &renamed, "reads input chat from topic t.chat, not from topic t.new");
    check(&kafka, &kafka[1..], "has read input chat, which is not given now: give it, or another --job");
}

/// Event `id` of one cent more than its offset; its raw bytes are its id.
fn push(block: &mut Block, id: &str, partition: u32, offset: Offset) {
    let payload = Payload {
        user_id: "u",
        product_id: "p",
        product_name: "n",
        category: "c",
        price_cents: i64::try_from(offset).expect("small") + 1,
        event_type: EventType::View,
        time_us: T0 * 1_000,
    };
    let origin = Origin { partition: (0, partition), offset, raw: id.as_bytes(), ..Origin::default() };
    block.push(id, &payload, &origin);
}

fn shop_events_name_topic_and_partition_and_are_replayed<S: Store>() {
    let store = S::new();
    let mut sink = store.open_commerce("commerce").expect("the store is there");
    sink.take_over(&topics(["events"]), "meaning").expect("nobody holds the job");
    // Partition 0 from offset 100: a, a refused record, nothing, a again at another price; the other one: b.
    let mut blocks = [Block::default(), Block::default()];
    push(&mut blocks[0], "a", 0, 100);
    push(&mut blocks[0], "a", 0, 103);
    push(&mut blocks[1], "b", ANEW.partition, 5);
    let dead = DeadLetter { place: place(CHAT, 101), code: "not_object".into(), raw: b"[]".to_vec() };
    let tally = Tally { records: 3, empty: 1, counted: 2, dead: 1, ..Tally::default() };
    let one = Tally { records: 1, counted: 1, ..Tally::default() };
    let chat = batch(1, None, None);
    let applied = sink
        .commit(&Commit {
            batch_id: 1,
            attempt: chat.attempt,
            kind: chat.kind,
            planned_at_ms: T0,
            watermark_before: Watermark::NONE,
            watermark: Watermark::NONE,
            open_end_ms: None,
            open_digest: 0,
            open_count: 0,
            final_count: 0,
            window_misses: 0,
            start_ms: None,
            ranges: vec![
                RangeEntry { partition: CHAT, from: 100, to: 104, tally },
                RangeEntry { partition: ANEW, from: 5, to: 6, tally: one },
            ],
            positions: vec![begun(CHAT, 104), begun(ANEW, 6)],
            segments: Vec::new(),
            dead_letters: vec![dead],
            late_events: Vec::new(),
            gaps: Vec::new(),
            rows: CommerceRows::new(blocks.into()),
            close_early: false,
            new_meaning: None,
        })
        .expect("it adds up");
    assert_eq!((applied.accepted, applied.conflicts), (2, 1));
    let rows = "SELECT event_id, batch_id, origin, origin_position FROM user_events ORDER BY event_id";
    assert_eq!(store.text(rows), "a 1 t.events/0 100\nb 1 t.events/1000003 5");
    let refused = "SELECT topic, \"partition\", \"offset\", file, line, byte_from, byte_to, codes, raw
                   FROM rejected_events ORDER BY \"offset\"";
    assert_eq!(
        store.text(refused),
        "t.events 0 101 NULL NULL NULL NULL not_object []\n\
         t.events 0 103 NULL NULL NULL NULL duplicate_conflict a"
    );
    drop(sink);
    assert!(store.audit().is_balanced(), "{:#?}", store.audit());

    let wanted = Wanted { limit: 10, ..Wanted::default() };
    let found = store.reader().rejected("commerce", &wanted).expect("a sound store answers");
    let places: Vec<_> =
        found.iter().map(|it| (it.topic.as_deref(), it.partition, it.offset, &it.head)).collect();
    assert_eq!(places, [(Some("t.events"), 0, 101, &None), (Some("t.events"), 0, 103, &None)]);
    // What was refused is tried again under another id.
    let mut block = Block::default();
    push(&mut block, "c", 0, 103);
    let mut quarantine = store.open_quarantine().expect("the store is there");
    let came_to = quarantine.replay("commerce", &CommerceRows::new(vec![block])).expect("it can be replayed");
    assert_eq!(came_to, [Replayed::Accepted]);
    assert!(store.text(rows).ends_with("\nc 1 t.events/0 103"), "{}", store.text(rows));
    assert!(store.audit().is_balanced(), "{:#?}", store.audit());
}

on_both![
    refused_and_late_records_have_their_offset_and_no_line,
    other_inputs_than_before_halt_with_the_way_on,
    shop_events_name_topic_and_partition_and_are_replayed,
];
