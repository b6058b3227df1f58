//! What the store's ledger shows while instances work: who holds the job at which epoch and batch, and since when.
//!
//! A thread asks every few milliseconds over a connection of its own and keeps what is new. It sees what is committed
//! and nothing else, so a time measured by it is a time that a reader of the tables would see.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use postgres::Client;
use telemetra_services::postgres::connect;

/// Pause between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// The job's row as it was first seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) epoch: i64,
    pub(super) last_batch: i64,
    /// The holder's process.
    pub(super) pid: u32,
}

/// Watches one job until it is dropped.
pub(super) struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the job `chat` in the database at `address`.
    pub(super) fn start(address: String) -> Self {
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (found, ends) = (Arc::clone(&seen), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut client = None;
            while !ends.load(Ordering::Relaxed) {
                // A server that is away is asked again.
                client =
                    client.take().or_else(|| connect(&address).ok()).and_then(|client| look(client, &found));
                thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { seen, is_over, thread: Some(thread) }
    }

    /// All changes so far, in order.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics while holding it").clone()
    }

    /// The last change.
    pub(super) fn last(&self) -> Option<Seen> {
        self.seen.lock().expect("nobody panics while holding it").last().copied()
    }

    /// Committed batches so far.
    pub(super) fn batches(&self) -> i64 {
        self.last().map_or(0, |seen| seen.last_batch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Asks once; gives the client back unless its connection is gone.
fn look(mut client: Client, found: &Mutex<Vec<Seen>>) -> Option<Client> {
    let sql = "SELECT epoch, last_batch, holder FROM telemetra.job WHERE job = 'chat'";
    let row = client.query_opt(sql, &[]).ok()?;
    let Some(row) = row else { return Some(client) };
    let holder: String = row.get(2);
    let pid = holder.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
    let seen = Seen {
        at: Instant::now(),
        epoch: row.get(0),
        last_batch: row.get(1),
        pid: pid.unwrap_or_else(|| panic!("the holder is no process: {holder}")),
    };
    let mut found = found.lock().expect("nobody panics while holding it");
    let is_news = found.last().is_none_or(|last| {
        (last.epoch, last.last_batch, last.pid) != (seen.epoch, seen.last_batch, seen.pid)
    });
    if is_news {
        found.push(seen);
    }
    Some(client)
}
