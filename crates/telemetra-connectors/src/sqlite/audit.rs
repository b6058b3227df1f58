//! Gathers from the tables the sums that the law compares ([`telemetra_engine::audit`]).
//!
//! All of it is read in one snapshot and in key order, a row at a time: memory does not grow with the ledger.
//! Nothing is taken from the job row where the tables themselves can say it.

use rusqlite::{Connection, Row, params};
use telemetra_core::{watermark::Watermark, window::WindowSpec};
use telemetra_engine::{
    audit::{self, Clause, Report, Side, Tiling},
    ids::PartitionId,
    sink::{RangeEntry, Tally, Totals},
};

use super::{
    audit_pieces,
    connection::{Failure, int, uint},
    reader,
    snapshot::SqliteSnapshot,
    text,
};
use crate::ledger::{instant, recover};

/// What the job row says, to be held against the tables.
struct JobRow {
    name: String,
    window: WindowSpec,
    epoch: i64,
    last_batch: i64,
    watermark_ms: Option<i64>,
    open: [Option<i64>; 3],
    /// See [`TOTALS`].
    totals: [i64; 7],
}

/// Columns that the job row and its batches share, as sums.
pub(super) const TOTALS: [&str; 7] =
    ["records", "late", "dead", "in_windows", "window_misses", "final_count", "final_rows"];

/// What all batches say together.
#[derive(Default)]
struct Batches {
    totals: [i64; 7],
    moments: i64,
    early_misses: i64,
    open_count: i64,
}

/// Audits every job or one.
pub(super) fn audit(db: &Connection, job: Option<&str>) -> Result<Vec<Report>, Failure> {
    reader::all_job_names(db, job)?.iter().map(|job| audit_job(db, job)).collect()
}

fn audit_job(db: &Connection, name: &str) -> Result<Report, Failure> {
    let mut report = Report::new(name);
    let job = read_job(db, name)?;
    audit_pieces::check_job_row(name, job.is_some(), &mut report);
    let Some(job) = job else { return Ok(report) };
    let owned = Side::new(i64::from(reader::owns_rows(db, name)?), "result tables owned");
    report.compare(Clause::Owner, || format!("job {name}"), owned, Side::new(1, "needed"));
    check_tiling(db, &job, &mut report)?;
    let ranges = check_ranges(db, &job, &mut report)?;
    check_listed(db, &job, &ranges, &mut report)?;
    let batches = check_batches(db, &job, &mut report)?;
    check_late(db, &job, &mut report)?;
    check_rows(db, &job, &ranges, &batches, &mut report)?;
    audit_pieces::check_rows_by_batch(db, name, &mut report)?;
    audit_pieces::check_moments(db, &mut report)?;
    audit_pieces::check_files(db, name, batches.open_count, &mut report)?;
    Ok(report)
}

fn read_job(db: &Connection, name: &str) -> Result<Option<JobRow>, Failure> {
    let sql =
        "SELECT length_ms, slide_ms, epoch, last_batch, watermark_ms, open_end_ms, open_digest, open_count,
                   records, late, dead, in_windows, window_misses, final_count, final_rows
               FROM telemetra_job WHERE job = ?1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([name])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(JobRow {
        name: name.to_owned(),
        window: WindowSpec::new(row.get(0)?, row.get(1)?).map_err(Failure::halt)?,
        epoch: row.get(2)?,
        last_batch: row.get(3)?,
        watermark_ms: row.get(4)?,
        open: [row.get(5)?, row.get(6)?, row.get(7)?],
        totals: numbers(row, 8)?,
    }))
}

/// Consecutive integer columns.
fn numbers<const N: usize>(row: &Row<'_>, first: usize) -> Result<[i64; N], Failure> {
    let mut numbers = [0; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = row.get(first + index)?;
    }
    Ok(numbers)
}

/// A number that may be missing, as one that no other equals.
fn side(number: Option<i64>, is: &'static str) -> Side {
    Side(number.map_or(i128::from(i64::MIN) - 1, i128::from), is)
}

/// Ranges and gaps tile each partition; positions lie where they can.
fn check_tiling(db: &Connection, job: &JobRow, report: &mut Report) -> Result<(), Failure> {
    let positions = reader::positions(db, &job.name)?;
    for (input, partition) in
        recover::partitions_with_ranges(&mut SqliteSnapshot::within(db, std::path::Path::new("")), &job.name)?
    {
        let known = positions.iter().filter(|at| at.input == input && at.partition == partition).count();
        let place = || format!("partition {input}/{partition}");
        let known = Side::new(known as u64, "positions");
        report.compare(Clause::Positions, place, known, Side::new(1, "partition with ranges"));
    }
    let sql = "SELECT from_offset, to_offset, batch_id FROM telemetra_batch_range
               WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3
               UNION ALL SELECT from_offset, to_offset, batch_id FROM telemetra_gap
               WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND NOT in_replay ORDER BY 1";
    let mut statement = db.prepare(sql)?;
    for at in &positions {
        let name = format!("{}/{}", at.input, at.partition);
        let place = || format!("partition {name}");
        let replay = Side::new(at.replay, "replay offset");
        report.at_most(Clause::Positions, place, Side::new(at.first, "first offset"), replay);
        report.at_most(Clause::Positions, place, replay, Side::new(at.next, "next offset"));
        let mut tiling = Tiling::new(name.clone(), at.first);
        let mut rows = statement.query(params![job.name, at.input, at.partition])?;
        while let Some(row) = rows.next()? {
            let piece = uint(row.get(0)?, "from_offset")?..uint(row.get(1)?, "to_offset")?;
            tiling.piece(report, piece, uint(row.get(2)?, "batch_id")?);
        }
        tiling.finish(report, at.next);
    }
    Ok(())
}

/// Every range adds up, and what it refused or found late is in the tables. Returns the sum over all ranges.
fn check_ranges(db: &Connection, job: &JobRow, report: &mut Report) -> Result<Tally, Failure> {
    let listed = |table: &str| {
        format!(
            "(SELECT count(*) FROM {table} l WHERE l.job = r.job AND l.input = r.input
                AND l.\"partition\" = r.\"partition\" AND l.\"offset\" >= r.from_offset
                AND l.\"offset\" < r.to_offset AND l.batch_id = r.batch_id)"
        )
    };
    let sql = format!(
        "SELECT r.input, r.\"partition\", r.batch_id, r.from_offset, r.to_offset, r.records, r.empty, r.counted,
             r.in_windows, r.late, r.dead, r.window_misses, {}, {}, r.watermark_ms, b.watermark_before_ms,
             b.batch_id IS NOT NULL
         FROM telemetra_batch_range r LEFT JOIN telemetra_batch b ON b.job = r.job AND b.batch_id = r.batch_id
         WHERE r.job = ?1 ORDER BY r.input, r.\"partition\", r.from_offset",
        listed("dead_letters"),
        listed("late_events"),
    );
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([&job.name])?;
    let mut sum = Tally::default();
    while let Some(row) = rows.next()? {
        let (input, partition, batch): (String, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let range = read_range(row, partition)?;
        let (from, to) = (range.from, range.to);
        let place = || format!("partition {input}/{partition}, batch {batch}, offsets {from}..{to}");
        audit::check_range(report, place, &range);
        let (dead, late): (i64, i64) = (row.get(12)?, row.get(13)?);
        let refused = Side::new(range.tally.dead, "refused in the ledger");
        report.compare(Clause::DeadLetters, place, Side::new(dead, "rows of dead_letters"), refused);
        let found_late = Side::new(range.tally.late, "found late in the ledger");
        report.compare(Clause::LateEvents, place, Side::new(late, "rows of late_events"), found_late);
        let has_batch = Side::new(i64::from(row.get::<_, bool>(16)?), "batch rows of the range");
        report.compare(Clause::Batches, place, has_batch, Side::new(1, "needed"));
        let judged = side(row.get(14)?, "watermark of the range");
        report.compare(Clause::Batches, place, judged, side(row.get(15)?, "watermark that judged the batch"));
        sum.add(&range.tally);
    }
    Ok(sum)
}

fn read_range(row: &Row<'_>, partition: u32) -> Result<RangeEntry, Failure> {
    let number = |column: usize| uint(row.get(column)?, "a sum of a range");
    Ok(RangeEntry {
        partition: PartitionId { input: 0, partition },
        from: number(3)?,
        to: number(4)?,
        tally: Tally {
            records: number(5)?,
            empty: number(6)?,
            counted: number(7)?,
            in_windows: number(8)?,
            late: number(9)?,
            dead: number(10)?,
            window_misses: number(11)?,
        },
    })
}

/// Refused and late records outside every range are found by their number.
fn check_listed(db: &Connection, job: &JobRow, ranges: &Tally, report: &mut Report) -> Result<(), Failure> {
    let lists = [
        (Clause::DeadLetters, "dead_letters", ranges.dead),
        (Clause::LateEvents, "late_events", ranges.late),
    ];
    for (clause, table, in_ledger) in lists {
        let sql = format!("SELECT count(*) FROM {table} WHERE job = ?1");
        let rows: i64 = db.query_row(&sql, [&job.name], |row| row.get(0))?;
        let in_ledger = Side::new(in_ledger, "the ledger's sum");
        report.compare(clause, || "all partitions".into(), Side::new(rows, "rows of the table"), in_ledger);
    }
    Ok(())
}

/// Batches follow each other, add up to their ranges, and to the job row.
fn check_batches(db: &Connection, job: &JobRow, report: &mut Report) -> Result<Batches, Failure> {
    let sql = "WITH sums AS (
                   SELECT batch_id, sum(records) records, sum(late) late, sum(dead) dead,
                       sum(in_windows) in_windows, sum(window_misses) window_misses, sum(empty) empty,
                       sum(counted) counted
                   FROM telemetra_batch_range WHERE job = ?1 GROUP BY batch_id)
               SELECT b.records, b.late, b.dead, b.in_windows, b.window_misses, b.final_count, b.final_rows,
                   coalesce(s.records, 0), coalesce(s.late, 0), coalesce(s.dead, 0), coalesce(s.in_windows, 0),
                   coalesce(s.window_misses, 0) + b.early_misses,
                   b.empty, coalesce(s.empty, 0), b.counted, coalesce(s.counted, 0),
                   b.batch_id, b.watermark_before_ms, b.watermark_ms, b.open_end_ms, b.open_digest, b.open_count,
                   b.moments, b.early_misses, b.epoch
               FROM telemetra_batch b LEFT JOIN sums s USING (batch_id) WHERE b.job = ?1 ORDER BY b.batch_id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([&job.name])?;
    let mut all = Batches::default();
    let mut last = (0, None, [None, Some(0), Some(0)]);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(16)?;
        let place = || format!("batch {id}");
        let after = Side::new(last.0 + 1, "number after the batch before");
        report.compare(Clause::Batches, place, Side::new(id, "number of the batch"), after);
        let before = side(row.get(17)?, "watermark that judged the batch");
        report.compare(Clause::Batches, place, before, side(last.1, "watermark of the batch before"));
        let watermark = side(row.get(18)?, "watermark of the batch");
        report.at_most(Clause::Batches, place, before, watermark);
        let epoch = Side::new(row.get::<_, i64>(24)?, "epoch of the batch");
        report.at_most(Clause::Batches, place, epoch, Side::new(job.epoch, "epoch of the job"));
        let (said, summed): ([i64; 7], [i64; 5]) = (numbers(row, 0)?, numbers(row, 7)?);
        let [empty, empty_sum, counted, counted_sum]: [i64; 4] = numbers(row, 12)?;
        let pairs = said.into_iter().zip(summed).zip(TOTALS);
        let more = [((empty, empty_sum), "empty"), ((counted, counted_sum), "counted")];
        for ((said, summed), column) in pairs.chain(more) {
            let summed = Side::new(summed, "sum of its ranges");
            report.compare(
                Clause::BatchSums,
                || format!("batch {id}, {column}"),
                Side::new(said, "the batch"),
                summed,
            );
        }
        for (total, said) in all.totals.iter_mut().zip(said) {
            *total += said;
        }
        all.moments += row.get::<_, i64>(22)?;
        all.early_misses += row.get::<_, i64>(23)?;
        last = (id, row.get(18)?, [row.get(19)?, row.get(20)?, row.get(21)?]);
    }
    all.open_count = last.2[2].unwrap_or(0);
    compare_job_row(job, &all, last, report);
    Ok(all)
}

/// The job row says what its last batch and all batches together say.
fn compare_job_row(
    job: &JobRow,
    all: &Batches,
    last: (i64, Option<i64>, [Option<i64>; 3]),
    report: &mut Report,
) {
    let (last_id, last_watermark, last_open) = last;
    let says = [Some(job.last_batch), job.watermark_ms].into_iter().chain(job.open);
    let said = [Some(last_id), last_watermark].into_iter().chain(last_open);
    let columns = ["last_batch", "watermark_ms", "open_end_ms", "open_digest", "open_count"];
    for ((says, said), column) in says.zip(said).zip(columns) {
        let place = || format!("job {}, {column}", job.name);
        report.compare(Clause::Totals, place, side(says, "the job row"), side(said, "the last batch"));
    }
    for ((says, summed), column) in job.totals.into_iter().zip(all.totals).zip(TOTALS) {
        let place = || format!("job {}, {column}", job.name);
        let summed = Side::new(summed, "sum of the batches");
        report.compare(Clause::Totals, place, Side::new(says, "the job row"), summed);
    }
}

/// Every late event was late by the watermark that judged its range.
fn check_late(db: &Connection, job: &JobRow, report: &mut Report) -> Result<(), Failure> {
    let sql = "SELECT l.input, l.\"partition\", l.\"offset\", l.batch_id, l.event_time, l.watermark,
                   b.watermark_before_ms
               FROM late_events l LEFT JOIN telemetra_batch b ON b.job = l.job AND b.batch_id = l.batch_id
               WHERE l.job = ?1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([&job.name])?;
    while let Some(row) = rows.next()? {
        let (input, partition, offset, batch): (String, u32, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let (time, watermark): (String, String) = (row.get(4)?, row.get(5)?);
        let place = || format!("partition {input}/{partition}, batch {batch}, offset {offset}");
        let judged: Option<i64> = row.get(6)?;
        let row_says = side(instant::parse_instant(&watermark), "watermark of the late event");
        report.compare(Clause::LateEvents, place, row_says, side(judged, "watermark that judged the batch"));
        let pane = instant::parse_instant(&time).map(|ms| job.window.pane_of(ms));
        let is_late = pane.is_some_and(|pane| job.window.is_pane_closed(pane, Watermark::from(judged)));
        let is_late = Side::new(i64::from(is_late), "late by that watermark (0 no, 1 yes)");
        report.compare(Clause::LateEvents, place, is_late, Side::new(1, "in late_events"));
    }
    Ok(())
}

/// Rows and moments are those that the batches wrote; the law of counts holds on the rows themselves.
fn check_rows(
    db: &Connection,
    job: &JobRow,
    ranges: &Tally,
    batches: &Batches,
    report: &mut Report,
) -> Result<(), Failure> {
    let sql = "SELECT count(*) FILTER (WHERE is_final), coalesce(sum(chat_count) FILTER (WHERE is_final), 0),
                   count(*) FILTER (WHERE NOT is_final AND window_end <= ?1),
                   count(*) FILTER (WHERE batch_id > ?2),
                   count(*) FILTER (WHERE is_anomaly AND is_final)
               FROM chat_summary_minute";
    let watermark = job.watermark_ms.map(text::instant).unwrap_or_default();
    let [rows, count, overdue, ahead, anomalies] =
        db.query_row(sql, params![watermark, job.last_batch], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, i64>(4)?])
        })?;
    let [.., in_batches, rows_in_batches] = batches.totals;
    let table = || "chat_summary_minute".to_owned();
    let mut compare = |clause, found: (i64, _), expected: (i64, _)| {
        report.compare(clause, table, Side::new(found.0, found.1), Side::new(expected.0, expected.1));
    };
    compare(Clause::FinalRows, (rows, "final rows"), (rows_in_batches, "rows that batches made final"));
    compare(
        Clause::FinalRows,
        (count, "chat_count in final rows"),
        (in_batches, "count that batches made final"),
    );
    compare(Clause::FinalRows, (overdue, "rows not final though the watermark has passed"), (0, "allowed"));
    compare(Clause::FinalRows, (ahead, "rows of batches after the last"), (0, "allowed"));
    let sql = "SELECT count(*), count(w.stream_id) FROM moments m
               LEFT JOIN chat_summary_minute w ON w.stream_id = m.stream_id AND w.window_start = m.timestamp
                   AND w.is_final AND w.is_anomaly
               WHERE m.moment_type = 'chat_spike'";
    let (moments, of_rows): (i64, i64) = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    compare(Clause::Moments, (moments, "moments"), (batches.moments, "moments that batches wrote"));
    compare(
        Clause::Moments,
        (of_rows, "moments with their final row"),
        (anomalies, "anomalies in final rows"),
    );
    let misses = int(ranges.window_misses)? + batches.early_misses;
    let totals = Totals { in_windows: int(ranges.in_windows)?, window_misses: misses, final_count: count };
    let counted = i128::from(count) + i128::from(batches.open_count);
    audit::check_counts(report, || format!("job {}", job.name), job.window, totals, counted);
    Ok(())
}
