//! The sink's one connection and the sign of life that it gives between batches.
//!
//! While no batch is written, a thread renews the lease every few seconds over the same connection, and opens it
//! anew when it was lost: a healthy instance that has nothing to write is told from a frozen one, and a job that
//! waits for events notices early that its database is away, or that it was overtaken, and is told by `noticed`. A
//! missed sign of life costs nothing but the lease.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    thread::JoinHandle,
    time::Duration,
};

use telemetra_engine::sink::SinkError;

use super::{
    Address,
    failure::Failure,
    flight::{Statement, one},
    session::Session,
};

/// Assignments that say in the job row which backend holds the job, and for how long it counts as alive without
/// another sign of life.
pub(super) const HOLDS: &str = "holder_pid = pg_backend_pid(),
    holder_backend_start = (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())),
    lease_until = clock_timestamp() + interval '15 seconds'";
/// Pause between two signs of life: three may be missed.
const BEAT: Duration = Duration::from_secs(4);
/// Longest wait for a sign of life to be written.
const BEAT_LIMIT: Duration = Duration::from_secs(4);

/// The connection, opened when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    application: String,
    session: Mutex<Option<Session>>,
    /// What the last sign of life came to, until something succeeds.
    noticed: Mutex<Option<Noticed>>,
}

/// What a sign of life that failed says of the store.
#[derive(Clone, Debug)]
enum Noticed {
    Away(String),
    Overtaken(String),
}

impl Link {
    pub(super) fn new(address: Address, job: &str) -> Self {
        let application = format!("telemetra {job}");
        Self { address, application, session: Mutex::new(None), noticed: Mutex::new(None) }
    }

    /// Runs `work` on the session, opened anew if it is gone. After a failure that may leave a transaction open
    /// the session is closed: the server rolls back at once.
    ///
    /// # Errors
    /// Those of connecting, and of `work`.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        self.within(&mut self.lock(), work)
    }

    fn within<T>(
        &self,
        held: &mut Option<Session>,
        work: impl FnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let session = match held.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => Session::open(&self.address, &self.application)?,
        };
        let result = work(&session);
        if result.is_ok() {
            *held = Some(session);
            self.notice(None);
        }
        result
    }

    /// What the signs of life told; asks nobody.
    ///
    /// # Errors
    /// `NotApplied` while the store is away, `Fenced` once another instance has the job.
    pub(super) fn noticed(&self) -> Result<(), SinkError> {
        match self.noticed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Ok(()),
            Some(Noticed::Away(text)) => Err(SinkError::NotApplied(text)),
            Some(Noticed::Overtaken(text)) => Err(SinkError::Fenced(text)),
        }
    }

    fn notice(&self, noticed: Option<Noticed>) {
        *self.noticed.lock().unwrap_or_else(PoisonError::into_inner) = noticed;
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives signs of life until it is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Begins to renew the lease of `job` at `epoch`.
    pub(super) fn start(link: Arc<Link>, job: String, epoch: i64) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("telemetra-lease".into()).spawn(move || {
            let (stopped, wakes) = &*asked;
            let mut is_stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            while !*is_stopped {
                is_stopped = wakes.wait_timeout(is_stopped, BEAT).unwrap_or_else(PoisonError::into_inner).0;
                if !*is_stopped {
                    drop(is_stopped);
                    beat(&link, &job, epoch);
                    is_stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let (stopped, wakes) = &*self.stop;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wakes.notify_all();
        if let Some(thread) = self.thread.take() {
            // A beat under way ends within its limit.
            let _ = thread.join();
        }
    }
}

fn beat(link: &Link, job: &str, epoch: i64) {
    // A batch that is being written renews the lease itself.
    let mut held = match link.session.try_lock() {
        Ok(held) => held,
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let sql = format!("UPDATE telemetra.job SET {HOLDS} WHERE job = $1 AND epoch = $2");
    let renewed = link.within(&mut held, |session| {
        let statement = Statement::new(&sql).text(&job).int(&epoch);
        session.run(BEAT_LIMIT, async |client| one(client, statement).await)
    });
    // Still under the lock, or this would hide what a batch has learned since.
    match renewed {
        Ok(reply) if reply.affected == 1 => {}
        Ok(_) => link.notice(Some(Noticed::Overtaken(format!("job {job} is no longer at epoch {epoch}")))),
        Err(failure) => {
            tracing::debug!(job, %failure, "no sign of life could be given");
            link.notice(Some(Noticed::Away(failure.to_string())));
        }
    }
}
