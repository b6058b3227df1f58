//! What both stores read alike: where a job stands, the audit, what `status` and the page show.
//!
//! One text of SQL serves both stores. It is written in the part of the language that they share: placeholders
//! `$1`, ledger tables as `telemetra.job` (SQLite: `telemetra_job`), `CAST` for types and around every `sum` of
//! integers, `IS DISTINCT FROM`, `->` for JSON, `CROSS JOIN … WHERE` where the rows are to be found by seeks. What
//! each column comes back as is one [`Cell`], so that instants are milliseconds here and nobody above knows how a
//! store keeps them. Text may be ordered otherwise than by its bytes, so whoever needs an order sorts here. Nothing
//! here writes, and nothing here knows a client library.
//!
//! | file | owns |
//! |---|---|
//! | `row` | values of a row, and what they must be |
//! | `instant` | instants as text |
//! | `recover` | where a job stands, checked before it is believed |
//! | `text` | JSON as text |
//! | `pipeline`, `tables` | what a job computes, for good; the type that its sink is made for |
//! | `outcome` | what a batch came to, judged before COMMIT |
//! | `intake` | candidates for rows with an id: who is new, what became of each |
//! | `quarantine` | refused records: shown, exported, tried again |
//! | `windows` | rows above a watermark |
//! | `reader` | what `status`, `audit` and the page may ask |
//! | `status` | jobs, positions, batches |
//! | `audit`, `audit_pieces`, `audit_unique` | the sums that the law compares; what it compares piece by piece; rows with an id |
//! | `shown` | what the page shows |
//!
//! Rows of `chat_summary_minute` and `moments` whose `batch_id` is NULL are another program's, adopted: no sum
//! counts them.

pub(crate) mod audit;
mod audit_pieces;
mod audit_unique;
pub(crate) mod instant;
pub(crate) mod intake;
pub(crate) mod outcome;
mod pipeline;
pub(crate) mod quarantine;
mod reader;
pub(crate) mod recover;
mod row;
mod shown;
mod status;
mod tables;
pub(crate) mod text;
pub(crate) mod windows;

use telemetra_engine::sink::SinkError;

pub(crate) use self::{
    outcome::{Outcome, Piece},
    pipeline::{Pipeline, Refused},
    reader::Readable,
    row::{Cell, Row},
    tables::Keeps,
};
pub use self::{
    quarantine::{FileLedger, Quarantine, Rejected, Replayed, Wanted},
    reader::StoreReader,
    tables::{ChatTables, CommerceTables},
};

/// Longest name of a job, bytes.
pub const JOB_NAME_BYTES_MAX: usize = 64;

/// One consistent view of a store: a transaction that is open as long as this lives.
pub(crate) trait Snapshot {
    /// Runs `sql` and gives each row to `take`, one at a time: memory does not grow with the result.
    ///
    /// # Errors
    /// Those of the store, and those of `take`.
    fn each(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        take: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
    ) -> Result<(), SinkError>;
}

impl dyn Snapshot + '_ {
    /// The first row, read by `read`; `None` without one. `sql` should not find more.
    ///
    /// # Errors
    /// As [`Snapshot::each`].
    pub(crate) fn one<T>(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        mut read: impl FnMut(&Row) -> Result<T, SinkError>,
    ) -> Result<Option<T>, SinkError> {
        let mut found = None;
        self.each(sql, args, &mut |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Every row, read by `read`; for results that the caller bounds.
    ///
    /// # Errors
    /// As [`Snapshot::each`].
    pub(crate) fn list<T>(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        mut read: impl FnMut(&Row) -> Result<T, SinkError>,
    ) -> Result<Vec<T>, SinkError> {
        let mut found = Vec::new();
        self.each(sql, args, &mut |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }
}

/// A value for a placeholder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arg<'a> {
    /// An integer column.
    Int(i64),
    /// A text column.
    Text(&'a str),
    /// A text column, or NULL.
    TextOrNull(Option<&'a str>),
    /// An instant column, milliseconds; what lies outside of the years that a store holds is moved to its edge.
    Instant(i64),
}

/// A number for a store, whose integers end at 2^63 - 1.
///
/// # Errors
/// Halts on a larger one.
pub(crate) fn int(number: u64) -> Result<i64, SinkError> {
    i64::try_from(number).map_err(|_| SinkError::Halt(format!("{number} is too large for the store")))
}

/// A number from a store that cannot be negative.
///
/// # Errors
/// Halts on a negative one: the store was tampered with.
pub(crate) fn uint(number: i64, column: &str) -> Result<u64, SinkError> {
    u64::try_from(number).map_err(|_| {
        SinkError::Halt(format!("{column} is {number} in the store, which cannot be; restore a backup"))
    })
}

/// A job's name becomes part of a file's name, and of a statement.
pub(crate) fn check_job_name(job: &str) -> Result<(), SinkError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !job.is_empty() && job.len() <= JOB_NAME_BYTES_MAX && job.bytes().all(plain) {
        return Ok(());
    }
    Err(SinkError::Halt(format!(
        "a job's name has 1 to {JOB_NAME_BYTES_MAX} letters (a-z), digits, underscores and hyphens, {job:?} does not"
    )))
}
