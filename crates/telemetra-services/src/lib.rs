//! Servers that tests need, started by the tests themselves on loopback, gone when the test process is gone.
//!
//! | file | owns |
//! |---|---|
//! | `postgres` | a real PostgreSQL in a temporary folder |
//! | `proxy` | a TCP proxy before it that fails on demand |
//!
//! A server that is missing fails its test; no test passes without it.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub mod postgres;
pub mod proxy;

/// Long enough for any machine; what takes so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
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

/// The workspace's folder: cargo says it when tests and benches run.
///
/// Never what it was when they were built: clones that share a target folder would look into each other.
///
/// # Panics
///
/// If cargo did not start this process.
pub fn workspace() -> PathBuf {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it: run this by cargo");
    Path::new(&crate_dir).ancestors().nth(2).expect("the crate lies in crates/ of the workspace").to_owned()
}
