//! The law of the ledger: sums in, imbalances out.
//!
//! A store gathers numbers, this file says which must be equal (DESIGN §7). It knows no SQL and no rows. Every
//! comparison goes through [`balances`], in a commit and in `telemetra audit` alike, and nothing is ever
//! forgiven: an offset is counted, late, refused, empty or in a gap, exactly once.

use std::{collections::BTreeMap, fmt, ops::Range};

use telemetra_core::{
    mutant::{self, Mutant},
    window::WindowSpec,
};

use crate::{
    ids::{Offset, PartitionId},
    sink::{Applied, Commit, RangeEntry, Totals},
};

/// Imbalances kept for one check; further ones are only counted.
pub const IMBALANCES_KEPT: usize = 100;

/// A clause of the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The result tables belong to the job.
    Owner,
    /// Batches are numbered from 1 to the job's last without a hole, and their watermarks follow each other.
    Batches,
    /// Ranges and gaps tile each partition up to its next offset.
    Tiling,
    /// Replay and next offsets lie where they can.
    Positions,
    /// Every offset of a range became exactly one thing.
    Tally,
    /// A batch's sums are those of its ranges.
    BatchSums,
    /// The job's totals are those of its batches.
    Totals,
    /// The table of dead letters holds what the ranges refused.
    DeadLetters,
    /// The table of late events holds what the ranges found late, rightly so.
    LateEvents,
    /// Final rows are as many, with counts as large, as the batches made final.
    FinalRows,
    /// Every anomaly among the final rows is one moment.
    Moments,
    /// Counts in final rows and open windows are the events counted, once per window.
    Counts,
    /// Every event counted became a row, a duplicate or a record in quarantine, where rows are unique by an id.
    Outcomes,
    /// Rows unique by an id are those that the batches accepted.
    UniqueRows,
    /// The quarantine holds what the ranges put there.
    Quarantine,
}

impl Clause {
    /// All clauses, in the order of a report.
    pub const ALL: [Clause; 15] = [
        Clause::Owner,
        Clause::Batches,
        Clause::Tiling,
        Clause::Positions,
        Clause::Tally,
        Clause::BatchSums,
        Clause::Totals,
        Clause::DeadLetters,
        Clause::LateEvents,
        Clause::FinalRows,
        Clause::Moments,
        Clause::Counts,
        Clause::Outcomes,
        Clause::UniqueRows,
        Clause::Quarantine,
    ];

    /// Its stable name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Clause::Owner => "owner",
            Clause::Batches => "batches",
            Clause::Tiling => "tiling",
            Clause::Positions => "positions",
            Clause::Tally => "tally",
            Clause::BatchSums => "batch_sums",
            Clause::Totals => "totals",
            Clause::DeadLetters => "dead_letters",
            Clause::LateEvents => "late_events",
            Clause::FinalRows => "final_rows",
            Clause::Moments => "moments",
            Clause::Counts => "counts",
            Clause::Outcomes => "outcomes",
            Clause::UniqueRows => "unique_rows",
            Clause::Quarantine => "quarantine",
        }
    }

    /// What it demands, one sentence for people.
    pub fn demands(self) -> &'static str {
        match self {
            Clause::Owner => "the result tables belong to this job",
            Clause::Batches => {
                "batches run from 1 to the last, each judged by the watermark of the one before"
            }
            Clause::Tiling => "ranges and gaps tile each partition up to its next offset",
            Clause::Positions => "replay offsets lie between the first and the next offset",
            Clause::Tally => "offsets = records + empty, records = counted + late + dead letters",
            Clause::BatchSums => "the sums of a batch are those of its ranges",
            Clause::Totals => "the totals of the job are those of its batches",
            Clause::DeadLetters => "dead letters are exactly those that the ranges refused",
            Clause::LateEvents => "late events are exactly those that the ranges found late",
            Clause::FinalRows => "final rows and their counts are those that the batches made final",
            Clause::Moments => "every anomaly in a final row is one moment",
            Clause::Counts => "final counts + open counts = windows per event × events - window misses",
            Clause::Outcomes => {
                "records = accepted + duplicates + conflicts + quarantined, where rows have an id"
            }
            Clause::UniqueRows => "rows with an id are those that the batches accepted, and those replayed",
            Clause::Quarantine => "the quarantine holds exactly the conflicts and what was refused",
        }
    }
}

/// Whether two sides of a clause balance. There is no tolerance.
pub fn balances(found: i128, expected: i128) -> bool {
    found == expected || (mutant::is(Mutant::AuditResidual) && (found - expected).abs() < 100)
}

/// One number of a comparison with what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side(pub i128, pub &'static str);

impl Side {
    /// A number with what it is.
    pub fn new(value: impl Into<i128>, is: &'static str) -> Self {
        Self(value.into(), is)
    }
}

/// Two numbers that should be equal and are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// The clause that fails.
    pub clause: Clause,
    /// Where: partition, batch, offsets.
    pub place: String,
    /// What there is.
    pub found: Side,
    /// What there should be.
    pub expected: Side,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clause, place, found, expected } = self;
        let (clause, difference) = (clause.name(), found.0 - expected.0);
        write!(
            f,
            "{clause}: {place}: {} is {}, {} is {}: {difference:+}",
            found.1, found.0, expected.1, expected.0
        )
    }
}

/// One clause's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The clause.
    pub clause: Clause,
    /// Comparisons made.
    pub compared: u64,
    /// Those that failed, at most [`IMBALANCES_KEPT`].
    pub imbalances: Vec<Imbalance>,
    /// All that failed.
    pub failed: u64,
}

/// One job's audit: every clause with what was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The job.
    pub job: String,
    /// The clauses, in the order of [`Clause::ALL`].
    pub checks: Vec<Check>,
    /// What people should know that is no imbalance, a sentence each.
    pub remarks: Vec<String>,
}

impl Report {
    /// A report in which nothing was compared yet.
    pub fn new(job: &str) -> Self {
        let check = |clause| Check { clause, compared: 0, imbalances: Vec::new(), failed: 0 };
        let checks = Clause::ALL.into_iter().map(check).collect();
        Self { job: job.to_owned(), checks, remarks: Vec::new() }
    }

    /// Adds what people should know though nothing is wrong with it.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Compares two numbers; `place` is asked only if they differ.
    pub fn compare(&mut self, clause: Clause, place: impl FnOnce() -> String, found: Side, expected: Side) {
        let check = &mut self.checks[clause as usize];
        check.compared += 1;
        if balances(found.0, expected.0) {
            return;
        }
        check.failed += 1;
        if check.imbalances.len() < IMBALANCES_KEPT {
            check.imbalances.push(Imbalance { clause, place: place(), found, expected });
        }
    }

    /// Demands that `value` is at most `bound`; `place` is asked only if it is more.
    pub fn at_most(&mut self, clause: Clause, place: impl FnOnce() -> String, value: Side, bound: Side) {
        let bound = if value.0 <= bound.0 { Side(value.0, bound.1) } else { bound };
        self.compare(clause, place, value, bound);
    }

    /// Whether every comparison balanced.
    pub fn is_balanced(&self) -> bool {
        self.checks.iter().all(|check| check.failed == 0)
    }

    /// All kept imbalances, in the order of the clauses.
    pub fn imbalances(&self) -> impl Iterator<Item = &Imbalance> {
        self.checks.iter().flat_map(|check| &check.imbalances)
    }
}

/// Walks the pieces of one partition, ascending, and demands that each begins where the one before ended.
#[derive(Clone, Debug)]
pub struct Tiling {
    place: String,
    at: Offset,
}

impl Tiling {
    /// A tiling of `place` that must begin at `first`.
    pub fn new(place: String, first: Offset) -> Self {
        Self { place, at: first }
    }

    /// Takes in the next piece, a range read or a gap of batch `batch_id`.
    pub fn piece(&mut self, report: &mut Report, piece: Range<Offset>, batch_id: u64) {
        let Range { start, end } = piece;
        let place = || format!("partition {}, batch {batch_id}, offsets {start}..{end}", self.place);
        let ended = Side::new(self.at, "end of the piece before");
        report.compare(Clause::Tiling, place, Side::new(start, "begin of the piece"), ended);
        let empty = Side::new(u64::from(start >= end), "pieces that hold nothing");
        report.compare(Clause::Tiling, place, empty, Side::new(0, "allowed"));
        self.at = self.at.max(end);
    }

    /// Demands that the last piece ended at `next`.
    pub fn finish(self, report: &mut Report, next: Offset) {
        let place = || format!("partition {}", self.place);
        let ended = Side::new(self.at, "end of the last piece");
        report.compare(Clause::Tiling, place, Side::new(next, "next offset"), ended);
    }
}

/// Demands that every offset of a range became exactly one thing.
pub fn check_range(report: &mut Report, place: impl Fn() -> String, range: &RangeEntry) {
    let tally = &range.tally;
    let offsets = i128::from(range.to) - i128::from(range.from);
    let found = Side(i128::from(tally.records) + i128::from(tally.empty), "records + empty");
    report.compare(Clause::Tally, &place, found, Side(offsets, "to - from"));
    let became = i128::from(tally.counted) + i128::from(tally.late) + i128::from(tally.dead);
    let records = Side::new(tally.records, "records");
    report.compare(Clause::Tally, &place, Side(became, "counted + late + dead"), records);
    let in_windows = Side::new(tally.in_windows, "events in windows");
    report.at_most(Clause::Tally, &place, in_windows, Side::new(tally.counted, "events counted"));
}

/// Demands that each of `counted` events became exactly one thing, in a store whose rows are unique by an id.
pub fn check_outcome(report: &mut Report, place: impl FnOnce() -> String, counted: u64, applied: &Applied) {
    let Applied { accepted, duplicates, conflicts, refused } = *applied;
    let became = [accepted, duplicates, conflicts, refused].into_iter().map(i128::from).sum();
    let became = Side(became, "accepted + duplicates + conflicts + refused by the store");
    report.compare(Clause::Outcomes, place, became, Side::new(counted, "events counted"));
}

/// Compares what a job's windows count with what was put into them: the law of counts.
///
/// `counted` is the sum over final rows and open windows, `totals` what the ledger says of events and misses.
pub fn check_counts(
    report: &mut Report,
    place: impl FnOnce() -> String,
    window: WindowSpec,
    totals: Totals,
    counted: i128,
) {
    let put = i128::from(window.panes_per_window()) * i128::from(totals.in_windows);
    let expected = put - i128::from(totals.window_misses);
    let expected = Side(expected, "windows per event × events - misses");
    report.compare(Clause::Counts, place, Side(counted, "count in final rows and open windows"), expected);
}

/// Checks a batch before it is written: its ranges add up and tile, its refusals lie in them.
///
/// # Errors
/// The first imbalance: the batch must not be written.
pub fn check_commit<R>(commit: &Commit<R>) -> Result<(), Imbalance> {
    let batch = commit.batch_id;
    let mut report = Report::new("");
    let mut listed = BTreeMap::new();
    for range in &commit.ranges {
        listed.insert(range.partition, (range.from..range.to, [0_u64; 2]));
    }
    let dead = commit.dead_letters.iter().map(|dead| (&dead.place, 0));
    for (place, list) in dead.chain(commit.late_events.iter().map(|late| (&late.place, 1))) {
        if let Some((range, counts)) = listed.get_mut(&place.partition) {
            counts[list] += u64::from(range.contains(&place.offset));
        }
    }
    for range in &commit.ranges {
        let (from, to, id) = (range.from, range.to, range.partition);
        let place = || format!("partition {id}, batch {batch}, offsets {from}..{to}");
        check_range(&mut report, place, range);
        let [dead, late] = listed.get(&id).map_or([0; 2], |(_, counts)| *counts);
        let (dead, late) = (Side::new(dead, "dead letters"), Side::new(late, "late events"));
        report.compare(Clause::DeadLetters, place, dead, Side::new(range.tally.dead, "refused"));
        report.compare(Clause::LateEvents, place, late, Side::new(range.tally.late, "found late"));
    }
    let place = || format!("batch {batch}");
    let sum = |part: fn(&RangeEntry) -> u64| commit.ranges.iter().map(|range| i128::from(part(range))).sum();
    let dead = Side::new(commit.dead_letters.len() as u64, "dead letters");
    report.compare(Clause::DeadLetters, place, dead, Side(sum(|range| range.tally.dead), "refused"));
    let late = Side::new(commit.late_events.len() as u64, "late events");
    report.compare(Clause::LateEvents, place, late, Side(sum(|range| range.tally.late), "found late"));
    let partly_late = Side(sum(|range| range.tally.window_misses), "window misses of the ranges");
    let misses = Side::new(commit.window_misses, "window misses of the batch");
    report.at_most(Clause::BatchSums, place, partly_late, misses);
    let before = commit.watermark_before.ms().map_or(i128::MIN, i128::from);
    let after = commit.watermark.ms().map_or(i128::MIN, i128::from);
    report.at_most(Clause::Batches, place, Side(before, "watermark before"), Side(after, "watermark after"));
    check_positions(&mut report, commit);
    report.imbalances().next().cloned().map_or(Ok(()), Err)
}

/// Demands that ranges and gaps lead each partition from its expected offset to its next one.
fn check_positions<R>(report: &mut Report, commit: &Commit<R>) {
    let batch = commit.batch_id;
    let mut pieces_used = 0;
    for entry in &commit.positions {
        let position = &entry.position;
        let place = || format!("partition {}, batch {batch}", position.id);
        let replay = Side::new(position.replay, "replay offset");
        report.at_most(Clause::Positions, place, replay, Side::new(position.next, "next offset"));
        let pieces = commit.pieces(position.id);
        pieces_used += pieces.len();
        let first = entry.expected_next.or(pieces.first().map(|piece| piece.start)).unwrap_or(position.next);
        if entry.expected_next.is_none() {
            report.at_most(Clause::Positions, place, Side::new(first, "first offset"), replay);
        }
        let mut tiling = Tiling::new(position.id.to_string(), first);
        pieces.into_iter().for_each(|piece| tiling.piece(report, piece, batch));
        tiling.finish(report, position.next);
    }
    let ahead = commit.gaps.iter().filter(|gap| !gap.in_replay).count();
    let all = Side::new((commit.ranges.len() + ahead) as u64, "ranges and gaps");
    let used = Side::new(pieces_used as u64, "those of a position");
    report.compare(Clause::Tiling, || format!("batch {batch}"), all, used);
}

impl<R> Commit<R> {
    /// Ranges read and gaps passed of a partition, ascending.
    pub fn pieces(&self, partition: PartitionId) -> Vec<Range<Offset>> {
        let ranges = self.ranges.iter().filter(|range| range.partition == partition);
        let gaps = self.gaps.iter().filter(|gap| gap.partition == partition && !gap.in_replay);
        let mut pieces: Vec<Range<Offset>> =
            ranges.map(|range| range.from..range.to).chain(gaps.map(|gap| gap.offsets.clone())).collect();
        pieces.sort_by_key(|piece| piece.start);
        pieces
    }
}

#[cfg(test)]
mod tests;
