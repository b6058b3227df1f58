//! Tests of `sink`, and of what it refuses to write.

use telemetra_core::watermark::Watermark;

use super::*;
use crate::{
    sim::{
        audit::assert_balanced,
        faults::{CRASH, FaultRates},
        hand::{Hand, ID, inputs, log, window},
        sums::Sums,
    },
    sink::BatchKind,
};

/// Seconds of events: two windows' worth, one refused, one that is late when read last.
const TIMES: [i64; 7] = [5, 12, 71, -1, 80, 95, 3];

fn violations(sink: &MemSink<Sums>) -> usize {
    sink.read(|store| store.violations.len())
}

#[test]
fn batches_are_written_and_a_new_instance_finds_them() {
    let mut hand = Hand::new(log(&TIMES));
    hand.step(4, 61).expect("a good batch");
    hand.step(7, 85).expect("a good batch");
    hand.sink.read(assert_balanced);
    let another = hand.batch(7, 90);
    let mut second = hand.sink.instance();
    let recovered = second.take_over(&inputs(), "meaning").expect("nobody holds it");
    assert_eq!((recovered.epoch, recovered.last_batch), (2, 2));
    assert_eq!(recovered.watermark, Watermark::at(85_000));
    assert_eq!(recovered.meaning.as_deref(), Some("meaning"));
    assert_eq!(second.dead_offsets(ID, 0..7).expect("it holds the job"), [3]);
    let open: Vec<_> = recovered.open_rows.iter().map(|row| (row.start_ms, row.count)).collect();
    // 71, 80 and 95 s: windows 30..90 to 90..150. The event at 3 s lies in windows that have all closed.
    let counts = [(30, 2), (40, 3), (50, 3), (60, 3), (70, 3), (80, 2), (90, 1)];
    assert_eq!(open, counts.map(|(start_s, count)| (start_s * 1_000, count)));
    assert_eq!(second.read(|store| store.late_events.len()), 1);
    assert!(matches!(hand.sink.dead_offsets(ID, 0..7), Err(SinkError::Fenced(_))), "the first is fenced");
    assert!(matches!(hand.sink.commit(&another), Err(SinkError::Fenced(_))));
    assert_eq!(violations(&second), 0, "being fenced is no fault");
}

#[test]
fn a_fault_writes_all_or_nothing_and_the_question_tells() {
    let check = |fault, reply: &str, is_written_at_once, is_applied| {
        let mut hand = Hand::new(log(&TIMES));
        hand.sink.set_faults(FaultPlan::script(&[Some(fault)]));
        let commit = hand.batch(4, 61);
        let error = hand.sink.commit(&commit).expect_err("a fault was told");
        assert!(error.to_string().contains(reply), "{fault:?}: {error}");
        let written =
            |sink: &MemSink<Sums>| sink.read(|store| store.last_batch == 1 && !store.rows.is_empty());
        assert_eq!(written(&hand.sink), is_written_at_once, "{fault:?}");
        assert_eq!(
            hand.sink.was_applied(1, commit.attempt).ok().map(|it| it.is_some()),
            is_applied,
            "{fault:?}"
        );
        assert_eq!(violations(&hand.sink), 0);
        let mut next = hand.sink.instance();
        next.take_over(&inputs(), "meaning").expect("nobody holds it");
        next.read(assert_balanced);
        written(&next)
    };
    assert!(!check(Fault::Refused, "nothing was written", false, Some(false)));
    assert!(!check(Fault::TooLarge, "too long", false, Some(false)));
    assert!(check(Fault::LostReply, "not known", true, Some(true)));
    assert!(!check(Fault::Lost, "not known", false, Some(false)));
    assert!(check(Fault::Late, "not known", false, Some(true)));
    assert!(!check(Fault::CrashBefore, CRASH, false, None));
    assert!(check(Fault::CrashAfter, CRASH, true, None));
    assert!(check(Fault::CrashLate, CRASH, false, None));
}

#[test]
fn a_commit_over_one_in_flight_is_a_violation() {
    let mut hand = Hand::new(log(&TIMES));
    hand.sink.set_faults(FaultPlan::script(&[Some(Fault::Late)]));
    assert!(matches!(hand.step(4, 61), Err(SinkError::InDoubt(_))));
    // Not asking first, and planning the batch again.
    assert!(matches!(hand.step(3, 61), Err(SinkError::Halt(_))));
    assert_eq!(violations(&hand.sink), 1);
    hand.sink.read(|store| assert_eq!(store.positions[&ID].next, 4, "the one in flight counts"));
}

#[test]
fn a_job_that_is_held_is_busy_until_its_holder_is_gone() {
    let hand = Hand::new(log(&TIMES));
    hand.sink.set_exclusive();
    let mut second = hand.sink.instance();
    assert!(matches!(second.take_over(&inputs(), "meaning"), Err(SinkError::Busy(_))));
    drop(hand);
    assert!(second.take_over(&inputs(), "meaning").is_ok());
}

#[test]
fn an_unanswered_question_may_be_asked_again() {
    let mut hand = Hand::new(log(&TIMES));
    let rates = FaultRates { lost_reply: 1_000, unanswered: 500, ..Default::default() };
    hand.sink.set_faults(FaultPlan::random(2, rates));
    let commit = hand.batch(4, 61);
    assert!(hand.sink.commit(&commit).is_err());
    let answers: Vec<_> =
        (0..20).map(|_| hand.sink.was_applied(1, commit.attempt).ok().map(|it| it.is_some())).collect();
    assert!(answers.contains(&None) && answers.contains(&Some(true)) && !answers.contains(&Some(false)));
}

/// Spoils the second batch; it must be refused for a reason that says `why`, and nothing be written.
#[track_caller]
fn check_refused(why: &str, spoil: impl FnOnce(&mut Commit<Vec<super::super::sums::SumRow>>)) {
    let mut hand = Hand::new(log(&TIMES));
    hand.step(4, 61).expect("a good batch");
    let before = hand.sink.read(Store::text);
    let mut commit = hand.batch(7, 85);
    spoil(&mut commit);
    let error = hand.sink.commit(&commit).expect_err("it breaks a rule");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(
        hand.sink.read(|store| (store.text(), store.last_batch, store.violations.len())),
        (before, 1, 1)
    );
}

#[test]
fn what_breaks_a_rule_is_not_written() {
    check_refused("the last batch is 1", |commit| commit.batch_id = 3);
    check_refused("is used again", |commit| commit.attempt = AttemptId(1));
    check_refused("judged by", |commit| commit.watermark_before = Watermark::NONE);
    check_refused("watermark back", |commit| commit.watermark = Watermark::at(60_000));
    check_refused("of kind idle that reads", |commit| commit.kind = BatchKind::Idle);
    check_refused("expected None", |commit| commit.positions[0].expected_next = None);
    check_refused("does not follow", |commit| commit.ranges[0].from = 5);
    check_refused("but read to", |commit| commit.positions[0].position.next = 6);
    check_refused("beyond next", |commit| commit.positions[0].position.replay = 8);
    check_refused("event time back", |commit| commit.positions[0].position.clock.largest_ms = None);
    check_refused("without a position", |commit| commit.positions.clear());
    check_refused("lost offsets", |commit| commit.ranges[0].tally.empty = 1);
    check_refused("lost records", |commit| commit.ranges[0].tally.counted += 1);
    check_refused("late listed", |commit| commit.late_events.clear());
    check_refused("which was not read", |commit| commit.late_events[0].place.offset = 2);
    check_refused("listed twice", |commit| commit.late_events.push(commit.late_events[0].clone()));
    check_refused("is not late", |commit| commit.late_events[0].event_time_ms = 70_000);
    check_refused("another watermark", |commit| commit.late_events[0].watermark = Watermark::at(0));
    check_refused("written twice", |commit| commit.rows.push(commit.rows[0].clone()));
    check_refused("not made final", |commit| commit.rows.clear());
    check_refused("has is_final false", |commit| commit.watermark = Watermark::at(200_000));
    check_refused("rows say", |commit| commit.final_count += 1);
    check_refused("ranges say", |commit| commit.window_misses += 1);
    check_refused("law:", |commit| commit.open_count += 1);
    check_refused("closing early leaves", |commit| commit.close_early = true);
    check_refused("open end", |commit| {
        (commit.close_early, commit.open_count, commit.watermark) = (true, 0, Watermark::at(100_000));
    });
    check_refused("yet replay 2 stays", |commit| {
        (commit.close_early, commit.open_count, commit.watermark) = (true, 0, Watermark::at(200_000));
    });
}

#[test]
fn a_final_row_never_changes() {
    let mut hand = Hand::new(log(&TIMES));
    hand.step(4, 61).expect("a good batch");
    hand.step(6, 85).expect("a good batch");
    let mut other = Hand::new(log(&TIMES));
    let rows = other.batch(6, 100).rows;
    let mut commit = hand.batch(7, 86);
    commit.rows = rows;
    let error = hand.sink.commit(&commit).expect_err("it writes windows that are final");
    assert!(error.to_string().contains("is final and was written again"), "{error}");
}

#[test]
fn closing_early_makes_open_rows_final_as_they_stand() {
    let mut hand = Hand::new(log(&TIMES));
    hand.step(4, 61).expect("a good batch");
    let (open, open_count) = hand.sink.read(|store| {
        (store.open_rows.clone(), store.open_rows.iter().map(|key| store.rows[key].count).sum::<i64>())
    });
    let mut commit = hand.batch(4, 131);
    commit.kind = BatchKind::ClosedEarly;
    commit.close_early = true;
    commit.ranges.clear();
    commit.rows.clear();
    commit.final_count = open_count;
    commit.open_count = 0;
    hand.sink.commit(&commit).expect("a good batch");
    hand.sink.read(|store| {
        assert_balanced(store);
        assert!(store.open_rows.is_empty());
        assert!(open.iter().all(|key| store.rows[key].is_final && store.rows[key].incomplete));
        assert!(!open.is_empty());
    });
    let mut next = hand.sink.instance();
    let recovered = next.take_over(&inputs(), "meaning").expect("nobody holds it");
    assert!(recovered.closed_early.is_empty(), "the watermark is at their end");
    assert_eq!(recovered.open_rows, []);
}

#[test]
fn the_window_of_the_table_is_the_jobs() {
    let sink: MemSink<Sums> = MemSink::new(window(), Sums::lens());
    assert_eq!(sink.read(|store| store.window.length_ms()), 60_000);
}
