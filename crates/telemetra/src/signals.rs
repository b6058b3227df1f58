//! SIGINT and SIGTERM: the first asks the run loop to finish its batch and leave, the second leaves at once.
//!
//! A thread of its own turns signals into a flag with a condition variable, so that a wait ends the moment a
//! signal comes. Leaving at once loses nothing: what is not committed was never written.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Asked to stop, or not yet. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    signal: Mutex<Option<i32>>,
    changed: Condvar,
    /// For those who know nothing of signals.
    flag: Arc<AtomicBool>,
    /// For tests: the waits so far, none of which takes time.
    #[cfg(test)]
    waits: Option<Mutex<Vec<Duration>>>,
}

impl Stop {
    /// A stop whose waits take no time; [`Stop::waits`] tells how long they would have been.
    #[cfg(test)]
    pub(crate) fn recording() -> Self {
        Self(Arc::new(Shared { waits: Some(Mutex::default()), ..Shared::default() }))
    }

    /// The waits so far.
    #[cfg(test)]
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let waits = self.0.waits.as_ref().expect("it was made to record");
        waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks to stop. Returns the exit code to leave with at once if that was asked before.
    pub fn ask(&self, signal: i32) -> Option<i32> {
        let mut first = self.lock();
        if first.is_some() {
            return Some(128 + signal);
        }
        *first = Some(signal);
        self.0.flag.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
        None
    }

    /// Set from when stopping is asked for.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.flag)
    }

    /// Whether stopping was asked for.
    pub fn is_asked(&self) -> bool {
        self.lock().is_some()
    }

    /// Waits until stopping is asked for, at most `timeout`; returns whether it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        #[cfg(test)]
        if let Some(waits) = &self.0.waits {
            waits.lock().unwrap_or_else(PoisonError::into_inner).push(timeout);
            return self.is_asked();
        }
        let until = Instant::now() + timeout;
        let mut asked = self.lock();
        while asked.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.0.changed.wait_timeout(asked, left);
            asked = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits until stopping is asked for.
    pub fn wait_for_it(&self) {
        let mut asked = self.lock();
        while asked.is_none() {
            asked = self.0.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<i32>> {
        self.0.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for SIGINT and SIGTERM from now on.
///
/// # Errors
/// When the system refuses the handlers.
pub fn listen() -> io::Result<Stop> {
    let stop = Stop::default();
    listen_to(&[SIGINT, SIGTERM], stop.clone(), |code| signal_hook::low_level::exit(code))?;
    Ok(stop)
}

fn listen_to(signals: &[i32], stop: Stop, leave: impl Fn(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if let Some(code) = stop.ask(signal) {
                leave(code);
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use signal_hook::{consts::SIGUSR2, low_level::raise};

    use super::*;

    #[test]
    fn the_first_signal_wakes_the_wait_and_the_second_leaves() {
        let stop = Stop::default();
        let (left, leaving) = mpsc::channel();
        listen_to(&[SIGUSR2], stop.clone(), move |code| left.send(code).expect("the test waits"))
            .expect("handlers");
        assert!(!stop.is_asked());
        assert!(!stop.wait(Duration::ZERO));

        let waiting = thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(3_600))
        });
        raise(SIGUSR2).expect("the signal is sent");
        assert!(waiting.join().expect("the thread ends"), "an hour's wait ends at once");
        assert!(stop.is_asked() && stop.flag().load(Ordering::Relaxed));

        raise(SIGUSR2).expect("the signal is sent");
        assert_eq!(leaving.recv(), Ok(128 + SIGUSR2));
    }
}
