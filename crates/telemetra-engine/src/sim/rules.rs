//! What a commit must fulfil to be written: everything a store can see without the records.
//!
//! | rule | fails when |
//! |---|---|
//! | order | another batch number, a try used twice, another watermark before, one that goes back |
//! | compare and set | a position is not what the commit expects |
//! | tiles | ranges and gaps do not lead from the old next offset to the new one |
//! | tallies | records ≠ counted + late + dead, or the lists differ from the numbers |
//! | once | a refusal or late event listed twice, a finding inserted twice |
//! | final | a final row is touched, a closed window is not final, an open one is |
//! | law | final + open counts ≠ panes × events − misses |

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use super::store::{Store, Written};
use crate::{
    ids::{Offset, PartitionId},
    sink::{BatchKind, Commit, PositionEntry, RangeEntry, Tally},
    source::Segment,
};

/// A rule, with what was broken.
pub(super) type Fault = String;

fn must(holds: bool, fault: impl FnOnce() -> Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault()) }
}

/// Checks `commit` against what `store` holds; changes nothing.
pub(super) fn check(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    order(store, commit)?;
    let entries: BTreeMap<_, _> = commit.positions.iter().map(|entry| (entry.position.id, entry)).collect();
    must(entries.len() == commit.positions.len(), || "a partition has two positions".to_owned())?;
    for entry in entries.values() {
        position(store, commit, entry)?;
    }
    for id in
        commit.ranges.iter().map(|range| range.partition).chain(commit.gaps.iter().map(|gap| gap.partition))
    {
        must(entries.contains_key(&id), || format!("{id} was read or passed over without a position"))?;
    }
    tallies(store, commit)?;
    segments(store, commit)?;
    rows(store, commit)?;
    law(store, commit)
}

fn order(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    must(commit.batch_id == store.last_batch + 1, || format!("the last batch is {}", store.last_batch))?;
    must(commit.watermark_before == store.watermark, || {
        format!("judged by {:?}, committed is {:?}", commit.watermark_before, store.watermark)
    })?;
    must(commit.watermark >= store.watermark, || {
        format!("watermark back from {:?} to {:?}", store.watermark, commit.watermark)
    })?;
    let reads = !commit.ranges.is_empty();
    must(reads == (commit.kind == BatchKind::Read), || {
        format!("a batch of kind {} that reads: {reads}", commit.kind.as_str())
    })?;
    must(commit.kind != BatchKind::Idle || commit.watermark > store.watermark, || {
        "an idle batch that moves nothing".to_owned()
    })?;
    must(commit.kind != BatchKind::Drain || commit.open_count == 0, || {
        "a drain leaves windows open".to_owned()
    })?;
    if commit.close_early {
        must(commit.open_count == 0, || "closing early leaves windows open".to_owned())?;
        let at = commit.watermark;
        must(at.ms() >= store.open_end_ms, || {
            format!("closed early at {at:?}, open end {:?}", store.open_end_ms)
        })?;
        let moved = |id| commit.positions.iter().any(|entry| entry.position.id == id);
        for kept in store.positions.values().filter(|position| !moved(position.id)) {
            must(kept.replay == kept.next, || {
                format!("{}: closed early, yet replay {} stays", kept.id, kept.replay)
            })?;
        }
    }
    Ok(())
}

/// The ranges read and passed over, in order.
pub(super) fn tiles(commit: &Commit<Written>, id: PartitionId) -> Vec<Range<Offset>> {
    let ranges = commit.ranges.iter().filter(|range| range.partition == id);
    let passed = commit.gaps.iter().filter(|gap| gap.partition == id && !gap.in_replay);
    let mut tiles: Vec<_> =
        ranges.map(|range| range.from..range.to).chain(passed.map(|gap| gap.offsets.clone())).collect();
    tiles.sort_by_key(|tile| tile.start);
    tiles
}

fn position(store: &Store, commit: &Commit<Written>, entry: &PositionEntry) -> Result<(), Fault> {
    let now = entry.position;
    let (id, before) = (now.id, store.positions.get(&now.id));
    let stored = before.map(|before| before.next);
    must(entry.expected_next == stored, || {
        format!("{id}: next is {stored:?}, expected {:?}", entry.expected_next)
    })?;
    let tiles = tiles(commit, id);
    let mut at = stored.unwrap_or_else(|| tiles.first().map_or(now.next, |tile| tile.start));
    for tile in &tiles {
        must(tile.start == at && tile.end > at, || format!("{id}: {tile:?} does not follow {at}"))?;
        at = tile.end;
    }
    must(at == now.next, || format!("{id}: next {} but read to {at}", now.next))?;
    must(now.replay <= now.next, || format!("{id}: replay {} beyond next {}", now.replay, now.next))?;
    must(!commit.close_early || now.replay == now.next, || {
        format!("{id}: closed early, yet replay {} stays", now.replay)
    })?;
    if let Some(before) = before {
        must(now.replay >= before.replay, || {
            format!("{id}: replay back from {} to {}", before.replay, now.replay)
        })?;
        let (was, is) = (before.clock.largest_ms, now.clock.largest_ms);
        must(is >= was, || format!("{id}: largest event time back from {was:?} to {is:?}"))?;
    }
    for gap in commit.gaps.iter().filter(|gap| gap.partition == id) {
        let fits = match gap.in_replay {
            true => before.is_some_and(|before| gap.offsets.end <= before.next),
            false => tiles.contains(&gap.offsets),
        };
        must(fits && gap.offsets.start < gap.offsets.end, || {
            format!("{id}: gap {:?} is not where it says", gap.offsets)
        })?;
    }
    Ok(())
}

fn tallies(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    // Dead and late by the range that they were read in.
    let mut listed = vec![(0, 0); commit.ranges.len()];
    let mut places = HashSet::new();
    let range_of = |id: PartitionId, offset: Offset| {
        let holds = |range: &RangeEntry| range.partition == id && (range.from..range.to).contains(&offset);
        commit.ranges.iter().position(holds)
    };
    for letter in &commit.dead_letters {
        let (id, offset) = (letter.place.partition, letter.place.offset);
        let Some(range) = range_of(id, offset) else {
            return Err(format!("dead letter at {id}/{offset}, which was not read"));
        };
        must(places.insert((id, offset)), || format!("{id}/{offset} is listed twice"))?;
        must(!store.dead_letters.contains_key(&(id, offset)), || {
            format!("dead letter at {id}/{offset} a second time")
        })?;
        must(!letter.code.is_empty(), || format!("dead letter at {id}/{offset} without a code"))?;
        listed[range].0 += 1;
    }
    for late in &commit.late_events {
        let (id, offset) = (late.place.partition, late.place.offset);
        let Some(range) = range_of(id, offset) else {
            return Err(format!("late event at {id}/{offset}, which was not read"));
        };
        must(places.insert((id, offset)), || format!("{id}/{offset} is listed twice"))?;
        must(!store.late_events.contains_key(&(id, offset)), || {
            format!("late event at {id}/{offset} a second time")
        })?;
        must(late.watermark == commit.watermark_before, || {
            format!("late event at {id}/{offset} judged by another watermark")
        })?;
        let pane = store.window.pane_of(late.event_time_ms);
        must(store.window.is_pane_closed(pane, late.watermark), || {
            format!("event at {id}/{offset} is not late")
        })?;
        listed[range].1 += 1;
    }
    for (range, (dead, late)) in commit.ranges.iter().zip(listed) {
        let (id, tally) = (range.partition, &range.tally);
        must(range.to - range.from == tally.records + tally.empty, || {
            format!("{id}: {range:?} lost offsets")
        })?;
        must(tally.records == tally.counted + tally.late + tally.dead, || {
            format!("{id}: {range:?} lost records")
        })?;
        must(tally.in_windows <= tally.counted, || {
            format!("{id}: {range:?} counts more in windows than it counted")
        })?;
        must((dead, late) == (tally.dead, tally.late), || {
            format!("{id}: {dead} dead and {late} late listed, tally {tally:?}")
        })?;
    }
    Ok(())
}

fn segments(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    let mut of: BTreeMap<PartitionId, BTreeMap<u32, &Segment>> = BTreeMap::new();
    for (id, segment) in &commit.segments {
        let seen = of.entry(*id).or_default().insert(segment.seq, segment);
        must(seen.is_none(), || format!("{id}: segment {} is given twice", segment.seq))?;
        let Some(before) = store.segments.get(&(*id, segment.seq)) else { continue };
        let same = before.file == segment.file
            && before.first_offset == segment.first_offset
            && before.line == segment.line
            && before.bytes.start == segment.bytes.start;
        must(same && segment.records >= before.records, || format!("{id}: {before:?} became {segment:?}"))?;
        // Only the spans of the last files are known; one of those grows.
        let spans = before.span_ms.zip(segment.span_ms);
        must(spans.is_none_or(|(before, now)| now.0 <= before.0 && now.1 >= before.1), || {
            format!(
                "{id}: the span of {} shrank from {:?} to {:?}",
                segment.file, before.span_ms, segment.span_ms
            )
        })?;
    }
    let held = |id: PartitionId, offset: Offset| {
        of.get(&id).is_some_and(|segments| {
            segments.values().any(|s| (s.first_offset..s.first_offset + s.records).contains(&offset))
        })
    };
    for range in &commit.ranges {
        let id = range.partition;
        let has_segments =
            of.contains_key(&id) || store.segments.range((id, 0)..=(id, u32::MAX)).next().is_some();
        must(!has_segments || held(id, range.from), || format!("{id}: no segment given for {}", range.from))?;
        must(!has_segments || held(id, range.to - 1), || {
            format!("{id}: no segment given for {}", range.to - 1)
        })?;
    }
    Ok(())
}

fn rows(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    let spec = store.window;
    let mut keys = HashSet::new();
    for row in &commit.rows.rows {
        let name = format!("row {} {}", row.key, row.start_ms);
        let key = (row.key.clone(), row.start_ms);
        must(row.end_ms - row.start_ms == spec.length_ms(), || format!("{name} has the wrong length"))?;
        must(row.start_ms.rem_euclid(spec.slide_ms()) == 0, || format!("{name} is not aligned"))?;
        must(store.rows.get(&key).is_none_or(|before| !before.is_final), || {
            format!("{name} is final and was written again")
        })?;
        must(keys.insert(key), || format!("{name} is written twice"))?;
        must(row.is_final == commit.watermark.has_passed(row.end_ms), || {
            format!("{name} has is_final {} at {:?}", row.is_final, commit.watermark)
        })?;
        must(!commit.watermark_before.has_passed(row.end_ms), || {
            format!("{name} was closed before this batch")
        })?;
    }
    let mut found = HashSet::new();
    for finding in &commit.rows.findings {
        let key = (finding.key.clone(), finding.start_ms);
        must(!store.findings.contains_key(&key) && found.insert(key.clone()), || {
            format!("{key:?} is found twice")
        })?;
        let closed = commit
            .rows
            .rows
            .iter()
            .any(|row| row.is_final && row.key == finding.key && row.start_ms == finding.start_ms);
        must(closed, || format!("{key:?} is found without its final row"))?;
    }
    if !commit.close_early {
        for key in &store.open_rows {
            let closed = commit.watermark.has_passed(store.rows[key].end_ms);
            must(!closed || keys.contains(key), || format!("row {key:?} is closed but not made final"))?;
        }
    }
    Ok(())
}

/// Events of a commit that the law sums.
pub(super) fn in_windows(commit: &Commit<Written>) -> i64 {
    let events: u64 = commit.ranges.iter().map(|range| range.tally.in_windows).sum();
    i64::try_from(events).expect("fewer events than an i64 holds")
}

fn law(store: &Store, commit: &Commit<Written>) -> Result<(), Fault> {
    let written: BTreeMap<_, _> =
        commit.rows.rows.iter().map(|row| ((row.key.as_str(), row.start_ms), row)).collect();
    let closing: i64 = written.values().filter(|row| row.is_final).map(|row| row.count).sum();
    let kept = || {
        let untouched = store.open_rows.iter().filter(|key| !written.contains_key(&(key.0.as_str(), key.1)));
        let open: i64 = written.values().filter(|row| !row.is_final).map(|row| row.count).sum();
        open + untouched.map(|key| store.rows[key].count).sum::<i64>()
    };
    let closing = closing + if commit.close_early { kept() } else { 0 };
    must(closing == commit.final_count, || {
        format!("final count {} but rows say {closing}", commit.final_count)
    })?;
    if commit.kind == BatchKind::Flush {
        must(kept() == commit.open_count, || {
            format!("a flush leaves {} of {} unwritten", kept(), commit.open_count)
        })?;
    }
    let mut sum = Tally::default();
    commit.ranges.iter().for_each(|range| sum.add(&range.tally));
    let misses = i64::try_from(sum.window_misses).expect("fewer misses than an i64 holds");
    let may_differ = commit.close_early || !store.early_rows.is_empty();
    must(misses == commit.window_misses || may_differ && misses < commit.window_misses, || {
        format!("window misses {} but ranges say {misses}", commit.window_misses)
    })?;
    let panes = store.window.panes_per_window();
    let in_windows = store.totals.in_windows + in_windows(commit);
    let missed = store.totals.window_misses + commit.window_misses;
    let finals = store.totals.final_count + commit.final_count;
    must(finals + commit.open_count == panes * in_windows - missed, || {
        format!("law: final {finals} + open {} != {panes} × {in_windows} - {missed}", commit.open_count)
    })?;
    Ok(())
}
