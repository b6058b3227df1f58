//! Rows computed again, naively, from the log and the recorded batch ranges: no panes, no overlay, no
//! planner, nothing in common with the engine but the window arithmetic.
//!
//! For each recorded range, the watermark that the batch before committed judges each event, window by
//! window. A row must then hold exactly the events of its window from all batches up to the one that last
//! wrote it; every refusal and late event must be listed, and nothing else; each `replay_offset` must be the
//! first offset of an event whose pane is still open.

use std::collections::BTreeMap;

use super::{
    source::MemSource,
    store::{RowKey, Store},
};
use crate::ids::{Offset, PartitionId};

/// What a record is, told by the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// An event.
    Event {
        /// Its window key.
        key: String,
        /// Event time, milliseconds.
        time_ms: i64,
        /// Whether the law of counts sums it.
        counts: bool,
    },
    /// It is refused, whenever it is read.
    Refused,
}

/// One event in a window, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it lies.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// The batch that counted it.
    pub batch_id: u64,
    /// Whether the law of counts sums it.
    pub counts: bool,
}

/// One row to compute: its key, what it holds and what is known of the rows before it.
pub struct RowView<'a> {
    /// Window key and start.
    pub key: &'a RowKey,
    /// Its events, in the order in which they were read.
    pub members: &'a [Member],
    /// The nearest final rows of the key that start before, (start, count), ascending, if the row became
    /// final by the watermark.
    pub earlier: Option<&'a [(i64, i64)]>,
}

/// What a run is held against.
pub struct Reference<'a> {
    /// Where the records are.
    pub source: &'a MemSource,
    /// How far after `planned_at` an event may be stamped.
    pub future_skew_ms: i64,
    /// Says what a record of an input is.
    pub known: &'a dyn Fn(u8, &[u8]) -> Known,
    /// The data columns of a row; `None` leaves them unchecked.
    pub text: Option<&'a dyn Fn(&RowView<'_>) -> String>,
    /// Earlier rows given to `text`.
    pub earlier_rows: usize,
}

/// What the recorded ranges say.
#[derive(Debug, Default)]
struct Told {
    members: BTreeMap<RowKey, Vec<Member>>,
    /// Per partition, offset and pane of the events read since windows were last closed early.
    open: BTreeMap<PartitionId, Vec<(Offset, i64)>>,
    faults: Vec<String>,
}

impl Reference<'_> {
    /// Compares `store` with what its recorded ranges say; returns every difference.
    pub fn differences(&self, store: &Store) -> Vec<String> {
        let mut told = self.judge(store);
        self.compare_rows(store, &mut told);
        for (id, position) in &store.positions {
            let events = told.open.get(id).into_iter().flatten();
            let mut open = events.filter(|(_, pane)| !store.window.is_pane_closed(*pane, store.watermark));
            let first = open.next().map_or(position.next, |(offset, _)| *offset);
            if position.replay != first {
                told.faults
                    .push(format!("{id}: replay is {}, the first open event {first}", position.replay));
            }
        }
        told.faults
    }

    /// Panics with all differences, if any.
    ///
    /// # Panics
    /// When the store is not what its recorded ranges say.
    pub fn assert_same(&self, store: &Store) {
        let mut faults = self.differences(store);
        let more = faults.len().saturating_sub(20);
        faults.truncate(20);
        assert!(
            faults.is_empty(),
            "rows differ from the recorded ranges ({more} more):\n{}",
            faults.join("\n")
        );
    }

    fn judge(&self, store: &Store) -> Told {
        let mut told = Told::default();
        for batch in &store.batches {
            for range in &batch.ranges {
                let mut misses = 0;
                for offset in range.from..range.to {
                    misses += self.judge_one(store, batch, (range.partition, offset), &mut told);
                }
                if misses != range.tally.window_misses {
                    let said = range.tally.window_misses;
                    told.faults
                        .push(format!("batch {}: {said} misses recorded, {misses} told", batch.batch_id));
                }
            }
            if batch.close_early {
                told.open.clear();
            }
        }
        told
    }

    /// Judges one offset; returns how many windows a counted event of it missed.
    fn judge_one(
        &self,
        store: &Store,
        batch: &super::store::Batch,
        place: (PartitionId, Offset),
        told: &mut Told,
    ) -> u64 {
        let (id, offset) = place;
        let spec = store.window;
        let record = self.source.log(id).and_then(|log| log.get(offset));
        let known = record.map(|bytes| (self.known)(id.input, bytes));
        let listed = (store.dead_letters.get(&place), store.late_events.get(&place));
        let Some(Known::Event { key, time_ms, counts }) = known else {
            let refused = known.is_some();
            if refused != listed.0.is_some() || listed.1.is_some() {
                told.faults.push(format!("{id}/{offset}: refused {refused}, but listed {listed:?}"));
            }
            return 0;
        };
        let future = time_ms > batch.planned_at_ms.saturating_add(self.future_skew_ms);
        if future != listed.0.is_some_and(|(_, letter)| letter.code == "future")
            || future != listed.0.is_some()
        {
            told.faults.push(format!("{id}/{offset}: future {future}, but listed {listed:?}"));
        }
        if future {
            return 0;
        }
        let pane = spec.pane_of(time_ms);
        let late = spec.is_pane_closed(pane, batch.watermark_before);
        if late != listed.1.is_some() {
            told.faults.push(format!("{id}/{offset}: late {late}, but listed {listed:?}"));
        }
        if late {
            return 0;
        }
        told.open.entry(id).or_default().push((offset, pane));
        let mut missed = 0;
        for window in pane + 1 - spec.panes_per_window()..=pane {
            if batch.watermark_before.has_passed(spec.end_ms(window)) {
                missed += u64::from(counts);
                continue;
            }
            let member = Member { partition: id, offset, batch_id: batch.batch_id, counts };
            told.members.entry((key.clone(), spec.start_ms(window))).or_default().push(member);
        }
        missed
    }

    fn compare_rows(&self, store: &Store, told: &mut Told) {
        // Closing early forgets the open panes: what is written after it holds what came after it.
        let closings = store.batches.iter().filter(|batch| batch.close_early).map(|batch| batch.batch_id);
        let closings: Vec<_> = closings.collect();
        for (key, members) in &told.members {
            let end_ms = key.1 + store.window.length_ms();
            // A window closed early before it ever had a row has none; `window_misses` holds it.
            let early = closings.last().copied().unwrap_or(0);
            let after = members.iter().any(|member| member.batch_id > early);
            if after && store.watermark.has_passed(end_ms) && !store.rows.contains_key(key) {
                told.faults.push(format!("row {key:?} is missing"));
            }
        }
        for (key, row) in &store.rows {
            let empty = Vec::new();
            let all = told.members.get(key).unwrap_or(&empty);
            let closed =
                closings.iter().rev().find(|&&batch_id| batch_id < row.batch_id).copied().unwrap_or(0);
            let since = || all.iter().filter(|member| member.batch_id > closed);
            let held: Vec<_> = since().filter(|member| member.batch_id <= row.batch_id).copied().collect();
            let count = held.iter().filter(|member| member.counts).count();
            if held.is_empty() || i64::try_from(count) != Ok(row.count) {
                told.faults.push(format!(
                    "row {key:?} holds {}, its ranges {count} of {}",
                    row.count,
                    held.len()
                ));
                continue;
            }
            let missing = since().count() - held.len();
            if row.is_final && !row.incomplete && missing > 0 {
                told.faults.push(format!("final row {key:?} misses {missing} events"));
            }
            let Some(text) = self.text else { continue };
            let earlier = (row.is_final && !row.incomplete)
                .then(|| store.final_before(&key.0, key.1, self.earlier_rows));
            let expected = text(&RowView { key, members: &held, earlier: earlier.as_deref() });
            if expected != row.text {
                told.faults.push(format!("row {key:?} is `{}`, its ranges say `{expected}`", row.text));
            }
        }
    }
}

#[cfg(test)]
mod tests;
