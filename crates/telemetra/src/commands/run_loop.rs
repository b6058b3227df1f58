//! The loop around the engine's step: pause when caught up, try again what failed, stop when asked.
//!
//! TRIGGER_INTERVAL is the pause when everything known has been read, never a cap on a backlog. It knows
//! neither source nor store: [`Work`] is the engine's job, or a fake in tests.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use telemetra_core::logic::Logic;
use telemetra_engine::{
    error::JobError,
    report::Report,
    sink::Sink,
    source::Source,
    step::{Job, Stepped},
};

use super::meter::Meter;
use crate::{signals::Stop, snapshot::State};

/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How often `--once` looks at files that still change.
const SETTLE_LOOK: Duration = Duration::from_millis(200);

/// What the loop drives.
pub trait Work {
    /// One trigger.
    ///
    /// # Errors
    /// As the engine's.
    fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError>;
    /// Waits for the commit in flight.
    ///
    /// # Errors
    /// As the engine's.
    fn settle(&mut self) -> Result<bool, JobError>;
    /// Closes every open window.
    ///
    /// # Errors
    /// As the engine's.
    fn drain(&mut self, now_ms: i64) -> Result<(), JobError>;
    /// Writes what is still unwritten.
    ///
    /// # Errors
    /// As the engine's.
    fn flush(&mut self, now_ms: i64) -> Result<(), JobError>;
    /// Numbers for people.
    fn report(&self) -> &Report;
    /// Names of the inputs, by number.
    fn input_names(&self) -> Vec<&'static str>;
    /// Records in the store why the job stands still; `None` when it runs.
    ///
    /// # Errors
    /// As the engine's.
    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), JobError>;
}

impl<L: Logic, S: Source, K: Sink<L> + 'static> Work for Job<L, S, K> {
    fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        Job::step(self, now_ms)
    }
    fn settle(&mut self) -> Result<bool, JobError> {
        Job::settle(self)
    }
    fn drain(&mut self, now_ms: i64) -> Result<(), JobError> {
        Job::drain(self, now_ms)
    }
    fn flush(&mut self, now_ms: i64) -> Result<(), JobError> {
        Job::flush(self, now_ms)
    }
    fn report(&self) -> &Report {
        Job::report(self)
    }
    fn input_names(&self) -> Vec<&'static str> {
        self.source().inputs().iter().map(|input| input.name).collect()
    }
    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), JobError> {
        Ok(self.sink()?.set_halted(cause)?)
    }
}

/// How the loop behaves.
#[derive(Clone, Copy, Debug)]
pub struct Conduct {
    /// Leave at the end of the input.
    pub once: bool,
    /// Then close every window.
    pub drain: bool,
    /// Pause when caught up.
    pub trigger: Duration,
    /// How long `once` waits for files that still change, from its beginning.
    pub settle_max: Duration,
    /// First pause after a failure; doubles up to a minute.
    pub retry_delay: Duration,
}

/// What the source has that is not yet part of what can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing: the end that was read to is the end of the input.
    Nothing,
    /// It is being looked at, and will be there at one of the next steps.
    Coming,
    /// This file still changes.
    Unsettled(String),
}

/// Why the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The input was read to its end.
    Done,
    /// Somebody asked.
    Stopped,
    /// A file did not settle.
    Unsettled(String),
    /// Another instance kept the job, or something stayed away, from the start on.
    Busy(String),
    /// Going on could make a wrong number.
    Halted(String),
    /// Another instance has taken over.
    Fenced(String),
}

/// Drives `work` until it ends. `ahead` tells what the end of the input is still waited for, for `--once`.
pub fn drive(
    work: &mut dyn Work,
    conduct: &Conduct,
    meter: &mut Meter,
    stop: &Stop,
    mut ahead: impl FnMut() -> Ahead,
) -> Ending {
    let mut pause = conduct.retry_delay;
    let begun = Instant::now();
    loop {
        let is_stopping = stop.is_asked();
        match turn(work, conduct, is_stopping) {
            Ok(Turn::More) => {
                pause = conduct.retry_delay;
                meter.publish(work, State::Running);
            }
            Ok(Turn::CaughtUp) => {
                pause = conduct.retry_delay;
                meter.publish(work, State::Waiting);
                stop.wait(conduct.trigger);
            }
            Ok(Turn::AtEnd) => {
                // The commit that was in flight is known now.
                meter.publish(work, State::Waiting);
                let waited = match ahead() {
                    Ahead::Coming => continue,
                    Ahead::Unsettled(file) if begun.elapsed() >= conduct.settle_max => Some(file),
                    Ahead::Unsettled(_) => {
                        stop.wait(SETTLE_LOOK);
                        continue;
                    }
                    Ahead::Nothing => None,
                };
                match close(work, conduct, waited.is_some()) {
                    Ok(()) => {
                        meter.publish(work, State::Ended);
                        return waited.map_or(Ending::Done, Ending::Unsettled);
                    }
                    Err(error) => {
                        if let Some(ending) = meter.failed(work, error) {
                            return ending;
                        }
                        stop.wait(pause);
                    }
                }
            }
            Ok(Turn::Left) => {
                meter.publish(work, State::Ended);
                return Ending::Stopped;
            }
            Err(error) => {
                if let Some(ending) = meter.failed(work, error) {
                    return ending;
                }
                // A failing store must not keep the process from leaving: what is not committed is read again.
                if is_stopping {
                    return Ending::Stopped;
                }
                stop.wait(pause);
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

enum Turn {
    More,
    CaughtUp,
    AtEnd,
    Left,
}

fn turn(work: &mut dyn Work, conduct: &Conduct, is_stopping: bool) -> Result<Turn, JobError> {
    if is_stopping {
        work.settle()?;
        work.flush(now_ms())?;
        return Ok(Turn::Left);
    }
    let stepped = work.step(now_ms())?;
    let has_lag = work.report().lag_records > 0;
    if has_lag && matches!(stepped, Stepped::Batch { .. }) {
        return Ok(Turn::More);
    }
    // Caught up, or nothing can be read yet: nothing is gained by leaving the last commit in flight.
    if stepped == Stepped::Dropped || !work.settle()? {
        return Err(JobError::Retry(work.report().dropped_cause.clone()));
    }
    match (conduct.once, stepped) {
        // Nor is a batch that read nothing, because the watermark followed the clock, more of the input.
        (true, Stepped::Nothing | Stepped::Batch { records: 0 }) if !has_lag => Ok(Turn::AtEnd),
        (true, Stepped::Batch { .. }) => Ok(Turn::More),
        _ => Ok(Turn::CaughtUp),
    }
}

/// Closes every window if that was asked for and nothing is missing, else writes what is unwritten.
fn close(work: &mut dyn Work, conduct: &Conduct, is_incomplete: bool) -> Result<(), JobError> {
    if conduct.drain && !is_incomplete { work.drain(now_ms()) } else { work.flush(now_ms()) }
}

/// The wall clock, milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Latest;

    /// Plays back outcomes of `step`; then there is nothing to do.
    #[derive(Default)]
    struct Fake {
        steps: Vec<Result<Stepped, JobError>>,
        calls: Vec<&'static str>,
        report: Report,
        stop_at: Option<(usize, Stop)>,
    }

    impl Work for Fake {
        fn step(&mut self, _now_ms: i64) -> Result<Stepped, JobError> {
            self.calls.push("step");
            if let Some((at, stop)) = &self.stop_at
                && self.calls.len() == *at
            {
                stop.ask(15);
            }
            if self.steps.is_empty() { Ok(Stepped::Nothing) } else { self.steps.remove(0) }
        }
        fn settle(&mut self) -> Result<bool, JobError> {
            Ok(true)
        }
        fn drain(&mut self, _now_ms: i64) -> Result<(), JobError> {
            self.calls.push("drain");
            Ok(())
        }
        fn flush(&mut self, _now_ms: i64) -> Result<(), JobError> {
            self.calls.push("flush");
            Ok(())
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

    fn check(mut work: Fake, once: bool, drain: bool, stop: &Stop, ending: &Ending, calls: &[&str]) {
        let conduct = Conduct {
            once,
            drain,
            trigger: Duration::ZERO,
            settle_max: Duration::ZERO,
            retry_delay: Duration::ZERO,
        };
        let mut meter = Meter::new(Latest::default(), "chat".into());
        assert_eq!(&drive(&mut work, &conduct, &mut meter, stop, || Ahead::Nothing), ending);
        assert_eq!(work.calls, calls);
    }

    fn steps(steps: Vec<Result<Stepped, JobError>>) -> Fake {
        Fake { steps, ..Fake::default() }
    }

    #[test]
    fn once_reads_to_the_end_and_flushes_or_drains() {
        let batch = || steps(vec![Ok(Stepped::Batch { records: 1 }), Ok(Stepped::Dropped)]);
        let stop = Stop::default();
        check(batch(), true, false, &stop, &Ending::Done, &["step", "step", "step", "flush"]);
        check(batch(), true, true, &stop, &Ending::Done, &["step", "step", "step", "drain"]);
    }

    #[test]
    fn asked_to_stop_it_finishes_the_batch_and_flushes() {
        let stop = Stop::default();
        let mut work = steps(Vec::new());
        work.stop_at = Some((3, stop.clone()));
        check(work, false, false, &stop, &Ending::Stopped, &["step", "step", "step", "flush"]);
    }

    #[test]
    fn what_can_be_tried_again_is_and_the_rest_ends_it() {
        let stop = Stop::default();
        let away = || Err(JobError::Retry("away".into()));
        check(
            steps(vec![away(), away()]),
            true,
            false,
            &stop,
            &Ending::Done,
            &["step", "step", "step", "flush"],
        );
        let halted = steps(vec![Err(JobError::Halted("why".into()))]);
        check(halted, false, false, &stop, &Ending::Halted("why".into()), &["step"]);
        let fenced = steps(vec![Err(JobError::Fenced("who".into()))]);
        check(fenced, false, false, &stop, &Ending::Fenced("who".into()), &["step"]);
    }
    #[test]
    fn a_file_that_does_not_settle_is_named_and_nothing_is_drained() {
        let zero = Duration::ZERO;
        let conduct = Conduct { once: true, drain: true, trigger: zero, settle_max: zero, retry_delay: zero };
        let latest = Latest::default();
        let mut meter = Meter::new(latest.clone(), "chat".into());
        let mut work = steps(vec![Ok(Stepped::Batch { records: 1 })]);
        work.report.tally.records = 1;
        let ahead = || Ahead::Unsettled("in/b".into());
        let ending = drive(&mut work, &conduct, &mut meter, &Stop::default(), ahead);
        assert_eq!(ending, Ending::Unsettled("in/b".into()));
        assert_eq!(work.calls, ["step", "step", "flush"]);
        assert_eq!(latest.get().records, 1);
    }
}
