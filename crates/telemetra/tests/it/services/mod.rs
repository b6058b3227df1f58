//! Servers that tests need, started by the tests themselves on loopback, gone when the test process is gone.
//!
//! | file | owns |
//! |---|---|
//! | `postgres` | a real PostgreSQL in a temporary folder |
//! | `proxy` | a TCP proxy before it that fails on demand |
//!
//! A server that is missing fails its test; no test passes without it.

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) mod postgres;
pub(crate) mod proxy;

/// Long enough for any machine; what takes so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "in vain for {PATIENCE:?}: {what}");
        // A processor that the server needs is not spent on asking it.
        thread::park_timeout(Duration::from_millis(5));
    }
}
