//! What an error means for a batch, by SQLSTATE (RELIABILITY §1.6). No error text is ever parsed.

use std::{fmt, time::Duration};

use telemetra_engine::sink::SinkError;
use tokio_postgres::error::SqlState;

/// Why something in this module failed: the server said so, or we did.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the client or the server, not yet judged.
    Postgres(tokio_postgres::Error),
    /// No answer in time; the connection is closed.
    TimedOut(Duration),
    /// The server could not be reached or the connection ended, in words.
    Away(String),
    /// A decision.
    Stop(SinkError),
}

impl Failure {
    /// Going on could make a wrong number.
    pub(super) fn halt(message: impl Into<String>) -> Self {
        Self::Stop(SinkError::Halt(message.into()))
    }

    /// The SQLSTATE, if the server answered with one.
    pub(super) fn state(&self) -> Option<&SqlState> {
        match self {
            Failure::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Decides what an error outside COMMIT means: the transaction is gone, so nothing was written.
    pub(super) fn into_sink_error(self) -> SinkError {
        let text = self.to_string();
        match self {
            Failure::Stop(error) => error,
            Failure::TimedOut(_) | Failure::Away(_) => SinkError::NotApplied(text),
            Failure::Postgres(error) => match error.code() {
                Some(code) if !is_passing(code) => SinkError::Halt(text),
                _ => SinkError::NotApplied(text),
            },
        }
    }
}

// at_commit stub
impl Failure {
    pub(super) fn at_commit(self, batch_id: u64) -> SinkError {
        let text = format!("COMMIT of batch {batch_id}: {self}");
        match self {
            Failure::Stop(error) => error,
            Failure::Postgres(error) if error.code().is_some_and(|code| !matches!(&code.code()[..2], "08" | "57")) => SinkError::NotApplied(text),
            _ => SinkError::InDoubt(text),
        }
    }
}

/// Whether the same batch may succeed later.
fn is_passing(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    // Connection, operator intervention (57014 included), resources, rollback, lock not available, read-only.
    matches!(class, "08" | "57" | "53" | "40" | "55" | "25" | "28" | "3D" | "58")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stop(error) => write!(f, "{error}"),
            Failure::TimedOut(limit) => write!(f, "no answer from PostgreSQL within {} s", limit.as_secs()),
            Failure::Away(what) => write!(f, "{what}"),
            Failure::Postgres(error) => match error.as_db_error() {
                Some(db) => write!(f, "PostgreSQL says: {} (SQLSTATE {})", db.message(), db.code().code()),
                None => write!(f, "PostgreSQL: {error}"),
            },
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::Stop(error)
    }
}
