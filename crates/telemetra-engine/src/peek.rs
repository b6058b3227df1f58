//! Looks at events without reading them into a batch: nothing is counted, judged or moved.

use std::ops::Range;

use telemetra_core::{
    limits::POSITION_EVENTS,
    logic::{Event, Logic},
};

use crate::{
    batch::Folds,
    error::JobError,
    ids::{Offset, PartitionId},
    progress::Progress,
    source::{Chunk, Segment, Source},
};

/// Event times of the good events in `range`, in the order of their offsets.
///
/// # Errors
/// Those of the source.
pub fn event_times<L: Logic>(
    logic: &L,
    source: &dyn Source,
    id: PartitionId,
    range: Range<Offset>,
) -> Result<Vec<i64>, JobError> {
    let mut scratch = L::Scratch::default();
    let mut chunk = Chunk::default();
    let mut times = Vec::new();
    // Not by `cut`: what was cut last is what the batch holds, and must stay so until it is committed.
    let mut reader = source.open(id, range)?;
    while reader.next_chunk(&mut chunk)? {
        for span in &chunk.records {
            let record = chunk.record(span);
            if let Ok(event) = logic.decode(id.input, record, &mut scratch) {
                times.extend(event.time_ms());
            }
        }
    }
    Ok(times)
}

/// Takes in the event-time span of every file that a batch began, as its first and last events tell.
///
/// The idle time-out of folders follows from the spans of whole files, so it must be known before the file is
/// read to its end. With one folder alone nobody waits for another.
///
/// # Errors
/// Those of the source.
pub fn see_new_files<L: Logic>(
    logic: &L,
    source: &dyn Source,
    after: &mut Progress,
    folds: &Folds,
    skew_ms: i64,
) -> Result<(), JobError> {
    let folders =
        after.partitions.values().filter(|partition| partition.is_folder && !partition.is_file_of_folder);
    if folders.count() < 2 {
        return Ok(());
    }
    for (&(id, number), seen) in &folds.segments {
        let segments = source.segments(id, seen.from..seen.from + 1);
        let Some(segment) = segments.into_iter().find(|segment| segment.seq == number) else { continue };
        if seen.from == segment.first_offset
            && let Some(span_ms) = span_of_file(logic, source, id, &segment, skew_ms)?
        {
            after.see_span(id, number, span_ms);
        }
    }
    Ok(())
}

fn span_of_file<L: Logic>(
    logic: &L,
    source: &dyn Source,
    id: PartitionId,
    segment: &Segment,
    skew_ms: i64,
) -> Result<Option<(i64, i64)>, JobError> {
    let (from, to) = (segment.first_offset, segment.first_offset + segment.records);
    let sample = POSITION_EVENTS as u64;
    let first = from..to.min(from + sample);
    let last = first.end.max(to.saturating_sub(sample))..to;
    let mut times = event_times(logic, source, id, first)?;
    if !last.is_empty() {
        times.extend(event_times(logic, source, id, last)?);
    }
    times.sort_unstable();
    Ok(without_lone_ends(&times, skew_ms))
}

/// Smallest and largest of ascending `times`, but a single one that lies more than the skew apart does not count.
fn without_lone_ends(times: &[i64], skew_ms: i64) -> Option<(i64, i64)> {
    let mut times = times;
    if let [first, second, ..] = times
        && second - first > skew_ms
        && times.len() > 2
    {
        times = &times[1..];
    }
    if let [.., second, last] = times
        && last - second > skew_ms
        && times.len() > 2
    {
        times = &times[..times.len() - 1];
    }
    Some((*times.first()?, *times.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_stamp_does_not_stretch_a_span() {
        let check = |times: &[i64], expected| assert_eq!(without_lone_ends(times, 60), expected, "{times:?}");
        check(&[], None);
        check(&[5], Some((5, 5)));
        check(&[5, 500], Some((5, 500)));
        check(&[0, 10, 20, 10_800], Some((0, 20)));
        check(&[-9_000, 0, 10, 20], Some((0, 20)));
        check(&[0, 50, 100, 150], Some((0, 150)));
    }
}
