//! Moves the watermark after a batch: who is at its head, who is idle, who holds it.
//!
//! ```text
//! partition                          holds the watermark at
//! with events, not idle              its largest event time − delay
//! with unread records, no event yet  where it stands
//! a folder without a file, not idle  where it stands
//! without records; idle              nowhere
//! ```
//! When all are idle the watermark follows the clock up to the end of the last open window. It never goes
//! back. (DESIGN §5, "Watermark")

use std::collections::BTreeMap;

use telemetra_core::{
    mutant::{self, Mutant},
    watermark::Watermark,
};

use crate::{
    ids::PartitionId,
    limits::Rules,
    plan::Plan,
    progress::{Idleness, Partition, Progress},
};

/// Who holds the watermark back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which partition.
    pub id: PartitionId,
    /// A phrase: `its largest event time`, `unread records, no event yet`, …
    pub reason: &'static str,
}

/// Updates heads and idle clocks, then moves `after.watermark`. `before` is the progress before the batch and
/// `counted` the number of events each partition contributed that were not late.
pub fn advance(
    before: &Progress,
    after: &mut Progress,
    counted: &BTreeMap<PartitionId, u64>,
    plan: &Plan,
    rules: &Rules,
) -> Option<Holder> {
    let now_ms = plan.planned_at_ms;
    update_heads(before, after, counted, plan);
    let views = || plan.views.keys().map(|id| (*id, &after.partitions[id]));
    let unread = |id: PartitionId| plan.end(id).saturating_sub(after.partitions[&id].next);
    let has_unread_file =
        |input: u8| views().any(|(id, p)| id.input == input && p.is_file_of_folder && unread(id) > 0);

    let mut lowest: Option<(i64, PartitionId)> = None;
    let mut blocked: Option<Holder> = None;
    let (mut active, mut idle) = (0, 0);
    for (id, partition) in views() {
        let is_stand_in = partition.is_file_of_folder && unread(id) == 0
            || !partition.is_file_of_folder
                && partition.is_folder
                && unread(id) == 0
                && has_unread_file(id.input);
        if is_stand_in {
            continue;
        }
        let is_idle = after.is_idle(partition, now_ms, rules.idle_timeout_ms);
        match partition.clock.largest_ms {
            None => {
                if let Some(reason) = blocks(partition, unread(id), is_idle) {
                    active += 1;
                    blocked = Some(Holder { id, reason });
                }
            }
            Some(_) if is_idle => idle += 1,
            Some(largest_ms) => {
                active += 1;
                lowest = Some(lowest.map_or((largest_ms, id), |low| low.min((largest_ms, id))));
            }
        }
    }
    after.is_all_idle = active == 0;
    if active == 0 && idle > 0 {
        after.watermark = advance_by_clock(before, after, now_ms, rules);
        return None;
    }
    after.idleness = None;
    if let Some((largest_ms, id)) = lowest
        && blocked.is_none()
    {
        after.watermark = before.watermark.max(Watermark::at(largest_ms.saturating_sub(rules.delay_ms)));
        return Some(Holder { id, reason: "its largest event time" });
    }
    blocked
}

/// Why a partition without an event holds the watermark where it stands.
fn blocks(partition: &Partition, unread: u64, is_idle: bool) -> Option<&'static str> {
    if unread > 0 {
        (!mutant::is(Mutant::UnseenHoldsNobody)).then_some("unread records, no event yet")
    } else {
        (partition.is_folder && !is_idle).then_some("a folder without an event yet, not idle")
    }
}

fn update_heads(before: &Progress, after: &mut Progress, counted: &BTreeMap<PartitionId, u64>, plan: &Plan) {
    let grew = |id: &PartitionId, partition: &Partition| {
        let largest_before = before.partitions.get(id).and_then(|partition| partition.clock.largest_ms);
        partition.clock.largest_ms > largest_before && counted.get(id).is_some_and(|&events| events > 0)
    };
    let grown: Vec<PartitionId> =
        plan.views.keys().filter(|id| grew(id, &after.partitions[id])).copied().collect();
    for id in &grown {
        after.partitions.get_mut(id).expect("a planned partition is known").head_since_ms = None;
    }
    let wakes = before.is_all_idle && !grown.is_empty();
    for (id, view) in &plan.views {
        let partition = after.partitions.get_mut(id).expect("a planned partition is known");
        partition.is_at_head = partition.next >= view.end;
        let starts_clock = partition.is_at_head && partition.head_since_ms.is_none();
        // When all were idle and one grows, the others' clocks start anew.
        if starts_clock || (wakes && partition.head_since_ms.is_some()) {
            partition.head_since_ms = Some(plan.planned_at_ms);
        }
    }
}

/// All are idle: the watermark advances by the clock's time since then and stops at the end of the last open
/// window.
fn advance_by_clock(before: &Progress, after: &mut Progress, now_ms: i64, rules: &Rules) -> Watermark {
    let idleness = before.idleness.unwrap_or(Idleness { since_ms: now_ms, watermark: before.watermark });
    after.idleness = Some(idleness);
    let Some(started_ms) = idleness.watermark.ms() else {
        // There was none yet: it starts where the slowest partition stopped, and follows the clock from now on.
        let lowest = after.partitions.values().filter_map(|partition| partition.clock.largest_ms).min();
        let watermark = lowest.map_or(Watermark::NONE, |low| Watermark::at(low - rules.delay_ms));
        after.idleness = Some(Idleness { since_ms: now_ms, watermark });
        return watermark;
    };
    let Some(last_ms) = after.last_window_end_ms(rules.window) else { return before.watermark };
    let reached_ms = started_ms.saturating_add(now_ms.saturating_sub(idleness.since_ms).max(0));
    before.watermark.max(Watermark::at(reached_ms.min(last_ms)))
}
