//! What `status` shows: jobs, their positions, their latest batches.

use telemetra_core::watermark::PartitionClock;
use telemetra_engine::{
    sink::{Applied, SinkError, Tally, Totals},
    status::{BatchStatus, JobStatus, PositionStatus, RecordTotals},
};

use super::{Arg, Pipeline, Row, Snapshot, reader::page, text, windows};

/// Where every job stands, or the one asked for if it exists; by name.
pub(super) fn jobs(db: &mut dyn Snapshot, job: Option<&str>) -> Result<Vec<JobStatus>, SinkError> {
    let sql = "SELECT pipeline, length_ms, slide_ms, halt_cause, epoch, holder, last_batch, watermark_ms,
                   open_count, in_windows, window_misses, final_count, records, late, dead, final_rows, created_at,
                   updated_at, job, accepted, duplicates, conflicts, refused, meaning
               FROM telemetra.job WHERE CAST($1 AS text) IS NULL OR job = $1";
    let mut jobs = db.list(sql, &[Arg::TextOrNull(job)], read_job)?;
    jobs.sort_by(|(a, _), (b, _)| a.job.cmp(&b.job));
    for (job, pipeline) in &mut jobs {
        if let Some(window) = pipeline.window()
            && owns_rows(db, &job.job, *pipeline)?
        {
            job.provisional_rows = windows::provisional(db, window, job.watermark)?;
        }
        job.positions = positions(db, &job.job)?;
    }
    Ok(jobs.into_iter().map(|(job, _)| job).collect())
}

/// The job row; what is in other tables is still missing.
fn read_job(row: &Row) -> Result<(JobStatus, Pipeline), SinkError> {
    let pipeline = Pipeline::read(row, 0)?;
    let status = JobStatus {
        job: row.text(18)?,
        pipeline: pipeline.name().to_owned(),
        meaning: row.text(23)?,
        halt_cause: row.text_or_null(3)?,
        epoch: row.uint(4, "epoch")?,
        holder: row.text(5)?,
        last_batch: row.uint(6, "last_batch")?,
        watermark: row.int_or_null(7)?.into(),
        open_count: row.int(8)?,
        totals: Totals { in_windows: row.int(9)?, window_misses: row.int(10)?, final_count: row.int(11)? },
        records: RecordTotals {
            records: row.uint(12, "records")?,
            late: row.uint(13, "late")?,
            dead: row.uint(14, "dead")?,
        },
        applied: applied(row, 19)?,
        final_rows: row.uint(15, "final_rows")?,
        provisional_rows: 0,
        created_at_ms: row.instant(16)?,
        updated_at_ms: row.instant(17)?,
        positions: Vec::new(),
    };
    Ok((status, pipeline))
}

/// Accepted, duplicates, conflicts and refused, in columns from `first` on.
pub(super) fn applied(row: &Row, first: usize) -> Result<Applied, SinkError> {
    Ok(Applied {
        accepted: row.uint(first, "accepted")?,
        duplicates: row.uint(first + 1, "duplicates")?,
        conflicts: row.uint(first + 2, "conflicts")?,
        refused: row.uint(first + 3, "refused")?,
    })
}

/// As the names of [`jobs`], with jobs that left anything but have no job row.
pub(super) fn all_job_names(db: &mut dyn Snapshot, job: Option<&str>) -> Result<Vec<String>, SinkError> {
    let sql = "SELECT job FROM (SELECT job FROM telemetra.job UNION SELECT job FROM telemetra.batch
                   UNION SELECT job FROM telemetra.position UNION SELECT job FROM telemetra.result_table) AS known
               WHERE CAST($1 AS text) IS NULL OR job = $1";
    let mut names = db.list(sql, &[Arg::TextOrNull(job)], |row| row.text(0))?;
    names.sort();
    Ok(names)
}

/// The job that a result table belongs to; `None` before the first.
pub(super) fn owner(db: &mut dyn Snapshot, table: &str) -> Result<Option<String>, SinkError> {
    let sql = "SELECT job FROM telemetra.result_table WHERE name = $1";
    db.one(sql, &[Arg::Text(table)], |row| row.text(0))
}

/// Whether the result tables of its pipeline are this job's.
pub(super) fn owns_rows(db: &mut dyn Snapshot, job: &str, pipeline: Pipeline) -> Result<bool, SinkError> {
    let sql = "SELECT name FROM telemetra.result_table WHERE job = $1";
    let owned = db.list(sql, &[Arg::Text(job)], |row| row.text(0))?;
    Ok(pipeline.tables().iter().all(|table| owned.iter().any(|owned| owned == table)))
}

/// The partitions of a job, by input and number.
pub(super) fn positions(db: &mut dyn Snapshot, job: &str) -> Result<Vec<PositionStatus>, SinkError> {
    let sql = "SELECT input, topic, \"partition\", first_offset, replay_offset, next_offset, largest_ms,
                   pending_ms, pending_age, head_since_ms, log_id
               FROM telemetra.position WHERE job = $1";
    let mut positions = db.list(sql, &[Arg::Text(job)], |row| {
        Ok(PositionStatus {
            input: row.text(0)?,
            topic: row.text_or_null(1)?,
            partition: row.uint32(2, "partition")?,
            // What cannot be read halts a run, not who only looks.
            log_id: row.text_or_null(10)?.as_deref().and_then(text::parse_log_id),
            first: row.uint(3, "first_offset")?,
            replay: row.uint(4, "replay_offset")?,
            next: row.uint(5, "next_offset")?,
            clock: PartitionClock {
                largest_ms: row.int_or_null(6)?,
                pending_ms: row.int_or_null(7)?,
                pending_age: row.uint32(8, "pending_age")?,
            },
            head_since_ms: row.int_or_null(9)?,
        })
    })?;
    positions.sort_by(|a, b| a.input.cmp(&b.input).then(a.partition.cmp(&b.partition)));
    Ok(positions)
}

/// The latest batches of a job, latest first.
pub(super) fn batches(db: &mut dyn Snapshot, job: &str, limit: usize) -> Result<Vec<BatchStatus>, SinkError> {
    let sql = "SELECT batch_id, kind, planned_at, committed_at, watermark_ms, records, empty, counted,
                   in_windows, late, dead, window_misses, rows_written, final_rows, accepted, duplicates, conflicts,
                   refused
               FROM telemetra.batch WHERE job = $1 ORDER BY batch_id DESC LIMIT $2";
    db.list(sql, &[Arg::Text(job), page(limit)?], |row| {
        let number = |column: usize| row.uint(column, "a sum of a batch");
        Ok(BatchStatus {
            batch_id: number(0)?,
            kind: row.text(1)?,
            planned_at_ms: row.instant(2)?,
            committed_at_ms: row.instant(3)?,
            watermark: row.int_or_null(4)?.into(),
            tally: Tally {
                records: number(5)?,
                empty: number(6)?,
                counted: number(7)?,
                in_windows: number(8)?,
                late: number(9)?,
                dead: number(10)?,
                window_misses: number(11)?,
            },
            applied: applied(row, 14)?,
            rows_written: number(12)?,
            final_rows: number(13)?,
        })
    })
}
