//! What is known of every partition and of the job's time: committed, or laid over it by a batch in flight.
//!
//! A batch works on a clone; the clone becomes the state once its commit is known applied, and is dropped
//! otherwise.

use std::collections::{BTreeMap, VecDeque};

use telemetra_core::{
    logic::OpenCheck,
    watermark::{PartitionClock, Watermark},
    window::WindowSpec,
};

use crate::{
    ids::{Offset, PARTITIONS_PER_GENERATION, PartitionId},
    limits::{FOLDER_IDLE_MS_MAX, SPANS_KEPT},
    sink::{Position, Totals},
    source::LogMark,
    split::Recent,
};

/// What is known of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partition {
    /// Next record to read.
    pub next: Offset,
    /// First offset that touched a pane still open.
    pub replay: Offset,
    /// Largest event time.
    pub clock: PartitionClock,
    /// Last events: their median is the position in time.
    pub recent: Recent,
    /// After the last batch nothing of what its plan saw was unread.
    pub is_at_head: bool,
    /// When it first was at its head after its largest event time last grew, milliseconds.
    pub head_since_ms: Option<i64>,
    /// See [`crate::source::PartitionView::is_folder`].
    pub is_folder: bool,
    /// See [`crate::source::PartitionView::is_file_of_folder`].
    pub is_file_of_folder: bool,
    /// Records per millisecond of event time in its last batch.
    pub density: Option<f64>,
    /// The log that its offsets count in.
    pub mark: LogMark,
    /// See [`Position::begun_ms`].
    pub begun_ms: Option<i64>,
    /// The store knows it.
    pub is_stored: bool,
}

impl Partition {
    /// What the store keeps of it.
    pub fn position(&self, id: PartitionId) -> Position {
        Position {
            id,
            next: self.next,
            replay: self.replay,
            clock: self.clock,
            head_since_ms: self.head_since_ms,
            mark: self.mark,
            begun_ms: self.begun_ms,
        }
    }

    /// Whether the store must know where it begins before anything is read of it.
    pub fn must_begin(&self, id: PartitionId) -> bool {
        !self.is_stored && (self.next > 0 || id.partition >= PARTITIONS_PER_GENERATION)
    }
}

/// When all partitions became idle, and the watermark then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idleness {
    /// The `planned_at` of the batch that found it so, milliseconds.
    pub since_ms: i64,
    /// The watermark then.
    pub watermark: Watermark,
}

/// The job's progress.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Number of the last batch.
    pub batch_id: u64,
    /// Its watermark.
    pub watermark: Watermark,
    /// All partitions.
    pub partitions: BTreeMap<PartitionId, Partition>,
    /// Panes still open that were touched, each with the first offset of each partition that touched it.
    pub touched: BTreeMap<i64, BTreeMap<PartitionId, Offset>>,
    /// Event-time spans of the last files of each folder (by input): segment number, smallest, largest.
    pub spans: BTreeMap<u8, VecDeque<(PartitionId, u32, i64, i64)>>,
    /// Since when all are idle.
    pub idleness: Option<Idleness>,
    /// All partitions were idle after the last batch.
    pub is_all_idle: bool,
    /// See [`crate::sink::Commit::start_ms`].
    pub start_ms: Option<i64>,
    /// How far beyond the slowest position a batch may reach, milliseconds.
    pub horizon_ms: i64,
    /// Batches planned; turns the order in which partitions share a cap.
    pub turn: usize,
    /// Sums that the law of counts relates.
    pub totals: Totals,
    /// The open panes' check sums.
    pub open: OpenCheck,
}

impl Progress {
    /// Largest confirmed event time over all partitions.
    pub fn largest_ms(&self) -> Option<i64> {
        self.partitions.values().filter_map(|partition| partition.clock.largest_ms).max()
    }

    /// Event time before which windows may lack events that were left out at the start, as far as that is known now.
    ///
    /// A partition whose first event is still to come may raise [`Self::start_ms`], at most to `future_skew_ms` after it
    /// was begun: until then no window below that takes the place of an adopted row.
    pub fn whole_from_ms(&self, future_skew_ms: i64) -> Option<i64> {
        let begun = self.partitions.values().filter_map(|partition| partition.begun_ms);
        self.start_ms.max(begun.max().map(|begun_ms| begun_ms.saturating_add(future_skew_ms)))
    }

    /// Records that a restart would read again.
    pub fn replay_records(&self) -> u64 {
        self.partitions.values().map(|partition| partition.next - partition.replay).sum()
    }

    /// How long a partition stays at its head before it is idle, milliseconds. Folders share one: rotated
    /// files come late as a whole, so it is twice the longest span of the last files of each.
    pub fn idle_timeout_ms(&self, partition: &Partition, idle_timeout_ms: i64) -> i64 {
        if !partition.is_folder {
            return idle_timeout_ms;
        }
        let spans = self.spans.values().flatten().map(|&(_, _, low, high)| high.saturating_sub(low));
        let longest = spans.max().unwrap_or(0);
        idle_timeout_ms.max(longest.saturating_mul(2).min(FOLDER_IDLE_MS_MAX))
    }

    /// Whether a partition is idle at `now_ms`.
    pub fn is_idle(&self, partition: &Partition, now_ms: i64, idle_timeout_ms: i64) -> bool {
        let timeout_ms = self.idle_timeout_ms(partition, idle_timeout_ms);
        partition.is_at_head
            && partition.head_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= timeout_ms)
    }

    /// Takes in what a batch saw of a file's event times.
    pub fn see_span(&mut self, id: PartitionId, segment: u32, span_ms: (i64, i64)) {
        let spans = self.spans.entry(id.input).or_default();
        match spans.iter_mut().find(|(partition, seq, ..)| (*partition, *seq) == (id, segment)) {
            Some((_, _, low, high)) => (*low, *high) = ((*low).min(span_ms.0), (*high).max(span_ms.1)),
            None => {
                spans.push_back((id, segment, span_ms.0, span_ms.1));
                if spans.len() > SPANS_KEPT {
                    spans.pop_front();
                }
            }
        }
    }

    /// What was seen of a file's event times so far.
    pub fn span_of(&self, id: PartitionId, segment: u32) -> Option<(i64, i64)> {
        let spans = self.spans.get(&id.input)?;
        spans
            .iter()
            .find(|(partition, seq, ..)| (*partition, *seq) == (id, segment))
            .map(|&(_, _, l, h)| (l, h))
    }

    /// Remembers that `offset` touched `pane` if none before did.
    pub fn touch(&mut self, pane: i64, id: PartitionId, offset: Offset) {
        let first = self.touched.entry(pane).or_default().entry(id).or_insert(offset);
        *first = offset.min(*first);
    }

    /// Forgets the panes that the watermark closed and moves every replay offset up to the first offset that
    /// touched a pane still open.
    pub fn close_panes(&mut self, window: WindowSpec) {
        let first_open = window.first_open(self.watermark).unwrap_or(i64::MIN);
        self.touched = self.touched.split_off(&first_open);
        for partition in self.partitions.values_mut() {
            partition.replay = partition.next;
        }
        for (id, &offset) in self.touched.values().flatten() {
            if let Some(partition) = self.partitions.get_mut(id) {
                partition.replay = partition.replay.min(offset);
            }
        }
    }

    /// End of the last pane's last window that is open; milliseconds.
    pub fn last_window_end_ms(&self, window: WindowSpec) -> Option<i64> {
        self.touched.last_key_value().map(|(&pane, _)| window.end_ms(pane))
    }
}
