//! What a batch read, range by range, and the gaps that it passed: columns that `unnest` turns into rows.

use telemetra_engine::sink::Commit;
use tokio_postgres::types::Type;

use super::{Held, failure::Failure, flight::Statement, values::int};
use crate::ledger::Piece;

/// The pieces of the ranges read.
#[derive(Default)]
pub(super) struct Ranges<'a> {
    input: Vec<&'a str>,
    /// Partition, from, to, then the sums of a tally, then [`Piece::columns`].
    numbers: [Vec<i64>; 14],
}

impl<'a> Ranges<'a> {
    pub(super) fn new(held: &'a Held, pieces: &[Piece]) -> Result<Self, Failure> {
        let mut ranges = Self::default();
        for piece in pieces {
            let (range, tally) = (&piece.range, &piece.range.tally);
            ranges.input.push(held.input(range.partition)?.name);
            let [accepted, duplicates, conflicts, quarantined] = piece.columns();
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
                accepted,
                duplicates,
                conflicts,
                quarantined,
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
                to_offset, records, empty, counted, in_windows, late, dead, window_misses, accepted, duplicates,
                conflicts, quarantined)
            SELECT $1, $2, $3, v.*
            FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) AS v";
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
