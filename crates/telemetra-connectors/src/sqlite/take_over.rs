//! Taking a job over: a new epoch, and where the job stands, read under the write lock.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};
use telemetra_engine::{sink::Recovered, source::Input};

use super::{
    Job,
    connection::{Failure, int},
    snapshot::SqliteSnapshot,
    text,
};
use crate::ledger::recover;

/// See [`telemetra_engine::sink::Sink::take_over`]. `path` is the file, for people.
pub(super) fn take_over(
    db: &mut Connection,
    path: &Path,
    job: &Job,
    inputs: &[Input],
    meaning: &str,
    now_ms: i64,
) -> Result<Recovered, Failure> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    super::migrate::check(&tx)?;
    let now = text::instant(now_ms);
    claim_tables(&tx, job, &now)?;
    let holder = format!("process {}", std::process::id());
    let stored = recover::stands(&mut SqliteSnapshot::within(&tx, path), &job.name, job.pipeline, inputs)?;
    let recovered = match stored {
        None => {
            create(&tx, job, meaning, &holder, &now)?;
            Recovered { epoch: 1, ..recover::nothing() }
        }
        Some(stored) => {
            let epoch = stored.epoch + 1;
            let sql =
                "UPDATE telemetra_job SET epoch = ?2, holder = ?3, status = 'running', halt_cause = NULL,
                           updated_at = ?4 WHERE job = ?1";
            tx.execute(sql, params![job.name, int(epoch)?, holder, now])?;
            Recovered { epoch, ..stored }
        }
    };
    tx.commit()?;
    Ok(recovered)
}

/// A result table belongs to one job.
fn claim_tables(db: &Connection, job: &Job, now: &str) -> Result<(), Failure> {
    for table in job.pipeline.tables() {
        let insert = "INSERT INTO telemetra_result_table VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        db.execute(insert, params![table, job.name, now])?;
        let owner = "SELECT job FROM telemetra_result_table WHERE name = ?1";
        let owner: String = db.query_row(owner, [table], |row| row.get(0))?;
        if owner != job.name {
            return Err(Failure::halt(format!(
                "table {table} belongs to job {owner}, and a table has one job: run --job {owner}, \
                 or give job {} another --store",
                job.name
            )));
        }
    }
    Ok(())
}

fn create(db: &Connection, job: &Job, meaning: &str, holder: &str, now: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra_job (job, pipeline, epoch, holder, last_batch, open_digest, open_count,
                   meaning, length_ms, slide_ms, records, late, dead, in_windows, window_misses, final_count,
                   final_rows, status, created_at, updated_at)
               VALUES (?1, ?7, 1, ?2, 0, 0, 0, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 'running', ?6, ?6)";
    let (length_ms, slide_ms) = job.pipeline.lengths_ms();
    let values = params![job.name, holder, meaning, length_ms, slide_ms, now, job.pipeline.name()];
    db.execute(sql, values)?;
    Ok(())
}
