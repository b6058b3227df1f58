//! The schema: embedded, versioned, moved forward in one transaction.
//!
//! What the tables must look like is asked of an empty database that took the same migrations, so there is no
//! second list of columns. Tables of others in the file are left alone.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{
    connection::{Failure, int},
    text,
};

/// The migrations, version 1 first.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_chat.sql"),
    include_str!("migrations/0002_moments_batch.sql"),
    include_str!("migrations/0003_commerce.sql"),
    include_str!("migrations/0004_logs.sql"),
];

/// Version of the schema that this program reads and writes.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

pub(super) const VERSION_TABLE: &str =
    "CREATE TABLE telemetra_schema_version (version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL)";

/// Brings the schema to [`SCHEMA_VERSION`] and returns the version it had, 0 for a file without our tables.
///
/// # Errors
/// Halts on a newer version, and on tables of our names with other columns; nothing is changed then.
pub(super) fn migrate(db: &mut Connection, now_ms: i64) -> Result<usize, Failure> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&tx)?;
    refuse_foreign_tables(&tx, version)?;
    if version == 0 {
        tx.execute_batch(VERSION_TABLE)?;
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        tx.execute_batch(sql)?;
        let row = params![int(index as u64 + 1)?, text::instant(now_ms)];
        tx.execute("INSERT INTO telemetra_schema_version VALUES (?1, ?2)", row)?;
    }
    check_columns(&tx)?;
    tx.commit()?;
    Ok(version)
}

/// Demands that the schema is at [`SCHEMA_VERSION`], without changing it.
///
/// # Errors
/// Halts on another version or other columns.
pub(super) fn check(db: &Connection) -> Result<(), Failure> {
    let version = version(db)?;
    if version < SCHEMA_VERSION {
        return Err(Failure::halt(format!(
            "the store's schema has version {version}, this program needs {SCHEMA_VERSION}: run `telemetra migrate`"
        )));
    }
    check_columns(db)
}

/// The file's version, 0 without our tables.
fn version(db: &Connection) -> Result<usize, Failure> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'telemetra_schema_version'";
    if db.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let latest = "SELECT coalesce(max(version), 0) FROM telemetra_schema_version";
    let version: i64 = db.query_row(latest, [], |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > SCHEMA_VERSION {
        return Err(Failure::halt(format!(
            "the store's schema has version {version}, this program knows up to {SCHEMA_VERSION}: \
             use a newer telemetra"
        )));
    }
    Ok(version)
}

/// The names of tables and views that come with versions after `version` must be free.
fn refuse_foreign_tables(db: &Connection, version: usize) -> Result<(), Failure> {
    if version >= SCHEMA_VERSION {
        return Ok(());
    }
    let names =
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'";
    let before = reference(version)?;
    let ours = reference(SCHEMA_VERSION)?;
    let mut statement = ours.prepare(names)?;
    let ours = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for name in ours {
        let (kind, name): (String, String) = name?;
        let found = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
        let found = |db: &Connection| db.query_row(found, [&name], |_| Ok(())).optional();
        if (version == 0 || found(&before)?.is_none()) && found(db)?.is_some() {
            return Err(Failure::halt(format!(
                "the store already has a {kind} {name} that telemetra did not make: give --store another file"
            )));
        }
    }
    Ok(())
}

/// Every table of ours must have the columns, types and keys that the migrations made.
fn check_columns(db: &Connection) -> Result<(), Failure> {
    let found = tables(db)?;
    for (table, expected) in tables(&reference(SCHEMA_VERSION)?)? {
        let columns = found.iter().find(|(name, _)| *name == table).map(|(_, columns)| columns.as_str());
        if columns != Some(expected.as_str()) {
            return Err(Failure::halt(format!(
                "table {table} has columns ({}), expected ({expected}): undo the change, or restore a backup",
                columns.unwrap_or("none, the table is missing")
            )));
        }
    }
    Ok(())
}

/// An empty database at `version`.
fn reference(version: usize) -> Result<Connection, Failure> {
    let db = Connection::open_in_memory()?;
    db.execute_batch(VERSION_TABLE)?;
    for sql in &MIGRATIONS[..version] {
        db.execute_batch(sql)?;
    }
    Ok(db)
}

/// All tables by name with their columns: name, type, `not null`, place in the primary key.
pub(super) fn tables(db: &Connection) -> Result<Vec<(String, String)>, Failure> {
    let sql = "SELECT t.name, group_concat(
                   c.name || ' ' || c.type || iif(c.\"notnull\", ' not null', '') || iif(c.pk, ' key ' || c.pk, ''),
                   ', ' ORDER BY c.cid)
               FROM sqlite_schema t, pragma_table_info(t.name) c
               WHERE t.type = 'table' GROUP BY t.name ORDER BY t.name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
