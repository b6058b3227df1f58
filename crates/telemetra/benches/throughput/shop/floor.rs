//! The floor: what PostgreSQL itself takes for the rows of a load, by `COPY … FROM` into the same empty table.
//!
//! The rows are those that a load has made, in the server's own binary format, in a file beside its data: one
//! transaction, no client, nothing parsed. The table is made by the same migration, with the same six indexes.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, ensure};
use telemetra::wiring;
use telemetra_services::postgres::Database;

use super::stage::settings;

/// What a load writes of a row; the rest are defaults.
const COLUMNS: &str = "event_id, user_id, product_id, product_name, category, price, event_type, event_timestamp, \
                       batch_id, origin, origin_position";
/// The primary key's, the unique one's, and four more.
const INDEXES: i64 = 6;

/// The rows of one load, on the server.
#[derive(Debug)]
pub(super) struct Rows {
    file: String,
    count: u64,
}

impl Rows {
    /// Keeps the rows that `stage` has made in `database`, so many.
    pub(super) fn keep(database: &Database<'_>, stage: &str, rows: u64) -> anyhow::Result<Rows> {
        let mut client = database.client();
        let folder: String = client.query_one("SHOW data_directory", &[])?.get(0);
        let file = format!("{folder}/{stage}.copy");
        let count =
            client.execute(&format!("COPY user_events ({COLUMNS}) TO '{file}' (FORMAT binary)"), &[])?;
        ensure!(count == rows, "{count} rows in the table, {rows} were accepted");
        Ok(Rows { file, count })
    }

    /// Seconds on the clock that a copy of them into an empty `database` takes.
    pub(super) fn copy(&self, database: &Database<'_>, place: &Path) -> anyhow::Result<f64> {
        wiring::migrate(&settings(place, &database.address(), 1)?, "UTC")?;
        let mut client = database.client();
        let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'user_events'::regclass";
        let indexes: i64 = client.query_one(indexes, &[])?.get(0);
        ensure!(indexes == INDEXES, "{indexes} indexes");
        write_out(database)?;
        let sql = format!("COPY user_events ({COLUMNS}) FROM '{}' (FORMAT binary)", self.file);
        let begun = Instant::now();
        let count = client.execute(&sql, &[])?;
        let wall_s = begun.elapsed().as_secs_f64();
        ensure!(count == self.count, "{count} rows copied, {} were kept", self.count);
        Ok(wall_s)
    }
}

/// Has everything written out that was done before, so that what comes next does not pay for it.
pub(super) fn write_out(database: &Database<'_>) -> anyhow::Result<()> {
    database.client().batch_execute("CHECKPOINT")?;
    let status = Command::new("sync").status().context("sync")?;
    ensure!(status.success(), "sync: {status}");
    Ok(())
}
