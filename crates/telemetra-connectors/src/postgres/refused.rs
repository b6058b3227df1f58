//! Refused and late records. They are inserted, never upserted: a second one at the same offset is an error that stops
//! the job.

use std::ops::Range;

use telemetra_core::mutant::{self, Mutant};
use telemetra_engine::{
    ids::{Offset, PartitionId},
    sink::{Commit, DeadLetter, LateEvent, Place},
};
use tokio_postgres::{Client, types::Type};

use super::{
    Held, Job,
    failure::Failure,
    flight::{Reply, Statement, fly, one},
    values::{Ms, int},
};
use crate::ledger;

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
pub(super) async fn alone<R>(
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

/// Offsets of the refused records in `range`, ascending; `table` lists them.
pub(super) async fn dead_offsets(
    client: &Client,
    table: ledger::Refused,
    job: &Job,
    held: &Held,
    id: PartitionId,
    range: Range<Offset>,
) -> Result<Vec<Offset>, Failure> {
    let sql = match table {
        ledger::Refused::DeadLetters => {
            "SELECT \"offset\" FROM dead_letters
             WHERE job = $1 AND input = $2 AND partition = $3 AND \"offset\" >= $4 AND \"offset\" < $5
             ORDER BY \"offset\""
        }
        // A job with a quarantine has one input.
        ledger::Refused::Quarantine => {
            "SELECT \"offset\" FROM rejected_events
             WHERE job = $1 AND $2 <> '' AND partition = $3 AND \"offset\" >= $4 AND \"offset\" < $5
             ORDER BY \"offset\""
        }
    };
    let (input, partition) = (held.input(id)?.name, i64::from(id.partition));
    let (from, to) = (int(range.start)?, int(range.end)?);
    let statement = Statement::new(sql).text(&job.name).text(&input).int(&partition).int(&from).int(&to);
    let reply = one(client, statement).await?;
    let offsets = reply.rows.iter().map(|row| {
        let offset: i64 = row.try_get(0)?;
        u64::try_from(offset).map_err(|_| Failure::halt(format!("a refused record has offset {offset}")))
    });
    offsets.collect()
}
