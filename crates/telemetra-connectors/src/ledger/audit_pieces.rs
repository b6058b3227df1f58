//! What the audit compares piece by piece beyond the sums: rows by batch, moments by row, files by offset.
//!
//! A change that leaves every sum as it was shows here.

use telemetra_engine::{
    audit::{Clause, Report, Side},
    sink::SinkError,
};

use super::{Arg, Row, Snapshot, status, uint};

/// A job of which batches, positions or results are there must have its job row.
pub(super) fn check_job_row(name: &str, has_row: bool, report: &mut Report) {
    let rows = Side::new(i64::from(has_row), "job rows");
    report.compare(Clause::Totals, || format!("job {name}"), rows, Side::new(1, "needed"));
}

/// Final rows name the batch that made them final, so each batch's share is there as it said.
pub(super) fn check_rows_by_batch(
    db: &mut dyn Snapshot,
    job: &str,
    report: &mut Report,
) -> Result<(), SinkError> {
    let sql = "WITH made AS (
                   SELECT batch_id, count(*) AS row_count, CAST(sum(chat_count) AS bigint) AS chat_sum
                   FROM chat_summary_minute WHERE is_final AND batch_id IS NOT NULL GROUP BY batch_id)
               SELECT b.batch_id, coalesce(m.row_count, 0), b.final_rows, coalesce(m.chat_sum, 0), b.final_count
               FROM telemetra.batch b LEFT JOIN made m ON m.batch_id = b.batch_id
               WHERE b.job = $1 ORDER BY b.batch_id";
    db.each(sql, &[Arg::Text(job)], &mut |row| {
        let [batch, rows, said_rows, count, said_count] = row.ints(0)?;
        let place = || format!("batch {batch}");
        let said = Side::new(said_rows, "rows that it made final");
        report.compare(Clause::FinalRows, place, Side::new(rows, "final rows of the batch"), said);
        let said = Side::new(said_count, "count that it made final");
        report.compare(Clause::FinalRows, place, Side::new(count, "chat_count of its final rows"), said);
        Ok(())
    })
}

/// A moment says of its window what the window's row says, and both are of the same batch.
pub(super) fn check_moments(db: &mut dyn Snapshot, report: &mut Report) -> Result<(), SinkError> {
    let sql = "SELECT m.intensity, w.chat_rate, m.batch_id, w.batch_id, w.chat_count, w.z_score,
                   m.metadata -> 'chat_count' AS said_count, m.metadata -> 'z_score' AS said_z_score
               FROM moments m JOIN chat_summary_minute w
                   ON w.stream_id = m.stream_id AND w.window_start = m.timestamp
               WHERE m.moment_type = 'chat_spike' AND m.batch_id IS NOT NULL";
    let mut differing = 0_u64;
    db.each(sql, &[], &mut |row| {
        differing += u64::from(!says_the_same(row)?);
        Ok(())
    })?;
    let differing = Side::new(differing, "moments that differ from their row");
    report.compare(Clause::Moments, || "moments".into(), differing, Side::new(0, "allowed"));
    Ok(())
}

fn says_the_same(row: &Row) -> Result<bool, SinkError> {
    // A number that JSON does not hold is as good as another one.
    let said = |column| Ok::<_, SinkError>(row.text_or_null(column)?.unwrap_or_default());
    let (count, z_score): (Option<i64>, Option<f64>) = (said(6)?.parse().ok(), said(7)?.parse().ok());
    Ok(row.real_or_null(0)? == row.real_or_null(1)?
        && row.int_or_null(2)? == row.int_or_null(3)?
        && count == row.int_or_null(4)?
        && z_score == row.real_or_null(5)?)
}

/// Open windows have something to be replayed from, and the recorded files of a folder hold all that was read.
pub(super) fn check_files(
    db: &mut dyn Snapshot,
    job: &str,
    open_count: i64,
    report: &mut Report,
) -> Result<(), SinkError> {
    let positions = status::positions(db, job)?;
    let replayed: u64 = positions.iter().map(|at| at.next.saturating_sub(at.replay)).sum();
    let needed = Side::new(i64::from(open_count > 0), "offsets that open windows need at least");
    report.at_most(
        Clause::Positions,
        || format!("job {job}"),
        needed,
        Side::new(replayed, "offsets to replay"),
    );
    let sql = "SELECT first_offset, records FROM telemetra.file
               WHERE job = $1 AND input = $2 AND \"partition\" = $3 ORDER BY seq";
    let passed = "SELECT coalesce(max(to_offset), 0) AS passed FROM telemetra.gap
                  WHERE job = $1 AND input = $2 AND \"partition\" = $3 AND NOT in_replay";
    for at in positions.iter().filter(|at| at.topic.is_none() && at.next > at.first) {
        let key = [Arg::Text(job), Arg::Text(&at.input), Arg::Int(i64::from(at.partition))];
        let place = || format!("partition {}/{}, files", at.input, at.partition);
        let mut end = at.first;
        db.each(sql, &key, &mut |row| {
            let first = row.uint(0, "first_offset")?;
            let begins = Side::new(first, "first offset of a file");
            report.compare(Clause::Tiling, place, begins, Side::new(end, "end of the file before"));
            end = first.saturating_add(row.uint(1, "records")?);
            Ok(())
        })?;
        let passed = db.one(passed, &key, |row| row.int(0))?.unwrap_or(0);
        let end = Side::new(end.max(uint(passed, "to_offset")?), "end of the last file or gap");
        report.at_most(Clause::Tiling, place, Side::new(at.next, "next offset"), end);
    }
    Ok(())
}
