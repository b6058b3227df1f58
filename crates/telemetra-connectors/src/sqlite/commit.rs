//! One batch, one transaction (RELIABILITY §1.3).
//!
//! The job row moves first and only from the epoch and batch that this instance knows, so whoever was
//! overtaken writes nothing. The law of counts is checked on the new totals before COMMIT: a batch that would
//! break it is rolled back.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use telemetra_core::{logic::Logic, watermark::Watermark};
use telemetra_engine::{
    audit,
    ids::AttemptId,
    sink::{Applied, Commit, SinkError, Tally, Totals},
};

use super::{
    Held, Job,
    connection::{Failure, describe, int, is_busy, uint},
    ledger,
    tables::Tables,
    text,
};
use crate::ledger::{Keeps, Outcome};

/// The batch of a pipeline's tables.
pub(super) type BatchOf<T> = Commit<<<T as Keeps>::Logic as Logic>::Rows>;

/// See [`telemetra_engine::sink::Sink::commit`].
pub(super) fn commit<T: Tables>(
    db: &mut Connection,
    job: &Job,
    held: &Held,
    commit: &BatchOf<T>,
    now_ms: i64,
) -> Result<Applied, Failure> {
    audit::check_commit(commit).map_err(|imbalance| {
        let batch_id = commit.batch_id;
        Failure::halt(format!("batch {batch_id} does not add up and was not written: {imbalance}"))
    })?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = write::<T>(&tx, job, held, commit, &text::instant(now_ms))?;
    tx.commit().map_err(|error| {
        let text = format!("COMMIT of batch {}: {}", commit.batch_id, describe(&error));
        // Only a lock held by another is known to have written nothing.
        let stop = if is_busy(&error) { SinkError::NotApplied(text) } else { SinkError::InDoubt(text) };
        Failure::Stop(stop)
    })?;
    Ok(applied)
}

/// All of a batch but its COMMIT.
pub(super) fn write<T: Tables>(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &BatchOf<T>,
    now: &str,
) -> Result<Applied, Failure> {
    let mut tally = Tally::default();
    commit.ranges.iter().for_each(|range| tally.add(&range.tally));
    check_watermark_before(db, job, held, commit)?;
    let totals = move_job(db, job, held, commit, &tally, now)?;
    ledger::move_positions(db, &job.name, held, commit)?;
    ledger::upsert_segments(db, &job.name, held, commit)?;
    let outcome = T::write(db, job, held, commit, now)?;
    add_outcome(db, job, &outcome)?;
    insert_batch(db, job, held, commit, &tally, &outcome, now)?;
    ledger::insert_ranges(db, &job.name, held, commit, &outcome.pieces)?;
    outcome.check(&job.name, job.pipeline, commit, totals)?;
    Ok(outcome.applied)
}

/// Adds to the job row what is known once the rows are written.
fn add_outcome(db: &Connection, job: &Job, outcome: &Outcome) -> Result<(), Failure> {
    let sql = "UPDATE telemetra_job SET final_rows = final_rows + ?2, accepted = accepted + ?3,
                   duplicates = duplicates + ?4, conflicts = conflicts + ?5, refused = refused + ?6
               WHERE job = ?1";
    let applied = &outcome.applied;
    db.prepare_cached(sql)?.execute(params![
        job.name,
        int(outcome.final_rows)?,
        int(applied.accepted)?,
        int(applied.duplicates)?,
        int(applied.conflicts)?,
        int(applied.refused)?,
    ])?;
    Ok(())
}

/// The watermark that judged this batch must be the one committed before it.
fn check_watermark_before<R>(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<R>,
) -> Result<(), Failure> {
    let sql = "SELECT watermark_ms FROM telemetra_job WHERE job = ?1 AND epoch = ?2 AND last_batch = ?3 - 1";
    let key = params![job.name, int(held.epoch)?, int(commit.batch_id)?];
    let stored = db.prepare_cached(sql)?.query_row(key, |row| row.get::<_, Option<i64>>(0)).optional()?;
    let Some(stored) = stored else { return Err(fenced(job, held, commit.batch_id)) };
    if Watermark::from(stored) == commit.watermark_before {
        return Ok(());
    }
    Err(Failure::halt(format!(
        "batch {} was judged by watermark {:?} ms, the job stands at {stored:?} ms; nothing was written",
        commit.batch_id,
        commit.watermark_before.ms()
    )))
}

fn fenced(job: &Job, held: &Held, batch_id: u64) -> Failure {
    let text = format!("job {} is no longer at epoch {}, before batch {batch_id}", job.name, held.epoch);
    SinkError::Fenced(text).into()
}

/// Moves the job row by this batch and returns the new totals.
fn move_job<R>(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<R>,
    tally: &Tally,
    now: &str,
) -> Result<Totals, Failure> {
    let sql = "UPDATE telemetra_job SET last_batch = ?3, watermark_ms = ?4, open_end_ms = ?5, open_digest = ?6,
                   open_count = ?7, meaning = coalesce(?8, meaning), records = records + ?9, late = late + ?10,
                   dead = dead + ?11, in_windows = in_windows + ?12, window_misses = window_misses + ?13,
                   final_count = final_count + ?14, updated_at = ?15, start_ms = ?16
               WHERE job = ?1 AND epoch = ?2 AND last_batch = ?3 - 1
               RETURNING in_windows, window_misses, final_count";
    let values = params![
        job.name,
        int(held.epoch)?,
        int(commit.batch_id)?,
        commit.watermark.ms(),
        commit.open_end_ms,
        commit.open_digest.cast_signed(),
        commit.open_count,
        commit.new_meaning,
        int(tally.records)?,
        int(tally.late)?,
        int(tally.dead)?,
        int(tally.in_windows)?,
        commit.window_misses,
        commit.final_count,
        now,
        commit.start_ms,
    ];
    let totals = db.prepare_cached(sql)?.query_row(values, |row| {
        Ok(Totals { in_windows: row.get(0)?, window_misses: row.get(1)?, final_count: row.get(2)? })
    });
    totals.optional()?.ok_or_else(|| fenced(job, held, commit.batch_id))
}

fn insert_batch<R>(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<R>,
    tally: &Tally,
    outcome: &Outcome,
    now: &str,
) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra_batch
                   (job, batch_id, attempt, epoch, kind, planned_at, committed_at, watermark_before_ms,
                    watermark_ms, open_end_ms, open_digest, open_count, records, empty, counted, in_windows,
                    late, dead, window_misses, early_misses, final_count, final_rows, rows_written, moments, accepted,
                    duplicates, conflicts, refused, start_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)";
    db.prepare_cached(sql)?.execute(params![
        job.name,
        int(commit.batch_id)?,
        commit.attempt.to_string(),
        int(held.epoch)?,
        commit.kind.as_str(),
        text::instant(commit.planned_at_ms),
        now,
        commit.watermark_before.ms(),
        commit.watermark.ms(),
        commit.open_end_ms,
        commit.open_digest.cast_signed(),
        commit.open_count,
        int(tally.records)?,
        int(tally.empty)?,
        int(tally.counted)?,
        int(tally.in_windows)?,
        int(tally.late)?,
        int(tally.dead)?,
        commit.window_misses,
        commit.window_misses - int(tally.window_misses)?,
        commit.final_count,
        int(outcome.final_rows)?,
        int(outcome.rows)?,
        int(outcome.moments)?,
        int(outcome.applied.accepted)?,
        int(outcome.applied.duplicates)?,
        int(outcome.applied.conflicts)?,
        int(outcome.applied.refused)?,
        commit.start_ms,
    ])?;
    Ok(())
}

/// See [`telemetra_engine::sink::Sink::was_applied`]. The write lock makes a commit under way finish first.
pub(super) fn was_applied(
    db: &mut Connection,
    job: &Job,
    epoch: u64,
    batch_id: u64,
    attempt: AttemptId,
) -> Result<Option<Applied>, Failure> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT epoch, last_batch FROM telemetra_job WHERE job = ?1";
    let (stored, last): (i64, i64) = tx.query_row(sql, [&job.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT attempt, accepted, duplicates, conflicts, refused FROM telemetra_batch
               WHERE job = ?1 AND batch_id = ?2";
    let key = params![job.name, int(batch_id)?];
    let read =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]));
    let found: Option<(String, [i64; 4])> = tx.query_row(sql, key, read).optional()?;
    if stored != int(epoch)? {
        let text = format!("job {} is at epoch {stored}, this instance has {epoch}", job.name);
        return Err(SinkError::Fenced(text).into());
    }
    match &found {
        Some((found, [accepted, duplicates, conflicts, refused])) if *found == attempt.to_string() => {
            Ok(Some(Applied {
                accepted: uint(*accepted, "accepted")?,
                duplicates: uint(*duplicates, "duplicates")?,
                conflicts: uint(*conflicts, "conflicts")?,
                refused: uint(*refused, "refused")?,
            }))
        }
        None if last == int(batch_id)? - 1 => Ok(None),
        _ => Err(Failure::halt(format!(
            "batch {batch_id} of job {} was committed by attempt {}, not by ours ({attempt}), at the same epoch: \
             see `telemetra audit`",
            job.name,
            found.as_ref().map_or("none", |(found, _)| found)
        ))),
    }
}

/// Records why the job stopped; `None` when it runs.
pub(super) fn set_halted(
    db: &Connection,
    job: &str,
    epoch: u64,
    cause: Option<&str>,
    now_ms: i64,
) -> Result<(), Failure> {
    let sql = "UPDATE telemetra_job SET status = ?3, halt_cause = ?4, updated_at = ?5
               WHERE job = ?1 AND epoch = ?2";
    let status = if cause.is_some() { "halted" } else { "running" };
    let now = text::instant(now_ms);
    if db.execute(sql, params![job, int(epoch)?, status, cause, now])? == 1 {
        return Ok(());
    }
    Err(SinkError::Fenced(format!("job {job} is no longer at epoch {epoch}")).into())
}
