//! Tests of the loop: which calls it makes, how long it pauses, and what it shows.

use super::{
    super::{meter::InputNow, run::Pipeline},
    *,
};
use crate::snapshot::Latest;

/// Plays back outcomes of `step`, `settle` and of what closes; when one is used up, all goes well.
#[derive(Default)]
struct Fake {
    steps: Vec<Result<Stepped, JobError>>,
    settles: Vec<Result<bool, JobError>>,
    closes: Vec<Result<(), JobError>>,
    /// The caps on a batch after each step.
    caps: Vec<Option<u64>>,
    /// The batches applied after each step.
    batches: Vec<u64>,
    calls: Vec<&'static str>,
    report: Report,
    /// At this call it is asked to stop.
    stop_at: Option<(usize, Stop)>,
}

fn next<T>(outcomes: &mut Vec<T>, otherwise: T) -> T {
    if outcomes.is_empty() { otherwise } else { outcomes.remove(0) }
}

impl Fake {
    fn call(&mut self, name: &'static str) {
        self.calls.push(name);
        if let Some((at, stop)) = &self.stop_at
            && self.calls.len() == *at
        {
            stop.ask(15);
        }
    }
}

impl Work for Fake {
    fn step(&mut self, _now_ms: i64) -> Result<Stepped, JobError> {
        self.call("step");
        self.report.records_cap = next(&mut self.caps, self.report.records_cap);
        self.report.batches = next(&mut self.batches, self.report.batches);
        next(&mut self.steps, Ok(Stepped::Nothing))
    }
    fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        self.step(now_ms)
    }
    fn settle(&mut self) -> Result<bool, JobError> {
        next(&mut self.settles, Ok(true))
    }
    fn drain(&mut self, _now_ms: i64) -> Result<(), JobError> {
        self.call("drain");
        next(&mut self.closes, Ok(()))
    }
    fn flush(&mut self, _now_ms: i64) -> Result<(), JobError> {
        self.call("flush");
        next(&mut self.closes, Ok(()))
    }
    fn report(&self) -> &Report {
        &self.report
    }
    fn input_names(&self) -> Vec<&'static str> {
        vec!["chat"]
    }
    fn set_halted(&mut self, _cause: Option<&str>) -> Result<(), JobError> {
        Ok(())
    }
}

fn steps(steps: Vec<Result<Stepped, JobError>>) -> Fake {
    Fake { steps, ..Fake::default() }
}

fn away() -> Result<Stepped, JobError> {
    Err(JobError::Retry("away".into()))
}

const BATCH: Result<Stepped, JobError> = Ok(Stepped::Batch { records: 1 });
const TRIGGER: Duration = Duration::from_secs(100);
const CONDUCT: Conduct = Conduct {
    once: true,
    drain: false,
    trigger: TRIGGER,
    settle_max: Duration::ZERO,
    retry_delay: Duration::from_secs(1),
};

/// Drives `work` to its end, which comes without a wait that takes time.
fn ended(work: &mut Fake, conduct: &Conduct, stop: &Stop) -> Ending {
    let mut meter = Meter::new(Latest::default(), "chat".into(), Pipeline::Chat, Box::new(InputNow::default));
    drive(work, conduct, &mut meter, stop, || Ahead::Nothing)
}

#[track_caller]
fn check(mut work: Fake, conduct: &Conduct, ending: &Ending, calls: &[&str]) {
    assert_eq!(&ended(&mut work, conduct, &Stop::recording()), ending);
    assert_eq!(work.calls, calls);
}

/// Runs to the end of the input; the waits must be `waits`, in seconds.
#[track_caller]
fn check_waits(mut work: Fake, waits: &[u64]) {
    let stop = Stop::recording();
    assert_eq!(ended(&mut work, &CONDUCT, &stop), Ending::Done);
    let waits: Vec<Duration> = waits.iter().map(|&seconds| Duration::from_secs(seconds)).collect();
    assert_eq!(stop.waits(), waits, "{:?}", work.calls);
}

#[test]
fn once_reads_to_the_end_and_flushes_or_drains() {
    let batch = || steps(vec![BATCH, Ok(Stepped::Dropped)]);
    check(batch(), &CONDUCT, &Ending::Done, &["step", "step", "step", "flush"]);
    let drain = Conduct { drain: true, ..CONDUCT };
    check(batch(), &drain, &Ending::Done, &["step", "step", "step", "drain"]);
}

#[test]
fn asked_to_stop_it_finishes_the_batch_and_flushes() {
    let stop = Stop::recording();
    let mut work = Fake { stop_at: Some((3, stop.clone())), ..Fake::default() };
    let live = Conduct { once: false, ..CONDUCT };
    assert_eq!(ended(&mut work, &live, &stop), Ending::Stopped);
    assert_eq!(work.calls, ["step", "step", "step", "flush"]);
}

#[test]
fn what_can_be_tried_again_is_and_the_rest_ends_it() {
    check(steps(vec![away(), away()]), &CONDUCT, &Ending::Done, &["step", "step", "step", "flush"]);
    let halted = steps(vec![Err(JobError::Halted("why".into()))]);
    check(halted, &CONDUCT, &Ending::Halted("why".into()), &["step"]);
    let fenced = steps(vec![Err(JobError::Fenced("who".into()))]);
    check(fenced, &CONDUCT, &Ending::Fenced("who".into()), &["step"]);
}

#[test]
fn a_file_that_does_not_settle_is_named_and_nothing_is_drained() {
    let latest = Latest::default();
    let mut meter = Meter::new(latest.clone(), "chat".into(), Pipeline::Chat, Box::new(InputNow::default));
    let mut work = steps(vec![BATCH]);
    work.report.tally.records = 1;
    let ahead = || Ahead::Unsettled("in/b".into());
    let conduct = Conduct { drain: true, ..CONDUCT };
    let ending = drive(&mut work, &conduct, &mut meter, &Stop::recording(), ahead);
    assert_eq!(ending, Ending::Unsettled("in/b".into()));
    assert_eq!(work.calls, ["step", "step", "flush"]);
    assert_eq!(latest.get().records, 1);
}

#[test]
fn pauses_grow_while_something_is_away_with_once_too_and_begin_anew() {
    check_waits(steps((0..7).map(|_| away()).collect()), &[1, 2, 4, 8, 16, 30, 30]);
    let steps = vec![away(), away(), BATCH, away(), away()];
    check_waits(Fake { steps, batches: vec![0, 0, 1], ..Fake::default() }, &[1, 2, 1, 2]);
}

#[test]
fn a_refused_commit_is_followed_by_a_pause() {
    // Told by the next step, or by the wait for the commit.
    check_waits(steps(vec![BATCH, Ok(Stepped::Dropped), BATCH]), &[1]);
    let settles = vec![Ok(false), Ok(false), Ok(true)];
    check_waits(Fake { settles, ..steps(vec![BATCH, BATCH, BATCH]) }, &[1, 2]);
}

#[test]
fn a_batch_given_to_a_store_that_is_away_does_not_count_as_its_return() {
    // With a backlog the next batch is folded while one commits, and each commit is refused.
    let steps = vec![BATCH, Ok(Stepped::Dropped), BATCH, Ok(Stepped::Dropped), BATCH, Ok(Stepped::Dropped)];
    let mut work = Fake { steps, ..Fake::default() };
    work.report.lag_records = 5;
    let stop = Stop::recording();
    work.stop_at = Some((7, stop.clone()));
    assert_eq!(ended(&mut work, &CONDUCT, &stop), Ending::Stopped);
    let seconds: Vec<u64> = stop.waits().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds[..3], [1, 2, 4]);
}

#[test]
fn a_smaller_batch_is_tried_at_once() {
    let dropped = || Ok(Stepped::Dropped);
    let caps = vec![Some(4_000), Some(2_000), Some(1_000), Some(1_000), Some(1_000)];
    let steps = vec![dropped(), dropped(), dropped(), dropped(), dropped()];
    // It cannot be smaller than the third.
    check_waits(Fake { caps, ..self::steps(steps) }, &[1, 2]);
}

#[test]
fn a_plan_that_may_read_nothing_of_a_backlog_does_not_spin() {
    let stop = Stop::recording();
    let mut work = Fake { stop_at: Some((4, stop.clone())), ..Fake::default() };
    work.report.lag_records = 5;
    assert_eq!(ended(&mut work, &CONDUCT, &stop), Ending::Stopped);
    assert_eq!(stop.waits()[..3], [TRIGGER; 3]);
    assert_eq!(work.calls, ["step", "step", "step", "step", "flush"]);
}

#[test]
fn what_closes_the_windows_is_tried_again_with_pauses_that_grow() {
    let refused = || Err(JobError::Retry("refused".into()));
    check_waits(Fake { closes: vec![refused(), refused(), refused()], ..Fake::default() }, &[1, 2, 4]);
}

#[test]
fn a_signal_in_the_pause_ends_it_without_another_try() {
    let stop = Stop::default();
    let mut work = Fake { stop_at: Some((1, stop.clone())), ..steps(vec![away()]) };
    let hours = Conduct { retry_delay: Duration::from_secs(36_000), ..CONDUCT };
    assert_eq!(ended(&mut work, &hours, &stop), Ending::Stopped);
    assert_eq!(work.calls, ["step"]);
}

#[test]
fn a_last_batch_that_is_refused_does_not_keep_it_from_leaving() {
    let stop = Stop::recording();
    let closes = vec![Err(JobError::Retry("refused".into()))];
    let mut work = Fake { stop_at: Some((1, stop.clone())), closes, ..steps(vec![BATCH]) };
    let live = Conduct { once: false, ..CONDUCT };
    assert_eq!(ended(&mut work, &live, &stop), Ending::Stopped);
    assert_eq!(work.calls, ["step", "flush"]);
}

#[test]
fn since_when_it_is_away_is_shown_until_it_is_back() {
    let latest = Latest::default();
    let shown = latest.clone();
    let (sender, seen) = std::sync::mpsc::channel();
    // Called each time something is published: then what was published before can be looked at.
    let look = move || {
        let shown = shown.get();
        sender.send((shown.state.clone(), shown.retrying_since_ms)).expect("the test looks");
        InputNow::default()
    };
    let mut meter = Meter::new(latest.clone(), "chat".into(), Pipeline::Chat, Box::new(look));
    let mut work = steps(vec![away(), away(), BATCH]);
    assert_eq!(drive(&mut work, &CONDUCT, &mut meter, &Stop::recording(), || Ahead::Nothing), Ending::Done);
    let seen: Vec<_> = seen.try_iter().collect();
    let retrying: Vec<_> =
        seen.iter().filter(|(state, _)| *state == State::Retrying("away".into())).collect();
    assert_eq!(retrying.len(), 2);
    assert!(retrying[0].1.is_some() && retrying[0].1 == retrying[1].1, "since the first failure: {seen:?}");
    let last = latest.get();
    assert_eq!((&last.state, last.retrying_since_ms), (&State::Ended, None));
    assert!(last.taken_over_at_ms.is_some());
}
