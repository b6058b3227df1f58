//! Refused records: marked as exported, tried again. Under the write lock, which batches take too.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use telemetra_core::commerce::{classify::Stored, rows::CommerceRows};
use telemetra_engine::sink::SinkError;

use super::{
    commerce_rows,
    connection::{self, Failure, describe, int, is_busy},
    migrate, now_ms, text,
};
use crate::ledger::{
    Quarantine, Replayed,
    intake::Intake,
    quarantine::{QuarantineStore, came_to},
};

/// Opens the quarantine of the store at `path`, which must exist and have this program's schema.
///
/// # Errors
/// `Halt` without such a store, `NotApplied` when it cannot be written now.
pub fn open_quarantine(path: &Path) -> Result<Quarantine, SinkError> {
    let check = || migrate::check(&connection::open_reader(path)?);
    check().map_err(|failure: Failure| failure.into_sink_error(path))?;
    Ok(Quarantine::new(SqliteQuarantine { path: path.to_owned() }))
}

#[derive(Debug)]
struct SqliteQuarantine {
    path: PathBuf,
}

impl SqliteQuarantine {
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T, SinkError> {
        let run = || work(&mut connection::open_writer(&self.path)?);
        run().map_err(|failure| failure.into_sink_error(&self.path))
    }
}

impl QuarantineStore for SqliteQuarantine {
    fn mark_exported(&mut self, job: &str, batch_id: u64) -> Result<(), SinkError> {
        let sql = "UPDATE telemetra_export SET exported_at = coalesce(exported_at, ?3)
                   WHERE job = ?1 AND batch_id = ?2";
        self.with(|db| {
            let marked = db.execute(sql, params![job, int(batch_id)?, text::instant(now_ms())])?;
            if marked == 1 { Ok(()) } else { Err(no_export(job, batch_id)) }
        })
    }

    fn replay(&mut self, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, SinkError> {
        self.with(|db| replay(db, job, rows))
    }
}

fn no_export(job: &str, batch_id: u64) -> Failure {
    Failure::halt(format!("batch {batch_id} of job {job} put nothing into quarantine"))
}

fn replay(db: &mut Connection, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, Failure> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT pipeline FROM telemetra_job WHERE job = ?1";
    let pipeline: Option<String> = tx.query_row(sql, [job], |row| row.get(0)).optional()?;
    if pipeline.as_deref() != Some("commerce") {
        return Err(Failure::halt(format!("there is no commerce job {job} in the store")));
    }
    let kept = kept(&tx, job, rows)?;
    let known = |kept: &Option<Pending>| if kept.is_some() { Stored::Unknown } else { Stored::Refused };
    let stored = kept.iter().map(known).collect();
    let now = text::instant(now_ms());
    let mut intake = Intake::new(rows, stored);
    commerce_rows::insert(&tx, &mut intake, &now, |number, _| {
        let (batch_id, topic) = kept[number].as_ref().expect("what is not in quarantine is not pending");
        (*batch_id, topic.as_deref())
    })?;
    let batches: Vec<_> = kept.iter().map(|kept| kept.as_ref().map(|(batch_id, _)| *batch_id)).collect();
    let replayed = came_to(&intake, &batches);
    let sql = "UPDATE rejected_events SET replayed_at = ?4
               WHERE job = ?1 AND \"partition\" = ?2 AND \"offset\" = ?3 AND replayed_at IS NULL";
    for (candidate, _) in rows.iter().zip(&replayed).filter(|(_, came)| **came == Replayed::Accepted) {
        let (partition, offset) = (candidate.origin.partition.1, int(candidate.origin.offset)?);
        if tx.prepare_cached(sql)?.execute(params![job, partition, offset, now])? != 1 {
            return Err(Failure::halt(format!("offset {offset} of partition {partition} is given twice")));
        }
    }
    tx.commit().map_err(|error| {
        let text = format!("COMMIT of a replay: {}", describe(&error));
        Failure::Stop(if is_busy(&error) { SinkError::NotApplied(text) } else { SinkError::InDoubt(text) })
    })?;
    Ok(replayed)
}

/// The batch that refused a record, and its Kafka topic.
type Pending = (i64, Option<String>);

/// Batch and topic of each record that is in quarantine and was not replayed.
fn kept(db: &Connection, job: &str, rows: &CommerceRows) -> Result<Vec<Option<Pending>>, Failure> {
    let sql = "SELECT batch_id, topic FROM rejected_events
               WHERE job = ?1 AND \"partition\" = ?2 AND \"offset\" = ?3 AND replayed_at IS NULL";
    let mut statement = db.prepare_cached(sql)?;
    rows.iter()
        .map(|candidate| {
            let key = params![job, candidate.origin.partition.1, int(candidate.origin.offset)?];
            Ok(statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
        .collect()
}
