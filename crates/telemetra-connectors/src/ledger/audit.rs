//! Gathers from the tables the sums that the law compares ([`telemetra_engine::audit`]).
//!
//! All of it is read in one snapshot and in key order, a row at a time: memory does not grow with the ledger.
//! Nothing is taken from the job row where the tables themselves can say it.

use telemetra_core::{watermark::Watermark, window::WindowSpec};
use telemetra_engine::{
    audit::{self, Clause, Report, Side, Tiling},
    ids::{PartitionId, shown_partition},
    sink::{RangeEntry, SinkError, Tally, Totals},
};

use super::{Arg, Pipeline, Row, Snapshot, audit_pieces, audit_unique, int, recover, status};

/// What the job row says, to be held against the tables.
struct JobRow {
    name: String,
    pipeline: Pipeline,
    epoch: i64,
    last_batch: i64,
    watermark_ms: Option<i64>,
    /// `open_end_ms`, `open_digest`, `open_count`, `start_ms`.
    open: [Option<i64>; 4],
    /// See [`TOTALS`].
    totals: [i64; TOTALS.len()],
}

/// Columns that the job row and its batches share, as sums.
pub(crate) const TOTALS: [&str; 11] = [
    "records",
    "late",
    "dead",
    "in_windows",
    "window_misses",
    "accepted",
    "duplicates",
    "conflicts",
    "refused",
    "final_count",
    "final_rows",
];
/// Those of them that ranges have, too: the first.
const OF_RANGES: usize = 9;

/// What all batches say together.
#[derive(Default)]
struct Batches {
    totals: [i64; TOTALS.len()],
    moments: i64,
    early_misses: i64,
    open_count: i64,
}

/// Audits every job or one.
pub(super) fn audit(db: &mut dyn Snapshot, job: Option<&str>) -> Result<Vec<Report>, SinkError> {
    status::all_job_names(db, job)?.iter().map(|job| audit_job(db, job)).collect()
}

fn audit_job(db: &mut dyn Snapshot, name: &str) -> Result<Report, SinkError> {
    let mut report = Report::new(name);
    let job = read_job(db, name)?;
    audit_pieces::check_job_row(name, job.is_some(), &mut report);
    let Some(job) = job else { return Ok(report) };
    let owned = Side::new(i64::from(status::owns_rows(db, name, job.pipeline)?), "result tables owned");
    report.compare(Clause::Owner, || format!("job {name}"), owned, Side::new(1, "needed"));
    check_tiling(db, &job, &mut report)?;
    let ranges = check_ranges(db, &job, &mut report)?;
    check_listed(db, &job, &ranges, &mut report)?;
    let batches = check_batches(db, &job, &mut report)?;
    audit_unique::check_ranges(db, name, job.pipeline, &mut report)?;
    audit_unique::check_quarantine(db, name, &mut report)?;
    match job.pipeline {
        Pipeline::Chat(window) => {
            check_late(db, &job, window, &mut report)?;
            check_rows(db, &job, window, &ranges, &batches, &mut report)?;
            audit_pieces::check_rows_by_batch(db, name, &mut report)?;
            audit_pieces::check_moments(db, &mut report)?;
            audit_unique::check_none(&batches.totals[5..OF_RANGES], &mut report);
        }
        Pipeline::Commerce => audit_unique::check_rows(db, name, &mut report)?,
    }
    audit_pieces::check_files(db, name, batches.open_count, &mut report)?;
    Ok(report)
}

fn read_job(db: &mut dyn Snapshot, name: &str) -> Result<Option<JobRow>, SinkError> {
    let sql =
        "SELECT pipeline, length_ms, slide_ms, epoch, last_batch, watermark_ms, open_end_ms, open_digest, open_count,
                   start_ms, records, late, dead, in_windows, window_misses, accepted, duplicates, conflicts, refused,
                   final_count, final_rows
               FROM telemetra.job WHERE job = $1";
    db.one(sql, &[Arg::Text(name)], |row| {
        Ok(JobRow {
            name: name.to_owned(),
            pipeline: Pipeline::read(row, 0)?,
            epoch: row.int(3)?,
            last_batch: row.int(4)?,
            watermark_ms: row.int_or_null(5)?,
            open: [row.int_or_null(6)?, row.int_or_null(7)?, row.int_or_null(8)?, row.int_or_null(9)?],
            totals: row.ints(10)?,
        })
    })
}

/// A number that may be missing, as one that no other equals.
fn side(number: Option<i64>, is: &'static str) -> Side {
    Side(number.map_or(i128::from(i64::MIN) - 1, i128::from), is)
}

/// Ranges and gaps tile each partition; positions lie where they can.
fn check_tiling(db: &mut dyn Snapshot, job: &JobRow, report: &mut Report) -> Result<(), SinkError> {
    let positions = status::positions(db, &job.name)?;
    for (input, partition) in recover::partitions_with_ranges(db, &job.name)? {
        let known = positions.iter().filter(|at| at.input == input && at.partition == partition).count();
        let place = || format!("partition {input}/{}", shown_partition(partition));
        let known = Side::new(known as u64, "positions");
        report.compare(Clause::Positions, place, known, Side::new(1, "partition with ranges"));
    }
    let sql = "SELECT from_offset, to_offset, batch_id FROM telemetra.batch_range
               WHERE job = $1 AND input = $2 AND \"partition\" = $3
               UNION ALL SELECT from_offset, to_offset, batch_id FROM telemetra.gap
               WHERE job = $1 AND input = $2 AND \"partition\" = $3 AND NOT in_replay ORDER BY 1";
    for at in &positions {
        let name = format!("{}/{}", at.input, shown_partition(at.partition));
        let place = || format!("partition {name}");
        let replay = Side::new(at.replay, "replay offset");
        report.at_most(Clause::Positions, place, Side::new(at.first, "first offset"), replay);
        report.at_most(Clause::Positions, place, replay, Side::new(at.next, "next offset"));
        let mut tiling = Tiling::new(name.clone(), at.first);
        let key = [Arg::Text(&job.name), Arg::Text(&at.input), Arg::Int(i64::from(at.partition))];
        db.each(sql, &key, &mut |row| {
            let piece = row.uint(0, "from_offset")?..row.uint(1, "to_offset")?;
            tiling.piece(report, piece, row.uint(2, "batch_id")?);
            Ok(())
        })?;
        tiling.finish(report, at.next);
    }
    Ok(())
}

/// Every range adds up, and what it refused or found late is in the tables. Returns the sum over all ranges.
fn check_ranges(db: &mut dyn Snapshot, job: &JobRow, report: &mut Report) -> Result<Tally, SinkError> {
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
         FROM telemetra.batch_range r LEFT JOIN telemetra.batch b ON b.job = r.job AND b.batch_id = r.batch_id
         WHERE r.job = $1 ORDER BY r.input, r.\"partition\", r.from_offset",
        listed("dead_letters"),
        listed("late_events"),
    );
    let mut sum = Tally::default();
    db.each(&sql, &[Arg::Text(&job.name)], &mut |row| {
        let (input, partition, batch) = (row.text(0)?, row.uint32(1, "partition")?, row.int(2)?);
        let range = read_range(row, partition)?;
        let (from, to) = (range.from, range.to);
        let shown = || format!("partition {input}/{}", shown_partition(partition));
        let place = || format!("{}, batch {batch}, offsets {from}..{to}", shown());
        audit::check_range(report, place, &range);
        let [dead, late] = row.ints(12)?;
        // Where rows have an id, the quarantine holds them.
        let refused = if job.pipeline == Pipeline::Commerce { 0 } else { range.tally.dead };
        let refused = Side::new(refused, "refused in the ledger");
        report.compare(Clause::DeadLetters, place, Side::new(dead, "rows of dead_letters"), refused);
        let found_late = Side::new(range.tally.late, "found late in the ledger");
        report.compare(Clause::LateEvents, place, Side::new(late, "rows of late_events"), found_late);
        let has_batch = Side::new(i64::from(row.bool(16)?), "batch rows of the range");
        report.compare(Clause::Batches, place, has_batch, Side::new(1, "needed"));
        let judged = side(row.int_or_null(14)?, "watermark of the range");
        report.compare(
            Clause::Batches,
            place,
            judged,
            side(row.int_or_null(15)?, "watermark that judged the batch"),
        );
        sum.add(&range.tally);
        Ok(())
    })?;
    Ok(sum)
}

fn read_range(row: &Row, partition: u32) -> Result<RangeEntry, SinkError> {
    let number = |column: usize| row.uint(column, "a sum of a range");
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
fn check_listed(
    db: &mut dyn Snapshot,
    job: &JobRow,
    ranges: &Tally,
    report: &mut Report,
) -> Result<(), SinkError> {
    let dead = if job.pipeline == Pipeline::Commerce { 0 } else { ranges.dead };
    let lists =
        [(Clause::DeadLetters, "dead_letters", dead), (Clause::LateEvents, "late_events", ranges.late)];
    for (clause, table, in_ledger) in lists {
        let sql = format!("SELECT count(*) AS listed FROM {table} WHERE job = $1");
        let rows = db.one(&sql, &[Arg::Text(&job.name)], |row| row.int(0))?.unwrap_or(0);
        let in_ledger = Side::new(in_ledger, "the ledger's sum");
        report.compare(clause, || "all partitions".into(), Side::new(rows, "rows of the table"), in_ledger);
    }
    Ok(())
}

/// Batches follow each other, add up to their ranges, and to the job row.
fn check_batches(db: &mut dyn Snapshot, job: &JobRow, report: &mut Report) -> Result<Batches, SinkError> {
    let sum = |column: &str| format!("CAST(sum({column}) AS bigint) AS {column}");
    let of_ranges =
        TOTALS[..OF_RANGES].iter().chain(&["empty", "counted"]).filter(|name| **name != "refused");
    let sums = of_ranges.map(|column| sum(column)).collect::<Vec<_>>().join(", ");
    // What a range has in quarantine beyond its conflicts was refused by the rules or by the store.
    let refused = match job.pipeline {
        Pipeline::Chat(_) => "quarantined",
        Pipeline::Commerce => "quarantined - dead",
    };
    let said = TOTALS.map(|column| format!("b.{column}")).join(", ");
    let sql = format!(
        "WITH sums AS (SELECT batch_id, {sums}, CAST(sum({refused}) AS bigint) AS refused
             FROM telemetra.batch_range WHERE job = $1 GROUP BY batch_id)
         SELECT {said}, coalesce(s.records, 0), coalesce(s.late, 0), coalesce(s.dead, 0),
             coalesce(s.in_windows, 0), coalesce(s.window_misses, 0) + b.early_misses, coalesce(s.accepted, 0),
             coalesce(s.duplicates, 0), coalesce(s.conflicts, 0), coalesce(s.refused, 0),
             b.empty, coalesce(s.empty, 0), b.counted, coalesce(s.counted, 0),
             b.batch_id, b.watermark_before_ms, b.watermark_ms, b.open_end_ms, b.open_digest, b.open_count,
             b.moments, b.early_misses, b.epoch, b.start_ms
         FROM telemetra.batch b LEFT JOIN sums s ON s.batch_id = b.batch_id
         WHERE b.job = $1 ORDER BY b.batch_id"
    );
    let mut all = Batches::default();
    let mut last = (0, None, [None, Some(0), Some(0), None]);
    db.each(&sql, &[Arg::Text(&job.name)], &mut |row| {
        const SUMMED: usize = TOTALS.len();
        const MORE: usize = SUMMED + OF_RANGES;
        const ID: usize = MORE + 4;
        let id = row.int(ID)?;
        let place = || format!("batch {id}");
        let after = Side::new(last.0 + 1, "number after the batch before");
        report.compare(Clause::Batches, place, Side::new(id, "number of the batch"), after);
        let before = side(row.int_or_null(ID + 1)?, "watermark that judged the batch");
        report.compare(Clause::Batches, place, before, side(last.1, "watermark of the batch before"));
        let watermark = side(row.int_or_null(ID + 2)?, "watermark of the batch");
        report.at_most(Clause::Batches, place, before, watermark);
        let epoch = Side::new(row.int(ID + 8)?, "epoch of the batch");
        report.at_most(Clause::Batches, place, epoch, Side::new(job.epoch, "epoch of the job"));
        let (said, summed): ([i64; SUMMED], [i64; OF_RANGES]) = (row.ints(0)?, row.ints(SUMMED)?);
        let [empty, empty_sum, counted, counted_sum] = row.ints(MORE)?;
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
        all.moments += row.int(ID + 6)?;
        all.early_misses += row.int(ID + 7)?;
        let start_ms = row.int_or_null(ID + 9)?;
        let start_before = side(last.2[3], "start of the batch before");
        report.at_most(Clause::Batches, place, start_before, side(start_ms, "start of the batch"));
        let open = [row.int_or_null(ID + 3)?, row.int_or_null(ID + 4)?, row.int_or_null(ID + 5)?, start_ms];
        last = (id, row.int_or_null(ID + 2)?, open);
        Ok(())
    })?;
    all.open_count = last.2[2].unwrap_or(0);
    compare_job_row(job, &all, last, report);
    Ok(all)
}

/// The job row says what its last batch and all batches together say.
fn compare_job_row(
    job: &JobRow,
    all: &Batches,
    last: (i64, Option<i64>, [Option<i64>; 4]),
    report: &mut Report,
) {
    let (last_id, last_watermark, last_open) = last;
    let says = [Some(job.last_batch), job.watermark_ms].into_iter().chain(job.open);
    let said = [Some(last_id), last_watermark].into_iter().chain(last_open);
    let columns = ["last_batch", "watermark_ms", "open_end_ms", "open_digest", "open_count", "start_ms"];
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
fn check_late(
    db: &mut dyn Snapshot,
    job: &JobRow,
    window: WindowSpec,
    report: &mut Report,
) -> Result<(), SinkError> {
    let sql = "SELECT l.input, l.\"partition\", l.\"offset\", l.batch_id, l.event_time, l.watermark,
                   b.watermark_before_ms
               FROM late_events l LEFT JOIN telemetra.batch b ON b.job = l.job AND b.batch_id = l.batch_id
               WHERE l.job = $1";
    db.each(sql, &[Arg::Text(&job.name)], &mut |row| {
        let (input, partition, [offset, batch]) = (row.text(0)?, row.uint32(1, "partition")?, row.ints(2)?);
        let shown = || format!("partition {input}/{}", shown_partition(partition));
        let place = || format!("{}, batch {batch}, offset {offset}", shown());
        let judged = row.int_or_null(6)?;
        // What cannot be read as an instant is as wrong as another one.
        let (time, watermark) = (row.instant(4).ok(), row.instant(5).ok());
        let row_says = side(watermark, "watermark of the late event");
        report.compare(Clause::LateEvents, place, row_says, side(judged, "watermark that judged the batch"));
        let pane = time.map(|ms| window.pane_of(ms));
        let is_late = pane.is_some_and(|pane| window.is_pane_closed(pane, Watermark::from(judged)));
        let is_late = Side::new(i64::from(is_late), "late by that watermark (0 no, 1 yes)");
        report.compare(Clause::LateEvents, place, is_late, Side::new(1, "in late_events"));
        Ok(())
    })
}

/// Rows and moments are those that the batches wrote; the law of counts holds on the rows themselves.
fn check_rows(
    db: &mut dyn Snapshot,
    job: &JobRow,
    window: WindowSpec,
    ranges: &Tally,
    batches: &Batches,
    report: &mut Report,
) -> Result<(), SinkError> {
    let sql = "SELECT count(*) FILTER (WHERE is_final AND batch_id IS NOT NULL),
                   CAST(coalesce(sum(chat_count) FILTER (WHERE is_final AND batch_id IS NOT NULL), 0) AS bigint),
                   count(*) FILTER (WHERE NOT is_final AND window_end <= $1 AND batch_id IS NOT NULL),
                   count(*) FILTER (WHERE batch_id > $2),
                   count(*) FILTER (WHERE is_anomaly AND is_final AND batch_id IS NOT NULL),
                   count(*) FILTER (WHERE batch_id IS NULL)
               FROM chat_summary_minute";
    let args = [Arg::Instant(job.watermark_ms.unwrap_or(i64::MIN)), Arg::Int(job.last_batch)];
    let counts = db.one(sql, &args, |row| row.ints(0))?.unwrap_or_default();
    let [rows, count, overdue, ahead, anomalies, adopted_rows] = counts;
    let sql = "SELECT count(*) FILTER (WHERE m.batch_id IS NOT NULL),
                   count(w.stream_id) FILTER (WHERE m.batch_id IS NOT NULL),
                   count(*) FILTER (WHERE m.batch_id IS NULL)
               FROM moments m
               LEFT JOIN chat_summary_minute w ON w.stream_id = m.stream_id AND w.window_start = m.timestamp
                   AND w.is_final AND w.is_anomaly AND w.batch_id IS NOT NULL
               WHERE m.moment_type = 'chat_spike' OR m.batch_id IS NULL";
    let [moments, of_rows, adopted_moments] = db.one(sql, &[], |row| row.ints(0))?.unwrap_or_default();
    tell_adopted(adopted_rows, adopted_moments, report);
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
    compare(Clause::Moments, (moments, "moments"), (batches.moments, "moments that batches wrote"));
    compare(
        Clause::Moments,
        (of_rows, "moments with their final row"),
        (anomalies, "anomalies in final rows"),
    );
    let misses = int(ranges.window_misses)? + batches.early_misses;
    let totals = Totals { in_windows: int(ranges.in_windows)?, window_misses: misses, final_count: count };
    let counted = i128::from(count) + i128::from(batches.open_count);
    audit::check_counts(report, || format!("job {}", job.name), window, totals, counted);
    Ok(())
}

/// Rows that were there before the job are no imbalance, but nobody should wonder about them.
fn tell_adopted(rows: i64, moments: i64, report: &mut Report) {
    if (rows, moments) != (0, 0) {
        report.remark(format!(
            "rows adopted from another program, which no sum counts: {rows} of chat_summary_minute, {moments} of moments"
        ));
    }
}
