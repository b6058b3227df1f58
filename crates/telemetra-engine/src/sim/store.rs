//! The simulated store's tables, and one transaction over them.
//!
//! [`Store::commit`] writes all of a [`Commit`] or nothing. It keeps what a relational store would: epoch and
//! last batch of the job, positions, segments, result rows, refusals, late events, gaps and one ledger row a
//! batch. What the rules (`rules`) do not allow is a *violation*: the engine has a fault. It is kept, so that
//! a test sees it even if the engine swallowed the error.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use telemetra_core::{logic::WindowCount, watermark::Watermark, window::WindowSpec};

use super::rules;
use crate::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{
        BatchKind, Commit, DeadLetter, Gap, LateEvent, Position, RangeEntry, Recovered, SinkError, Totals,
    },
    source::Segment,
};

/// Key of a result row: the window's key and its start, milliseconds.
pub type RowKey = (String, i64);

/// A result row, as the store sees any logic's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimRow {
    /// The window's key.
    pub key: String,
    /// Window start, milliseconds.
    pub start_ms: i64,
    /// Window end, milliseconds.
    pub end_ms: i64,
    /// What the law of counts sums.
    pub count: i64,
    /// It never changes again.
    pub is_final: bool,
    /// All its data columns.
    pub text: String,
}

/// What was found in a final row (a moment); unique by key and start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The window's key.
    pub key: String,
    /// Window start, milliseconds.
    pub start_ms: i64,
    /// All its columns.
    pub text: String,
}

/// The rows of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Result rows to upsert.
    pub rows: Vec<SimRow>,
    /// Findings to insert.
    pub findings: Vec<Finding>,
}

/// A result row in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Window end, milliseconds.
    pub end_ms: i64,
    /// See [`SimRow::count`].
    pub count: i64,
    /// See [`SimRow::is_final`].
    pub is_final: bool,
    /// Closed early: it holds what it held when it was last written.
    pub incomplete: bool,
    /// See [`SimRow::text`].
    pub text: String,
    /// The batch that last wrote its values.
    pub batch_id: u64,
    /// Times that it was written.
    pub revision: u32,
}

/// One batch in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number, from 1.
    pub batch_id: u64,
    /// The instance that wrote it.
    pub epoch: u64,
    /// The try that was written.
    pub attempt: AttemptId,
    /// Why there is a batch.
    pub kind: BatchKind,
    /// Its clock reading, milliseconds.
    pub planned_at_ms: i64,
    /// Judged its records.
    pub watermark_before: Watermark,
    /// Committed by it.
    pub watermark: Watermark,
    /// Counts over the windows open after it.
    pub open_count: i64,
    /// Counts over rows that it made final.
    pub final_count: i64,
    /// Counts that windows missed.
    pub window_misses: i64,
    /// What it read.
    pub ranges: Vec<RangeEntry>,
    /// What it passed over.
    pub gaps: Vec<Gap>,
    /// It closed every open window early.
    pub close_early: bool,
}

/// The tables of one job.
#[derive(Clone, Debug)]
pub struct Store {
    /// The windows that the result table belongs to.
    pub window: WindowSpec,
    /// Fencing number of the instance that may write; 0 before the first.
    pub epoch: u64,
    /// Number of the last batch; 0 before the first.
    pub last_batch: u64,
    /// Committed by the last batch.
    pub watermark: Watermark,
    /// See [`Commit::open_end_ms`].
    pub open_end_ms: Option<i64>,
    /// See [`Commit::start_ms`].
    pub start_ms: Option<i64>,
    /// See [`Commit::open_digest`].
    pub open_digest: u64,
    /// See [`Commit::open_count`].
    pub open_count: i64,
    /// Meaning hash of the job.
    pub meaning: Option<String>,
    /// Why the job stopped.
    pub halted: Option<String>,
    /// Sums over all batches.
    pub totals: Totals,
    /// Positions of partitions.
    pub positions: BTreeMap<PartitionId, Position>,
    /// First offset ever taken up of each partition.
    pub origins: BTreeMap<PartitionId, Offset>,
    /// Segments by partition and number.
    pub segments: BTreeMap<(PartitionId, u32), Segment>,
    /// The result table.
    pub rows: BTreeMap<RowKey, StoredRow>,
    /// Keys of the rows that are not final.
    pub open_rows: BTreeSet<RowKey>,
    /// Keys of the rows closed early.
    pub early_rows: BTreeSet<RowKey>,
    /// What was found in final rows.
    pub findings: BTreeMap<RowKey, String>,
    /// Refused records by place, each with its batch.
    pub dead_letters: BTreeMap<(PartitionId, Offset), (u64, DeadLetter)>,
    /// Late events by place, each with its batch.
    pub late_events: BTreeMap<(PartitionId, Offset), (u64, LateEvent)>,
    /// The ledger.
    pub batches: Vec<Batch>,
    /// Tries handed in, written or not.
    pub tries: HashSet<AttemptId>,
    /// What should never have been asked for.
    pub violations: Vec<String>,
}

impl Store {
    /// Empty tables for windows of `window`.
    pub fn new(window: WindowSpec) -> Self {
        Self {
            window,
            epoch: 0,
            last_batch: 0,
            watermark: Watermark::NONE,
            open_end_ms: None,
            start_ms: None,
            open_digest: 0,
            open_count: 0,
            meaning: None,
            halted: None,
            totals: Totals::default(),
            positions: BTreeMap::new(),
            origins: BTreeMap::new(),
            segments: BTreeMap::new(),
            rows: BTreeMap::new(),
            open_rows: BTreeSet::new(),
            early_rows: BTreeSet::new(),
            findings: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            late_events: BTreeMap::new(),
            batches: Vec::new(),
            tries: HashSet::new(),
            violations: Vec::new(),
        }
    }

    /// Starts a new epoch and reads where the job stands.
    pub fn take_over(&mut self, meaning: &str) -> Recovered {
        self.epoch += 1;
        let known = self.meaning.clone();
        self.meaning.get_or_insert_with(|| meaning.to_owned());
        let count =
            |key: &RowKey| WindowCount { key: key.0.clone(), start_ms: key.1, count: self.rows[key].count };
        let is_ahead = |key: &&RowKey| !self.watermark.has_passed(self.rows[*key].end_ms);
        Recovered {
            epoch: self.epoch,
            last_batch: self.last_batch,
            watermark: self.watermark,
            open_end_ms: self.open_end_ms,
            open_digest: self.open_digest,
            open_count: self.open_count,
            meaning: known,
            start_ms: self.start_ms,
            totals: self.totals,
            positions: self.positions.values().copied().collect(),
            segments: self.segments.iter().map(|((id, _), segment)| (*id, segment.clone())).collect(),
            open_rows: self.open_rows.iter().map(count).collect(),
            closed_early: self.early_rows.iter().filter(is_ahead).map(count).collect(),
        }
    }

    /// Writes a commit of the instance with this epoch, or nothing of it.
    ///
    /// # Errors
    /// `Fenced` for an epoch that has passed; `Halt` with what the engine did wrong.
    pub fn commit(&mut self, epoch: u64, commit: &Commit<Written>) -> Result<(), SinkError> {
        if epoch != self.epoch {
            return Err(SinkError::Fenced(format!("epoch {epoch}, the job's is {}", self.epoch)));
        }
        if let Err(fault) = rules::check(self, commit) {
            return Err(self.violation(&format!("batch {}: {fault}", commit.batch_id)));
        }
        self.write(epoch, commit);
        Ok(())
    }

    /// Notes that something was asked for that never should be.
    pub(super) fn violation(&mut self, fault: &str) -> SinkError {
        self.violations.push(fault.to_owned());
        SinkError::Halt(format!("violation: {fault}"))
    }

    fn write(&mut self, epoch: u64, commit: &Commit<Written>) {
        self.write_rows(commit);
        for entry in &commit.positions {
            let id = entry.position.id;
            let first = rules::tiles(commit, id).first().map_or(entry.position.next, |tile| tile.start);
            self.origins.entry(id).or_insert(first);
            self.positions.insert(id, entry.position);
        }
        for (id, segment) in &commit.segments {
            self.segments.insert((*id, segment.seq), segment.clone());
        }
        for letter in &commit.dead_letters {
            let place = (letter.place.partition, letter.place.offset);
            self.dead_letters.insert(place, (commit.batch_id, letter.clone()));
        }
        for late in &commit.late_events {
            let place = (late.place.partition, late.place.offset);
            self.late_events.insert(place, (commit.batch_id, late.clone()));
        }
        self.totals.in_windows += rules::in_windows(commit);
        self.totals.window_misses += commit.window_misses;
        self.totals.final_count += commit.final_count;
        self.last_batch = commit.batch_id;
        self.watermark = commit.watermark;
        self.open_end_ms = commit.open_end_ms;
        self.start_ms = commit.start_ms;
        self.open_digest = commit.open_digest;
        self.open_count = commit.open_count;
        if let Some(meaning) = &commit.new_meaning {
            self.meaning = Some(meaning.clone());
        }
        self.batches.push(Batch {
            batch_id: commit.batch_id,
            epoch,
            attempt: commit.attempt,
            kind: commit.kind,
            planned_at_ms: commit.planned_at_ms,
            watermark_before: commit.watermark_before,
            watermark: commit.watermark,
            open_count: commit.open_count,
            final_count: commit.final_count,
            window_misses: commit.window_misses,
            ranges: commit.ranges.clone(),
            gaps: commit.gaps.clone(),
            close_early: commit.close_early,
        });
    }

    fn write_rows(&mut self, commit: &Commit<Written>) {
        for row in &commit.rows.rows {
            let key = (row.key.clone(), row.start_ms);
            let revision = self.rows.get(&key).map_or(1, |before| before.revision + 1);
            if row.is_final {
                self.open_rows.remove(&key);
            } else {
                self.open_rows.insert(key.clone());
            }
            let stored = StoredRow {
                end_ms: row.end_ms,
                count: row.count,
                is_final: row.is_final,
                incomplete: false,
                text: row.text.clone(),
                batch_id: commit.batch_id,
                revision,
            };
            self.rows.insert(key, stored);
        }
        for finding in &commit.rows.findings {
            self.findings.insert((finding.key.clone(), finding.start_ms), finding.text.clone());
        }
        if commit.close_early {
            for key in std::mem::take(&mut self.open_rows) {
                let row = self.rows.get_mut(&key).expect("open rows are rows");
                row.is_final = true;
                row.incomplete = true;
                self.early_rows.insert(key);
            }
        }
    }

    /// Final rows of `key` that start before `start_ms`, at most `limit`, the nearest, as (start, count)
    /// ascending by start.
    pub fn final_before(&self, key: &str, start_ms: i64, limit: usize) -> Vec<(i64, i64)> {
        let range = (key.to_owned(), i64::MIN)..(key.to_owned(), start_ms);
        let rows = self.rows.range(range).rev().filter(|(_, row)| row.is_final).take(limit);
        let mut found: Vec<_> = rows.map(|((_, start), row)| (*start, row.count)).collect();
        found.reverse();
        found
    }

    /// All rows as text, one a line, for comparing two runs: without batch and revision.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for ((key, start_ms), row) in &self.rows {
            let state = match (row.is_final, row.incomplete) {
                (false, _) => "open",
                (true, false) => "final",
                (true, true) => "incomplete",
            };
            text.push_str(&format!("{key} {start_ms}..{} {state} {} {}\n", row.end_ms, row.count, row.text));
        }
        for ((key, start_ms), finding) in &self.findings {
            text.push_str(&format!("{key} {start_ms} found {finding}\n"));
        }
        text
    }
}
