//! Segments of files. One that was recorded is a place in a file for good, and one that differs stops the batch.

use telemetra_engine::sink::Commit;
use tokio_postgres::{Client, types::Type};

use super::{
    Held,
    failure::Failure,
    flight::{Reply, Statement, one},
    values::int,
};

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
    head: Vec<Option<&'a [u8]>>,
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
            segments.head.push(segment.head.as_deref());
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
        times
            .fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY))
            .arg(&self.head, Type::BYTEA_ARRAY)
    }

    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, job: &'s String) {
        if !self.input.is_empty() {
            let sql =
                "INSERT INTO telemetra.file AS old (job, input, partition, seq, byte_from, byte_to, line,
                    first_offset, records, name, fingerprint, modified_ns, smallest_ms, largest_ms, head)
                SELECT $1, v.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS v
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
            FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS v (input, partition, seq,
                byte_from, byte_to, line, first_offset, records, name, fingerprint, modified, smallest, largest,
                head)
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
