//! Instances come and go: take-over, locks, epochs, commits in doubt, stores that were tampered with.

use telemetra_core::{
    chat::{Chat, rows::ChatRows},
    logic::WindowCount,
    watermark::Watermark,
    window::WindowSpec,
};
use telemetra_engine::{
    sink::{Commit, Sink, SinkError, Totals},
    source::{Input, Segment},
};

use telemetra_services::eventually;

use super::{Store, on_both, story::*};

fn a_new_job_begins_with_nothing<S: Store>() {
    let store = S::new();
    let (_sink, recovered) = store.take_over();
    assert_eq!((recovered.epoch, recovered.last_batch, recovered.meaning), (1, 0, None));
    assert_eq!(recovered.watermark, Watermark::NONE);
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

fn a_successor_reads_back_all_that_was_committed<S: Store>() {
    let store = S::with_story();
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

fn a_second_instance_is_told_who_holds_the_job<S: Store>() {
    let store = S::new();
    let (sink, _) = store.take_over();
    store.estrange_holder();
    let mut second = store.sink();
    match second.take_over(&inputs(), "meaning") {
        Err(SinkError::Busy(text)) => assert!(text.contains("is run by process "), "{text}"),
        other => panic!("{other:?}"),
    }
    drop(sink);
    assert_eq!(second.take_over(&inputs(), "meaning").expect("a sound store answers").epoch, 2);
}

fn whoever_was_overtaken_writes_nothing<S: Store>() {
    let store = S::new();
    let (mut old, _) = store.take_over();
    let [first, second, third] = story();
    old.commit(&first).expect("a sound store answers");
    store.forget_holder();
    let (mut new, recovered) = store.take_over();
    assert_eq!((recovered.epoch, recovered.last_batch), (2, 1));
    let fenced =
        |result: Result<(), SinkError>| assert!(matches!(result, Err(SinkError::Fenced(_))), "{result:?}");
    // Both before and after the new one has committed the same batch.
    fenced(old.commit(&second).map(drop));
    new.commit(&second).expect("a sound store answers");
    fenced(old.commit(&second).map(drop));
    fenced(old.commit(&third).map(drop));
    fenced(old.set_halted(Some("cause")));
    fenced(old.was_applied(2, second.attempt).map(drop));
    new.commit(&third).expect("a sound store answers");
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

fn a_position_that_moved_fences<S: Store>() {
    let store = S::new();
    let (mut sink, _) = store.take_over();
    let [first, mut second, _] = story();
    sink.commit(&first).expect("a sound store answers");
    let check = |sink: &mut dyn Sink<Chat>, commit: &Commit<ChatRows>| {
        assert!(matches!(sink.commit(commit), Err(SinkError::Fenced(_))));
        assert_eq!(store.text("SELECT last_batch FROM telemetra.job"), "1");
    };
    store.sql("UPDATE telemetra.position SET next_offset = 13 WHERE input = 'chat'");
    check(&mut *sink, &second);
    store.sql("UPDATE telemetra.position SET next_offset = 12 WHERE input = 'chat'");
    // A partition that is not new.
    second.positions[0].expected_next = None;
    check(&mut *sink, &second);
    // A batch that was committed already.
    check(&mut *sink, &first);
}

fn a_commit_in_doubt_is_answered_by_the_batch_row<S: Store>() {
    let store = S::new();
    let (mut sink, _) = store.take_over();
    let [first, second, _] = story();
    sink.commit(&first).expect("a sound store answers");
    assert!(sink.was_applied(1, first.attempt).expect("a sound store answers").is_some());
    assert!(sink.was_applied(2, second.attempt).expect("a sound store answers").is_none());
    // Another attempt at the same epoch cannot be.
    let other = sink.was_applied(1, second.attempt);
    assert!(matches!(other, Err(SinkError::Halt(_) | SinkError::Fenced(_))), "{other:?}");
    sink.commit(&second).expect("a sound store answers");
    assert!(sink.was_applied(2, second.attempt).expect("a sound store answers").is_some());
}

/// Takes over with another job name, window or inputs; the refusal must contain `words`.
#[track_caller]
fn refuse(store: &impl Store, job: &str, window: WindowSpec, inputs: &[Input], words: &str) {
    let mut sink = store.open(job, window).expect("a sound store answers");
    match sink.take_over(inputs, "meaning") {
        Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
        other => panic!("{words}: {other:?}"),
    }
}

fn what_belongs_to_a_job_for_good_cannot_change<S: Store>() {
    let store = S::with_story();
    let [chat, viewer] = inputs();
    let topic = Input { topic: Some("events".into()), ..chat.clone() };
    refuse(&store, "other", window(), &inputs(), "table chat_summary_minute belongs to job chat");
    refuse(
        &store,
        "chat",
        WindowSpec::new(30_000, 10_000).expect("a sound store answers"),
        &inputs(),
        "20000 ms every 10000 ms for good",
    );
    refuse(&store, "chat", window(), std::slice::from_ref(&chat), "input viewer, which is not given now");
    refuse(&store, "chat", window(), &[topic, viewer], "input chat from a folder, not from topic events");
    // Refused as a whole: nobody's epoch moved, no other job was made.
    assert_eq!(store.text("SELECT job, epoch FROM telemetra.job"), "chat 1");
}

fn a_store_that_was_tampered_with_is_not_taken_over<S: Store>() {
    let check = |tamper: &str, words: &str| {
        let store = S::with_story();
        store.sql(tamper);
        refuse(&store, "chat", window(), &inputs(), words);
    };
    check("UPDATE telemetra.position SET next_offset = 25 WHERE input = 'chat'", "tiling: partition chat/0");
    check("UPDATE telemetra.position SET next_offset = 27 WHERE input = 'chat'", "tiling: partition chat/0");
    check(
        "UPDATE telemetra.position SET replay_offset = 27 WHERE input = 'chat'",
        "positions: partition chat/0",
    );
    check("UPDATE telemetra.position SET next_offset = -1 WHERE input = 'chat'", "next_offset is -1");
    check(
        "DELETE FROM telemetra.position WHERE input = 'viewer'",
        "viewer/0 has ranges in the ledger but no position",
    );
    check("DELETE FROM telemetra.job", "has no job row any more");
    check("UPDATE telemetra.job SET last_batch = 2", "last_batch");
    check("DELETE FROM telemetra.batch WHERE batch_id = 3", "last_batch");
    check("UPDATE telemetra.job SET watermark_ms = NULL", "watermark_ms");
    check("UPDATE telemetra.job SET open_digest = 1", "open_digest");
    check("UPDATE telemetra.job SET open_count = 9", "open_count");
    check("UPDATE telemetra.job SET open_end_ms = NULL", "open_end_ms");
    check("UPDATE telemetra.job SET in_windows = 22", "counts: job row of chat");
    check("UPDATE telemetra.job SET window_misses = 0", "counts: job row of chat");
    check("UPDATE telemetra.job SET final_count = 34", "counts: job row of chat");
    check("UPDATE telemetra.job SET pipeline = 'commerce'", "runs pipeline commerce");
}

fn names_of_jobs_are_plain<S: Store>() {
    let store = S::new();
    let open = |job: &str| store.open(job, window()).map(drop);
    for job in ["", "../x", "a b", "ü", &"x".repeat(65)] {
        assert!(matches!(open(job), Err(SinkError::Halt(_))), "{job}");
    }
    assert!(open(&"x".repeat(64)).is_ok());
}

fn status_says_where_the_job_stands<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    sink.set_halted(Some("a gap")).expect("a sound store answers");
    let mut reader = store.reader();
    let job = reader.jobs(None).expect("a sound store answers").remove(0);
    assert_eq!((job.job.as_str(), job.pipeline.as_str(), job.epoch, job.last_batch), ("chat", "chat", 2, 3));
    assert_eq!(job.halt_cause.as_deref(), Some("a gap"));
    assert_eq!((job.final_rows, job.provisional_rows, job.open_count), (3, 2, 8));
    assert_eq!((job.records.records, job.records.late, job.records.dead), (28, 1, 3));
    assert_eq!(job.watermark, third().watermark);
    assert_eq!(job.positions.iter().map(|at| (at.first, at.next)).collect::<Vec<_>>(), [(0, 26), (5, 8)]);
    sink.set_halted(None).expect("a sound store answers");
    assert_eq!(reader.jobs(Some("chat")).expect("a sound store answers")[0].halt_cause, None);
    assert_eq!(reader.jobs(Some("other")).expect("a sound store answers"), []);

    let batches = reader.batches("chat", 2).expect("a sound store answers");
    let numbers: Vec<_> =
        batches.iter().map(|batch| (batch.batch_id, batch.rows_written, batch.final_rows)).collect();
    assert_eq!(numbers, [(3, 4, 2), (2, 3, 1)]);
    assert_eq!(batches[0].tally.late, 1);
    assert_eq!(batches[0].planned_at_ms, T0 + 60_000);
    assert!(reader.is_running("chat").expect("a sound store answers"));
    assert!(!reader.is_running("other").expect("a sound store answers"));
    drop(sink);
    // A server notices by itself that its client is gone.
    eventually("nobody runs the job", || {
        (!reader.is_running("chat").expect("a sound store answers")).then_some(())
    });
}

on_both!(
    a_new_job_begins_with_nothing,
    a_successor_reads_back_all_that_was_committed,
    a_second_instance_is_told_who_holds_the_job,
    whoever_was_overtaken_writes_nothing,
    a_position_that_moved_fences,
    a_commit_in_doubt_is_answered_by_the_batch_row,
    what_belongs_to_a_job_for_good_cannot_change,
    a_store_that_was_tampered_with_is_not_taken_over,
    names_of_jobs_are_plain,
    status_says_where_the_job_stands,
);
