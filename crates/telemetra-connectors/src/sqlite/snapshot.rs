//! The store's tables in the language that stores share ([`crate::ledger`]).

use std::path::Path;

use rusqlite::{
    Connection, Statement, ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};
use telemetra_engine::sink::SinkError;

use super::{connection::Failure, text};
use crate::ledger::{Arg, Cell, Row, Snapshot};

/// What an open transaction sees.
#[derive(Debug)]
pub(super) struct SqliteSnapshot<'tx> {
    db: &'tx Connection,
    path: &'tx Path,
}

impl<'tx> SqliteSnapshot<'tx> {
    /// The view of the transaction that is open on `db`; `path` is its file, for people.
    pub(super) fn within(db: &'tx Connection, path: &'tx Path) -> Self {
        Self { db, path }
    }
}

impl Snapshot for SqliteSnapshot<'_> {
    fn each(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        take: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut read = || {
            let mut statement = self.db.prepare_cached(&translate(sql))?;
            each(&mut statement, args, take)
        };
        read().map_err(|failure: Failure| failure.into_sink_error(self.path))
    }
}

/// Names and placeholders as SQLite has them.
pub(super) fn translate(sql: &str) -> String {
    sql.replace("telemetra.", "telemetra_").replace('$', "?")
}

fn each(
    statement: &mut Statement<'_>,
    args: &[Arg<'_>],
    take: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
) -> Result<(), Failure> {
    let mut row = Row::new(statement.column_names());
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(args))?;
    while let Some(next) = rows.next()? {
        row.fill((0..columns).map(|column| cell(next.get_ref(column)?)))?;
        take(&row)?;
    }
    Ok(())
}

fn cell(value: ValueRef<'_>) -> Result<Cell, Failure> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(error) => return Err(Failure::halt(format!("a text in the store is no UTF-8: {error}"))),
        },
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    })
}

impl ToSql for Arg<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Arg::Int(number) => number.into(),
            Arg::Text(text) | Arg::TextOrNull(Some(text)) => text.into(),
            Arg::TextOrNull(None) => ToSqlOutput::Owned(Value::Null),
            Arg::Instant(ms) => text::instant(ms).into(),
        })
    }
}
