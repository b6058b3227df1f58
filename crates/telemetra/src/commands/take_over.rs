//! The start of a job: tried until it can be taken over.
//!
//! | what stands in the way | what is done |
//! |---|---|
//! | the store or the input is away | tried every two seconds for `wait`, then for ever as [`Away`] says, with `--once` too |
//! | another instance holds the job | stand by: tried every second, so that it is taken over within two seconds of the holder's death; with `--once` for ten seconds |
//! | a halt, a fence | told at once |

use std::time::{Duration, Instant};

use telemetra_engine::error::JobError;

use super::{
    away::Away,
    run_loop::{Ending, now_ms},
};
use crate::{
    signals::Stop,
    snapshot::{Latest, Snapshot, State},
};

/// How long `--once` waits for another instance to leave.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// Longest pause of a standby between two tries.
const STANDBY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// A holder that looks different each time is named no more often than this.
const SAY_HOLDER_EVERY: Duration = Duration::from_secs(30);

/// Calls `start` until it succeeds, or fails for good, or `stop` is asked.
///
/// # Errors
/// The ending that it means.
pub(super) fn take_over<T>(
    mut start: impl FnMut() -> Result<T, JobError>,
    once: bool,
    wait: Duration,
    retry_delay: Duration,
    stop: &Stop,
    latest: &Latest,
) -> Result<T, Ending> {
    let mut away = Away::new("the job cannot start yet", retry_delay).patient(wait);
    let mut standby: Option<Standby> = None;
    loop {
        let is_stopped = match start() {
            Ok(started) => {
                away.back();
                return Ok(started);
            }
            Err(JobError::Halted(cause)) => return Err(Ending::Halted(cause)),
            Err(JobError::Fenced(cause)) => return Err(Ending::Fenced(cause)),
            Err(JobError::Retry(cause)) => {
                standby = None;
                let since_ms = away.failed(&cause, Instant::now(), now_ms());
                show(latest, State::Retrying(cause), Some(since_ms));
                away.pause(stop)
            }
            Err(JobError::Busy(cause)) => {
                away.back();
                let standby = standby.get_or_insert_with(Standby::new);
                if once && standby.waited() >= BUSY_MAX {
                    return Err(Ending::Busy(cause));
                }
                standby.say(&cause);
                show(latest, State::Standby(cause), None);
                standby.pause(retry_delay.min(STANDBY_PAUSE_MAX), stop)
            }
        };
        if is_stopped {
            return Err(Ending::Stopped);
        }
    }
}

fn show(latest: &Latest, state: State, retrying_since_ms: Option<i64>) {
    latest.publish(Snapshot { state, retrying_since_ms, ..(*latest.get()).clone() });
}

/// Another instance holds the job.
struct Standby {
    begun: Instant,
    paused: Duration,
    said: Option<(Instant, String)>,
}

impl Standby {
    fn new() -> Self {
        Self { begun: Instant::now(), paused: Duration::ZERO, said: None }
    }

    /// How long it has stood by.
    fn waited(&self) -> Duration {
        self.begun.elapsed().max(self.paused)
    }

    fn say(&mut self, cause: &str) {
        let is_news =
            self.said.as_ref().is_none_or(|(at, said)| said != cause && at.elapsed() >= SAY_HOLDER_EVERY);
        if is_news {
            tracing::info!("the job cannot start yet: {cause}; standing by to take it over");
            self.said = Some((Instant::now(), cause.to_owned()));
        }
    }

    fn pause(&mut self, pause: Duration, stop: &Stop) -> bool {
        self.paused += pause;
        stop.wait(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: &[u64]) -> Vec<Duration> {
        seconds.iter().map(|&seconds| Duration::from_secs(seconds)).collect()
    }

    /// Plays back what `start` comes to, then lets it succeed; the waits must be `waits`, in seconds.
    fn check(tries: Vec<JobError>, once: bool, retry_s: u64, waits: &[u64], expected: &Result<(), Ending>) {
        let stop = Stop::recording();
        let mut tries = tries.into_iter();
        let start = || tries.next().map_or(Ok(()), Err);
        let ended =
            take_over(start, once, Duration::ZERO, Duration::from_secs(retry_s), &stop, &Latest::default());
        assert_eq!((&ended, stop.waits()), (expected, seconds(waits)));
    }

    fn away(times: usize) -> Vec<JobError> {
        (0..times).map(|_| JobError::Retry("gone".into())).collect()
    }

    fn held(times: usize) -> Vec<JobError> {
        (0..times).map(|_| JobError::Busy("held".into())).collect()
    }

    #[test]
    fn what_is_away_is_tried_for_ever_with_growing_pauses_with_once_too() {
        for once in [false, true] {
            check(away(5), once, 1, &[1, 2, 4, 8, 16], &Ok(()));
        }
    }

    #[test]
    fn two_minutes_of_patience_are_sixty_tries() {
        let stop = Stop::recording();
        let mut tries = away(63).into_iter();
        let start = || tries.next().map_or(Ok(()), Err);
        let (wait, retry) = (Duration::from_secs(120), Duration::from_secs(1));
        assert_eq!(take_over(start, true, wait, retry, &stop, &Latest::default()), Ok(()));
        let expected = [vec![2; 60], vec![1, 2, 4]].concat();
        // What is said in between cuts a pause in two.
        let waited: Duration = stop.waits().iter().sum();
        assert_eq!((waited, stop.waits()), (seconds(&expected).iter().sum(), seconds(&expected)));
    }

    #[test]
    fn a_standby_tries_every_second_whatever_the_retry_delay() {
        check(held(6), false, 60, &[1; 6], &Ok(()));
        check(held(6), true, 60, &[1; 6], &Ok(()));
        let stop = Stop::recording();
        let mut tries = held(2).into_iter();
        let start = || tries.next().map_or(Ok(()), Err);
        let short = Duration::from_millis(100);
        assert_eq!(take_over(start, false, Duration::ZERO, short, &stop, &Latest::default()), Ok(()));
        assert_eq!(stop.waits(), [short; 2]);
    }

    #[test]
    fn once_stands_by_for_ten_seconds_counted_from_when_the_job_was_held() {
        check(held(20), true, 1, &[1; 10], &Err(Ending::Busy("held".into())));
        let tries = away(4).into_iter().chain(held(11)).collect();
        check(tries, true, 1, &[1, 2, 4, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], &Err(Ending::Busy("held".into())));
        check(held(100), false, 1, &[1; 100], &Ok(()));
    }

    #[test]
    fn a_halt_and_a_fence_end_it() {
        check(vec![JobError::Halted("why".into())], false, 1, &[], &Err(Ending::Halted("why".into())));
        check(vec![JobError::Fenced("who".into())], true, 1, &[], &Err(Ending::Fenced("who".into())));
    }

    #[test]
    fn a_signal_ends_it_whatever_it_waits_for() {
        for error in [away, held] {
            let stop = Stop::default();
            stop.ask(15);
            let start = || -> Result<(), JobError> { Err(error(1).remove(0)) };
            let ended = take_over(
                start,
                false,
                Duration::ZERO,
                Duration::from_secs(3_600),
                &stop,
                &Latest::default(),
            );
            assert_eq!(ended, Err(Ending::Stopped));
        }
    }

    #[test]
    fn what_it_waits_for_is_shown() {
        let check = |error: JobError, expected: State, is_since: bool| {
            let (stop, latest) = (Stop::default(), Latest::default());
            stop.ask(15);
            let mut error = Some(error);
            let start = || -> Result<(), JobError> { Err(error.take().expect("it is tried once")) };
            assert!(take_over(start, false, Duration::ZERO, Duration::from_secs(1), &stop, &latest).is_err());
            let shown = latest.get();
            assert_eq!((&shown.state, shown.retrying_since_ms.is_some()), (&expected, is_since));
        };
        check(JobError::Retry("gone".into()), State::Retrying("gone".into()), true);
        check(JobError::Busy("held".into()), State::Standby("held".into()), false);
    }
}
