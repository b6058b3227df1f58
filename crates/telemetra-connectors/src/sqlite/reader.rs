//! What `status` and `audit` read: a connection that cannot write.
//!
//! Every call reads one snapshot, so its numbers belong together; a writer is never held up. Lists have a
//! page size.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use telemetra_core::{watermark::PartitionClock, window::WindowSpec};
use telemetra_engine::{
    audit::Report,
    sink::{SinkError, Tally, Totals},
    status::{BatchStatus, JobStatus, PositionStatus, RecordTotals},
};

use super::{
    audit,
    connection::{self, Failure, int, uint},
    lock::JobLock,
    migrate,
    snapshot::SqliteSnapshot,
};
use crate::ledger::{instant, windows};

/// Most rows that one call returns, whatever is asked for.
const PAGE_ROWS_MAX: usize = 10_000;

/// A store opened for reading.
#[derive(Debug)]
pub struct SqliteReader {
    path: PathBuf,
    db: Connection,
}

impl SqliteReader {
    /// Opens the store at `path`, which must exist and have this program's schema.
    ///
    /// # Errors
    /// `Halt` without such a store, `NotApplied` when it cannot be read now.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let open = || {
            let db = connection::open_reader(path)?;
            migrate::check(&db)?;
            Ok(db)
        };
        let db = open().map_err(|failure: Failure| failure.into_sink_error(path))?;
        Ok(Self { path: path.to_owned(), db })
    }

    /// Where every job stands, or one; by name. A job that does not exist gives an empty list.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn jobs(&mut self, job: Option<&str>) -> Result<Vec<JobStatus>, SinkError> {
        self.snapshot(|db| jobs(db, job))
    }

    /// Audits every job, or one; by name. A job that does not exist gives an empty list.
    ///
    /// # Errors
    /// As [`SqliteReader::open`]; an imbalance is no error but stands in the report.
    pub fn audit(&mut self, job: Option<&str>) -> Result<Vec<Report>, SinkError> {
        self.snapshot(|db| audit::audit(db, job))
    }

    /// The job that the result tables belong to; `None` before the first.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn owner(&mut self) -> Result<Option<String>, SinkError> {
        let sql = "SELECT job FROM telemetra_result_table WHERE name = ?1";
        self.snapshot(|db| Ok(db.query_row(sql, [windows::TABLES[0]], |row| row.get(0)).optional()?))
    }

    /// The latest batches of a job, latest first.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn batches(&mut self, job: &str, limit: usize) -> Result<Vec<BatchStatus>, SinkError> {
        self.snapshot(|db| batches(db, job, limit))
    }

    /// Whether an instance runs `job` now. It is told by the lock, so it holds on this machine only.
    ///
    /// # Errors
    /// `NotApplied` when the lock file cannot be looked at.
    pub fn is_running(&self, job: &str) -> Result<bool, SinkError> {
        JobLock::is_held(&self.path, job)
    }

    pub(super) fn snapshot<T>(
        &mut self,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, SinkError> {
        let run = |db: &mut Connection| read(&db.transaction_with_behavior(TransactionBehavior::Deferred)?);
        run(&mut self.db).map_err(|failure| failure.into_sink_error(&self.path))
    }
}

pub(super) fn page(limit: usize) -> Result<i64, Failure> {
    int(limit.min(PAGE_ROWS_MAX) as u64)
}

/// Milliseconds of an instant in the store.
pub(super) fn ms(text: &str) -> Result<i64, Failure> {
    instant::parse_instant(text)
        .ok_or_else(|| Failure::halt(format!("{text:?} in the store is no instant of ours")))
}

/// Names of the jobs in the store, or the one asked for if it exists.
pub(super) fn job_names(db: &Connection, job: Option<&str>) -> Result<Vec<String>, Failure> {
    let mut statement =
        db.prepare("SELECT job FROM telemetra_job WHERE ?1 IS NULL OR job = ?1 ORDER BY job")?;
    let names = statement.query_map([job], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// As [`job_names`], with jobs that left anything but have no job row.
pub(super) fn all_job_names(db: &Connection, job: Option<&str>) -> Result<Vec<String>, Failure> {
    let sql = "SELECT job FROM (SELECT job FROM telemetra_job UNION SELECT job FROM telemetra_batch
                   UNION SELECT job FROM telemetra_position UNION SELECT job FROM telemetra_result_table)
               WHERE ?1 IS NULL OR job = ?1 ORDER BY job";
    let mut statement = db.prepare(sql)?;
    let names = statement.query_map([job], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn jobs(db: &Connection, job: Option<&str>) -> Result<Vec<JobStatus>, Failure> {
    job_names(db, job)?.iter().map(|job| job_status(db, job)).collect()
}

fn job_status(db: &Connection, job: &str) -> Result<JobStatus, Failure> {
    let sql = "SELECT pipeline, halt_cause, epoch, holder, last_batch, watermark_ms, open_count, in_windows,
                   window_misses, final_count, records, late, dead, final_rows, created_at, updated_at,
                   length_ms, slide_ms
               FROM telemetra_job WHERE job = ?1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([job])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let (created, updated): (String, String) = (row.get(14)?, row.get(15)?);
    let window = WindowSpec::new(row.get(16)?, row.get(17)?).map_err(Failure::halt)?;
    let watermark = row.get::<_, Option<i64>>(5)?.into();
    Ok(JobStatus {
        job: job.to_owned(),
        pipeline: row.get(0)?,
        halt_cause: row.get(1)?,
        epoch: uint(row.get(2)?, "epoch")?,
        holder: row.get(3)?,
        last_batch: uint(row.get(4)?, "last_batch")?,
        watermark,
        open_count: row.get(6)?,
        totals: Totals { in_windows: row.get(7)?, window_misses: row.get(8)?, final_count: row.get(9)? },
        records: RecordTotals {
            records: uint(row.get(10)?, "records")?,
            late: uint(row.get(11)?, "late")?,
            dead: uint(row.get(12)?, "dead")?,
        },
        final_rows: uint(row.get(13)?, "final_rows")?,
        provisional_rows: if owns_rows(db, job)? {
            windows::provisional(&mut SqliteSnapshot::within(db, Path::new("")), window, watermark)?
        } else {
            0
        },
        created_at_ms: ms(&created)?,
        updated_at_ms: ms(&updated)?,
        positions: positions(db, job)?,
    })
}

/// Whether the result tables are this job's.
pub(super) fn owns_rows(db: &Connection, job: &str) -> Result<bool, Failure> {
    let sql = "SELECT count(*) FROM telemetra_result_table WHERE job = ?1 AND name IN (?2, ?3)";
    let [windows, moments] = windows::TABLES;
    let owned: i64 = db.query_row(sql, [job, windows, moments], |row| row.get(0))?;
    Ok(owned == 2)
}

pub(super) fn positions(db: &Connection, job: &str) -> Result<Vec<PositionStatus>, Failure> {
    let sql = "SELECT input, topic, \"partition\", first_offset, replay_offset, next_offset, largest_ms,
                   pending_ms, pending_age, head_since_ms
               FROM telemetra_position WHERE job = ?1 ORDER BY input, \"partition\"";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([job])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        positions.push(PositionStatus {
            input: row.get(0)?,
            topic: row.get(1)?,
            partition: row.get(2)?,
            first: uint(row.get(3)?, "first_offset")?,
            replay: uint(row.get(4)?, "replay_offset")?,
            next: uint(row.get(5)?, "next_offset")?,
            clock: PartitionClock {
                largest_ms: row.get(6)?,
                pending_ms: row.get(7)?,
                pending_age: row.get(8)?,
            },
            head_since_ms: row.get(9)?,
        });
    }
    Ok(positions)
}

fn batches(db: &Connection, job: &str, limit: usize) -> Result<Vec<BatchStatus>, Failure> {
    let sql = "SELECT batch_id, kind, planned_at, committed_at, watermark_ms, records, empty, counted,
                   in_windows, late, dead, window_misses, rows_written, final_rows
               FROM telemetra_batch WHERE job = ?1 ORDER BY batch_id DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![job, page(limit)?])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let (planned, committed): (String, String) = (row.get(2)?, row.get(3)?);
        let number = |column: usize| uint(row.get(column)?, "a sum of a batch");
        batches.push(BatchStatus {
            batch_id: number(0)?,
            kind: row.get(1)?,
            planned_at_ms: ms(&planned)?,
            committed_at_ms: ms(&committed)?,
            watermark: row.get::<_, Option<i64>>(4)?.into(),
            tally: Tally {
                records: number(5)?,
                empty: number(6)?,
                counted: number(7)?,
                in_windows: number(8)?,
                late: number(9)?,
                dead: number(10)?,
                window_misses: number(11)?,
            },
            rows_written: number(12)?,
            final_rows: number(13)?,
        });
    }
    Ok(batches)
}
