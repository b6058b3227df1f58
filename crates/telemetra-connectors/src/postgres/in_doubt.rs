//! What became of a COMMIT whose answer was lost (RELIABILITY §1.5).
//!
//! Never guessed: behind the lock of the job row a COMMIT under way has ended, and the batch row says whose attempt is
//! stored. Writes nothing.

use std::time::Duration;

use telemetra_core::mutant::{self, Mutant};
use telemetra_engine::{
    ids::AttemptId,
    sink::{Applied, SinkError},
};

use super::{
    Job,
    failure::Failure,
    flight::{Statement, fly, one},
    session::Session,
    values::int,
};

/// Longest wait for what has become of a COMMIT.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(15);

/// Begins to ask: waits for a COMMIT under way to end.
pub(super) const BEGIN_ASKING: &str =
    "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// See [`telemetra_engine::sink::Sink::was_applied`]. Behind the lock of the job row a COMMIT under way has ended.
pub(super) fn was_applied(
    session: &Session,
    job: &Job,
    epoch: u64,
    batch_id: u64,
    attempt: AttemptId,
) -> Result<Option<Applied>, Failure> {
    let number = int(batch_id)?;
    let lock = lock_or_not("SELECT epoch, last_batch FROM telemetra.job WHERE job = $1");
    let stored = "SELECT attempt, accepted, duplicates, conflicts, refused FROM telemetra.batch
        WHERE job = $1 AND batch_id = $2";
    let replies = session.run(ASK_LIMIT, async |client| {
        let locked = Statement::new(&lock).text(&job.name);
        // Not in the same flight: the question is asked once the lock is held.
        let locked = fly(client, BEGIN_ASKING, vec![locked]).await?;
        let found = one(client, Statement::new(stored).text(&job.name).int(&number)).await?;
        client.batch_execute("ROLLBACK").await?;
        Ok((locked, found))
    });
    let (locked, found) = replies?;
    let Some(row) = locked[0].rows.first() else {
        return Err(Failure::halt(format!("job {} has no row any more: restore a backup", job.name)));
    };
    let (stored, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let batch = found.rows.first();
    let found: Option<String> = batch.map(|row| row.try_get(0)).transpose()?;
    if stored != int(epoch)? {
        let text = format!("job {} is at epoch {stored}, this instance has {epoch}", job.name);
        return Err(SinkError::Fenced(text).into());
    }
    match (found, batch) {
        (Some(found), Some(row)) if found == attempt.to_string() => {
            let sum = |at: usize| -> Result<u64, Failure> { Ok(row.try_get::<_, i64>(at)?.unsigned_abs()) };
            let (accepted, duplicates, conflicts, refused) = (sum(1)?, sum(2)?, sum(3)?, sum(4)?);
            Ok(Some(Applied { accepted, duplicates, conflicts, refused }))
        }
        (None, _) if last == number - 1 => Ok(None),
        (found, _) => Err(SinkError::Fenced(format!(
            "job {} stands at batch {last} at our epoch, and batch {batch_id} is not ours (attempt {}, ours \
             {attempt}): the store was restored or failed over; start again, it goes on from what is stored",
            job.name,
            found.as_deref().unwrap_or("none")
        ))
        .into()),
    }
}

/// `sql` with the lock, without which a COMMIT under way is not waited for (RELIABILITY §0.1).
pub(super) fn lock_or_not(sql: &str) -> String {
    if mutant::is(Mutant::PlainSelect) { sql.to_owned() } else { format!("{sql} FOR UPDATE") }
}
