//! What the audit compares where rows are unique by an id: what became of every record, the rows, the quarantine.
//!
//! Every job is asked, so that one which should have none of it shows when it has.

use telemetra_engine::{
    audit::{self, Clause, Report, Side},
    ids::shown_partition,
    sink::{Applied, SinkError},
};

use super::{Arg, Pipeline, Snapshot, uint};

/// Every range's records became exactly one thing, and its refused ones are in the quarantine.
pub(super) fn check_ranges(
    db: &mut dyn Snapshot,
    job: &str,
    pipeline: Pipeline,
    report: &mut Report,
) -> Result<(), SinkError> {
    let sql = "SELECT r.input, r.\"partition\", r.batch_id, r.from_offset, r.to_offset, r.records, r.counted, r.dead,
                   r.accepted, r.duplicates, r.conflicts, r.quarantined,
                   (SELECT count(*) FROM rejected_events l
                    WHERE l.job = r.job AND l.\"partition\" = r.\"partition\" AND l.\"offset\" >= r.from_offset
                        AND l.\"offset\" < r.to_offset AND l.batch_id = r.batch_id)
               FROM telemetra.batch_range r WHERE r.job = $1
               ORDER BY r.input, r.\"partition\", r.from_offset";
    db.each(sql, &[Arg::Text(job)], &mut |row| {
        let (input, partition, [batch, from, to]) = (row.text(0)?, row.uint32(1, "partition")?, row.ints(2)?);
        let shown = || format!("partition {input}/{}", shown_partition(partition));
        let place = || format!("{}, batch {batch}, offsets {from}..{to}", shown());
        let [records, counted, dead] = row.ints(5)?;
        let [accepted, duplicates, conflicts, quarantined] = row.ints(8)?;
        let listed = Side::new(row.int(12)?, "rows of rejected_events");
        let refused = Side::new(conflicts + quarantined, "conflicts + quarantined");
        report.compare(Clause::Quarantine, place, listed, refused);
        let became = accepted + duplicates + conflicts + quarantined;
        let expected = if pipeline == Pipeline::Commerce { records } else { 0 };
        let became = Side::new(became, "accepted + duplicates + conflicts + quarantined");
        report.compare(Clause::Outcomes, place, became, Side::new(expected, "records with an id"));
        if pipeline == Pipeline::Commerce {
            let applied = Applied {
                accepted: uint(accepted, "accepted")?,
                duplicates: uint(duplicates, "duplicates")?,
                conflicts: uint(conflicts, "conflicts")?,
                // More refused by the rules than there are in quarantine is found above.
                refused: (quarantined - dead).max(0).unsigned_abs(),
            };
            audit::check_outcome(report, place, uint(counted, "counted")?, &applied);
        }
        Ok(())
    })
}

/// The whole quarantine, those outside every range included; every batch that put something there is to be exported.
pub(super) fn check_quarantine(
    db: &mut dyn Snapshot,
    job: &str,
    report: &mut Report,
) -> Result<(), SinkError> {
    let sql = "SELECT (SELECT count(*) FROM rejected_events WHERE job = $1) AS listed,
                   (SELECT coalesce(CAST(sum(conflicts + quarantined) AS bigint), 0) FROM telemetra.batch_range
                    WHERE job = $1) AS in_ledger";
    let [listed, in_ledger] = db.one(sql, &[Arg::Text(job)], |row| row.ints(0))?.unwrap_or_default();
    let in_ledger = Side::new(in_ledger, "the ledger's sum");
    let place = || "all partitions".to_owned();
    report.compare(Clause::Quarantine, place, Side::new(listed, "rows of the table"), in_ledger);
    let sql = "WITH filled AS (SELECT DISTINCT batch_id FROM rejected_events WHERE job = $1)
               SELECT coalesce(f.batch_id, e.batch_id), f.batch_id IS NOT NULL, e.batch_id IS NOT NULL
               FROM filled f FULL JOIN (SELECT batch_id FROM telemetra.export WHERE job = $1) e
                   ON e.batch_id = f.batch_id";
    db.each(sql, &[Arg::Text(job)], &mut |row| {
        let batch = row.int(0)?;
        let exports = Side::new(i64::from(row.bool(2)?), "exports, made or to be made");
        let needed = Side::new(i64::from(row.bool(1)?), "needed");
        report.compare(Clause::Quarantine, || format!("batch {batch}"), exports, needed);
        Ok(())
    })
}

/// Rows with a batch are those that it accepted, and those that were replayed from its share of the quarantine.
pub(super) fn check_rows(db: &mut dyn Snapshot, job: &str, report: &mut Report) -> Result<(), SinkError> {
    let sql = "WITH kept AS (SELECT batch_id, count(*) AS row_count FROM user_events
                   WHERE batch_id IS NOT NULL GROUP BY batch_id),
                   replayed AS (SELECT batch_id, count(*) AS row_count FROM rejected_events
                   WHERE job = $1 AND replayed_at IS NOT NULL GROUP BY batch_id)
               SELECT b.batch_id, coalesce(k.row_count, 0), b.accepted, coalesce(p.row_count, 0)
               FROM telemetra.batch b LEFT JOIN kept k ON k.batch_id = b.batch_id
                   LEFT JOIN replayed p ON p.batch_id = b.batch_id
               WHERE b.job = $1 ORDER BY b.batch_id";
    let mut expected_rows = 0;
    db.each(sql, &[Arg::Text(job)], &mut |row| {
        let [batch, rows, accepted, replayed] = row.ints(0)?;
        expected_rows += accepted + replayed;
        let expected = Side::new(accepted + replayed, "accepted + replayed");
        let rows = Side::new(rows, "rows of the batch");
        report.compare(Clause::UniqueRows, || format!("batch {batch}"), rows, expected);
        Ok(())
    })?;
    let sql = "SELECT count(*) FILTER (WHERE batch_id IS NOT NULL), count(*) FILTER (WHERE batch_id IS NULL)
               FROM user_events";
    let [rows, others] = db.one(sql, &[], |row| row.ints(0))?.unwrap_or_default();
    let expected = Side::new(expected_rows, "accepted + replayed in all batches");
    let rows = Side::new(rows, "rows with a batch");
    report.compare(Clause::UniqueRows, || "user_events".into(), rows, expected);
    if others != 0 {
        report
            .remark(format!("rows of user_events written by another program, which no sum counts: {others}"));
    }
    Ok(())
}

/// A job whose rows have no id accepted none.
pub(super) fn check_none(applied: &[i64], report: &mut Report) {
    let accepted = Side::new(applied.iter().sum::<i64>(), "events that became something by an id");
    report.compare(Clause::UniqueRows, || "all batches".into(), accepted, Side::new(0, "allowed"));
}
