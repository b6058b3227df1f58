//! Taking a job over: a new epoch, and where the job stands, read under the write lock.
//!
//! What is read must be believed, so it is checked first: whoever changed a position by hand gets a halt with
//! both values, never a wrong number.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use telemetra_core::watermark::{PartitionClock, Watermark};
use telemetra_engine::{
    audit::{self, Clause, Report, Side},
    ids::{Offset, PartitionId},
    sink::{Position, Recovered, Totals},
    source::{Input, Segment},
};

use super::{
    Job, chat_rows,
    connection::{Failure, int, uint},
    text,
};

/// See [`telemetra_engine::sink::Sink::take_over`].
pub(super) fn take_over(
    db: &mut Connection,
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
    let stored = read_job(&tx, job)?;
    let recovered = match stored {
        None => {
            create(&tx, job, meaning, &holder, &now)?;
            Recovered { epoch: 1, ..nothing() }
        }
        Some(stored) => {
            let epoch = stored.epoch + 1;
            let sql =
                "UPDATE telemetra_job SET epoch = ?2, holder = ?3, status = 'running', halt_cause = NULL,
                           updated_at = ?4 WHERE job = ?1";
            tx.execute(sql, params![job.name, int(epoch)?, holder, now])?;
            let (open_rows, closed_early) = chat_rows::above_watermark(&tx, job.window, stored.watermark)?;
            let positions = positions(&tx, job, inputs)?;
            let segments = segments(&tx, job, inputs)?;
            Recovered { epoch, open_rows, closed_early, positions, segments, ..stored }
        }
    };
    tx.commit()?;
    Ok(recovered)
}

/// A job that has not begun.
fn nothing() -> Recovered {
    Recovered {
        epoch: 0,
        last_batch: 0,
        watermark: Watermark::NONE,
        open_end_ms: None,
        open_digest: 0,
        open_count: 0,
        meaning: None,
        totals: Totals::default(),
        positions: Vec::new(),
        segments: Vec::new(),
        open_rows: Vec::new(),
        closed_early: Vec::new(),
    }
}

/// A result table belongs to one job.
fn claim_tables(db: &Connection, job: &Job, now: &str) -> Result<(), Failure> {
    for table in chat_rows::TABLES {
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
               VALUES (?1, 'chat', 1, ?2, 0, 0, 0, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 'running', ?6, ?6)";
    let (length_ms, slide_ms) = (job.window.length_ms(), job.window.slide_ms());
    db.execute(sql, params![job.name, holder, meaning, length_ms, slide_ms, now])?;
    Ok(())
}

/// The job row with the sums in it checked, `None` for a new job. Lists stay empty.
fn read_job(db: &Connection, job: &Job) -> Result<Option<Recovered>, Failure> {
    let sql = "SELECT epoch, last_batch, watermark_ms, open_end_ms, open_digest, open_count, meaning,
                   in_windows, window_misses, final_count, pipeline, length_ms, slide_ms
               FROM telemetra_job WHERE job = ?1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([&job.name])?;
    let Some(row) = rows.next()? else {
        let ledger = "SELECT 1 FROM telemetra_batch WHERE job = ?1
                      UNION ALL SELECT 1 FROM telemetra_position WHERE job = ?1";
        if db.query_row(ledger, [&job.name], |_| Ok(())).optional()?.is_some() {
            let text = format!("the ledger of job {} has no job row any more: restore a backup", job.name);
            return Err(Failure::halt(text));
        }
        return Ok(None);
    };
    let pipeline: String = row.get(10)?;
    if pipeline != "chat" {
        return Err(Failure::halt(format!(
            "job {} runs pipeline {pipeline}: choose another --job",
            job.name
        )));
    }
    let (length_ms, slide_ms): (i64, i64) = (row.get(11)?, row.get(12)?);
    if (length_ms, slide_ms) != (job.window.length_ms(), job.window.slide_ms()) {
        return Err(Failure::halt(format!(
            "job {} has windows of {length_ms} ms every {slide_ms} ms for good, {} ms every {} ms are asked for: \
             set WINDOW_DURATION and SLIDE_DURATION back, or use another --store and --job",
            job.name,
            job.window.length_ms(),
            job.window.slide_ms()
        )));
    }
    let recovered = Recovered {
        epoch: uint(row.get(0)?, "epoch")?,
        last_batch: uint(row.get(1)?, "last_batch")?,
        watermark: row.get::<_, Option<i64>>(2)?.into(),
        open_end_ms: row.get(3)?,
        open_digest: row.get::<_, i64>(4)?.cast_unsigned(),
        open_count: row.get(5)?,
        meaning: Some(row.get(6)?),
        totals: Totals { in_windows: row.get(7)?, window_misses: row.get(8)?, final_count: row.get(9)? },
        ..nothing()
    };
    check_job(db, job, &recovered)?;
    Ok(Some(recovered))
}

/// The job row must say what its last batch said.
fn check_job(db: &Connection, job: &Job, stored: &Recovered) -> Result<(), Failure> {
    let mut report = Report::new(&job.name);
    let sql = "SELECT batch_id, watermark_ms, open_end_ms, open_digest, open_count
               FROM telemetra_batch WHERE job = ?1 ORDER BY batch_id DESC LIMIT 1";
    let last = db.query_row(sql, [&job.name], |row| {
        Ok([row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
    });
    let said = last.optional()?.unwrap_or([Some(0), None, None, Some(0), Some(0)]);
    let says = [
        Some(int(stored.last_batch)?),
        stored.watermark.ms(),
        stored.open_end_ms,
        Some(stored.open_digest.cast_signed()),
        Some(stored.open_count),
    ];
    let names = ["last_batch", "watermark_ms", "open_end_ms", "open_digest", "open_count"];
    for ((says, said), name) in says.into_iter().zip(said).zip(names) {
        // NULL is like no number.
        let side = |value: Option<i64>, is| Side(value.map_or(i128::MIN >> 1, i128::from), is);
        let place = || format!("job row of {}, {name}", job.name);
        report.compare(Clause::Totals, place, side(says, "the job row"), side(said, "the last batch"));
    }
    let counted = i128::from(stored.totals.final_count) + i128::from(stored.open_count);
    let place = || format!("job row of {}", job.name);
    audit::check_counts(&mut report, place, job.window, stored.totals, counted);
    halt_on_imbalance(&report)
}

fn halt_on_imbalance(report: &Report) -> Result<(), Failure> {
    let Some(imbalance) = report.imbalances().next() else { return Ok(()) };
    Err(Failure::halt(format!(
        "the ledger contradicts itself, see `telemetra audit`; restore a backup: {imbalance}"
    )))
}

/// Number of the input with this name, which must not have changed its topic.
fn input_number(inputs: &[Input], name: &str, job: &Job) -> Result<u8, Failure> {
    let number =
        inputs.iter().position(|input| input.name == name).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| {
        let job = &job.name;
        Failure::halt(format!(
            "job {job} has read input {name}, which is not given now: give it, or another --job"
        ))
    })
}

fn positions(db: &Connection, job: &Job, inputs: &[Input]) -> Result<Vec<Position>, Failure> {
    let sql = "SELECT input, \"partition\", topic, first_offset, replay_offset, next_offset, largest_ms,
                   pending_ms, pending_age, head_since_ms
               FROM telemetra_position WHERE job = ?1 ORDER BY input, \"partition\"";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([&job.name])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let input = input_number(inputs, &name, job)?;
        let (topic, now): (Option<String>, _) = (row.get(2)?, &inputs[usize::from(input)].topic);
        if topic != *now {
            let call = |topic: &Option<String>| {
                topic.clone().map_or("a folder".into(), |name| format!("topic {name}"))
            };
            return Err(Failure::halt(format!(
                "job {} reads input {name} from {}, not from {}: set it back, or use another --job",
                job.name,
                call(&topic),
                call(now)
            )));
        }
        positions.push(check_position(db, job, &name, row, input)?);
    }
    check_no_position_is_missing(db, job, inputs, &positions)?;
    positions.sort_by_key(|position| position.id);
    Ok(positions)
}

/// Reads a position and holds it against the last range or gap that the ledger has of the partition.
fn check_position(db: &Connection, job: &Job, name: &str, row: &Row, input: u8) -> Result<Position, Failure> {
    let partition: u32 = row.get(1)?;
    let first = uint(row.get(3)?, "first_offset")?;
    let position = Position {
        id: PartitionId { input, partition },
        replay: uint(row.get(4)?, "replay_offset")?,
        next: uint(row.get(5)?, "next_offset")?,
        clock: PartitionClock { largest_ms: row.get(6)?, pending_ms: row.get(7)?, pending_age: row.get(8)? },
        head_since_ms: row.get(9)?,
    };
    let mut report = Report::new(&job.name);
    let place = || format!("partition {name}/{partition}");
    let replay = Side::new(position.replay, "replay offset");
    report.at_most(Clause::Positions, place, replay, Side::new(position.next, "next offset"));
    report.at_most(Clause::Positions, place, Side::new(first, "first offset"), replay);
    let end = last_offset(db, job, name, partition)?.unwrap_or(first);
    let end = Side::new(end, "end of the last range or gap");
    report.compare(Clause::Tiling, place, Side::new(position.next, "next offset"), end);
    halt_on_imbalance(&report)?;
    Ok(position)
}

/// End of the last range or gap of a partition.
fn last_offset(db: &Connection, job: &Job, input: &str, partition: u32) -> Result<Option<Offset>, Failure> {
    let sql = "SELECT max(coalesce(r, g), coalesce(g, r)) FROM (SELECT
                   (SELECT to_offset FROM telemetra_batch_range
                    WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 ORDER BY from_offset DESC LIMIT 1) AS r,
                   (SELECT max(to_offset) FROM telemetra_gap
                    WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND NOT in_replay) AS g)";
    let end: Option<i64> = db.query_row(sql, params![job.name, input, partition], |row| row.get(0))?;
    end.map(|end| uint(end, "to_offset")).transpose()
}

/// A partition of which ranges are recorded must have a position: without it, it would be read again.
fn check_no_position_is_missing(
    db: &Connection,
    job: &Job,
    inputs: &[Input],
    positions: &[Position],
) -> Result<(), Failure> {
    for (name, partition) in partitions_with_ranges(db, &job.name)? {
        let id = PartitionId { input: input_number(inputs, &name, job)?, partition };
        if !positions.iter().any(|position| position.id == id) {
            return Err(Failure::halt(format!(
                "partition {name}/{partition} has ranges in the ledger but no position: restore a backup"
            )));
        }
    }
    Ok(())
}

/// Partitions of which a range is recorded: one seek in the key for each.
pub(super) fn partitions_with_ranges(db: &Connection, job: &str) -> Result<Vec<(String, u32)>, Failure> {
    let sql = "SELECT input, \"partition\" FROM telemetra_batch_range
               WHERE job = ?1 AND (input, \"partition\") > (?2, ?3) ORDER BY input, \"partition\" LIMIT 1";
    let mut statement = db.prepare(sql)?;
    let mut found: Vec<(String, u32)> = Vec::new();
    loop {
        let (input, partition) =
            found.last().map_or(("", -1), |(input, number)| (input.as_str(), i64::from(*number)));
        let next = statement.query_row(params![job, input, partition], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some(next) = next.optional()? else { return Ok(found) };
        found.push(next);
    }
}

fn segments(db: &Connection, job: &Job, inputs: &[Input]) -> Result<Vec<(PartitionId, Segment)>, Failure> {
    let sql = "SELECT input, \"partition\", seq, name, byte_from, byte_to, line, first_offset, records,
                   fingerprint, modified_ns, smallest_ms, largest_ms
               FROM telemetra_file WHERE job = ?1 ORDER BY input, \"partition\", seq";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([&job.name])?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next()? {
        let input: String = row.get(0)?;
        let id = PartitionId { input: input_number(inputs, &input, job)?, partition: row.get(1)? };
        let (smallest, largest): (Option<i64>, Option<i64>) = (row.get(11)?, row.get(12)?);
        let segment = Segment {
            seq: row.get(2)?,
            file: row.get(3)?,
            bytes: uint(row.get(4)?, "byte_from")?..uint(row.get(5)?, "byte_to")?,
            line: uint(row.get(6)?, "line")?,
            first_offset: uint(row.get(7)?, "first_offset")?,
            records: uint(row.get(8)?, "records")?,
            fingerprint: row.get(9)?,
            modified_ns: row.get(10)?,
            span_ms: smallest.zip(largest),
        };
        segments.push((id, segment));
    }
    segments.sort_by_key(|(id, segment)| (*id, segment.seq));
    Ok(segments)
}
