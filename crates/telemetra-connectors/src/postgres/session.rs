//! One connection, used from one thread at a time. Every call has a time limit; a call that exceeds it closes the
//! connection, so that nothing sent later can meet an old answer.
//!
//! Invariant: after `TimedOut` every call answers `Away` at once, and the socket is closed.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Client, Connection, error::Severity};

#[cfg(test)]
use super::setup::Facts;
use super::{
    Address,
    connect::{Connected, Way, connect},
    failure::{self, Failure},
};

/// Longest wait for a cancel request to be sent, beyond a call's own limit.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);
/// Warnings kept until they are taken; older ones go first.
const WARNINGS_MAX: usize = 64;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The server must take writes.
    Write,
    /// Any server will do; every transaction is read only.
    Read,
}

/// A connection to the server. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Session {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    driver: Driver,
    #[cfg(test)]
    facts: Facts,
    way: Way,
}

impl Session {
    /// Connects to write; `name` is shown by the server as the application's.
    ///
    /// # Errors
    /// `Away` when no server that takes writes can be reached, `Refused` when one does not let us in.
    pub(super) fn open(address: &Address, name: &str) -> Result<Self, Failure> {
        Self::open_for(address, name, Purpose::Write)
    }

    /// Connects to read; a standby will do.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn open_read_only(address: &Address, name: &str) -> Result<Self, Failure> {
        Self::open_for(address, name, Purpose::Read)
    }

    fn open_for(address: &Address, name: &str, purpose: Purpose) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Away(format!("no event loop: {error}")))?;
        match runtime.block_on(connect(address, name, purpose)) {
            Ok(Connected { client, driver, facts: _facts, way }) => Ok(Self {
                runtime: Some(runtime),
                client,
                driver,
                #[cfg(test)]
                facts: _facts,
                way,
            }),
            Err(failure) => {
                // A name that is still being resolved would be waited for otherwise.
                runtime.shutdown_background();
                Err(failure)
            }
        }
    }

    /// Runs `work` with the client, for at most `limit`; what it leaves running is cancelled then.
    ///
    /// # Errors
    /// Those of `work`; `TimedOut`, which closes the session; `Away` once it is closed.
    pub(super) fn run<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.bounded(limit, true, work)
    }

    /// As `run`, but what it leaves running is left to itself: for COMMIT, since cancelling one that waits for a
    /// standby makes it durable here alone.
    ///
    /// # Errors
    /// As `run`.
    pub(super) fn run_uncancelled<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.bounded(limit, false, work)
    }

    fn bounded<T>(
        &self,
        limit: Duration,
        cancels: bool,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = self.runtime.as_ref().expect("it is taken only while the session is dropped");
        if self.is_closed() {
            let cause = self.driver.seen().ended.clone();
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            return Err(Failure::Away(format!("the connection to {} has ended{cause}", self.way.place)));
        }
        runtime.block_on(async {
            if let Ok(done) = tokio::time::timeout(limit, work(&self.client)).await {
                return done.map_err(|failure| failure.at(&self.way.place));
            }
            if cancels && !matches!(tokio::time::timeout(CANCEL_LIMIT, self.way.cancel()).await, Ok(Ok(()))) {
                tracing::debug!(place = &*self.way.place, "the running statement could not be cancelled");
            }
            self.driver.close(&Failure::TimedOut(limit)).await;
            Err(Failure::TimedOut(limit))
        })
    }

    /// Whether the connection is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.driver.seen().ended.is_some()
    }

    /// What the server warned of since the last call, oldest first, each with its SQLSTATE.
    ///
    /// A warning at COMMIT means that its outcome is not known (RELIABILITY §1.5).
    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.driver.seen().warnings).into()
    }

    /// What is known of the server and its process for this session.
    #[cfg(test)]
    pub(super) fn facts(&self) -> Facts {
        self.facts
    }

    /// The host, for people.
    #[cfg(test)]
    pub(super) fn place(&self) -> &str {
        &self.way.place
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The task that moves bytes between client and socket, and what it saw on the way.
#[derive(Debug)]
pub(super) struct Driver {
    task: Mutex<Option<JoinHandle<()>>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    warnings: VecDeque<String>,
    /// Why the connection has ended.
    ended: Option<String>,
}

impl Driver {
    /// Starts to move bytes; the socket belongs to the task and closes with it.
    pub(super) fn spawn<S, T>(mut connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            let ended = loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        let is_warning = notice
                            .parsed_severity()
                            .map_or(notice.severity() == "WARNING", |severity| severity == Severity::Warning);
                        if is_warning {
                            let warnings = &mut lock(&shared).warnings;
                            if warnings.len() == WARNINGS_MAX {
                                warnings.pop_front();
                            }
                            warnings.push_back(failure::said(&notice));
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let said = error.as_db_error().map(failure::said);
                        break said.unwrap_or_else(|| failure::chain(&error));
                    }
                    None => break "it was closed".to_owned(),
                }
            };
            lock(&shared).ended.get_or_insert(ended);
        });
        Self { task: Mutex::new(Some(task)), seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Ends the task, which closes the socket, and waits until it has.
    async fn close(&self, cause: &Failure) {
        self.seen().ended.get_or_insert_with(|| cause.to_string());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            _ = task.await;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Nothing that can panic happens under the lock.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
