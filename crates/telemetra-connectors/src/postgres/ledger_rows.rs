//! What a batch adds to the ledger: positions, ranges, segments, gaps, refused and late records.
//!
//! Each kind is a struct of columns that `unnest` turns into rows: one statement however many rows. Positions change
//! only from the offset that the batch expects. Refused and late records are inserted, never upserted: a second one
//! at the same offset is an error that stops the job.

use std::ops::Range;

use telemetra_core::mutant::{self, Mutant};
use telemetra_engine::{
    ids::{Offset, PartitionId},
    sink::{Commit, DeadLetter, LateEvent, Place, SinkError},
};
use tokio_postgres::{Client, types::Type};

use super::{
    Held, Job,
    failure::Failure,
    flight::{Reply, Statement, fly, one},
    values::Ms,
};

/// A number for PostgreSQL, whose bigint ends at 2^63 - 1.
///
/// # Errors
/// Halts on a larger one.
pub(super) fn int(number: u64) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| Failure::halt(format!("{number} is too large for the store")))
}

/// Positions that move, and new ones.
#[derive(Default)]
pub(super) struct Positions<'a> {
    moved: PositionColumns<'a>,
    added: PositionColumns<'a>,
}

#[derive(Default)]
struct PositionColumns<'a> {
    input: Vec<&'a str>,
    topic: Vec<Option<&'a str>>,
    partition: Vec<i64>,
    /// The next offset expected of one that moves, the first offset of a new one.
    from: Vec<i64>,
    next: Vec<i64>,
    replay: Vec<i64>,
    largest_ms: Vec<Option<i64>>,
    pending_ms: Vec<Option<i64>>,
    pending_age: Vec<i64>,
    head_since_ms: Vec<Option<i64>>,
}

impl<'a> Positions<'a> {
    pub(super) fn new<R>(held: &'a Held, commit: &Commit<R>) -> Result<Self, Failure> {
        let mut positions = Self::default();
        for entry in &commit.positions {
            let position = &entry.position;
            let (columns, from) = match entry.expected_next {
                Some(expected) => (&mut positions.moved, expected),
                None => {
                    let first = commit.pieces(position.id).first().map_or(position.next, |piece| piece.start);
                    (&mut positions.added, first)
                }
            };
            let input = held.input(position.id)?;
            columns.input.push(input.name);
            columns.topic.push(input.topic.as_deref());
            columns.partition.push(position.id.partition.into());
            columns.from.push(int(from)?);
            columns.next.push(int(position.next)?);
            columns.replay.push(int(position.replay)?);
            columns.largest_ms.push(position.clock.largest_ms);
            columns.pending_ms.push(position.clock.pending_ms);
            columns.pending_age.push(position.clock.pending_age.into());
            columns.head_since_ms.push(position.head_since_ms);
        }
        Ok(positions)
    }

    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, job: &'s String) {
        if !self.moved.input.is_empty() {
            let sql = if mutant::is(Mutant::NoCompareAndSet) { MOVE_ANYHOW } else { MOVE };
            flight.push(self.moved.statement(sql, job));
        }
        if !self.added.input.is_empty() {
            flight.push(self.added.statement(ADD, job));
        }
    }

    /// Every position must have been where the batch expects it.
    pub(super) fn check(&self, next: &mut impl FnMut() -> Reply, job: &str) -> Result<(), Failure> {
        for columns in [&self.moved, &self.added] {
            let expected = columns.input.len() as u64;
            if expected > 0 && next().affected != expected {
                let named: Vec<String> = (columns.input.iter().zip(&columns.partition).zip(&columns.from))
                    .take(5)
                    .map(|((input, partition), from)| format!("{input}/{partition} at {from}"))
                    .collect();
                return Err(SinkError::Fenced(format!(
                    "a partition of job {job} is no longer where this instance left it ({})",
                    named.join(", ")
                ))
                .into());
            }
        }
        Ok(())
    }
}

const MOVE: &str = "UPDATE telemetra.position p SET next_offset = v.next, replay_offset = v.replay,
        largest_ms = v.largest, pending_ms = v.pending, pending_age = v.age, head_since_ms = v.head
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        AS v (input, topic, partition, expected, next, replay, largest, pending, age, head)
    WHERE p.job = $1 AND p.input = v.input AND p.partition = v.partition AND p.next_offset = v.expected
        AND p.topic IS NOT DISTINCT FROM v.topic";
/// The fault that a test must see.
const MOVE_ANYHOW: &str = "UPDATE telemetra.position p SET next_offset = v.next, replay_offset = v.replay,
        largest_ms = v.largest, pending_ms = v.pending, pending_age = v.age, head_since_ms = v.head
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        AS v (input, topic, partition, expected, next, replay, largest, pending, age, head)
    WHERE p.job = $1 AND p.input = v.input AND p.partition = v.partition";
const ADD: &str = "INSERT INTO telemetra.position (job, input, topic, partition, first_offset, next_offset,
        replay_offset, largest_ms, pending_ms, pending_age, head_since_ms)
    SELECT $1, v.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        AS v (input, topic, partition, first, next, replay, largest, pending, age, head)
    ON CONFLICT DO NOTHING";

impl PositionColumns<'_> {
    fn statement<'s>(&'s self, sql: &'s str, job: &'s String) -> Statement<'s> {
        Statement::new(sql)
            .text(job)
            .arg(&self.input, Type::TEXT_ARRAY)
            .arg(&self.topic, Type::TEXT_ARRAY)
            .arg(&self.partition, Type::INT8_ARRAY)
            .arg(&self.from, Type::INT8_ARRAY)
            .arg(&self.next, Type::INT8_ARRAY)
            .arg(&self.replay, Type::INT8_ARRAY)
            .arg(&self.largest_ms, Type::INT8_ARRAY)
            .arg(&self.pending_ms, Type::INT8_ARRAY)
            .arg(&self.pending_age, Type::INT8_ARRAY)
            .arg(&self.head_since_ms, Type::INT8_ARRAY)
    }
}

/// The ranges read.
#[derive(Default)]
pub(super) struct Ranges<'a> {
    input: Vec<&'a str>,
    /// Partition, from, to, then the sums of a tally.
    numbers: [Vec<i64>; 10],
}

impl<'a> Ranges<'a> {
    pub(super) fn new<R>(held: &'a Held, commit: &Commit<R>) -> Result<Self, Failure> {
        let mut ranges = Self::default();
        for range in &commit.ranges {
            ranges.input.push(held.input(range.partition)?.name);
            let tally = &range.tally;
            let numbers = [
                range.partition.partition.into(),
                range.from,
                range.to,
                tally.records,
                tally.empty,
                tally.counted,
                tally.in_windows,
                tally.late,
                tally.dead,
                tally.window_misses,
            ];
            for (column, number) in ranges.numbers.iter_mut().zip(numbers) {
                column.push(int(number)?);
            }
        }
        Ok(ranges)
    }

    pub(super) fn push<'s>(
        &'s self,
        flight: &mut Vec<Statement<'s>>,
        job: &'s String,
        batch_id: &'s i64,
        watermark_ms: &'s Option<i64>,
    ) {
        if self.input.is_empty() {
            return;
        }
        let sql =
            "INSERT INTO telemetra.batch_range (job, batch_id, watermark_ms, input, partition, from_offset,
                to_offset, records, empty, counted, in_windows, late, dead, window_misses)
            SELECT $1, $2, $3, v.* FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS v";
        let statement = Statement::new(sql).text(job).int(batch_id).int(watermark_ms);
        let statement = statement.arg(&self.input, Type::TEXT_ARRAY);
        let numbers = self.numbers.iter();
        flight.push(numbers.fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY)));
    }
}

/// Offsets that the source no longer held.
#[derive(Default)]
pub(super) struct Gaps<'a> {
    input: Vec<&'a str>,
    partition: Vec<i64>,
    from: Vec<i64>,
    to: Vec<i64>,
    in_replay: Vec<bool>,
    cause: Vec<&'a str>,
}

impl<'a> Gaps<'a> {
    pub(super) fn new<R>(held: &'a Held, commit: &'a Commit<R>) -> Result<Self, Failure> {
        let mut gaps = Self::default();
        for gap in &commit.gaps {
            gaps.input.push(held.input(gap.partition)?.name);
            gaps.partition.push(gap.partition.partition.into());
            gaps.from.push(int(gap.offsets.start)?);
            gaps.to.push(int(gap.offsets.end)?);
            gaps.in_replay.push(gap.in_replay);
            gaps.cause.push(&gap.cause);
        }
        Ok(gaps)
    }

    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, job: &'s String, batch_id: &'s i64) {
        if self.input.is_empty() {
            return;
        }
        let sql = "INSERT INTO telemetra.gap
                (job, batch_id, input, partition, from_offset, to_offset, in_replay, cause)
            SELECT $1, $2, v.* FROM unnest($3, $4, $5, $6, $7, $8) AS v";
        let statement = Statement::new(sql).text(job).int(batch_id);
        flight.push(
            statement
                .arg(&self.input, Type::TEXT_ARRAY)
                .arg(&self.partition, Type::INT8_ARRAY)
                .arg(&self.from, Type::INT8_ARRAY)
                .arg(&self.to, Type::INT8_ARRAY)
                .arg(&self.in_replay, Type::BOOL_ARRAY)
                .arg(&self.cause, Type::TEXT_ARRAY),
        );
    }
}

/// The segments that hold the ranges read.
///
/// A segment once recorded is a place in a file for good: one that differs halts. (What a file grew by is a
/// segment of its own.)
#[derive(Default)]
pub(super) struct Segments<'a> {
    input: Vec<&'a str>,
    /// Partition, seq, byte_from, byte_to, line, first_offset, records.
    numbers: [Vec<i64>; 7],
    name: Vec<&'a str>,
    fingerprint: Vec<&'a str>,
    /// Modified (nanoseconds), smallest and largest event time (milliseconds).
    times: [Vec<Option<i64>>; 3],
}

impl<'a> Segments<'a> {
    pub(super) fn new<R>(held: &'a Held, commit: &'a Commit<R>) -> Result<Self, Failure> {
        let mut segments = Self::default();
        for (id, segment) in &commit.segments {
            segments.input.push(held.input(*id)?.name);
            let numbers = [
                id.partition.into(),
                segment.seq.into(),
                segment.bytes.start,
                segment.bytes.end,
                segment.line,
                segment.first_offset,
                segment.records,
            ];
            for (column, number) in segments.numbers.iter_mut().zip(numbers) {
                column.push(int(number)?);
            }
            segments.name.push(&segment.file);
            segments.fingerprint.push(&segment.fingerprint);
            let (smallest, largest) = segment.span_ms.unzip();
            for (column, time) in segments.times.iter_mut().zip([segment.modified_ns, smallest, largest]) {
                column.push(time);
            }
        }
        Ok(segments)
    }

    fn columns<'s>(&'s self, statement: Statement<'s>) -> Statement<'s> {
        let statement = statement.arg(&self.input, Type::TEXT_ARRAY);
        let numbers = self.numbers.iter();
        let statement = numbers.fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY));
        let statement = statement.arg(&self.name, Type::TEXT_ARRAY).arg(&self.fingerprint, Type::TEXT_ARRAY);
        let times = self.times.iter();
        times.fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY))
    }

    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, job: &'s String) {
        if !self.input.is_empty() {
            let sql =
                "INSERT INTO telemetra.file AS old (job, input, partition, seq, byte_from, byte_to, line,
                    first_offset, records, name, fingerprint, modified_ns, smallest_ms, largest_ms)
                SELECT $1, v.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS v
                ON CONFLICT (job, input, partition, seq) DO UPDATE SET modified_ns = excluded.modified_ns,
                    smallest_ms = excluded.smallest_ms, largest_ms = excluded.largest_ms
                WHERE (old.name, old.byte_from, old.byte_to, old.line, old.first_offset, old.records,
                        old.fingerprint)
                    = (excluded.name, excluded.byte_from, excluded.byte_to, excluded.line,
                        excluded.first_offset, excluded.records, excluded.fingerprint)";
            flight.push(self.columns(Statement::new(sql).text(job)));
        }
    }

    pub(super) async fn check(
        &self,
        client: &Client,
        next: &mut impl FnMut() -> Reply,
        job: &String,
    ) -> Result<(), Failure> {
        if self.input.is_empty() || next().affected == self.input.len() as u64 {
            return Ok(());
        }
        let sql = "SELECT v.input || '/' || v.partition, v.seq, old.name, old.byte_from, old.byte_to,
                old.first_offset, v.name, v.byte_from, v.byte_to, v.first_offset
            FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS v (input, partition, seq,
                byte_from, byte_to, line, first_offset, records, name, fingerprint, modified, smallest, largest)
            JOIN telemetra.file old ON old.job = $1 AND old.input = v.input AND old.partition = v.partition
                AND old.seq = v.seq
            WHERE (old.name, old.byte_from, old.byte_to, old.line, old.first_offset, old.records,
                    old.fingerprint)
                <> (v.name, v.byte_from, v.byte_to, v.line, v.first_offset, v.records, v.fingerprint)
            LIMIT 1";
        let found = one(client, self.columns(Statement::new(sql).text(job))).await?;
        let Some(row) = found.rows.first() else {
            return Err(Failure::halt("a segment of this batch was not recorded; nothing of it was written"));
        };
        let (place, seq): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let side = |at: usize| -> Result<String, Failure> {
            let (name, from, to): (String, i64, i64) =
                (row.try_get(at)?, row.try_get(at + 1)?, row.try_get(at + 2)?);
            Ok(format!("bytes {from}..{to} of {name}, offsets from {}", row.try_get::<_, i64>(at + 3)?))
        };
        Err(Failure::halt(format!(
            "segment {seq} of partition {place} is recorded as {}, and was read now as {}; nothing of this batch \
             was written",
            side(2)?,
            side(6)?
        )))
    }
}

/// Refused records and late events.
#[derive(Default)]
pub(super) struct Refused<'a> {
    dead: PlaceColumns<'a>,
    code: Vec<&'a str>,
    late: PlaceColumns<'a>,
    key: Vec<&'a str>,
    event_time: Vec<Ms>,
    watermark: Vec<Option<Ms>>,
}

#[derive(Default)]
struct PlaceColumns<'a> {
    input: Vec<&'a str>,
    topic: Vec<Option<&'a str>>,
    partition: Vec<i64>,
    offset: Vec<i64>,
    file: Vec<Option<&'a str>>,
    line: Vec<Option<i64>>,
    raw: Vec<&'a [u8]>,
}

impl<'a> PlaceColumns<'a> {
    fn push(&mut self, held: &'a Held, place: &'a Place, raw: &'a [u8]) -> Result<(), Failure> {
        let input = held.input(place.partition)?;
        self.input.push(input.name);
        self.topic.push(input.topic.as_deref());
        self.partition.push(place.partition.partition.into());
        self.offset.push(int(place.offset)?);
        self.file.push(place.file.as_deref());
        self.line.push(place.line.map(int).transpose()?);
        self.raw.push(raw);
        Ok(())
    }

    fn statement<'s>(&'s self, sql: &'s str, job: &'s String, batch_id: &'s i64) -> Statement<'s> {
        Statement::new(sql)
            .text(job)
            .int(batch_id)
            .arg(&self.input, Type::TEXT_ARRAY)
            .arg(&self.topic, Type::TEXT_ARRAY)
            .arg(&self.partition, Type::INT8_ARRAY)
            .arg(&self.offset, Type::INT8_ARRAY)
            .arg(&self.file, Type::TEXT_ARRAY)
            .arg(&self.line, Type::INT8_ARRAY)
            .arg(&self.raw, Type::BYTEA_ARRAY)
    }
}

impl<'a> Refused<'a> {
    pub(super) fn new<R>(held: &'a Held, commit: &'a Commit<R>) -> Result<Self, Failure> {
        let mut refused = Self::default();
        for DeadLetter { place, code, raw } in &commit.dead_letters {
            refused.dead.push(held, place, raw)?;
            refused.code.push(code);
        }
        for LateEvent { place, key, event_time_ms, watermark, raw } in &commit.late_events {
            refused.late.push(held, place, raw)?;
            refused.key.push(key);
            refused.event_time.push(Ms(*event_time_ms));
            refused.watermark.push(watermark.ms().map(Ms));
        }
        Ok(refused)
    }

    fn dead_letters<'s>(&'s self, job: &'s String, batch_id: &'s i64) -> Statement<'s> {
        let sql =
            "INSERT INTO dead_letters (job, batch_id, input, topic, partition, \"offset\", file, line, raw,
                code)
            SELECT $1, $2, v.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10) AS v";
        self.dead.statement(sql, job, batch_id).arg(&self.code, Type::TEXT_ARRAY)
    }

    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, job: &'s String, batch_id: &'s i64) {
        if !self.code.is_empty() && !mutant::is(Mutant::DeadLettersOutside) {
            flight.push(self.dead_letters(job, batch_id));
        }
        if !self.key.is_empty() {
            let sql =
                "INSERT INTO late_events (job, batch_id, input, topic, partition, \"offset\", file, line,
                    raw, stream_id, event_time, watermark)
                SELECT $1, $2, v.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS v";
            flight.push(
                self.late
                    .statement(sql, job, batch_id)
                    .arg(&self.key, Type::TEXT_ARRAY)
                    .arg(&self.event_time, Type::TIMESTAMPTZ_ARRAY)
                    .arg(&self.watermark, Type::TIMESTAMPTZ_ARRAY),
            );
        }
    }

    pub(super) fn check(&self, next: &mut impl FnMut() -> Reply) -> Result<(), Failure> {
        let dead = if mutant::is(Mutant::DeadLettersOutside) { 0 } else { self.code.len() };
        for (what, expected) in [("dead letters", dead), ("late events", self.key.len())] {
            if expected > 0 {
                let inserted = next().affected;
                if inserted != expected as u64 {
                    let text = format!("{inserted} of {expected} {what} were inserted; nothing was written");
                    return Err(Failure::halt(text));
                }
            }
        }
        Ok(())
    }
}

/// Dead letters in a transaction of their own: a fault that a test must see.
pub(super) async fn refused_alone<R>(
    client: &Client,
    job: &Job,
    held: &Held,
    commit: &Commit<R>,
) -> Result<(), Failure> {
    let refused = Refused::new(held, commit)?;
    let batch_id = int(commit.batch_id)?;
    if !refused.code.is_empty() {
        fly(client, "", vec![refused.dead_letters(&job.name, &batch_id)]).await?;
    }
    Ok(())
}

/// Offsets of dead letters in `range`, ascending.
pub(super) async fn dead_offsets(
    client: &Client,
    job: &Job,
    held: &Held,
    id: PartitionId,
    range: Range<Offset>,
) -> Result<Vec<Offset>, Failure> {
    let sql = "SELECT \"offset\" FROM dead_letters
               WHERE job = $1 AND input = $2 AND partition = $3 AND \"offset\" >= $4 AND \"offset\" < $5
               ORDER BY \"offset\"";
    let (input, partition) = (held.input(id)?.name, i64::from(id.partition));
    let (from, to) = (int(range.start)?, int(range.end)?);
    let statement = Statement::new(sql).text(&job.name).text(&input).int(&partition).int(&from).int(&to);
    let reply = one(client, statement).await?;
    let offsets = reply.rows.iter().map(|row| {
        let offset: i64 = row.try_get(0)?;
        u64::try_from(offset).map_err(|_| Failure::halt(format!("a dead letter has offset {offset}")))
    });
    offsets.collect()
}
