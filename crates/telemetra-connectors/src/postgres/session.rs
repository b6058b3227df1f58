//! One connection, used from one thread at a time. Every call has a time limit; a call that exceeds it closes the
//! connection, so that nothing sent later can meet an old answer.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

use super::{Address, failure::Failure};

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection to the server. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Connects; `name` is shown by the server as the application's.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub(super) fn open(address: &Address, name: &str) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Away(format!("no event loop: {error}")))?;
        let mut config = address.config.clone();
        config.application_name(name);
        let client = runtime.block_on(async {
            let connecting = tokio::time::timeout(CONNECT_LIMIT, config.connect(NoTls));
            let (client, connection) = connecting.await.map_err(|_| Failure::TimedOut(CONNECT_LIMIT))??;
            tokio::spawn(connection);
            Ok::<_, Failure>(client)
        })?;
        Ok(Self { runtime, client })
    }

    /// Runs `work` with the client, for at most `limit`.
    ///
    /// # Errors
    /// Those of `work`; `TimedOut`, after which the session is of no more use.
    pub(super) fn run<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let done = tokio::time::timeout(limit, work(&self.client)).await;
            done.unwrap_or(Err(Failure::TimedOut(limit)))
        })
    }

    /// Whether the connection is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}
