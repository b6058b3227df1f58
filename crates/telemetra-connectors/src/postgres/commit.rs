//! One batch, one transaction (RELIABILITY §1.3).
//!
//! The job row is locked first and only at the epoch and batch that this instance knows, so whoever was overtaken
//! writes nothing. The ledger travels in two flights, what a pipeline's tables need in the first or between them; what
//! the answers say is checked before COMMIT is sent: a batch that would break the law of counts is rolled back. COMMIT
//! brings its own proof: the attempt is read back behind it, because a COMMIT that the server turned into a rollback is
//! no error to the client library (RELIABILITY §0.2). Without an answer it is `in_doubt`.

use std::time::Duration;

use telemetra_core::{
    logic::Logic,
    mutant::{self, Mutant},
    watermark::Watermark,
};
use telemetra_engine::{
    audit,
    sink::{Applied, Commit, SinkError, Tally, Totals},
};
use tokio_postgres::Client;

use super::{
    Held, Job,
    failure::Failure,
    flight::{Reply, Statement, commit_and_ask, fly, fly_until, one},
    in_doubt::ASK_LIMIT,
    link::HOLDS,
    positions::Positions,
    ranges::{Gaps, Ranges},
    refused,
    segments::Segments,
    session::Session,
    tables::Tables,
    values::{Ms, int},
};
use crate::ledger::{Keeps, Outcome, Refused};

/// Longest wait for a flight of a batch, more than the server's own limit for one statement.
pub(super) const FLIGHT_LIMIT: Duration = Duration::from_secs(40);
/// Longest wait for the answer to COMMIT; then it is in doubt.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// Begins a batch: the server gives up before we do, and an instance that is frozen holds its lock for seconds.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// The batch of a pipeline's tables.
pub(super) type BatchOf<T> = Commit<<<T as Keeps>::Logic as Logic>::Rows>;

/// See [`telemetra_engine::sink::Sink::commit`].
pub(super) fn commit<T: Tables>(
    session: &Session,
    job: &Job,
    held: &Held,
    commit: &BatchOf<T>,
    now_ms: i64,
) -> Result<Applied, Failure> {
    audit::check_commit(commit).map_err(|imbalance| {
        let batch_id = commit.batch_id;
        Failure::halt(format!("batch {batch_id} does not add up and was not written: {imbalance}"))
    })?;
    if mutant::is(Mutant::DeadLettersOutside) && T::REFUSED == Refused::DeadLetters {
        session.run(FLIGHT_LIMIT, async |client| refused::alone(client, job, held, commit).await)?;
    }
    let applied = write::<T>(session, job, held, commit, Ms(now_ms)).map_err(Failure::of_a_batch)?;
    session.take_warnings();
    let sent = session.run_uncancelled(COMMIT_LIMIT, async |client| send_commit(client, job, commit).await);
    if mutant::is(Mutant::AcknowledgedBeforeCommit) {
        return Ok(applied);
    }
    match sent {
        Ok(true) => check_warnings(session, commit.batch_id).map(|()| applied),
        Ok(false) => Err(SinkError::NotApplied(format!(
            "PostgreSQL rolled batch {} of job {} back instead of committing it",
            commit.batch_id, job.name
        ))
        .into()),
        Err(failure) => Err(failure.at_commit(commit.batch_id).into()),
    }
}

/// A warning in reply to COMMIT leaves it in doubt: it may hold on this server alone (RELIABILITY §1.5).
fn check_warnings(session: &Session, batch_id: u64) -> Result<(), Failure> {
    match session.take_warnings().first() {
        None => Ok(()),
        Some(warning) => {
            let text = format!("batch {batch_id}, COMMIT was answered with a warning: {warning}");
            Err(SinkError::InDoubt(text).into())
        }
    }
}

/// All of a batch but its COMMIT.
fn write<T: Tables>(
    session: &Session,
    job: &Job,
    held: &Held,
    commit: &BatchOf<T>,
    now: Ms,
) -> Result<Applied, Failure> {
    let positions = Positions::new(held, commit)?;
    let segments = Segments::new(held, commit)?;
    let columns = T::columns(held, commit)?;
    let batch_id = int(commit.batch_id)?;

    let lock = "SELECT epoch, last_batch, watermark_ms FROM telemetra.job WHERE job = $1 FOR UPDATE";
    let mut first = vec![Statement::new(lock).text(&job.name)];
    positions.push(&mut first, &job.name);
    segments.push(&mut first, &job.name);
    T::push(&columns, &mut first, &job.name, &batch_id, &now);
    let flown = session.run(FLIGHT_LIMIT, async |client| fly_until(client, BEGIN, first).await);
    let (replies, failed) = flown?;
    let answered = replies.len();
    let mut replies = replies.into_iter();
    let mut next = || replies.next().expect("a flight returns one reply for each statement");

    // Before what failed is looked at: who was overtaken fails at the rows that its successor wrote.
    if answered > 0 {
        check_job(&next(), job, held, commit)?;
    }
    if answered > positions.statements() {
        positions.check(&mut next, &job.name)?;
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    session.run(FLIGHT_LIMIT, async |client| segments.check(client, &mut next, &job.name).await)?;
    let outcome = T::finish(session, &columns, &mut next, job, held, commit)?;
    let totals =
        session.run(FLIGHT_LIMIT, async |client| finish(client, job, held, commit, &outcome, now).await)?;
    outcome.check(&job.name, job.pipeline, commit, totals)?;
    Ok(outcome.applied)
}

/// The job row must be at the epoch and batch before this one, and at the watermark that judged it.
fn check_job<R>(reply: &Reply, job: &Job, held: &Held, commit: &Commit<R>) -> Result<(), Failure> {
    let Some(row) = reply.rows.first() else {
        return Err(Failure::halt(format!("job {} has no row any more: restore a backup", job.name)));
    };
    let (epoch, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let is_ours = epoch == int(held.epoch)? || mutant::is(Mutant::NoEpoch);
    if !is_ours {
        let text = format!("job {} is at epoch {epoch}, this instance has {}", job.name, held.epoch);
        return Err(SinkError::Fenced(text).into());
    }
    if last != int(commit.batch_id)? - 1 && !mutant::is(Mutant::NoCompareAndSet) {
        return Err(SinkError::Fenced(format!(
            "job {} stands at batch {last}, this instance would write {}: the store was restored or failed over; \
             start again, it goes on from what is stored",
            job.name, commit.batch_id
        ))
        .into());
    }
    let stored: Option<i64> = row.try_get(2)?;
    if Watermark::from(stored) == commit.watermark_before || mutant::is(Mutant::NoCompareAndSet) {
        return Ok(());
    }
    Err(Failure::halt(format!(
        "batch {} was judged by watermark {:?} ms, the job stands at {stored:?} ms; nothing was written",
        commit.batch_id,
        commit.watermark_before.ms()
    )))
}

/// The last flight: what is known only once the rows are written. Returns the job's totals with this batch.
async fn finish<R>(
    client: &Client,
    job: &Job,
    held: &Held,
    commit: &Commit<R>,
    outcome: &Outcome,
    now: Ms,
) -> Result<Totals, Failure> {
    let mut tally = Tally::default();
    commit.ranges.iter().for_each(|range| tally.add(&range.tally));
    let ranges = Ranges::new(held, &outcome.pieces)?;
    let gaps = Gaps::new(held, commit)?;
    let (batch_id, epoch) = (int(commit.batch_id)?, int(held.epoch)?);
    let (watermark, open_digest) = (commit.watermark.ms(), commit.open_digest.cast_signed());
    let watermark_before = commit.watermark_before.ms();
    let sums = [tally.records, tally.late, tally.dead, tally.in_windows, tally.empty, tally.counted];
    let [records, late, dead, in_windows, empty, counted] = ints(sums)?;
    let [final_rows, rows, moments] = ints([outcome.final_rows, outcome.rows, outcome.moments])?;
    let Applied { accepted, duplicates, conflicts, refused } = outcome.applied;
    let [accepted, duplicates, conflicts, refused] = ints([accepted, duplicates, conflicts, refused])?;
    let early_misses = commit.window_misses - int(tally.window_misses)?;
    let (attempt, kind, planned_at) =
        (commit.attempt.to_string(), commit.kind.as_str(), Ms(commit.planned_at_ms));

    let move_job = format!(
        "UPDATE telemetra.job SET last_batch = $3, watermark_ms = $4, open_end_ms = $5, open_digest = $6,
             open_count = $7, meaning = coalesce($8, meaning), records = records + $9, late = late + $10,
             dead = dead + $11, in_windows = in_windows + $12, window_misses = window_misses + $13,
             final_count = final_count + $14, final_rows = final_rows + $15, updated_at = $16,
             accepted = accepted + $17, duplicates = duplicates + $18, conflicts = conflicts + $19,
             refused = refused + $20, start_ms = $21, {HOLDS}
         WHERE job = $1 AND {} AND {} RETURNING in_windows, window_misses, final_count",
        if mutant::is(Mutant::NoEpoch) { "$2::bigint IS NOT NULL" } else { "epoch = $2" },
        if mutant::is(Mutant::NoCompareAndSet) { "true" } else { "last_batch = $3 - 1" },
    );
    let mut second = vec![
        Statement::new(&move_job)
            .text(&job.name)
            .int(&epoch)
            .int(&batch_id)
            .int(&watermark)
            .int(&commit.open_end_ms)
            .int(&open_digest)
            .int(&commit.open_count)
            .text(&commit.new_meaning)
            .int(&records)
            .int(&late)
            .int(&dead)
            .int(&in_windows)
            .int(&commit.window_misses)
            .int(&commit.final_count)
            .int(&final_rows)
            .instant(&now)
            .int(&accepted)
            .int(&duplicates)
            .int(&conflicts)
            .int(&refused)
            .int(&commit.start_ms),
        Statement::new(INSERT_BATCH)
            .text(&job.name)
            .int(&batch_id)
            .text(&attempt)
            .int(&epoch)
            .text(&kind)
            .instant(&planned_at)
            .instant(&now)
            .int(&watermark_before)
            .int(&watermark)
            .int(&commit.open_end_ms)
            .int(&open_digest)
            .int(&commit.open_count)
            .int(&records)
            .int(&empty)
            .int(&counted)
            .int(&in_windows)
            .int(&late)
            .int(&dead)
            .int(&commit.window_misses)
            .int(&early_misses)
            .int(&commit.final_count)
            .int(&final_rows)
            .int(&rows)
            .int(&moments)
            .int(&accepted)
            .int(&duplicates)
            .int(&conflicts)
            .int(&refused)
            .int(&commit.start_ms),
    ];
    ranges.push(&mut second, &job.name, &batch_id, &watermark_before);
    gaps.push(&mut second, &job.name, &batch_id);
    let replies = fly(client, "", second).await?;
    let Some(row) = replies[0].rows.first() else {
        let text = format!("job {} is no longer at epoch {epoch}, before batch {batch_id}", job.name);
        return Err(SinkError::Fenced(text).into());
    };
    Ok(Totals { in_windows: row.try_get(0)?, window_misses: row.try_get(1)?, final_count: row.try_get(2)? })
}

const INSERT_BATCH: &str = "INSERT INTO telemetra.batch
        (job, batch_id, attempt, epoch, kind, planned_at, committed_at, watermark_before_ms, watermark_ms,
         open_end_ms, open_digest, open_count, records, empty, counted, in_windows, late, dead, window_misses,
         early_misses, final_count, final_rows, rows_written, moments, accepted, duplicates, conflicts, refused, start_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
        $23, $24, $25, $26, $27, $28, $29)";

fn ints<const N: usize>(numbers: [u64; N]) -> Result<[i64; N], Failure> {
    let mut ints = [0; N];
    for (out, number) in ints.iter_mut().zip(numbers) {
        *out = int(number)?;
    }
    Ok(ints)
}

/// Sends COMMIT and asks whether this attempt is stored. `false`: it was rolled back.
async fn send_commit<R>(client: &Client, job: &Job, commit: &Commit<R>) -> Result<bool, Failure> {
    // A job's name has letters, digits, `-` and `_` only; the rest are numbers.
    let question = format!(
        "SELECT 1 FROM telemetra.batch WHERE job = '{}' AND batch_id = {} AND attempt = '{}'",
        job.name, commit.batch_id, commit.attempt
    );
    Ok(commit_and_ask(client, &question).await? || mutant::is(Mutant::RollbackIgnored))
}

/// Records why the job stopped; `None` when it runs.
pub(super) fn set_halted(
    session: &Session,
    job: &str,
    epoch: u64,
    cause: Option<&str>,
    now_ms: i64,
) -> Result<(), Failure> {
    let sql = "UPDATE telemetra.job SET status = $3, halt_cause = $4, updated_at = $5
               WHERE job = $1 AND epoch = $2";
    let status = if cause.is_some() { "halted" } else { "running" };
    let (epoch, now) = (int(epoch)?, Ms(now_ms));
    let statement = Statement::new(sql).text(&job).int(&epoch).text(&status).text(&cause).instant(&now);
    let reply = session.run(ASK_LIMIT, async |client| one(client, statement).await)?;
    if reply.affected == 1 {
        return Ok(());
    }
    Err(SinkError::Fenced(format!("job {job} is no longer at epoch {epoch}")).into())
}
