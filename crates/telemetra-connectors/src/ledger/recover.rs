//! Where a job stands, for the instance that takes it over; read inside the transaction that locked its row.
//!
//! What is read must be believed, so it is checked first: whoever changed a position by hand gets a halt with
//! both values, never a wrong number.

use telemetra_core::watermark::{PartitionClock, Watermark};
use telemetra_engine::{
    audit::{self, Clause, Report, Side},
    ids::{Offset, PartitionId, shown_partition},
    sink::{Position, Recovered, SinkError, Totals},
    source::{Input, LogMark, Segment},
};

use super::{Arg, Pipeline, Row, Snapshot, int, text, uint, windows};

/// Where the job stands, everything checked and all lists filled; `None` for a new job. The epoch is the stored
/// one, which the sink raises.
///
/// # Errors
/// Halts on another pipeline, window, inputs, and on a ledger that contradicts itself; else those of the store.
pub(crate) fn stands(
    db: &mut dyn Snapshot,
    job: &str,
    pipeline: Pipeline,
    inputs: &[Input],
) -> Result<Option<Recovered>, SinkError> {
    let Some(stored) = read_job(db, job, pipeline)? else { return Ok(None) };
    let (open_rows, closed_early) = match pipeline.window() {
        Some(window) => windows::above_watermark(db, window, stored.watermark)?,
        None => Default::default(),
    };
    let positions = positions(db, job, inputs)?;
    let segments = segments(db, job, inputs)?;
    Ok(Some(Recovered { open_rows, closed_early, positions, segments, ..stored }))
}

/// A job that has not begun.
pub(crate) fn nothing() -> Recovered {
    Recovered {
        epoch: 0,
        last_batch: 0,
        watermark: Watermark::NONE,
        open_end_ms: None,
        open_digest: 0,
        open_count: 0,
        meaning: None,
        start_ms: None,
        totals: Totals::default(),
        positions: Vec::new(),
        segments: Vec::new(),
        open_rows: Vec::new(),
        closed_early: Vec::new(),
    }
}

fn halt<T>(text: String) -> Result<T, SinkError> {
    Err(SinkError::Halt(text))
}

/// The job row with the sums in it checked, `None` for a new job. Lists stay empty.
fn read_job(db: &mut dyn Snapshot, job: &str, pipeline: Pipeline) -> Result<Option<Recovered>, SinkError> {
    let sql = "SELECT epoch, last_batch, watermark_ms, open_end_ms, open_digest, open_count, meaning,
                   in_windows, window_misses, final_count, pipeline, length_ms, slide_ms, start_ms
               FROM telemetra.job WHERE job = $1";
    let stored = db.one(sql, &[Arg::Text(job)], |row| {
        check_for_good(job, pipeline, row)?;
        Ok(Recovered {
            epoch: row.uint(0, "epoch")?,
            last_batch: row.uint(1, "last_batch")?,
            watermark: row.int_or_null(2)?.into(),
            open_end_ms: row.int_or_null(3)?,
            open_digest: row.int(4)?.cast_unsigned(),
            open_count: row.int(5)?,
            meaning: Some(row.text(6)?),
            start_ms: row.int_or_null(13)?,
            totals: Totals { in_windows: row.int(7)?, window_misses: row.int(8)?, final_count: row.int(9)? },
            ..nothing()
        })
    })?;
    let Some(stored) = stored else {
        let ledger = "SELECT 1 AS found FROM telemetra.batch WHERE job = $1
                      UNION ALL SELECT 1 FROM telemetra.position WHERE job = $1 LIMIT 1";
        return match db.one(ledger, &[Arg::Text(job)], |_| Ok(()))? {
            Some(()) => halt(format!("the ledger of job {job} has no job row any more: restore a backup")),
            None => Ok(None),
        };
    };
    check_job(db, job, pipeline, &stored)?;
    Ok(Some(stored))
}

/// Pipeline and window belong to a job for good.
fn check_for_good(job: &str, pipeline: Pipeline, row: &Row) -> Result<(), SinkError> {
    let stored = Pipeline::read(row, 10)?;
    if stored == pipeline {
        return Ok(());
    }
    let (Some(stored), Some(window)) = (stored.window(), pipeline.window()) else {
        return halt(format!("job {job} runs pipeline {}: choose another --job", stored.name()));
    };
    halt(format!(
        "job {job} has windows of {} ms every {} ms for good, {} ms every {} ms are asked for: \
         set WINDOW_DURATION and SLIDE_DURATION back, or use another --store and --job",
        stored.length_ms(),
        stored.slide_ms(),
        window.length_ms(),
        window.slide_ms()
    ))
}

/// The job row must say what its last batch said.
fn check_job(
    db: &mut dyn Snapshot,
    job: &str,
    pipeline: Pipeline,
    stored: &Recovered,
) -> Result<(), SinkError> {
    let mut report = Report::new(job);
    let sql = "SELECT batch_id, watermark_ms, open_end_ms, open_digest, open_count, start_ms
               FROM telemetra.batch WHERE job = $1 ORDER BY batch_id DESC LIMIT 1";
    let last = db.one(sql, &[Arg::Text(job)], |row| {
        let number = |column| row.int_or_null(column);
        Ok([number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?])
    })?;
    let said = last.unwrap_or([Some(0), None, None, Some(0), Some(0), None]);
    let says = [
        Some(int(stored.last_batch)?),
        stored.watermark.ms(),
        stored.open_end_ms,
        Some(stored.open_digest.cast_signed()),
        Some(stored.open_count),
        stored.start_ms,
    ];
    let names = ["last_batch", "watermark_ms", "open_end_ms", "open_digest", "open_count", "start_ms"];
    for ((says, said), name) in says.into_iter().zip(said).zip(names) {
        // NULL is like no number.
        let side = |value: Option<i64>, is| Side(value.map_or(i128::MIN >> 1, i128::from), is);
        let place = || format!("job row of {job}, {name}");
        report.compare(Clause::Totals, place, side(says, "the job row"), side(said, "the last batch"));
    }
    if let Some(window) = pipeline.window() {
        let counted = i128::from(stored.totals.final_count) + i128::from(stored.open_count);
        let place = || format!("job row of {job}");
        audit::check_counts(&mut report, place, window, stored.totals, counted);
    }
    halt_on_imbalance(&report)
}

fn halt_on_imbalance(report: &Report) -> Result<(), SinkError> {
    let Some(imbalance) = report.imbalances().next() else { return Ok(()) };
    halt(format!("the ledger contradicts itself, see `telemetra audit`; restore a backup: {imbalance}"))
}

/// Number of the input with this name.
fn input_number(inputs: &[Input], name: &str, job: &str) -> Result<u8, SinkError> {
    let number =
        inputs.iter().position(|input| input.name == name).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| {
        SinkError::Halt(format!(
            "job {job} has read input {name}, which is not given now: give it, or another --job"
        ))
    })
}

/// A position as it is stored, with the name of its input and the first offset ever read.
struct Stored {
    name: String,
    first: Offset,
    position: Position,
}

/// All positions, each held against the ledger.
fn positions(db: &mut dyn Snapshot, job: &str, inputs: &[Input]) -> Result<Vec<Position>, SinkError> {
    let sql = "SELECT input, \"partition\", topic, first_offset, replay_offset, next_offset, largest_ms,
                   pending_ms, pending_age, head_since_ms, log_id, log_epoch, begun_ms
               FROM telemetra.position WHERE job = $1";
    let mut stored = db.list(sql, &[Arg::Text(job)], |row| read_position(job, inputs, row))?;
    stored.sort_by_key(|stored| stored.position.id);
    for stored in &stored {
        check_position(db, job, stored)?;
    }
    let positions: Vec<_> = stored.into_iter().map(|stored| stored.position).collect();
    check_no_position_is_missing(db, job, inputs, &positions)?;
    Ok(positions)
}

/// Reads a position, whose input must not have changed its topic.
fn read_position(job: &str, inputs: &[Input], row: &Row) -> Result<Stored, SinkError> {
    let name = row.text(0)?;
    let input = input_number(inputs, &name, job)?;
    let (topic, now) = (row.text_or_null(2)?, &inputs[usize::from(input)].topic);
    if topic != *now {
        let call =
            |topic: &Option<String>| topic.clone().map_or("a folder".into(), |name| format!("topic {name}"));
        return halt(format!(
            "job {job} reads input {name} from {}, not from {}: set it back, or use another --job and --store",
            call(&topic),
            call(now)
        ));
    }
    let position = Position {
        id: PartitionId { input, partition: row.uint32(1, "partition")? },
        replay: row.uint(4, "replay_offset")?,
        next: row.uint(5, "next_offset")?,
        clock: PartitionClock {
            largest_ms: row.int_or_null(6)?,
            pending_ms: row.int_or_null(7)?,
            pending_age: row.uint32(8, "pending_age")?,
        },
        head_since_ms: row.int_or_null(9)?,
        mark: read_mark(row, 10)?,
        begun_ms: row.int_or_null(12)?,
    };
    Ok(Stored { name, first: row.uint(3, "first_offset")?, position })
}

/// The log of a position: `log_id` and `log_epoch` are the columns from `first` on.
fn read_mark(row: &Row, first: usize) -> Result<LogMark, SinkError> {
    let read = |id: String| {
        text::parse_log_id(&id).ok_or_else(|| {
            SinkError::Halt(format!("log_id {id:?} in the store is no UUID; restore a backup"))
        })
    };
    let narrow = |epoch: i64| {
        i32::try_from(epoch).map_err(|_| {
            SinkError::Halt(format!("log_epoch is {epoch} in the store, which cannot be; restore a backup"))
        })
    };
    Ok(LogMark {
        id: row.text_or_null(first)?.map(read).transpose()?,
        epoch: row.int_or_null(first + 1)?.map(narrow).transpose()?,
    })
}

/// Holds a position against the last range or gap that the ledger has of the partition.
fn check_position(db: &mut dyn Snapshot, job: &str, stored: &Stored) -> Result<(), SinkError> {
    let Stored { name, first, position } = stored;
    let partition = position.id.partition;
    let mut report = Report::new(job);
    let place = || format!("partition {name}/{}", shown_partition(partition));
    let replay = Side::new(position.replay, "replay offset");
    report.at_most(Clause::Positions, place, replay, Side::new(position.next, "next offset"));
    report.at_most(Clause::Positions, place, Side::new(*first, "first offset"), replay);
    let end = last_offset(db, job, name, partition)?.unwrap_or(*first);
    let end = Side::new(end, "end of the last range or gap");
    report.compare(Clause::Tiling, place, Side::new(position.next, "next offset"), end);
    halt_on_imbalance(&report)
}

/// End of the last range or gap of a partition.
fn last_offset(
    db: &mut dyn Snapshot,
    job: &str,
    input: &str,
    partition: u32,
) -> Result<Option<Offset>, SinkError> {
    let sql = "SELECT
                   (SELECT to_offset FROM telemetra.batch_range
                    WHERE job = $1 AND input = $2 AND \"partition\" = $3 ORDER BY from_offset DESC LIMIT 1)
                    AS of_ranges,
                   (SELECT max(to_offset) FROM telemetra.gap
                    WHERE job = $1 AND input = $2 AND \"partition\" = $3 AND NOT in_replay) AS of_gaps";
    let key = [Arg::Text(job), Arg::Text(input), Arg::Int(i64::from(partition))];
    let ends = db.one(sql, &key, |row| Ok(row.int_or_null(0)?.max(row.int_or_null(1)?)))?;
    ends.flatten().map(|end| uint(end, "to_offset")).transpose()
}

/// A partition of which ranges are recorded must have a position: without it, it would be read again.
fn check_no_position_is_missing(
    db: &mut dyn Snapshot,
    job: &str,
    inputs: &[Input],
    positions: &[Position],
) -> Result<(), SinkError> {
    for (name, partition) in partitions_with_ranges(db, job)? {
        let id = PartitionId { input: input_number(inputs, &name, job)?, partition };
        if !positions.iter().any(|position| position.id == id) {
            return halt(format!(
                "partition {name}/{} has ranges in the ledger but no position: restore a backup",
                shown_partition(partition)
            ));
        }
    }
    Ok(())
}

/// Partitions of which a range is recorded: one seek in the key for each. In the order of the store's key.
///
/// # Errors
/// As [`Snapshot::each`].
pub(crate) fn partitions_with_ranges(
    db: &mut dyn Snapshot,
    job: &str,
) -> Result<Vec<(String, u32)>, SinkError> {
    let sql = "SELECT input, \"partition\" FROM telemetra.batch_range
               WHERE job = $1 AND (input, \"partition\") > ($2, $3) ORDER BY input, \"partition\" LIMIT 1";
    let mut found: Vec<(String, u32)> = Vec::new();
    loop {
        let (input, partition) =
            found.last().map_or(("", -1), |(input, number)| (input.as_str(), i64::from(*number)));
        let after = [Arg::Text(job), Arg::Text(input), Arg::Int(partition)];
        let next = db.one(sql, &after, |row| Ok((row.text(0)?, row.uint32(1, "partition")?)))?;
        let Some(next) = next else { return Ok(found) };
        found.push(next);
    }
}

fn segments(
    db: &mut dyn Snapshot,
    job: &str,
    inputs: &[Input],
) -> Result<Vec<(PartitionId, Segment)>, SinkError> {
    let sql = "SELECT input, \"partition\", seq, name, byte_from, byte_to, line, first_offset, records,
                   fingerprint, modified_ns, smallest_ms, largest_ms
               FROM telemetra.file WHERE job = $1";
    let mut segments = db.list(sql, &[Arg::Text(job)], |row| {
        let input = row.text(0)?;
        let partition = row.uint32(1, "partition")?;
        let segment = Segment {
            seq: row.uint32(2, "seq")?,
            file: row.text(3)?,
            bytes: row.uint(4, "byte_from")?..row.uint(5, "byte_to")?,
            line: row.uint(6, "line")?,
            first_offset: row.uint(7, "first_offset")?,
            records: row.uint(8, "records")?,
            fingerprint: row.text(9)?,
            // Only records still in quarantine ask for it, not a start.
            head: None,
            modified_ns: row.int_or_null(10)?,
            span_ms: row.int_or_null(11)?.zip(row.int_or_null(12)?),
        };
        Ok((PartitionId { input: input_number(inputs, &input, job)?, partition }, segment))
    })?;
    segments.sort_by_key(|(id, segment)| (*id, segment.seq));
    Ok(segments)
}
