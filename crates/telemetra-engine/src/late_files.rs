//! Halts before a file that is mostly late is read.
//!
//! Lateness is judged by the watermark of the batch before, so the fold of a batch that is not yet committed
//! tells at no cost which file seems late. Only then its next events are looked at, beyond the batch too; if
//! most of them would be late, the batch is dropped and the job halts. (DESIGN §5, "Folders")

use std::collections::BTreeMap;

use telemetra_core::{logic::Logic, watermark::Watermark};

use crate::{
    batch::Folds,
    error::JobError,
    fold::SegmentSeen,
    ids::PartitionId,
    limits::{PEEK_EVENTS, Rules},
    peek::event_times,
    progress::Progress,
    source::{Segment, Source},
};

/// A file with fewer events than this never halts the job.
const BEGINNING_EVENTS_MIN: u64 = 20;
/// Nor does what is left of a file that was begun, with fewer than this.
const MIDDLE_EVENTS_MIN: u64 = 100;

/// Looks at the files that a batch read from and seem mostly late.
///
/// # Errors
/// [`JobError::Halted`] with the file and both ways on; errors of the source.
pub fn check_files<L: Logic>(
    logic: &L,
    rules: &Rules,
    source: &dyn Source,
    before: &Progress,
    folds: &Folds,
) -> Result<(), JobError> {
    if rules.keep_late_files || folds.tally.late == 0 {
        return Ok(());
    }
    for (id, segment, seen) in suspects(source, before, &folds.segments) {
        let (events, late) = count_late(logic, rules, source, before, folds, (id, &segment, seen))?;
        // A few stragglers, in a tiny file or at the end of one, are ordinary late events.
        let least = if seen.from == segment.first_offset { BEGINNING_EVENTS_MIN } else { MIDDLE_EVENTS_MIN };
        if late * 2 > events && events >= least {
            return Err(JobError::Halted(halt_message(source, id, &segment, before.watermark, events, late)));
        }
    }
    Ok(())
}

/// Events and late events among the first of a file, from where the batch began to read it: as the fold saw them,
/// or by looking beyond the batch if the file goes on there.
fn count_late<L: Logic>(
    logic: &L,
    rules: &Rules,
    source: &dyn Source,
    before: &Progress,
    folds: &Folds,
    (id, segment, seen): (PartitionId, &Segment, SegmentSeen),
) -> Result<(u64, u64), JobError> {
    let end = segment.first_offset + segment.records;
    let is_whole = folds.ranges.iter().any(|range| range.partition == id && range.to >= end);
    if is_whole || seen.peeked >= PEEK_EVENTS {
        return Ok((seen.peeked, seen.peeked_late));
    }
    let times = event_times(logic, source, id, seen.from..end.min(seen.from + PEEK_EVENTS))?;
    let window = rules.window;
    let late =
        times.iter().filter(|&&time_ms| window.is_pane_closed(window.pane_of(time_ms), before.watermark));
    Ok((times.len() as u64, late.count() as u64))
}

fn suspects(
    source: &dyn Source,
    before: &Progress,
    seen: &BTreeMap<(PartitionId, u32), SegmentSeen>,
) -> Vec<(PartitionId, Segment, SegmentSeen)> {
    let mut suspects = Vec::new();
    for (&(id, number), &seen) in seen {
        let in_event_time_order =
            before.partitions.get(&id).is_some_and(|partition| partition.is_file_of_folder);
        if seen.peeked_late == 0 || in_event_time_order {
            continue;
        }
        let mut segments = source.segments(id, seen.from..seen.from + 1).into_iter();
        let Some(segment) = segments.find(|segment| segment.seq == number) else { continue };
        let begins_here = seen.from == segment.first_offset && seen.peeked < PEEK_EVENTS;
        if begins_here || seen.peeked_late * 2 > seen.peeked {
            suspects.push((id, segment, seen));
        }
    }
    suspects
}

fn halt_message(
    source: &dyn Source,
    id: PartitionId,
    segment: &Segment,
    watermark: Watermark,
    events: u64,
    late: u64,
) -> String {
    let place = source.inputs().get(id.input as usize).map_or("", |input| input.place.as_str());
    format!(
        "{late} of the next {events} events of {place}/{} are older than every open window (watermark {} ms): the \
         files seem to cover the same time; nothing of this batch was written. Go on with \
         --folder-order=event-time, which merges files by event time (into a fresh store it gives every event \
         its windows; here, windows that are final stay so), or with --late-files=keep, which lists such events \
         in late_events",
        segment.file,
        watermark.ms().unwrap_or_default(),
    )
}
