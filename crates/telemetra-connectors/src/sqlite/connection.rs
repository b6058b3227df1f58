//! Opening the database file, and what its errors mean for a batch.
//!
//! A writer is in WAL mode with `synchronous=FULL`: a commit that returned is on the disk.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use telemetra_engine::sink::SinkError;

use crate::ledger;

/// How long a statement waits for another connection's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements kept prepared; more than there are in this module.
const STATEMENTS_KEPT: usize = 64;
/// Tries to switch a new file to WAL while another process does the same, and the pause between them.
const WAL_TRIES: u32 = 100;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// Why something in this module failed: SQLite said so, or we did.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of SQLite, not yet judged.
    Sqlite(rusqlite::Error),
    /// A decision.
    Stop(SinkError),
}

impl Failure {
    /// Going on could make a wrong number.
    pub(super) fn halt(message: impl Into<String>) -> Self {
        Self::Stop(SinkError::Halt(message.into()))
    }

    /// Decides what an error outside COMMIT means: the transaction is gone, so nothing was written.
    pub(super) fn into_sink_error(self, path: &Path) -> SinkError {
        match self {
            Failure::Stop(error) => error,
            Failure::Sqlite(error) => {
                let text = format!("{}: {}", path.display(), describe(&error));
                if is_passing(&error) { SinkError::NotApplied(text) } else { SinkError::Halt(text) }
            }
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::Stop(error)
    }
}

/// Whether the same batch may succeed later: the disk, memory or another writer stood in the way.
fn is_passing(error: &rusqlite::Error) -> bool {
    use ErrorCode::*;
    let passing = [
        DatabaseBusy,
        DatabaseLocked,
        DiskFull,
        SystemIoFailure,
        CannotOpen,
        OutOfMemory,
        ReadOnly,
        PermissionDenied,
        OperationInterrupted,
        FileLockingProtocolFailed,
    ];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}

/// Whether an error of COMMIT itself leaves the transaction surely not applied: another writer was in the way.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// An error in words, with the operating system's where a file was at fault.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    // Before anything else can change it.
    let system = std::io::Error::last_os_error();
    let Some(failure) = error.sqlite_error() else { return error.to_string() };
    let code = failure.extended_code;
    let text = format!("{error} (SQLite code {code}, {})", ffi::code_to_str(code));
    match failure.code {
        ErrorCode::NotADatabase => "it is not a SQLite database; give --store another file".to_owned(),
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen
            if system.raw_os_error().is_some_and(|number| number != 0) =>
        {
            format!("{text}; the system's last error: {system}")
        }
        _ => text,
    }
}

/// Opens the file for writing, creating it if there is none.
///
/// # Errors
/// A file that is no database, or a place where WAL does not work.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let mode = enter_wal(&db)?;
    if mode != "wal" {
        return Err(Failure::halt(format!(
            "{}: the file system offers no shared memory for SQLite's write-ahead log (journal mode {mode}); \
             put the store on a local disk",
            path.display()
        )));
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    // 16 MiB of pages, and a log cut back to 64 MiB after a large batch.
    db.pragma_update(None, "cache_size", -16_384)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(db)
}

/// Makes room for the pages of `user_events` that each batch meets again and again, the ends of its indexes above all:
/// too little, and a page is written to the log many times in one transaction.
pub(super) fn hold_indexes(db: &Connection) -> Result<(), Failure> {
    // 32 MiB.
    Ok(db.pragma_update(None, "cache_size", -32_768)?)
}

/// Switches to WAL. SQLite does not wait for the lock that this needs on a new file.
fn enter_wal(db: &Connection) -> Result<String, Failure> {
    for _ in 1..WAL_TRIES {
        match db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)) {
            Err(error) if is_busy(&error) => std::thread::sleep(WAL_PAUSE),
            other => return Ok(other?),
        }
    }
    Ok(db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?)
}

/// Opens an existing file for reading only.
///
/// # Errors
/// No such file, or one that is no database.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Failure> {
    if !path.exists() {
        let text = format!("there is no store at {}; `run` or `migrate` makes one", path.display());
        return Err(Failure::halt(text));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(db)
}

/// A number for SQLite; see [`ledger::int`].
pub(super) fn int(number: u64) -> Result<i64, Failure> {
    Ok(ledger::int(number)?)
}

/// A number from SQLite that cannot be negative; see [`ledger::uint`].
pub(super) fn uint(number: i64, column: &str) -> Result<u64, Failure> {
    Ok(ledger::uint(number, column)?)
}
