//! One batch, one transaction (RELIABILITY §1.3).
//!
//! The job row moves first and only from the epoch and batch that this instance knows, so whoever was
//! overtaken writes nothing. The law of counts is checked on the new totals before COMMIT: a batch that would
//! break it is rolled back.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use telemetra_core::{chat::rows::ChatRows, watermark::Watermark};
use telemetra_engine::{
    audit::{self, Clause, Imbalance, Report, Side},
    ids::AttemptId,
    sink::{Commit, SinkError, Tally, Totals},
};

use super::{
    Held, Job,
    chat_rows::{self, Written},
    connection::{Failure, describe, int, is_busy},
    ledger, text,
};

/// See [`telemetra_engine::sink::Sink::commit`].
pub(super) fn commit(
    db: &mut Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<ChatRows>,
    now_ms: i64,
) -> Result<(), Failure> {
    audit::check_commit(commit).map_err(|imbalance| refuse(commit.batch_id, &imbalance))?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    write(&tx, job, held, commit, &text::instant(now_ms))?;
    tx.commit().map_err(|error| {
        let text = format!("COMMIT of batch {}: {}", commit.batch_id, describe(&error));
        // Only a lock held by another is known to have written nothing.
        let stop = if is_busy(&error) { SinkError::NotApplied(text) } else { SinkError::InDoubt(text) };
        Failure::Stop(stop)
    })
}

fn refuse(batch_id: u64, imbalance: &Imbalance) -> Failure {
    Failure::halt(format!("batch {batch_id} does not add up and was not written: {imbalance}"))
}

/// All of a batch but its COMMIT.
pub(super) fn write(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<ChatRows>,
    now: &str,
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    commit.ranges.iter().for_each(|range| tally.add(&range.tally));
    check_watermark_before(db, job, held, commit)?;
    let totals = move_job(db, job, held, commit, &tally, now)?;
    ledger::move_positions(db, &job.name, held, commit)?;
    ledger::insert_refused(db, &job.name, held, commit)?;
    ledger::upsert_segments(db, &job.name, held, commit)?;
    let written = chat_rows::write(db, &commit.rows, commit.close_early, commit.batch_id, now)?;
    let final_rows = "UPDATE telemetra_job SET final_rows = final_rows + ?2 WHERE job = ?1";
    db.prepare_cached(final_rows)?.execute(params![job.name, int(written.final_rows)?])?;
    insert_batch(db, job, held, commit, &tally, &written, now)?;
    ledger::insert_ranges(db, &job.name, held, commit)?;
    check_law(job, commit, totals, &written)
}

/// The watermark that judged this batch must be the one committed before it.
fn check_watermark_before(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<ChatRows>,
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
fn move_job(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<ChatRows>,
    tally: &Tally,
    now: &str,
) -> Result<Totals, Failure> {
    let sql = "UPDATE telemetra_job SET last_batch = ?3, watermark_ms = ?4, open_end_ms = ?5, open_digest = ?6,
                   open_count = ?7, meaning = coalesce(?8, meaning), records = records + ?9, late = late + ?10,
                   dead = dead + ?11, in_windows = in_windows + ?12, window_misses = window_misses + ?13,
                   final_count = final_count + ?14, updated_at = ?15
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
    ];
    let totals = db.prepare_cached(sql)?.query_row(values, |row| {
        Ok(Totals { in_windows: row.get(0)?, window_misses: row.get(1)?, final_count: row.get(2)? })
    });
    totals.optional()?.ok_or_else(|| fenced(job, held, commit.batch_id))
}

fn insert_batch(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<ChatRows>,
    tally: &Tally,
    written: &Written,
    now: &str,
) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra_batch
                   (job, batch_id, attempt, epoch, kind, planned_at, committed_at, watermark_before_ms,
                    watermark_ms, open_end_ms, open_digest, open_count, records, empty, counted, in_windows,
                    late, dead, window_misses, early_misses, final_count, final_rows, rows_written, moments)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22, ?23, ?24)";
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
        int(written.final_rows)?,
        int(written.rows)?,
        int(written.moments)?,
    ])?;
    Ok(())
}

/// What was written must be what the batch says, and the law of counts must hold with it.
fn check_law(job: &Job, commit: &Commit<ChatRows>, totals: Totals, written: &Written) -> Result<(), Failure> {
    let mut report = Report::new(&job.name);
    let place = || format!("batch {}", commit.batch_id);
    let became = Side::new(written.final_count, "count in rows made final");
    report.compare(
        Clause::FinalRows,
        place,
        became,
        Side::new(commit.final_count, "final count of the batch"),
    );
    let counted = i128::from(totals.final_count) + i128::from(commit.open_count);
    audit::check_counts(&mut report, place, job.window, totals, counted);
    report.imbalances().next().map_or(Ok(()), |imbalance| Err(refuse(commit.batch_id, imbalance)))
}

/// See [`telemetra_engine::sink::Sink::was_applied`]. The write lock makes a commit under way finish first.
pub(super) fn was_applied(
    db: &mut Connection,
    job: &Job,
    epoch: u64,
    batch_id: u64,
    attempt: AttemptId,
) -> Result<bool, Failure> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT epoch, last_batch FROM telemetra_job WHERE job = ?1";
    let (stored, last): (i64, i64) = tx.query_row(sql, [&job.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT attempt FROM telemetra_batch WHERE job = ?1 AND batch_id = ?2";
    let key = params![job.name, int(batch_id)?];
    let found: Option<String> = tx.query_row(sql, key, |row| row.get(0)).optional()?;
    if stored != int(epoch)? {
        let text = format!("job {} is at epoch {stored}, this instance has {epoch}", job.name);
        return Err(SinkError::Fenced(text).into());
    }
    match found {
        Some(found) if found == attempt.to_string() => Ok(true),
        None if last == int(batch_id)? - 1 => Ok(false),
        _ => Err(Failure::halt(format!(
            "batch {batch_id} of job {} was committed by attempt {}, not by ours ({attempt}), at the same epoch: \
             see `telemetra audit`",
            job.name,
            found.as_deref().unwrap_or("none")
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
