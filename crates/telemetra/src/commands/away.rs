//! While the store or the input is away: how long the pauses are, what is said of it, and since when.
//!
//! ```text
//! tries   0 s  1 s  3 s  7 s  15 s  31 s  61 s  91 s  …   the pauses double up to 30 s, for ever
//! said    the first cause at once; another cause at once; from the first minute on a line every 30 s;
//!         how long it took when it is back
//! ```
//! Patience, if it is asked for, comes first: tries at short, equal pauses for a while.
//!
//! It knows neither what is away nor a clock: instants are arguments.

use std::time::{Duration, Instant};

use crate::{signals::Stop, terminal::span};

/// Pause between two tries while patience lasts: that of the old jobs' start script.
const PATIENT_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two tries, unless the first is longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After the first line nothing more is said for so long.
const QUIET: Duration = Duration::from_secs(60);
/// Then a line as often as this.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// Lines about another cause are at least so far apart.
const SAY_CAUSE_EVERY: Duration = Duration::from_secs(1);

/// Something that may be away.
#[derive(Debug)]
pub(super) struct Away {
    /// What the first line begins with.
    what: &'static str,
    pause_first: Duration,
    /// How long it is tried every [`PATIENT_PAUSE`] before the pauses grow.
    patience: Duration,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    failed_at: Instant,
    since_ms: i64,
    /// Pauses so far that were patience's.
    patient: Duration,
    cause: String,
    /// The pause after the next failure.
    pause: Duration,
    try_at: Instant,
    say_at: Instant,
    said_at: Option<Instant>,
}

/// What to do next while something is away.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    Say(String),
    Wait(Duration),
    Try,
}

impl Away {
    /// Nothing is away; `what` is what cannot be done once it is, `pause_first` the first pause then.
    pub(super) fn new(what: &'static str, pause_first: Duration) -> Self {
        Self { what, pause_first, patience: Duration::ZERO, failing: None }
    }

    /// The same, tried every two seconds until `patience` is over; then the pauses begin with the first.
    pub(super) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether it is away.
    pub(super) fn is_away(&self) -> bool {
        self.failing.is_some()
    }

    /// Takes in a failure; `now_ms` is the wall clock. Returns since when it is away, milliseconds.
    pub(super) fn failed(&mut self, cause: &str, now: Instant, now_ms: i64) -> i64 {
        let pause_first = self.pause_first;
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            failed_at: now,
            since_ms: now_ms,
            patient: Duration::ZERO,
            cause: cause.to_owned(),
            pause: pause_first,
            try_at: now,
            say_at: now,
            said_at: None,
        });
        if failing.cause != cause {
            cause.clone_into(&mut failing.cause);
            let soonest = failing.said_at.map_or(now, |said_at| said_at + SAY_CAUSE_EVERY);
            failing.say_at = failing.say_at.min(soonest);
        }
        failing.failed_at = now;
        let waited = now.saturating_duration_since(failing.since).max(failing.patient);
        if waited < self.patience {
            failing.patient += PATIENT_PAUSE;
            failing.try_at = now + PATIENT_PAUSE;
            return failing.since_ms;
        }
        failing.try_at = now + failing.pause;
        failing.pause = (failing.pause * 2).min(PAUSE_MAX.max(pause_first));
        failing.since_ms
    }

    /// What failed is tried in another way: at once, and the pauses begin anew.
    pub(super) fn try_at_once(&mut self) {
        if let Some(failing) = &mut self.failing {
            failing.try_at = failing.failed_at;
            failing.pause = self.pause_first;
        }
    }

    /// Waits from the last failure on until it is to be tried again, saying what is to be said; `true` if `stop` ended the wait.
    pub(super) fn pause(&mut self, stop: &Stop) -> bool {
        let Some(mut now) = self.failing.as_ref().map(|failing| failing.failed_at) else { return false };
        loop {
            match self.next(now) {
                Next::Say(line) => tracing::warn!("{line}"),
                Next::Wait(left) if stop.wait(left) => return true,
                Next::Wait(left) => now += left,
                Next::Try => return false,
            }
        }
    }

    /// It is there; says how long it was not.
    pub(super) fn back(&mut self) {
        if let Some(line) = self.end(Instant::now()) {
            tracing::info!("{line}");
        }
    }

    fn end(&mut self, now: Instant) -> Option<String> {
        let failing = self.failing.take()?;
        Some(format!("back after {}", span(now.saturating_duration_since(failing.since))))
    }

    fn next(&mut self, now: Instant) -> Next {
        let Some(failing) = &mut self.failing else { return Next::Try };
        if now >= failing.say_at {
            let gone = now.saturating_duration_since(failing.since);
            let begins = match failing.said_at {
                None => self.what.to_owned(),
                Some(_) => format!("still away after {}", span(gone)),
            };
            failing.said_at = Some(now);
            failing.say_at = if gone < QUIET { failing.since + QUIET } else { now + SAY_EVERY };
            return Next::Say(format!("{begins}: {}; nothing is lost, trying again", failing.cause));
        }
        match failing.try_at.min(failing.say_at).saturating_duration_since(now) {
            _ if now >= failing.try_at => Next::Try,
            left => Next::Wait(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `cause(second)` fail until `seconds` have passed; returns the seconds of the tries, and what was
    /// said when.
    fn run(pause_s: u64, seconds: u64, cause: impl Fn(u64) -> String) -> (Vec<u64>, Vec<(u64, String)>) {
        run_patient(0, pause_s, seconds, cause)
    }

    fn run_patient(
        patience_s: u64,
        pause_s: u64,
        seconds: u64,
        cause: impl Fn(u64) -> String,
    ) -> (Vec<u64>, Vec<(u64, String)>) {
        let mut away = Away::new("it cannot start", Duration::from_secs(pause_s));
        away = away.patient(Duration::from_secs(patience_s));
        let begun = Instant::now();
        let second = |now: Instant| (now - begun).as_secs();
        let (mut now, mut tries, mut said) = (begun, Vec::new(), Vec::new());
        loop {
            tries.push(second(now));
            assert_eq!(away.failed(&cause(second(now)), now, 7_000 + second(now).cast_signed()), 7_000);
            loop {
                match away.next(now) {
                    Next::Say(line) => said.push((second(now), line)),
                    Next::Wait(left) => now += left,
                    Next::Try => break,
                }
                if second(now) > seconds {
                    return (tries, said);
                }
            }
        }
    }

    fn check_tries(pause_s: u64, seconds: u64, expected: &[u64]) {
        assert_eq!(run(pause_s, seconds, |_| "gone".into()).0, expected);
    }

    fn check_said(pause_s: u64, seconds: u64, cause: impl Fn(u64) -> String, expected: &[(u64, &str)]) {
        let said = run(pause_s, seconds, cause).1;
        let said: Vec<_> = said.iter().map(|(second, line)| (*second, line.as_str())).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        check_tries(1, 130, &[0, 1, 3, 7, 15, 31, 61, 91, 121]);
        check_tries(20, 120, &[0, 20, 50, 80, 110]);
        // Who wants longer pauses gets them.
        check_tries(45, 100, &[0, 45, 90]);
    }

    #[test]
    fn patience_tries_every_two_seconds_then_the_pauses_grow() {
        let tries = |patience_s, pause_s| run_patient(patience_s, pause_s, 30, |_| "gone".into()).0;
        assert_eq!(tries(7, 1), [0, 2, 4, 6, 8, 9, 11, 15, 23]);
        assert_eq!(tries(2, 5), [0, 2, 7, 17]);
    }

    #[test]
    fn the_first_cause_is_said_then_a_line_every_half_minute_after_the_first() {
        let expected = [
            (0, "it cannot start: gone; nothing is lost, trying again"),
            (60, "still away after 1 min: gone; nothing is lost, trying again"),
            (90, "still away after 1 min 30 s: gone; nothing is lost, trying again"),
            (120, "still away after 2 min: gone; nothing is lost, trying again"),
        ];
        check_said(1, 140, |_| "gone".into(), &expected);
        check_said(45, 140, |_| "gone".into(), &expected);
    }

    #[test]
    fn another_cause_is_said_at_once() {
        let expected = [
            (0, "it cannot start: gone; nothing is lost, trying again"),
            (7, "still away after 7 s: shut; nothing is lost, trying again"),
            (60, "still away after 1 min: shut; nothing is lost, trying again"),
        ];
        check_said(1, 80, |second| if second < 5 { "gone".into() } else { "shut".into() }, &expected);
    }

    #[test]
    fn causes_that_change_all_the_time_are_said_once_a_second_at_most() {
        let mut away = Away::new("it cannot start", Duration::from_millis(1));
        let begun = Instant::now();
        let mut said = 0;
        for step in 0..10_000_u64 {
            let now = begun + Duration::from_millis(step);
            away.failed(&format!("cause {step}"), now, 0);
            while let Next::Say(_) = away.next(now) {
                said += 1;
            }
        }
        assert_eq!(said, 10);
    }

    #[test]
    fn back_is_said_with_the_time_it_took_and_all_begins_anew() {
        let mut away = Away::new("it cannot start", Duration::from_secs(1));
        let begun = Instant::now();
        assert_eq!((away.end(begun), away.next(begun)), (None, Next::Try));
        away.failed("gone", begun, 5);
        away.failed("gone", begun, 6);
        assert!(away.is_away());
        let later = begun + Duration::from_secs(75);
        assert_eq!(away.end(later).as_deref(), Some("back after 1 min 15 s"));
        assert!(!away.is_away());
        assert_eq!(away.failed("gone", later, 9), 9);
        assert!(matches!(away.next(later), Next::Say(_)));
        assert_eq!(away.next(later), Next::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn tried_in_another_way_it_does_not_wait_but_it_is_said() {
        let mut away = Away::new("a step failed", Duration::from_secs(1));
        let begun = Instant::now();
        (0..4).for_each(|_| _ = away.failed("too large", begun, 0));
        away.try_at_once();
        assert!(matches!(away.next(begun), Next::Say(_)));
        assert_eq!(away.next(begun), Next::Try);
        away.failed("too large", begun, 0);
        assert_eq!(away.next(begun), Next::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn a_signal_ends_the_pause_at_once() {
        let stop = Stop::default();
        stop.ask(15);
        let mut away = Away::new("a step failed", Duration::from_secs(3_600));
        away.failed("gone", Instant::now(), 0);
        assert!(away.pause(&stop));
    }
}
