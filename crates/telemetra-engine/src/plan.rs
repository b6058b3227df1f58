//! Plans a batch: which ranges of which partitions it reads.
//!
//! A batch over several partitions has a horizon, one event time for all, beyond the slowest position among
//! partitions that are not at their head: so a skewed backlog neither opens every pane nor stretches the
//! replay. Nobody waits for a partition at its head. (DESIGN §2, "Bounded")

use std::collections::BTreeMap;

use crate::{
    error::JobError,
    ids::{Offset, PartitionId},
    limits::Rules,
    progress::{Partition, Progress},
    source::{PartitionView, Source},
    split::{Mode, Recent, Split},
};

/// What a batch reads.
#[derive(Debug)]
pub struct Plan {
    /// The batch's clock reading, milliseconds.
    pub planned_at_ms: i64,
    /// Event time beyond which a partition's position ends its splits.
    pub horizon_ms: Option<i64>,
    /// The ranges, by partition, ascending within each.
    pub splits: Vec<Split>,
    /// Records that it may hold.
    pub records_max: u64,
    /// What the source had when the plan was made.
    pub views: BTreeMap<PartitionId, PartitionView>,
}

impl Plan {
    /// End of a partition as this plan saw it.
    pub fn end(&self, id: PartitionId) -> Offset {
        self.views.get(&id).map_or(0, |view| view.end)
    }
}

/// Plans the next batch, of at most `records_max` records, from `progress` and what the source has now.
///
/// # Errors
/// Those of the source.
pub fn plan(
    progress: &mut Progress,
    rules: &Rules,
    records_max: u64,
    source: &mut dyn Source,
    views: Vec<PartitionView>,
    planned_at_ms: i64,
) -> Result<Plan, JobError> {
    let views: BTreeMap<_, _> = views.into_iter().map(|view| (view.id, view)).collect();
    for view in views.values() {
        let partition = progress.partitions.entry(view.id).or_insert_with(|| begun(view));
        partition.mark = view.mark;
        partition.is_folder = view.is_folder;
        partition.is_file_of_folder = view.is_file_of_folder;
    }
    let unread = unread(progress, &views);
    let horizon_ms = horizon(progress, rules, &unread);
    let mut wanted: BTreeMap<PartitionId, u64> = BTreeMap::new();
    for id in readable(progress, rules, &unread, horizon_ms, planned_at_ms) {
        wanted.insert(id, reach(&progress.partitions[&id], unread[&id], horizon_ms));
    }
    progress.turn = progress.turn.wrapping_add(1);
    let shares = share(&wanted, records_max, progress.turn);
    let mut splits = Vec::new();
    let total: u64 = shares.values().sum();
    for (&id, &records) in shares.iter().filter(|(_, records)| **records > 0) {
        let pieces = pieces(records, total, rules.workers);
        let bytes = rules.batch_bytes_max / shares.len() as u64;
        let from = progress.partitions[&id].next;
        for range in source.cut(id, from, records, bytes, pieces)? {
            splits.push(split(progress, &id, range, (planned_at_ms, horizon_ms), bytes));
        }
    }
    Ok(Plan { planned_at_ms, horizon_ms, splits, records_max, views })
}

/// A partition of which nothing was read yet.
fn begun(view: &PartitionView) -> Partition {
    let begun_ms = view.left_out_ms;
    Partition { next: view.begin, replay: view.begin, begun_ms, ..Partition::default() }
}

fn split(
    progress: &Progress,
    id: &PartitionId,
    range: std::ops::Range<Offset>,
    (planned_at_ms, horizon_ms): (i64, Option<i64>),
    bytes_max: u64,
) -> Split {
    let partition = &progress.partitions[id];
    let is_first = range.start == partition.next;
    Split {
        partition: *id,
        from: range.start,
        to: range.end,
        planned_at_ms,
        watermark: progress.watermark,
        bytes_max,
        horizon_ms,
        clock: partition.clock,
        recent: if is_first { partition.recent.clone() } else { Recent::default() },
        mode: Mode::Judge,
    }
}

/// Records (offsets) that can be read now.
fn unread(progress: &Progress, views: &BTreeMap<PartitionId, PartitionView>) -> BTreeMap<PartitionId, u64> {
    views.values().map(|view| (view.id, unread_of(view, progress.partitions[&view.id].next))).collect()
}

/// Records from `next` on up to the next gap. That may have begun before: while a batch is in flight the source takes
/// what it read for unread.
fn unread_of(view: &PartitionView, next: Offset) -> u64 {
    let gap = view.gaps.iter().find(|gap| gap.end > next).map(|gap| gap.start);
    gap.unwrap_or(view.end).min(view.end).saturating_sub(next)
}

/// One event time for all partitions of a batch; `None` when there is one partition alone, or when nobody has
/// to be waited for. `i64::MIN` while the position of a partition with unread records is unknown.
fn horizon(progress: &Progress, rules: &Rules, unread: &BTreeMap<PartitionId, u64>) -> Option<i64> {
    if unread.len() < 2 {
        return None;
    }
    let behind = unread.iter().filter_map(|(id, &unread)| {
        let partition = &progress.partitions[id];
        (unread > 0 && !partition.is_at_head).then(|| partition.recent.position_ms())
    });
    let slowest = behind.min()?;
    let Some(slowest_ms) = slowest else { return Some(i64::MIN) };
    let from_ms = progress.watermark.ms().map_or(slowest_ms, |watermark_ms| watermark_ms.max(slowest_ms));
    let least_ms = rules.window.length_ms() + rules.delay_ms;
    Some(from_ms.saturating_add(progress.horizon_ms.max(least_ms)))
}

/// The partitions that the batch reads.
fn readable(
    progress: &Progress,
    rules: &Rules,
    unread: &BTreeMap<PartitionId, u64>,
    horizon_ms: Option<i64>,
    now_ms: i64,
) -> Vec<PartitionId> {
    let with_unread = unread.iter().filter(|(_, unread)| **unread > 0).map(|(&id, _)| id);
    let mut readable: Vec<_> = with_unread
        .filter(|id| match (horizon_ms, progress.partitions[id].recent.position_ms()) {
            (None, _) | (Some(_), None) => true,
            (Some(horizon_ms), Some(position_ms)) => position_ms <= horizon_ms,
        })
        .collect();
    let is_waited_for = |id: &PartitionId| {
        let partition = &progress.partitions[id];
        unread[id] == 0 && !progress.is_idle(partition, now_ms, rules.idle_timeout_ms)
    };
    let is_too_long = progress.replay_records() > rules.replay_records_max;
    if is_too_long && !rules.read_on && unread.keys().any(is_waited_for) {
        readable.retain(|id| holds_watermark(&progress.partitions[id], progress, rules));
    }
    readable
}

/// Whether the watermark cannot pass this partition's largest event time by more than a pane.
fn holds_watermark(partition: &Partition, progress: &Progress, rules: &Rules) -> bool {
    match (partition.clock.largest_ms, progress.watermark.ms()) {
        (Some(largest_ms), Some(watermark_ms)) => {
            largest_ms <= watermark_ms + rules.delay_ms + rules.window.slide_ms()
        }
        _ => true,
    }
}

/// How many records it takes, about, until a partition's position passes the horizon: more than that would be
/// read for nothing. The split ends at the horizon itself, wherever that is.
fn reach(partition: &Partition, unread: u64, horizon_ms: Option<i64>) -> u64 {
    match (horizon_ms, partition.recent.position_ms(), partition.density) {
        (Some(horizon_ms), Some(position_ms), Some(density)) => {
            let ahead_ms = horizon_ms.saturating_sub(position_ms).max(0) as f64;
            unread.min((ahead_ms * density * 1.2) as u64 + 1_000)
        }
        _ => unread,
    }
}

/// Shares a cap among partitions so that none starves: equal parts, what one does not need goes to the others,
/// and who gets the odd records changes from batch to batch.
fn share(wanted: &BTreeMap<PartitionId, u64>, cap: u64, turn: usize) -> BTreeMap<PartitionId, u64> {
    let mut got: BTreeMap<PartitionId, u64> = wanted.keys().map(|&id| (id, 0)).collect();
    let mut order: Vec<PartitionId> = wanted.keys().copied().collect();
    let count = order.len().max(1);
    order.rotate_left(turn % count);
    let mut left = cap;
    loop {
        let open: Vec<_> = order.iter().filter(|id| got[id] < wanted[id]).copied().collect();
        if left == 0 || open.is_empty() {
            return got;
        }
        let part = (left / open.len() as u64).max(1);
        for id in open {
            let more = part.min(wanted[&id] - got[&id]).min(left);
            *got.entry(id).or_default() += more;
            left -= more;
        }
    }
}

/// Into how many splits a partition's share is cut: as many as cores for all of them, none tiny.
fn pieces(records: u64, total: u64, workers: usize) -> usize {
    const RECORDS_MIN: u64 = 2_000;
    let fair = (records * workers as u64).div_ceil(total.max(1)) as usize;
    let most = (records / RECORDS_MIN).max(1);
    fair.clamp(1, workers.max(1)).min(usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_share(wanted: &[u64], cap: u64, turn: usize, expected: &[u64]) {
        let id = |number: usize| PartitionId { input: 0, partition: number as u32 };
        let wanted = wanted.iter().enumerate().map(|(number, &records)| (id(number), records)).collect();
        let got = share(&wanted, cap, turn);
        assert_eq!(got.values().copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_cap_is_shared_so_that_none_starves() {
        check_share(&[100], 7, 0, &[7]);
        check_share(&[100, 100], 10, 0, &[5, 5]);
        check_share(&[2, 100], 10, 0, &[2, 8]);
        check_share(&[100, 100, 100], 2, 0, &[1, 1, 0]);
        check_share(&[100, 100, 100], 2, 1, &[0, 1, 1]);
        check_share(&[3, 3], 100, 0, &[3, 3]);
        check_share(&[], 100, 0, &[]);
    }

    #[test]
    fn nothing_behind_the_beginning_of_a_gap_is_read() {
        let (id, gaps) = (PartitionId { input: 0, partition: 0 }, vec![20..40, 60..80]);
        let view = PartitionView { end: 100, gaps, ..PartitionView::empty(id) };
        let check = |next, expected| assert_eq!(unread_of(&view, next), expected, "from {next}");
        check(10, 10);
        check(20, 0);
        check(30, 0);
        check(40, 20);
        check(79, 0);
        check(80, 20);
    }

    #[test]
    fn pieces_use_all_cores_but_are_never_tiny() {
        assert_eq!(pieces(100_000, 100_000, 4), 4);
        assert_eq!(pieces(100, 100_000, 4), 1);
        assert_eq!(pieces(7, 7, 4), 1);
        assert_eq!(pieces(50_000, 100_000, 4), 2);
    }
}
