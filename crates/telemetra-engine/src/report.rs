//! Numbers for people: statistics as plain data, published after each step.

use std::{collections::BTreeMap, time::Duration};

use telemetra_core::watermark::Watermark;

use crate::{
    advance::Holder,
    ids::{Offset, PartitionId},
    plan::Plan,
    progress::Progress,
    sink::{Applied, Tally},
    source::PartitionView,
    step::Summary,
};

/// Wall time of a batch's steps until it is handed over to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laps {
    /// Looking for records, and planning.
    pub plan: Duration,
    /// Reading, decoding and folding.
    pub read: Duration,
    /// Waiting for the batch before to be committed.
    pub wait: Duration,
    /// Merging, making rows, and handing them over.
    pub merge: Duration,
}

/// Statistics of one running instance. Sums count from its start, positions are the newest committed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Batches known applied.
    pub batches: u64,
    /// Batches known not applied, planned anew.
    pub dropped_batches: u64,
    /// Why the last of those was not applied.
    pub dropped_cause: String,
    /// Records that a batch may hold because the store took too long for more; `None` while that is not so.
    pub records_cap: Option<u64>,
    /// Batches that advanced the watermark by the clock alone.
    pub idle_advances: u64,
    /// Pieces of files that batches read, over all batches; a file that two read counts twice.
    pub files: u64,
    /// What became of the records.
    pub tally: Tally,
    /// What became of the counted events where rows are unique by an id.
    pub applied: Applied,
    /// Windows missed, by partly late events and by closing early.
    pub window_misses: i64,
    /// What was closed early at the start: cause, offsets, rows. Empty when nothing was.
    pub closed_early: String,
    /// Whether the job goes on with settings that mean something else than those of its last batch.
    pub has_new_meaning: bool,
    /// Rows that became final.
    pub final_rows: u64,
    /// Provisional rows written.
    pub provisional_rows: u64,
    /// Windows open now.
    pub open_windows: usize,
    /// Panes open now, counted by time alone.
    pub open_panes: usize,
    /// Most panes open at once.
    pub open_panes_max: usize,
    /// Records that a restart would read again.
    pub replay_records: u64,
    /// Most of them.
    pub replay_records_max: u64,
    /// Records read again at the start.
    pub replayed: u64,
    /// How long the steps of the batch took that was handed over last.
    pub laps: Laps,
    /// Number of the last batch.
    pub batch_id: u64,
    /// The watermark committed by it.
    pub watermark_ms: Option<i64>,
    /// Who holds the watermark; `None` when nobody does.
    pub holder: Option<Holder>,
    /// All partitions are idle.
    pub is_all_idle: bool,
    /// Records that the source had as the last plan saw it, behind those that were handed over.
    pub lag_records: u64,
    /// Where each partition stands.
    pub partitions: BTreeMap<PartitionId, PartitionReport>,
    pub(crate) views: BTreeMap<PartitionId, PartitionView>,
}

/// Where one partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionReport {
    /// Next record to read.
    pub next: Offset,
    /// First offset not yet available.
    pub end: Offset,
    /// First offset that a restart reads again.
    pub replay: Offset,
    /// Median event time of its last events, milliseconds.
    pub position_ms: Option<i64>,
    /// Largest event time that counts, milliseconds.
    pub largest_ms: Option<i64>,
    /// Nothing of what the last plan saw is unread.
    pub is_at_head: bool,
}

impl Report {
    pub(crate) fn see_plan(&mut self, newest: &Progress, plan: &Plan) {
        self.views.clone_from(&plan.views);
        self.see_positions(newest);
    }

    /// What is left unread behind a batch that was handed over.
    pub(crate) fn see_lag(&mut self, newest: &Progress) {
        let unread = |(id, view): (&PartitionId, &PartitionView)| {
            let next = newest.partitions.get(id).map_or(0, |partition| partition.next);
            view.end.saturating_sub(next)
        };
        self.lag_records = self.views.iter().map(unread).sum();
    }

    pub(crate) fn see_holder(&mut self, holder: Option<Holder>, after: &Progress) {
        self.holder = holder;
        self.is_all_idle = after.is_all_idle;
    }

    pub(crate) fn see_batch(&mut self, known: &Progress, summary: &Summary) {
        self.batches += 1;
        self.idle_advances += u64::from(summary.is_idle_advance);
        self.files += summary.files as u64;
        self.tally.add(&summary.tally);
        self.window_misses += summary.window_misses;
        self.final_rows += summary.final_rows as u64;
        self.provisional_rows += summary.provisional_rows as u64;
        self.open_windows = summary.open_windows;
        self.see_state(known);
    }

    pub(crate) fn see_state(&mut self, known: &Progress) {
        self.batch_id = known.batch_id;
        self.watermark_ms = Watermark::ms(known.watermark);
        self.open_panes = known.touched.len();
        self.open_panes_max = self.open_panes_max.max(self.open_panes);
        self.replay_records = known.replay_records();
        self.replay_records_max = self.replay_records_max.max(self.replay_records);
        self.see_positions(known);
    }

    fn see_positions(&mut self, progress: &Progress) {
        let end = |id: PartitionId| self.views.get(&id).map_or(0, |view: &PartitionView| view.end);
        self.partitions = progress
            .partitions
            .iter()
            .map(|(&id, partition)| {
                let report = PartitionReport {
                    next: partition.next,
                    end: end(id).max(partition.next),
                    replay: partition.replay,
                    position_ms: partition.recent.position_ms(),
                    largest_ms: partition.clock.largest_ms,
                    is_at_head: partition.is_at_head,
                };
                (id, report)
            })
            .collect();
        self.lag_records = self.partitions.values().map(|partition| partition.end - partition.next).sum();
    }
}
