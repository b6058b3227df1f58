//! What the audit compares piece by piece beyond the sums: rows by batch, moments by row, files by offset.
//!
//! A change that leaves every sum as it was shows here.

use rusqlite::{Connection, params};
use telemetra_engine::audit::{Clause, Report, Side};

use super::{
    connection::{Failure, uint},
    reader,
};

/// A job of which batches, positions or results are there must have its job row.
pub(super) fn check_job_row(name: &str, has_row: bool, report: &mut Report) {
    let rows = Side::new(i64::from(has_row), "job rows");
    report.compare(Clause::Totals, || format!("job {name}"), rows, Side::new(1, "needed"));
}

/// Final rows name the batch that made them final, so each batch's share is there as it said.
pub(super) fn check_rows_by_batch(db: &Connection, job: &str, report: &mut Report) -> Result<(), Failure> {
    let sql = "WITH made AS (
                   SELECT batch_id, count(*) rows, sum(chat_count) count FROM chat_summary_minute
                   WHERE is_final GROUP BY batch_id)
               SELECT b.batch_id, coalesce(m.rows, 0), b.final_rows, coalesce(m.count, 0), b.final_count
               FROM telemetra_batch b LEFT JOIN made m USING (batch_id) WHERE b.job = ?1 ORDER BY b.batch_id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([job])?;
    while let Some(row) = rows.next()? {
        let batch: i64 = row.get(0)?;
        let place = || format!("batch {batch}");
        let (found, said): (i64, i64) = (row.get(1)?, row.get(2)?);
        let said = Side::new(said, "rows that it made final");
        report.compare(Clause::FinalRows, place, Side::new(found, "final rows of the batch"), said);
        let (found, said): (i64, i64) = (row.get(3)?, row.get(4)?);
        let said = Side::new(said, "count that it made final");
        report.compare(Clause::FinalRows, place, Side::new(found, "chat_count of its final rows"), said);
    }
    Ok(())
}

/// A moment says of its window what the window's row says.
pub(super) fn check_moments(db: &Connection, report: &mut Report) -> Result<(), Failure> {
    let sql = "SELECT count(*) FROM moments m JOIN chat_summary_minute w
                   ON w.stream_id = m.stream_id AND w.window_start = m.timestamp
               WHERE m.moment_type = 'chat_spike' AND (m.intensity IS NOT w.chat_rate
                   OR json_extract(m.metadata, '$.chat_count') IS NOT w.chat_count
                   OR json_extract(m.metadata, '$.z_score') IS NOT w.z_score)";
    let differing: i64 = db.query_row(sql, [], |row| row.get(0))?;
    let differing = Side::new(differing, "moments that differ from their row");
    report.compare(Clause::Moments, || "moments".into(), differing, Side::new(0, "allowed"));
    Ok(())
}

/// Open windows have something to be replayed from, and the recorded files of a folder hold all that was read.
pub(super) fn check_files(
    db: &Connection,
    job: &str,
    open_count: i64,
    report: &mut Report,
) -> Result<(), Failure> {
    let positions = reader::positions(db, job)?;
    let replayed: u64 = positions.iter().map(|at| at.next.saturating_sub(at.replay)).sum();
    let needed = Side::new(i64::from(open_count > 0), "offsets that open windows need at least");
    report.at_most(
        Clause::Positions,
        || format!("job {job}"),
        needed,
        Side::new(replayed, "offsets to replay"),
    );
    let sql = "SELECT first_offset, records FROM telemetra_file
               WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 ORDER BY seq";
    let mut statement = db.prepare(sql)?;
    let passed = "SELECT coalesce(max(to_offset), 0) FROM telemetra_gap
                  WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND NOT in_replay";
    for at in positions.iter().filter(|at| at.topic.is_none() && at.next > at.first) {
        let place = || format!("partition {}/{}, files", at.input, at.partition);
        let mut end = at.first;
        let mut rows = statement.query(params![job, at.input, at.partition])?;
        while let Some(row) = rows.next()? {
            let first = uint(row.get(0)?, "first_offset")?;
            let begins = Side::new(first, "first offset of a file");
            report.compare(Clause::Tiling, place, begins, Side::new(end, "end of the file before"));
            end = first + uint(row.get(1)?, "records")?;
        }
        let passed: i64 = db.query_row(passed, params![job, at.input, at.partition], |row| row.get(0))?;
        let end = Side::new(end.max(uint(passed, "to_offset")?), "end of the last file or gap");
        report.at_most(Clause::Tiling, place, Side::new(at.next, "next offset"), end);
    }
    Ok(())
}
