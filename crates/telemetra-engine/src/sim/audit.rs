//! Whether the whole store balances: every sum taken again from the tables alone.
//!
//! Nothing here trusts what a commit claimed; it must be able to fail. The rules of one commit are `rules`.

use std::collections::BTreeMap;

use super::store::Store;
use crate::{
    ids::{Offset, PartitionId},
    sink::{RangeEntry, Tally},
};

/// Audits `store`; returns every imbalance found, empty when it balances.
pub fn audit(store: &Store) -> Vec<String> {
    let mut faults: Vec<String> =
        store.violations.iter().map(|fault| format!("violation: {fault}")).collect();
    tiles(store, &mut faults);
    ledger(store, &mut faults);
    lists(store, &mut faults);
    rows(store, &mut faults);
    law(store, &mut faults);
    faults
}

/// Panics with all imbalances of `store`, if any.
///
/// # Panics
/// When it does not balance.
pub fn assert_balanced(store: &Store) {
    let faults = audit(store);
    assert!(faults.is_empty(), "the store does not balance:\n{}", faults.join("\n"));
}

/// Ranges and passed gaps tile each partition from its origin to its next offset.
fn tiles(store: &Store, faults: &mut Vec<String>) {
    let mut at: BTreeMap<PartitionId, Offset> = store.origins.clone();
    for batch in &store.batches {
        let ranges = batch.ranges.iter();
        let passed = batch.gaps.iter().filter(|gap| !gap.in_replay);
        let mut tiles: Vec<_> = ranges
            .map(|range| (range.partition, range.from, range.to))
            .chain(passed.map(|gap| (gap.partition, gap.offsets.start, gap.offsets.end)))
            .collect();
        tiles.sort_unstable();
        for (id, from, to) in tiles {
            if at.insert(id, to) != Some(from) {
                faults.push(format!("batch {}: {id} {from}..{to} leaves a hole or overlaps", batch.batch_id));
            }
        }
    }
    for (id, position) in &store.positions {
        if at.get(id) != Some(&position.next) {
            faults.push(format!("{id}: next is {}, ranges end at {:?}", position.next, at.get(id)));
        }
        if position.replay > position.next {
            faults.push(format!("{id}: replay {} beyond next {}", position.replay, position.next));
        }
    }
}

/// Batches follow each other, each judged by the watermark before it.
fn ledger(store: &Store, faults: &mut Vec<String>) {
    let mut watermark = telemetra_core::watermark::Watermark::NONE;
    for (batch, number) in store.batches.iter().zip(1..) {
        if batch.batch_id != number {
            faults.push(format!("batch {} in place of {number}", batch.batch_id));
        }
        if batch.watermark_before != watermark || batch.watermark < watermark {
            faults.push(format!("batch {number}: watermark does not follow {watermark:?}"));
        }
        watermark = batch.watermark;
        for range in &batch.ranges {
            let RangeEntry { partition, from, to, tally } = range;
            if to - from != tally.records + tally.empty
                || tally.records != tally.counted + tally.late + tally.dead
            {
                faults.push(format!("batch {number}: {partition} {from}..{to} does not add up: {tally:?}"));
            }
        }
    }
    if store.last_batch != store.batches.len() as u64 || store.watermark != watermark {
        faults.push("the job row is not what the last batch committed".to_owned());
    }
}

/// Dead letters and late events are as many as the ledger says, each inside its batch's range.
fn lists(store: &Store, faults: &mut Vec<String>) {
    let mut sums: BTreeMap<(u64, PartitionId), (u64, u64)> = BTreeMap::new();
    for ((id, _), (batch, _)) in &store.dead_letters {
        sums.entry((*batch, *id)).or_default().0 += 1;
    }
    for (place, (batch, _)) in &store.late_events {
        sums.entry((*batch, place.0)).or_default().1 += 1;
        if store.dead_letters.contains_key(place) {
            faults.push(format!("{}/{} is both dead and late", place.0, place.1));
        }
    }
    for batch in &store.batches {
        for range in &batch.ranges {
            let listed = sums.remove(&(batch.batch_id, range.partition)).unwrap_or_default();
            if listed != (range.tally.dead, range.tally.late) {
                faults.push(format!(
                    "batch {}: {listed:?} listed, ledger says {:?}",
                    batch.batch_id, range.tally
                ));
            }
        }
    }
    for ((batch, id), listed) in sums {
        faults.push(format!("batch {batch} lists {listed:?} of {id}, of which it read nothing"));
    }
}

/// Windows that the watermark has passed are final, others only if closed early.
fn rows(store: &Store, faults: &mut Vec<String>) {
    for (key, row) in &store.rows {
        let closed = store.watermark.has_passed(row.end_ms);
        if closed && !row.is_final || row.is_final && !closed && !row.incomplete {
            faults.push(format!("row {key:?} has is_final {} at {:?}", row.is_final, store.watermark));
        }
        if row.is_final == store.open_rows.contains(key) || row.incomplete != store.early_rows.contains(key) {
            faults.push(format!("row {key:?} is indexed wrongly"));
        }
    }
}

/// Final rows + open windows = panes × events − misses.
fn law(store: &Store, faults: &mut Vec<String>) {
    let mut sum = Tally::default();
    let mut misses = 0;
    for batch in &store.batches {
        batch.ranges.iter().for_each(|range| sum.add(&range.tally));
        misses += batch.window_misses;
    }
    let in_windows = i64::try_from(sum.in_windows).unwrap_or(i64::MAX);
    let finals: i64 = store.rows.values().filter(|row| row.is_final).map(|row| row.count).sum();
    let panes = store.window.panes_per_window();
    if finals + store.open_count != panes * in_windows - misses {
        let open = store.open_count;
        faults.push(format!("law: final {finals} + open {open} != {panes} × {in_windows} - {misses}"));
    }
    if (store.totals.final_count, store.totals.in_windows, store.totals.window_misses)
        != (finals, in_windows, misses)
    {
        faults.push(format!(
            "totals {:?} are not final {finals}, events {in_windows}, misses {misses}",
            store.totals
        ));
    }
}

#[cfg(test)]
mod tests;
