//! Instances come and go: take-over, locks, epochs, commits in doubt, stores that were tampered with.

use telemetra_core::logic::WindowCount;
use telemetra_engine::sink::{SinkError, Totals};

use super::*;

#[test]
fn a_new_job_begins_with_nothing() {
    let store = Store::new();
    let (_sink, recovered) = store.take_over();
    assert_eq!((recovered.epoch, recovered.last_batch, recovered.meaning), (1, 0, None));
    assert_eq!(recovered.watermark, Watermark::NONE);
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

#[test]
fn a_successor_reads_back_all_that_was_committed() {
    let store = Store::with_story();
    let (_sink, recovered) = store.take_over();
    let [first, _, third] = story();
    assert_eq!((recovered.epoch, recovered.last_batch), (2, 3));
    assert_eq!(recovered.watermark, third.watermark);
    assert_eq!(recovered.open_end_ms, third.open_end_ms);
    assert_eq!(recovered.open_digest, third.open_digest);
    assert_eq!(recovered.open_count, 8);
    assert_eq!(recovered.meaning.as_deref(), Some("meaning"));
    assert_eq!(recovered.totals, Totals { in_windows: 21, window_misses: 1, final_count: 33 });
    assert_eq!(recovered.positions, [third.positions[0].position, first.positions[1].position]);
    let segments =
        [(CHAT, segment(0, 20)), (CHAT, Segment { seq: 1, ..segment(20, 6) }), (VIEWER, segment(5, 3))];
    assert_eq!(recovered.segments, segments);
    let open = |start: i64| WindowCount { key: "a".into(), start_ms: T0 + start * 1_000, count: 4 };
    assert_eq!(recovered.open_rows, [open(20), open(30)]);
    assert_eq!(recovered.closed_early, []);
}

#[test]
fn a_second_instance_is_told_who_holds_the_job() {
    let store = Store::new();
    let (sink, _) = store.take_over();
    let mut second = store.sink();
    match second.take_over(&inputs(), "meaning") {
        Err(SinkError::Busy(text)) => {
            assert!(text.contains(&format!("process {};", std::process::id())), "{text}");
        }
        other => panic!("{other:?}"),
    }
    drop(sink);
    assert_eq!(second.take_over(&inputs(), "meaning").unwrap().epoch, 2);
}

#[test]
fn whoever_was_overtaken_writes_nothing() {
    let store = Store::new();
    let (mut old, _) = store.take_over();
    let [first, second, third] = story();
    old.commit(&first).unwrap();
    store.forget_lock();
    let (mut new, recovered) = store.take_over();
    assert_eq!((recovered.epoch, recovered.last_batch), (2, 1));
    let fenced =
        |result: Result<(), SinkError>| assert!(matches!(result, Err(SinkError::Fenced(_))), "{result:?}");
    // Both before and after the new one has committed the same batch.
    fenced(old.commit(&second).map(drop));
    new.commit(&second).unwrap();
    fenced(old.commit(&second).map(drop));
    fenced(old.commit(&third).map(drop));
    fenced(old.set_halted(Some("cause")));
    fenced(old.was_applied(2, second.attempt).map(drop));
    new.commit(&third).unwrap();
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

#[test]
fn a_position_that_moved_fences() {
    let store = Store::new();
    let (mut sink, _) = store.take_over();
    let [first, mut second, _] = story();
    sink.commit(&first).unwrap();
    let check = |sink: &mut SqliteSink, commit: &Commit<ChatRows>| {
        assert!(matches!(sink.commit(commit), Err(SinkError::Fenced(_))));
        assert_eq!(store.one::<i64>("SELECT last_batch FROM telemetra_job"), 1);
    };
    store.sql("UPDATE telemetra_position SET next_offset = 13 WHERE input = 'chat'");
    check(&mut sink, &second);
    store.sql("UPDATE telemetra_position SET next_offset = 12 WHERE input = 'chat'");
    // A partition that is not new.
    second.positions[0].expected_next = None;
    check(&mut sink, &second);
    // A batch that was committed already.
    check(&mut sink, &first);
}

#[test]
fn a_commit_in_doubt_is_answered_by_the_batch_row() {
    let store = Store::new();
    let (mut sink, _) = store.take_over();
    let [first, second, _] = story();
    sink.commit(&first).unwrap();
    assert!(sink.was_applied(1, first.attempt).unwrap().is_some());
    assert!(sink.was_applied(2, second.attempt).unwrap().is_none());
    // Another attempt at the same epoch cannot be.
    assert!(matches!(sink.was_applied(1, second.attempt), Err(SinkError::Halt(_))));
    sink.commit(&second).unwrap();
    assert!(sink.was_applied(2, second.attempt).unwrap().is_some());
}

#[test]
fn a_batch_that_finds_the_store_locked_can_be_tried_again() {
    let store = Store::new();
    let (mut sink, _) = store.take_over();
    let [first, ..] = story();
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    sink.with(|db, _| Ok(db.busy_timeout(std::time::Duration::ZERO)?)).unwrap();
    assert!(matches!(sink.commit(&first), Err(SinkError::NotApplied(_))));
    other.execute_batch("ROLLBACK").unwrap();
    sink.commit(&first).unwrap();
}

#[test]
fn a_crash_before_commit_leaves_nothing() {
    let store = Store::new();
    let (mut sink, recovered) = store.take_over();
    let [first, second, _] = story();
    sink.commit(&first).unwrap();
    let held = Held { epoch: recovered.epoch, inputs: inputs().to_vec() };
    // All of the second batch but its COMMIT; the connection is gone with the transaction open.
    let mut db = connection::open_writer(&store.path).unwrap();
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    crate::sqlite::commit::write(&tx, &sink.job, &held, &second, "2025-01-01T00:01:00.000Z").unwrap();
    drop(tx);
    drop(db);
    drop(sink);
    let (mut sink, recovered) = store.take_over();
    assert_eq!(recovered.last_batch, 1);
    assert!(sink.was_applied(2, second.attempt).unwrap().is_none());
    sink.commit(&second).unwrap();
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

/// Takes over with another job name, window or inputs; the refusal must contain `words`.
#[track_caller]
fn refuse(store: &Store, job: &str, window: WindowSpec, inputs: &[Input], words: &str) {
    let mut sink = SqliteSink::open(&store.path, job, window).unwrap();
    match sink.take_over(inputs, "meaning") {
        Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
        other => panic!("{words}: {other:?}"),
    }
}

#[test]
fn what_belongs_to_a_job_for_good_cannot_change() {
    let store = Store::with_story();
    let [chat, viewer] = inputs();
    let topic = Input { topic: Some("events".into()), ..chat.clone() };
    refuse(&store, "other", window(), &inputs(), "table chat_summary_minute belongs to job chat");
    refuse(
        &store,
        "chat",
        WindowSpec::new(30_000, 10_000).unwrap(),
        &inputs(),
        "20000 ms every 10000 ms for good",
    );
    refuse(&store, "chat", window(), std::slice::from_ref(&chat), "input viewer, which is not given now");
    refuse(&store, "chat", window(), &[topic, viewer], "input chat from a folder, not from topic events");
    // Refused as a whole: nobody's epoch moved, no other job was made.
    assert_eq!(store.text("SELECT job, epoch FROM telemetra_job"), "chat 1");
}

#[test]
fn a_store_that_was_tampered_with_is_not_taken_over() {
    let check = |tamper: &str, words: &str| {
        let store = Store::with_story();
        store.sql(tamper);
        refuse(&store, "chat", window(), &inputs(), words);
    };
    check("UPDATE telemetra_position SET next_offset = 25 WHERE input = 'chat'", "tiling: partition chat/0");
    check("UPDATE telemetra_position SET next_offset = 27 WHERE input = 'chat'", "tiling: partition chat/0");
    check(
        "UPDATE telemetra_position SET replay_offset = 27 WHERE input = 'chat'",
        "positions: partition chat/0",
    );
    check("UPDATE telemetra_position SET next_offset = -1 WHERE input = 'chat'", "next_offset is -1");
    check(
        "DELETE FROM telemetra_position WHERE input = 'viewer'",
        "viewer/0 has ranges in the ledger but no position",
    );
    check("DELETE FROM telemetra_job", "has no job row any more");
    check("UPDATE telemetra_job SET last_batch = 2", "last_batch");
    check("DELETE FROM telemetra_batch WHERE batch_id = 3", "last_batch");
    check("UPDATE telemetra_job SET watermark_ms = NULL", "watermark_ms");
    check("UPDATE telemetra_job SET open_digest = 1", "open_digest");
    check("UPDATE telemetra_job SET open_count = 9", "open_count");
    check("UPDATE telemetra_job SET open_end_ms = NULL", "open_end_ms");
    check("UPDATE telemetra_job SET in_windows = 22", "counts: job row of chat");
    check("UPDATE telemetra_job SET window_misses = 0", "counts: job row of chat");
    check("UPDATE telemetra_job SET final_count = 34", "counts: job row of chat");
    check("UPDATE telemetra_job SET pipeline = 'commerce'", "runs pipeline commerce");
}

#[test]
fn names_of_jobs_are_plain() {
    let store = Store::new();
    let open = |job: &str| SqliteSink::open(&store.path, job, window());
    for job in ["", "../x", "a b", "ü", &"x".repeat(65)] {
        assert!(matches!(open(job), Err(SinkError::Halt(_))), "{job}");
    }
    assert!(open(&"x".repeat(64)).is_ok());
}

#[test]
fn status_says_where_the_job_stands() {
    let store = Store::with_story();
    let (mut sink, _) = store.take_over();
    sink.set_halted(Some("a gap")).unwrap();
    let mut reader = store.reader();
    let job = reader.jobs(None).unwrap().remove(0);
    assert_eq!((job.job.as_str(), job.pipeline.as_str(), job.epoch, job.last_batch), ("chat", "chat", 2, 3));
    assert_eq!(job.halt_cause.as_deref(), Some("a gap"));
    assert_eq!((job.final_rows, job.provisional_rows, job.open_count), (3, 2, 8));
    assert_eq!((job.records.records, job.records.late, job.records.dead), (28, 1, 3));
    assert_eq!(job.watermark, third().watermark);
    assert_eq!(job.positions.iter().map(|at| (at.first, at.next)).collect::<Vec<_>>(), [(0, 26), (5, 8)]);
    sink.set_halted(None).unwrap();
    assert_eq!(reader.jobs(Some("chat")).unwrap()[0].halt_cause, None);
    assert_eq!(reader.jobs(Some("other")).unwrap(), []);

    let batches = reader.batches("chat", 2).unwrap();
    let numbers: Vec<_> =
        batches.iter().map(|batch| (batch.batch_id, batch.rows_written, batch.final_rows)).collect();
    assert_eq!(numbers, [(3, 4, 2), (2, 3, 1)]);
    assert_eq!(batches[0].tally.late, 1);
    assert_eq!(batches[0].planned_at_ms, T0 + 60_000);
    assert!(reader.is_running("chat").unwrap());
    assert!(!reader.is_running("other").unwrap());
    drop(sink);
    assert!(!reader.is_running("chat").unwrap());
}
