//! Where the server is, as users write it.

use std::time::Duration;

/// A server, a database, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// For the client, without TLS.
    pub(super) config: tokio_postgres::Config,
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?…`.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: tokio_postgres::Config = text.parse().map_err(|error| format!("{error}"))?;
        config.connect_timeout(Duration::from_secs(5));
        Ok(Self { config })
    }

    /// The address without secrets, for people.
    pub fn shown(&self) -> String {
        format!("postgres://{:?}/{}", self.config.get_hosts(), self.config.get_dbname().unwrap_or_default())
    }
}
