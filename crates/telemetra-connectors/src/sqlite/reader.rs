//! A connection that cannot write, for `status`, `audit` and the page.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};
use telemetra_engine::sink::SinkError;

use super::{
    connection::{self, Failure},
    lock::JobLock,
    migrate,
    snapshot::SqliteSnapshot,
};
use crate::ledger::{Readable, Snapshot, StoreReader};

/// A store opened for reading.
#[derive(Debug)]
struct SqliteReader {
    path: PathBuf,
    db: Connection,
}

/// Opens the store at `path`, which must exist and have this program's schema.
///
/// # Errors
/// `Halt` without such a store, `NotApplied` when it cannot be read now.
pub fn open_reader(path: &Path) -> Result<StoreReader, SinkError> {
    let open = || {
        let db = connection::open_reader(path)?;
        migrate::check(&db)?;
        Ok(db)
    };
    let db = open().map_err(|failure: Failure| failure.into_sink_error(path))?;
    Ok(StoreReader::new(SqliteReader { path: path.to_owned(), db }))
}

impl Readable for SqliteReader {
    /// A file answers or fails at once, so there is no limit to keep.
    fn snapshot(
        &mut self,
        _: Duration,
        read: &mut dyn FnMut(&mut dyn Snapshot) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let Self { path, db } = self;
        let begun = db.transaction_with_behavior(TransactionBehavior::Deferred);
        let tx = begun.map_err(|error| Failure::from(error).into_sink_error(path))?;
        read(&mut SqliteSnapshot::within(&tx, path))
    }

    /// Told by the lock beside the file.
    fn is_running(&mut self, job: &str) -> Result<bool, SinkError> {
        JobLock::is_held(&self.path, job)
    }
}
