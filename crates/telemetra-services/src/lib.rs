//! Servers that tests need, started by the tests themselves on loopback, gone when the test process is gone.
//!
//! | file | owns |
//! |---|---|
//! | `kafka` | real Kafka brokers, one or three, and clients that are not ours |
//! | `keeper` | what stops a server and removes its folder however the test process ends |
//! | `postgres` | a real PostgreSQL in a temporary folder |
//! | `proxy` | a TCP proxy before that one that fails on demand |
//!
//! A server that is missing fails its test; no test passes without it.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

pub mod kafka;
mod keeper;
pub mod postgres;
pub mod proxy;

/// Long enough for any machine; what takes so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    // A processor that the server needs is not spent on asking it.
    eventually_at(Duration::from_millis(5), what, ask)
}

/// The same with so much time between two questions.
fn eventually_at<T>(pause: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "in vain for {PATIENCE:?}: {what}");
        thread::park_timeout(pause);
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

/// Where cargo keeps what tests leave for the next: this program lies in `deps` of a profile of the target folder.
fn kept() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it lies");
    program.ancestors().nth(3).expect("cargo built this program").join("tmp")
}

/// A free port below those that the system gives to outgoing connections: a stopped server finds it free again.
///
/// Never the same twice: servers take theirs only when they are up.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    eventually("a free port", || {
        let port = 20_000 + u16::try_from(RandomState::new().hash_one(()) % 12_000).expect("below 12,000");
        let is_new = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        (is_new && TcpListener::bind(("127.0.0.1", port)).is_ok()).then_some(port)
    })
}
