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

use super::{away::Away, meter::Meter};
use crate::{signals::Stop, snapshot::State};

/// How often `--once` looks at files that still change.
const SETTLE_LOOK: Duration = Duration::from_millis(200);

/// What the loop drives.
pub trait Work {
    /// One trigger.
    ///
    /// # Errors
    /// As the engine's.
    fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError>;
    /// Records beginnings and passes gaps, and reads nothing.
    ///
    /// # Errors
    /// As the engine's.
    fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError>;
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
    fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        Job::step_without_reading(self, now_ms)
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
    /// First pause after a failure; see [`Away`] for the others.
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
    /// This is not read, and why; waiting does not help.
    Unreadable(String),
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
    /// The rest was read; this was not, and why.
    Unreadable(String),
    /// Another instance kept the job from the start on.
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
    let mut away = Away::new("a step failed", conduct.retry_delay);
    let mut applied = 0;
    let begun = Instant::now();
    loop {
        let is_stopping = stop.is_asked();
        let cap = work.report().records_cap;
        let turned = match turn(work, conduct, is_stopping) {
            Ok(Turn::AtEnd) => {
                // The commit that was in flight is known now.
                if !away.is_away() {
                    meter.publish(work, State::Waiting);
                }
                at_end(work, conduct, stop, begun, ahead())
            }
            turned => turned,
        };
        match turned {
            Ok(Turn::More) => {
                // That a batch was given to the store does not yet say that the store is back.
                if work.report().batches > applied {
                    away.back();
                }
                if !away.is_away() {
                    meter.publish(work, State::Running);
                }
            }
            Ok(Turn::CaughtUp) => {
                away.back();
                meter.publish(work, State::Waiting);
                stop.wait(conduct.trigger);
            }
            Ok(Turn::AtEnd) => {}
            Ok(Turn::Over(ending)) => {
                away.back();
                meter.publish(work, State::Ended);
                return ending;
            }
            Err(JobError::Halted(cause)) => {
                meter.publish(work, State::Halted(cause.clone()));
                return Ending::Halted(cause);
            }
            Err(JobError::Fenced(cause)) => {
                meter.publish(work, State::Halted(cause.clone()));
                return Ending::Fenced(cause);
            }
            // A failing store must not keep the process from leaving: what is not committed is read again.
            Err(JobError::Retry(cause) | JobError::Busy(cause)) if is_stopping => {
                tracing::warn!(
                    "the last batch may not have been written: {cause}; nothing is lost, the next start makes it"
                );
                meter.publish(work, State::Ended);
                return Ending::Stopped;
            }
            Err(JobError::Retry(cause) | JobError::Busy(cause)) => {
                let since_ms = away.failed(&cause, Instant::now(), now_ms());
                if is_smaller(work.report().records_cap, cap) {
                    away.try_at_once();
                }
                applied = work.report().batches;
                meter.publish_away(work, cause, since_ms);
                // Asked to stop meanwhile it leaves at once: another try could hang as long as the one before.
                if away.pause(stop) {
                    meter.publish(work, State::Ended);
                    return Ending::Stopped;
                }
            }
        }
    }
}

/// Whether a cap is smaller than the one before; none is the largest.
fn is_smaller(cap: Option<u64>, before: Option<u64>) -> bool {
    cap.is_some_and(|cap| before.is_none_or(|before| cap < before))
}

enum Turn {
    More,
    CaughtUp,
    AtEnd,
    Over(Ending),
}

fn turn(work: &mut dyn Work, conduct: &Conduct, is_stopping: bool) -> Result<Turn, JobError> {
    if is_stopping {
        work.settle()?;
        work.flush(now_ms())?;
        return Ok(Turn::Over(Ending::Stopped));
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

/// What `--once` does when everything known was read: waits for what is still coming, or closes.
fn at_end(
    work: &mut dyn Work,
    conduct: &Conduct,
    stop: &Stop,
    begun: Instant,
    ahead: Ahead,
) -> Result<Turn, JobError> {
    let waited = match ahead {
        Ahead::Coming => return Ok(Turn::AtEnd),
        Ahead::Unsettled(file) if begun.elapsed() >= conduct.settle_max => Some(Ending::Unsettled(file)),
        Ahead::Unsettled(_) => {
            stop.wait(SETTLE_LOOK);
            return Ok(Turn::AtEnd);
        }
        Ahead::Unreadable(cause) => Some(Ending::Unreadable(cause)),
        Ahead::Nothing => None,
    };
    close(work, conduct, waited.is_some())?;
    Ok(Turn::Over(waited.unwrap_or(Ending::Done)))
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
mod tests;
