//! Where a job stands in each partition: a position moves only from the offset that the batch expects, and only in the
//! log that it counts in, so that an instance that was overtaken moves none (RELIABILITY §1.3, compare-and-set).

use telemetra_core::mutant::{self, Mutant};
use telemetra_engine::sink::{Commit, SinkError};
use tokio_postgres::types::Type;

use super::{
    Held,
    failure::Failure,
    flight::{Reply, Statement},
    values::int,
};
use crate::ledger::text;

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
    log_id: Vec<Option<String>>,
    log_epoch: Vec<Option<i32>>,
    begun_ms: Vec<Option<i64>>,
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
            columns.log_id.push(position.mark.id.map(text::log_id));
            columns.log_epoch.push(position.mark.epoch);
            columns.begun_ms.push(position.begun_ms);
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

    /// How many statements [`Positions::push`] adds.
    pub(super) fn statements(&self) -> usize {
        [&self.moved, &self.added].iter().filter(|columns| !columns.input.is_empty()).count()
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
        largest_ms = v.largest, pending_ms = v.pending, pending_age = v.age, head_since_ms = v.head,
        log_id = v.log, log_epoch = v.epoch, begun_ms = v.begun
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        AS v (input, topic, partition, expected, next, replay, largest, pending, age, head, log, epoch, begun)
    WHERE p.job = $1 AND p.input = v.input AND p.partition = v.partition AND p.next_offset = v.expected
        AND p.topic IS NOT DISTINCT FROM v.topic AND (p.log_id IS NULL OR p.log_id = v.log)";
/// The fault that a test must see.
const MOVE_ANYHOW: &str = "UPDATE telemetra.position p SET next_offset = v.next, replay_offset = v.replay,
        largest_ms = v.largest, pending_ms = v.pending, pending_age = v.age, head_since_ms = v.head,
        log_id = v.log, log_epoch = v.epoch, begun_ms = v.begun
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        AS v (input, topic, partition, expected, next, replay, largest, pending, age, head, log, epoch, begun)
    WHERE p.job = $1 AND p.input = v.input AND p.partition = v.partition";
const ADD: &str = "INSERT INTO telemetra.position (job, input, topic, partition, first_offset, next_offset,
        replay_offset, largest_ms, pending_ms, pending_age, head_since_ms, log_id, log_epoch, begun_ms)
    SELECT $1, v.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        AS v (input, topic, partition, first, next, replay, largest, pending, age, head, log, epoch, begun)
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
            .arg(&self.log_id, Type::TEXT_ARRAY)
            .arg(&self.log_epoch, Type::INT4_ARRAY)
            .arg(&self.begun_ms, Type::INT8_ARRAY)
    }
}
