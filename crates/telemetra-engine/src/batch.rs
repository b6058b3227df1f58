//! Puts a batch together: lays what was folded over the progress, and makes the commit out of both.

use std::collections::BTreeMap;

use crate::{
    fold::{Ended, Folded, SegmentSeen},
    ids::{Offset, PartitionId},
    limits::{BATCH_RECORDS_TARGET, Rules},
    plan::Plan,
    progress::Progress,
    sink::{DeadLetter, LateEvent, Position, PositionEntry, RangeEntry, Tally},
    source::{Segment, Source},
};

/// What the splits of a batch came to, but for their partials.
#[derive(Debug, Default)]
pub struct Folds {
    /// One entry a partition that moved.
    pub ranges: Vec<RangeEntry>,
    /// Refused records.
    pub dead_letters: Vec<DeadLetter>,
    /// Late events.
    pub late_events: Vec<LateEvent>,
    /// Events that were not late, by partition.
    pub counted: BTreeMap<PartitionId, u64>,
    /// What was seen of each segment.
    pub segments: BTreeMap<(PartitionId, u32), SegmentSeen>,
    /// Numbers over all ranges.
    pub tally: Tally,
}

/// Lays what `folded` read over `after` and returns it with the partials.
pub fn lay_over<P>(
    after: &mut Progress,
    folded: Vec<Folded<P>>,
    plan: &Plan,
    rules: &Rules,
) -> (Folds, Vec<P>) {
    let mut folds = Folds::default();
    let mut partials = Vec::with_capacity(folded.len());
    let mut ended_at_horizon = false;
    let mut starts: BTreeMap<PartitionId, (Option<i64>, Offset)> = BTreeMap::new();
    for mut split in folded {
        let id = split.partition;
        ended_at_horizon |= split.ended == Some(Ended::Horizon);
        let partition = after.partitions.get_mut(&id).expect("a planned partition is known");
        starts.entry(id).or_insert((partition.recent.position_ms(), split.from));
        if split.from == partition.next && folds.counted.contains_key(&id) {
            partition.clock.join(&split.clock, rules.future_skew_ms);
            partition.recent.extend(&split.recent);
        } else {
            partition.clock = split.clock;
            partition.recent = split.recent;
        }
        partition.next = split.to;
        if let (Some(begun_ms), Some(first_ms)) = (partition.begun_ms, split.first_ms) {
            // What is stamped later than that was written later: of those windows nothing was left out.
            let first_ms = first_ms.min(begun_ms.saturating_add(rules.future_skew_ms));
            after.start_ms = after.start_ms.max(Some(first_ms));
            partition.begun_ms = None;
        }
        for (pane, offset) in split.panes {
            after.touch(pane, id, offset);
        }
        for (segment, seen) in split.segments {
            see_segment(&mut folds, after, id, segment, seen);
        }
        *folds.counted.entry(id).or_default() += split.tally.counted;
        folds.tally.add(&split.tally);
        folds.dead_letters.append(&mut split.dead_letters);
        folds.late_events.append(&mut split.late_events);
        add_range(&mut folds.ranges, id, split.from, split.to, split.tally);
        partials.push(split.partial);
    }
    for (id, (position_ms, from)) in starts {
        let partition = after.partitions.get_mut(&id).expect("a planned partition is known");
        let advanced_ms = partition.recent.position_ms().zip(position_ms).map_or(0, |(to, from)| to - from);
        if advanced_ms > 0 {
            partition.density = Some((partition.next - from) as f64 / advanced_ms as f64);
        }
    }
    retire_files(after, &mut folds, plan);
    adapt_horizon(after, folds.tally.records, ended_at_horizon, plan.records_max, rules);
    (folds, partials)
}

fn add_range(ranges: &mut Vec<RangeEntry>, id: PartitionId, from: Offset, to: Offset, tally: Tally) {
    match ranges.last_mut() {
        Some(last) if last.partition == id => {
            last.to = to;
            last.tally.add(&tally);
        }
        _ if from == to => {}
        _ => ranges.push(RangeEntry { partition: id, from, to, tally }),
    }
}

fn see_segment(folds: &mut Folds, after: &mut Progress, id: PartitionId, segment: u32, seen: SegmentSeen) {
    if let Some(span_ms) = seen.span_ms {
        after.see_span(id, segment, span_ms);
    }
    let known = folds.segments.entry((id, segment));
    known.and_modify(|first| first.go_on(&seen)).or_insert(seen);
}

/// A file of a folder read in event-time order that is read to its end hands its clock to the folder's
/// partition 0 and holds nobody any more.
fn retire_files(after: &mut Progress, folds: &mut Folds, plan: &Plan) {
    let finished: Vec<_> = after
        .partitions
        .iter()
        .filter(|(id, partition)| partition.is_file_of_folder && partition.next >= plan.end(**id))
        .filter_map(|(id, partition)| Some((*id, partition.clock.largest_ms?)))
        .collect();
    for (id, largest_ms) in finished {
        let folder = PartitionId { input: id.input, partition: 0 };
        let clock = &mut after.partitions.entry(folder).or_default().clock;
        clock.largest_ms = Some(clock.largest_ms.map_or(largest_ms, |own_ms| own_ms.max(largest_ms)));
        let counted = folds.counted.get(&id).copied().unwrap_or(0);
        *folds.counted.entry(folder).or_default() += counted;
    }
}

/// The horizon reaches further while it is what keeps batches small, and comes back when they are large.
fn adapt_horizon(
    after: &mut Progress,
    records: u64,
    ended_at_horizon: bool,
    records_max: u64,
    rules: &Rules,
) {
    let least_ms = rules.window.length_ms() + rules.delay_ms;
    let target = records_max.min(BATCH_RECORDS_TARGET);
    if ended_at_horizon && records < target / 2 {
        after.horizon_ms = after.horizon_ms.max(least_ms).saturating_mul(2).min(i64::MAX / 4);
    } else if records > target {
        after.horizon_ms = (after.horizon_ms / 2).max(least_ms);
    }
}

/// The positions that differ from what is stored.
pub fn changed_positions(before: &Progress, after: &Progress) -> Vec<PositionEntry> {
    let mut changed = Vec::new();
    for (&id, partition) in &after.partitions {
        let position = partition.position(id);
        let stored: Option<Position> =
            before.partitions.get(&id).filter(|before| before.is_stored).map(|before| before.position(id));
        if stored != Some(position) {
            changed.push(PositionEntry { expected_next: stored.map(|stored| stored.next), position });
        }
    }
    changed
}

/// The segments that hold the ranges read, with what was seen of their event times so far.
pub fn touched_segments(
    source: &dyn Source,
    after: &Progress,
    ranges: &[RangeEntry],
) -> Vec<(PartitionId, Segment)> {
    let mut touched = Vec::new();
    for range in ranges {
        for mut segment in source.segments(range.partition, range.from..range.to) {
            segment.span_ms = after.span_of(range.partition, segment.seq);
            touched.push((range.partition, segment));
        }
    }
    touched
}
