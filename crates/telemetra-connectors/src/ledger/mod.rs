//! What both stores read alike: where a job stands, the audit, what `status` and the page show.
//!
//! One text of SQL serves both stores. It is written in the part of the language that they share: placeholders
//! `$1`, ledger tables as `telemetra.job` (SQLite: `telemetra_job`), `CAST` for types, `IS DISTINCT FROM`,
//! `->>` for JSON. What each column comes back as is one [`Cell`], so that instants are milliseconds here and
//! nobody above knows how a store keeps them. Nothing here writes, and nothing here knows a client library.

pub(crate) mod recover;
pub(crate) mod text;

use telemetra_engine::sink::SinkError;

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

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// An integer, a boolean as 0 or 1.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// An instant, milliseconds since the Unix epoch. SQLite keeps instants as text: [`Row::instant`] reads both.
    Instant(i64),
    /// An array of texts. SQLite keeps it as JSON text: [`Row::texts`] reads both.
    Texts(Vec<String>),
}

/// A row of a result; columns by number, from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<Cell>);

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
