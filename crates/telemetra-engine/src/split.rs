//! A split: a half-open offset range of one partition, with all that its fold needs. Plain data, so that the
//! same fold runs on a thread and on another machine with the same result.

use std::collections::VecDeque;

use telemetra_core::{
    limits::POSITION_EVENTS,
    watermark::{PartitionClock, Watermark},
};

use crate::ids::{Offset, PartitionId};

/// A range of records to read, decode and fold.
#[derive(Clone, Debug)]
pub struct Split {
    /// Where it reads.
    pub partition: PartitionId,
    /// First offset.
    pub from: Offset,
    /// First offset no longer read.
    pub to: Offset,
    /// The batch's clock reading, milliseconds.
    pub planned_at_ms: i64,
    /// Committed by the batch before; lateness is judged by it.
    pub watermark: Watermark,
    /// Bytes of records after which it ends early, whatever the source thought they would be.
    pub bytes_max: u64,
    /// Event time beyond which the partition's position ends the split early.
    pub horizon_ms: Option<i64>,
    /// The partition's clock as the batch began.
    pub clock: PartitionClock,
    /// The partition's last events as the batch began; empty in all but its first split.
    pub recent: Recent,
    /// What is done with its records.
    pub mode: Mode,
}

/// Whether a split's records are judged or only folded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new range: refuse, judge lateness, fold.
    Judge,
    /// A committed range read again after a restart: skip these refused offsets (ascending), fold the others.
    Replay(Vec<Offset>),
}

/// Event times of a partition's last [`POSITION_EVENTS`] events; their median is its position in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent(VecDeque<i64>);

impl Recent {
    /// Takes in one more event.
    #[inline]
    pub fn push(&mut self, time_ms: i64) {
        if self.0.len() == POSITION_EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(time_ms);
    }

    /// Appends the events of a later split.
    pub fn extend(&mut self, later: &Recent) {
        later.0.iter().for_each(|&time_ms| self.push(time_ms));
    }

    /// Median event time, the upper one of two; `None` before the first event.
    pub fn position_ms(&self) -> Option<i64> {
        let mut times = [0; POSITION_EVENTS];
        let times = &mut times[..self.0.len()];
        for (slot, &time_ms) in times.iter_mut().zip(&self.0) {
            *slot = time_ms;
        }
        let middle = times.len() / 2;
        (!times.is_empty()).then(|| *times.select_nth_unstable(middle).1)
    }
}
