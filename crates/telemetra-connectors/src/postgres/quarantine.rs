//! Refused records: marked as exported, tried again. A replay takes the job row's lock, as batches do.

use telemetra_core::commerce::{classify::Stored, rows::CommerceRows};
use telemetra_engine::sink::SinkError;
use tokio_postgres::{SimpleQueryMessage, types::Type};

use super::{
    Address,
    commerce_rows::insert_all,
    failure::Failure,
    flight::{Statement, fly, one},
    migrate,
    session::Session,
    sink::{ASK_LIMIT, now_ms},
    values::{Ms, int},
};
use crate::ledger::{
    Quarantine, Replayed,
    intake::Intake,
    quarantine::{QuarantineStore, came_to},
};

/// What the server shows as the application's name.
const NAME: &str = "telemetra quarantine";

/// Opens the quarantine of the store at `address`, which must have this program's schema.
///
/// # Errors
/// `Halt` without such a store, `NotApplied` when it cannot be reached now.
pub fn open_quarantine(address: &Address) -> Result<Quarantine, SinkError> {
    let quarantine = PgQuarantine { address: address.clone() };
    quarantine.with(|_| Ok(()))?;
    Ok(Quarantine::new(quarantine))
}

#[derive(Debug)]
struct PgQuarantine {
    address: Address,
}

impl PgQuarantine {
    /// Runs `work` on a connection of its own; whatever it leaves open ends with that.
    fn with<T>(&self, work: impl FnOnce(&Session) -> Result<T, Failure>) -> Result<T, SinkError> {
        let run = || {
            let session = Session::open(&self.address, NAME)?;
            session.run(ASK_LIMIT, migrate::check)?;
            work(&session)
        };
        run().map_err(Failure::into_sink_error)
    }
}

impl QuarantineStore for PgQuarantine {
    fn mark_exported(&mut self, job: &str, batch_id: u64) -> Result<(), SinkError> {
        let sql = "UPDATE telemetra.export SET exported_at = coalesce(exported_at, $3)
                   WHERE job = $1 AND batch_id = $2";
        self.with(|session| {
            let (number, now) = (int(batch_id)?, Ms(now_ms()));
            let statement = Statement::new(sql).text(&job).int(&number).instant(&now);
            let marked = session.run(ASK_LIMIT, async |client| one(client, statement).await)?;
            match marked.affected {
                1 => Ok(()),
                _ => Err(Failure::halt(format!("batch {batch_id} of job {job} put nothing into quarantine"))),
            }
        })
    }

    fn replay(&mut self, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, SinkError> {
        self.with(|session| replay(session, job, rows))
    }
}

/// Begins a replay: as a batch, it waits for the batch under way.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '30s'";

fn replay(session: &Session, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, Failure> {
    let lock = "SELECT pipeline FROM telemetra.job WHERE job = $1 FOR UPDATE";
    let lock = vec![Statement::new(lock).text(&job)];
    let locked = session.run(ASK_LIMIT, async |client| fly(client, BEGIN, lock).await)?;
    let pipeline: Option<String> = locked[0].rows.first().map(|row| row.try_get(0)).transpose()?;
    if pipeline.as_deref() != Some("commerce") {
        return Err(Failure::halt(format!("there is no commerce job {job} in the store")));
    }
    let kept = kept(session, job, rows)?;
    let known = |kept: &Kept| if kept.is_some() { Stored::Unknown } else { Stored::Refused };
    let stored = kept.iter().map(known).collect();
    let mut intake = Intake::new(rows, stored);
    insert_all(session, &mut intake, |number, _| {
        let (batch_id, topic) = kept[number].as_ref().expect("what is not in quarantine is not pending");
        (*batch_id, topic.as_deref())
    })?;
    let batches: Vec<_> = kept.iter().map(|kept| kept.as_ref().map(|(batch_id, _)| *batch_id)).collect();
    let replayed = came_to(&intake, &batches);
    let accepted = rows.iter().zip(&replayed).filter(|(_, came_to)| **came_to == Replayed::Accepted);
    let mut places = accepted.map(|(candidate, _)| (candidate.origin.partition.1, candidate.origin.offset));
    mark_replayed(session, job, places.clone())?;
    let first = places.next();
    commit(session, job, first)?;
    Ok(replayed)
}

/// Batch and topic of a record in quarantine.
type Kept = Option<(i64, Option<String>)>;

/// Batch and topic of each record that is in quarantine and was not replayed.
fn kept(session: &Session, job: &str, rows: &CommerceRows) -> Result<Vec<Kept>, Failure> {
    let sql = "SELECT v.place, r.batch_id, r.topic
        FROM unnest($2, $3) WITH ORDINALITY AS v (partition, at, place)
        JOIN rejected_events r ON r.job = $1 AND r.partition = v.partition AND r.\"offset\" = v.at
        WHERE r.replayed_at IS NULL";
    let partitions: Vec<i64> = rows.iter().map(|candidate| candidate.origin.partition.1.into()).collect();
    let offsets = rows.iter().map(|candidate| int(candidate.origin.offset));
    let offsets = offsets.collect::<Result<Vec<i64>, Failure>>()?;
    let statement =
        Statement::new(sql).text(&job).arg(&partitions, Type::INT8_ARRAY).arg(&offsets, Type::INT8_ARRAY);
    let reply = session.run(ASK_LIMIT, async |client| one(client, statement).await)?;
    let mut kept = vec![None; partitions.len()];
    for row in &reply.rows {
        let place: i64 = row.try_get(0)?;
        let found = usize::try_from(place - 1).ok().and_then(|place| kept.get_mut(place));
        *found.expect("an ordinality counts what was given") = Some((row.try_get(1)?, row.try_get(2)?));
    }
    Ok(kept)
}

fn mark_replayed(
    session: &Session,
    job: &str,
    places: impl Iterator<Item = (u32, u64)>,
) -> Result<(), Failure> {
    let sql = "UPDATE rejected_events r SET replayed_at = $4 FROM unnest($2, $3) AS v (partition, at)
        WHERE r.job = $1 AND r.partition = v.partition AND r.\"offset\" = v.at AND r.replayed_at IS NULL";
    let (mut partitions, mut offsets) = (Vec::new(), Vec::new());
    for (partition, offset) in places {
        partitions.push(i64::from(partition));
        offsets.push(int(offset)?);
    }
    let now = Ms(now_ms());
    let statement = Statement::new(sql)
        .text(&job)
        .arg(&partitions, Type::INT8_ARRAY)
        .arg(&offsets, Type::INT8_ARRAY)
        .instant(&now);
    let marked = session.run(ASK_LIMIT, async |client| one(client, statement).await)?;
    if marked.affected == partitions.len() as u64 {
        return Ok(());
    }
    Err(Failure::halt("a record in quarantine is given twice; nothing was replayed"))
}

/// Commits, and reads the first replayed record back behind it: a COMMIT that became a rollback is no error.
fn commit(session: &Session, job: &str, first: Option<(u32, u64)>) -> Result<(), Failure> {
    let Some((partition, offset)) = first else {
        return session.run(ASK_LIMIT, async |client| Ok(client.batch_execute("ROLLBACK").await?));
    };
    let job = job.replace('\'', "''");
    let sql = format!(
        "COMMIT; SELECT 1 FROM rejected_events WHERE job = '{job}' AND partition = {partition} AND \"offset\" = {offset}
             AND replayed_at IS NOT NULL"
    );
    let sent = session.run_uncancelled(ASK_LIMIT, async |client| Ok(client.simple_query(&sql).await?));
    match sent {
        Ok(answers) if answers.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(_))) => Ok(()),
        Ok(_) => Err(SinkError::NotApplied("PostgreSQL rolled the replay back".into()).into()),
        Err(failure) => Err(SinkError::InDoubt(format!("COMMIT of a replay was sent: {failure}")).into()),
    }
}
