//! Somebody wants to leave: a wait for a broker then ends soon, whatever its limit.
//!
//! A broker that answers is let finish, so that leaving in order stays the rule: a wait that is under way then, and each
//! that begins later, has [`GRACE`]. It knows no signal: a flag says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a wait goes on once somebody wants to leave.
const GRACE: Duration = Duration::from_secs(1);
/// How often a wait looks whether somebody does.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether somebody wants to leave. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Leave(Arc<AtomicBool>);

impl Leave {
    pub(super) fn by(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Begins a wait of at most `limit`.
    pub(super) fn wait(&self, limit: Duration) -> Wait {
        Wait { leave: self.clone(), limit, until: Instant::now() + limit, is_cut: false }
    }

    /// Lets `pause` pass, or less if somebody wants to leave.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_asked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }
}

/// A wait under way.
#[derive(Debug)]
pub(super) struct Wait {
    leave: Leave,
    limit: Duration,
    until: Instant,
    is_cut: bool,
}

impl Wait {
    /// How long to wait before this is asked again; `None` when the wait is over.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if !self.is_cut && self.leave.is_asked() {
            self.is_cut = true;
            self.until = self.until.min(now + GRACE);
        }
        let left = self.until.saturating_duration_since(now);
        (!left.is_zero()).then(|| left.min(LOOK_EVERY))
    }

    /// What came to nothing, and within which limit.
    pub(super) fn said(&self, what: &str) -> String {
        match self.is_cut {
            true => format!("{what}, and nobody waits any more: the run is to end"),
            false => format!("{what} within {:?}", self.limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_wait_ends_soon_once_somebody_wants_to_leave() {
        let flag = Arc::new(AtomicBool::new(false));
        let leave = Leave::by(Arc::clone(&flag));
        let mut wait = leave.wait(HOUR);
        assert_eq!(wait.next(), Some(LOOK_EVERY));
        assert!(wait.until > Instant::now() + HOUR / 2);
        assert_eq!(wait.said("no answer"), "no answer within 3600s");
        flag.store(true, Relaxed);
        assert!(wait.next().is_some(), "who answers at once is heard");
        assert!(wait.until <= Instant::now() + GRACE);
        assert!(wait.said("no answer").contains("the run is to end"));
        leave.pause(HOUR);
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let mut wait = Leave::default().wait(Duration::ZERO);
        assert_eq!(wait.next(), None);
        assert_eq!(wait.said("no answer"), "no answer within 0ns");
    }
}
