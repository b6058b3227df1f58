//! What a batch came to in its store, and the law that it must keep before COMMIT.
//!
//! Both stores fill the same [`Outcome`], whichever pipeline wrote the rows, and have it judged here. The invariant: a
//! batch whose outcome is not exactly what it says of itself is never committed.

use telemetra_engine::{
    audit::{self, Clause, Report, Side},
    sink::{Applied, Commit, RangeEntry, SinkError, Tally, Totals},
};

use super::Pipeline;

/// What a batch did to its result tables, and what became of each piece of its ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Rows inserted or changed.
    pub(crate) rows: u64,
    /// Of these, rows that became final.
    pub(crate) final_rows: u64,
    /// Sum of counts over those.
    pub(crate) final_count: i64,
    /// Moments inserted.
    pub(crate) moments: u64,
    /// What only the store could tell of the events.
    pub(crate) applied: Applied,
    /// The ranges, cut where files end if the ledger is kept by file; they tile the ranges read.
    pub(crate) pieces: Vec<Piece>,
}

/// A row of `telemetra.batch_range`.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Offsets, and what became of their records.
    pub(crate) range: RangeEntry,
    /// What only the store could tell of the counted ones; `None` in a pipeline whose rows have no id.
    pub(crate) applied: Option<Applied>,
}

impl Piece {
    /// Accepted, duplicates, conflicts, and records in quarantine for another reason than a conflict.
    pub(crate) fn columns(&self) -> [u64; 4] {
        let Some(applied) = &self.applied else { return [0; 4] };
        let quarantined = self.range.tally.dead + applied.refused;
        [applied.accepted, applied.duplicates, applied.conflicts, quarantined]
    }
}

impl Outcome {
    /// The ranges of a batch as they are.
    pub(crate) fn whole_ranges<R>(commit: &Commit<R>) -> Vec<Piece> {
        commit.ranges.iter().map(|&range| Piece { range, applied: None }).collect()
    }

    /// Demands that what was written is what the batch says, and that the law of counts holds with it. `totals` are
    /// the job's, this batch included.
    ///
    /// # Errors
    /// Halts with the first imbalance: the batch must not be committed.
    pub(crate) fn check<R>(
        &self,
        job: &str,
        pipeline: Pipeline,
        commit: &Commit<R>,
        totals: Totals,
    ) -> Result<(), SinkError> {
        let mut report = Report::new(job);
        let place = || format!("batch {}", commit.batch_id);
        let became = Side::new(self.final_count, "count in rows made final");
        let said = Side::new(commit.final_count, "final count of the batch");
        report.compare(Clause::FinalRows, place, became, said);
        if let Some(window) = pipeline.window() {
            let counted = i128::from(totals.final_count) + i128::from(commit.open_count);
            audit::check_counts(&mut report, place, window, totals, counted);
        }
        self.check_pieces(commit, &mut report);
        match report.imbalances().next() {
            None => Ok(()),
            Some(imbalance) => Err(SinkError::Halt(format!(
                "batch {} does not add up and was not written: {imbalance}",
                commit.batch_id
            ))),
        }
    }

    /// Every piece adds up, and all pieces to the ranges.
    fn check_pieces<R>(&self, commit: &Commit<R>, report: &mut Report) {
        let (mut read, mut cut, mut applied) = (Tally::default(), Tally::default(), Applied::default());
        commit.ranges.iter().for_each(|range| read.add(&range.tally));
        for piece in &self.pieces {
            let RangeEntry { partition, from, to, tally } = &piece.range;
            let place = || format!("partition {partition}, batch {}, offsets {from}..{to}", commit.batch_id);
            audit::check_range(report, place, &piece.range);
            if let Some(one) = &piece.applied {
                audit::check_outcome(report, place, tally.counted, one);
                applied.add(one);
            }
            cut.add(tally);
        }
        let place = || format!("batch {}", commit.batch_id);
        let numbers = |tally: &Tally| [tally.records, tally.empty, tally.counted, tally.late, tally.dead];
        for (cut, read) in numbers(&cut).into_iter().zip(numbers(&read)) {
            let read = Side::new(read, "sum of the ranges read");
            report.compare(Clause::BatchSums, place, Side::new(cut, "sum of the pieces"), read);
        }
        let numbers =
            |applied: &Applied| [applied.accepted, applied.duplicates, applied.conflicts, applied.refused];
        for (pieces, batch) in numbers(&applied).into_iter().zip(numbers(&self.applied)) {
            let batch = Side::new(batch, "the batch");
            report.compare(Clause::Outcomes, place, Side::new(pieces, "sum of the pieces"), batch);
        }
    }
}
