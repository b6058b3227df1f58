//! What an error means for a batch, by SQLSTATE (RELIABILITY §1.6). No error text is ever parsed.
//!
//! | verdict | meaning | outside COMMIT |
//! |---|---|---|
//! | `Retry` | the server's state passes | `NotApplied` |
//! | `Refused` | settings or server must change first: password, database, certificate | `NotApplied`; `Halt` at the first start |
//! | `TooLarge` | the statement took too long | `TooLarge`: plan it smaller |
//! | `Halt` | the same batch would fail again | `Halt` with the way on |
//!
//! Messages are one line: a sentence, names, SQLSTATE, host. They never hold a password, nor, below `debug`, what
//! stood in a row.

use std::{error::Error as _, fmt, ops::Deref, sync::Arc, time::Duration};

use telemetra_engine::sink::SinkError;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Longest piece of a server's text that is shown, characters.
const SHOWN_CHARS_MAX: usize = 300;

/// Why something in this module failed: the server said so, or we did.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the client or the server, not yet judged.
    Postgres(Answer),
    /// No answer in time; the connection is closed.
    TimedOut(Duration),
    /// The server could not be reached or the connection ended, in words.
    Away(String),
    /// The server was reached, and trying again without a change is of little use, in words with the way on.
    Refused(String),
    /// A decision.
    Stop(SinkError),
}

/// An error of the client or the server, and where it came from.
#[derive(Debug)]
pub(super) struct Answer {
    error: tokio_postgres::Error,
    place: Option<Arc<str>>,
}

impl Deref for Answer {
    type Target = tokio_postgres::Error;

    fn deref(&self) -> &tokio_postgres::Error {
        &self.error
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Retry,
    Refused,
    TooLarge,
    Halt,
}

use Verdict::{Halt, Refused, Retry, TooLarge};

const MIGRATE: &str = "bring the tables to this version with `telemetra migrate`";
const GRANT: &str = "grant it; `telemetra migrate --print-roles` prints the rights that are needed";
const SETTINGS: &str = "check the user, the password and the database that the settings name";
const POOLER: &str = "connect to the server itself, or let the pooler keep one session per client";
const REPORT: &str = "nothing was written; the server's log has the whole error";
const VALUE: &str =
    "a value does not fit its column; nothing was written; log_level debug shows the server's words";
const SEQUENCE: &str = "the sequence has no more values and nothing was written; raise or remove its bound: \
                        ALTER SEQUENCE … NO MAXVALUE";
const RULE: &str = "nothing was written; drop the rule from the table, or correct the rows it speaks of";
const CORRUPT: &str = "the server found its files damaged; restore them before anything is written";

/// The policy: a SQLSTATE or the class that its first two characters name; what is not here halts.
///
/// A whole SQLSTATE beats its class.
const POLICY: &[(&str, Verdict, &str)] = &[
    // Connections.
    ("08", Retry, ""),
    // "cached plan must not change result type": the tables were altered beneath a prepared statement.
    ("0A000", Retry, ""),
    ("2200H", Halt, SEQUENCE),
    ("22", Halt, VALUE),
    ("23", Halt, RULE),
    // Not inside a transaction that can go on; the ones that pass by themselves first.
    ("25006", Retry, ""),
    ("25P02", Retry, ""),
    ("25P03", Retry, ""),
    ("25P04", TooLarge, ""),
    ("26000", Halt, POOLER),
    ("28", Refused, SETTINGS),
    ("3D000", Refused, SETTINGS),
    ("3F000", Halt, MIGRATE),
    ("40001", Retry, ""),
    ("40002", Halt, RULE),
    ("40003", Retry, ""),
    ("40P01", Retry, ""),
    ("40", Retry, ""),
    ("42501", Halt, GRANT),
    ("42P05", Halt, POOLER),
    ("42", Halt, MIGRATE),
    ("44", Halt, RULE),
    ("53300", Retry, "raise the limit, or end other connections"),
    ("53", Retry, ""),
    ("54", Halt, REPORT),
    ("55006", Retry, ""),
    ("55P03", Retry, ""),
    ("57014", TooLarge, ""),
    ("57", Retry, ""),
    // The server's operating system.
    ("58", Retry, ""),
    ("P0", Halt, RULE),
    ("XX001", Halt, CORRUPT),
    ("XX002", Halt, CORRUPT),
];

fn policy(code: &SqlState) -> (Verdict, &'static str) {
    let code = code.code();
    let found = |wanted: &str| POLICY.iter().find(|(known, ..)| *known == wanted);
    let entry = found(code).or_else(|| found(code.get(..2)?));
    entry.map_or((Halt, REPORT), |(_, verdict, next)| (*verdict, *next))
}

/// Whether an error in reply to COMMIT leaves open what became of the transaction.
///
/// An ERROR is a rollback: past the commit record the server can only warn or panic. FATAL and PANIC end the
/// session at any moment, and poolers speak for servers by class 08.
fn is_in_doubt(error: &DbError) -> bool {
    let is_error = error.parsed_severity().map_or(error.severity() == "ERROR", |it| it == Severity::Error);
    let code = error.code().code();
    let class = code.get(..2).unwrap_or_default();
    let is_passing = code.starts_with("57P") || code == "40003" || matches!(class, "08" | "53" | "58" | "XX");
    !is_error || is_passing
}

impl Failure {
    /// Going on could make a wrong number.
    pub(super) fn halt(message: impl Into<String>) -> Self {
        Self::Stop(SinkError::Halt(message.into()))
    }

    /// The SQLSTATE, if the server answered with one.
    pub(super) fn state(&self) -> Option<&SqlState> {
        match self {
            Failure::Postgres(answer) => answer.code(),
            _ => None,
        }
    }

    /// What the server said, if it did.
    pub(super) fn said(&self) -> Option<&DbError> {
        match self {
            Failure::Postgres(answer) => answer.as_db_error(),
            _ => None,
        }
    }

    /// Adds where an answer came from.
    pub(super) fn at(mut self, place: &Arc<str>) -> Self {
        if let Failure::Postgres(answer) = &mut self {
            answer.place.get_or_insert_with(|| place.clone());
        }
        self
    }

    /// What a batch that took too long needs is to be smaller, whoever lost patience: the server with one of its
    /// statements, or we with all of them.
    pub(super) fn of_a_batch(self) -> Self {
        if matches!(self, Failure::TimedOut(_)) { SinkError::TooLarge(self.to_string()).into() } else { self }
    }

    /// Decides what an error outside COMMIT means: the transaction is gone, so nothing was written.
    pub(super) fn into_sink_error(self) -> SinkError {
        self.log();
        let text = self.to_string();
        match self {
            Failure::Stop(error) => error,
            Failure::TimedOut(_) | Failure::Away(_) | Failure::Refused(_) => SinkError::NotApplied(text),
            Failure::Postgres(answer) => match answer.code().map(policy) {
                None | Some((Retry | Refused, _)) => SinkError::NotApplied(text),
                Some((TooLarge, _)) => SinkError::TooLarge(text),
                Some((Halt, _)) => SinkError::Halt(text),
            },
        }
    }

    /// As `into_sink_error`, before anything of this process has worked: what settings or server must change
    /// first is told at once instead of being tried again. A run that has begun goes on trying.
    pub(super) fn at_first_start(self) -> SinkError {
        match self {
            Failure::Refused(text) => SinkError::Halt(text),
            other => other.into_sink_error(),
        }
    }

    /// Decides what an error in reply to COMMIT means: in doubt unless the server said that it rolled back.
    pub(super) fn at_commit(self, batch_id: u64) -> SinkError {
        let is_known = match &self {
            Failure::Stop(_) => true,
            Failure::Postgres(answer) => answer.as_db_error().is_some_and(|error| !is_in_doubt(error)),
            Failure::TimedOut(_) | Failure::Away(_) | Failure::Refused(_) => false,
        };
        if is_known {
            return self.into_sink_error();
        }
        self.log();
        SinkError::InDoubt(format!("batch {batch_id}, COMMIT was sent: {self}"))
    }

    /// The server's words in full, which may hold what stood in a row: at `debug` only.
    fn log(&self) {
        let Failure::Postgres(answer) = self else { return };
        if let Some(db) = answer.as_db_error() {
            tracing::debug!(
                sqlstate = db.code().code(),
                message = db.message(),
                detail = db.detail().unwrap_or_default(),
                context = db.where_().unwrap_or_default(),
                "PostgreSQL's answer in full"
            );
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stop(error) => write!(f, "{error}"),
            Failure::TimedOut(limit) if limit.as_secs() == 0 => {
                write!(f, "no answer from PostgreSQL within {} ms", limit.as_millis())
            }
            Failure::TimedOut(limit) => write!(f, "no answer from PostgreSQL within {} s", limit.as_secs()),
            Failure::Away(what) | Failure::Refused(what) => f.write_str(what),
            Failure::Postgres(answer) => write!(f, "{answer}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.as_deref().unwrap_or("the server");
        let Some(db) = self.as_db_error() else {
            return write!(f, "the connection to {place} failed: {}", chain(&self.error));
        };
        write!(f, "PostgreSQL at {place}: {}", said(db))?;
        let next = policy(db.code()).1;
        if next.is_empty() { Ok(()) } else { write!(f, "; {next}") }
    }
}

/// The server's sentence with the names it gives and its SQLSTATE; without what may have stood in a row.
pub(super) fn said(db: &DbError) -> String {
    let code = db.code().code();
    // Messages of class 22 quote the value: `invalid input syntax for type integer: "…"`; 2200H has the sequence's name.
    let message = if code.starts_with("22") && code != "2200H" {
        "a value was refused".into()
    } else {
        one_line(db.message())
    };
    let named = [
        ("table", db.table()),
        ("column", db.column()),
        ("constraint", db.constraint()),
        ("type", db.datatype()),
    ];
    let named = named.iter().filter_map(|(what, name)| Some(format!("{what} {}, ", one_line((*name)?))));
    format!("{message} ({}SQLSTATE {code})", named.collect::<String>())
}

/// An error with its causes, one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    one_line(&text)
}

/// `text` without control characters, cut to a bearable length.
fn one_line(text: &str) -> String {
    let shown = text.chars().take(SHOWN_CHARS_MAX);
    let is_breaking =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    let mut line: String = shown.map(|c| if is_breaking(c) { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// What an error while connecting means: `Away` if trying again may help, else `Refused`.
pub(super) fn at_connect(error: &tokio_postgres::Error, place: &Arc<str>) -> Failure {
    if let Some(db) = error.as_db_error() {
        let (verdict, next) = policy(db.code());
        let text = format!("PostgreSQL at {place}: {}", said(db));
        return match verdict {
            Retry | TooLarge if next.is_empty() => Failure::Away(text),
            Retry | TooLarge => Failure::Away(format!("{text}; {next}")),
            Refused => Failure::Refused(format!("{text}; {SETTINGS}")),
            Halt if next == GRANT => Failure::Refused(format!("{text}; {GRANT}")),
            Halt => Failure::Refused(format!("{text}; check the options that the address names")),
        };
    }
    let is_network =
        error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    let text = format!("the connection to {place} failed: {}", chain(error));
    if is_network { Failure::Away(text) } else { Failure::Refused(text) }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(Answer { error, place: None })
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::Stop(error)
    }
}

#[cfg(test)]
mod tests;
