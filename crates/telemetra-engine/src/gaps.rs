//! Offsets that the source no longer holds.
//!
//! A gap below `next_offset` changes no sum: the open windows are closed early (see `restore`). A gap above it
//! stops the job with the exact offsets, unless told to record it and go on.

use std::ops::Range;

use crate::{
    error::JobError,
    ids::{Offset, PartitionId},
    plan::Plan,
    progress::Progress,
    sink::Gap,
    source::{PartitionView, Source},
};

/// Passes the gaps that now lie right at the next offsets: moves `after` beyond them and returns them. Gaps tile
/// a partition together with the ranges read.
///
/// # Errors
/// [`JobError::Halted`] with the exact offsets if gaps are not to be skipped.
pub fn pass_gaps(
    after: &mut Progress,
    plan: &Plan,
    source: &impl Source,
    skip_gaps: bool,
) -> Result<Vec<Gap>, JobError> {
    let mut gaps = Vec::new();
    for view in plan.views.values() {
        let partition = after.partitions.get_mut(&view.id).expect("a planned partition is known");
        for gap in &view.gaps {
            if !gap.contains(&partition.next) {
                continue;
            }
            let offsets = partition.next..gap.end;
            if !skip_gaps {
                return Err(JobError::Halted(halt_message(source, view.id, &offsets)));
            }
            partition.next = gap.end;
            gaps.push(Gap {
                partition: view.id,
                offsets,
                cause: cause(view, gap, "no longer held by the source"),
                in_replay: false,
            });
        }
    }
    Ok(gaps)
}

/// The gaps in what a restart would have to read again.
pub fn replay_gaps(progress: &Progress, views: &[PartitionView]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut unlisted: std::collections::BTreeMap<PartitionId, Range<Offset>> = progress
        .partitions
        .iter()
        .filter(|(_, partition)| partition.replay < partition.next)
        .map(|(&id, partition)| (id, partition.replay..partition.next))
        .collect();
    for view in views {
        let Some(replayed) = unlisted.remove(&view.id) else { continue };
        for gap in &view.gaps {
            let offsets = gap.start.max(replayed.start)..gap.end.min(replayed.end);
            if offsets.start < offsets.end {
                let cause = cause(view, gap, CAUSE);
                gaps.push(Gap { partition: view.id, offsets, cause, in_replay: true });
            }
        }
        if view.end < replayed.end && view.gaps.iter().all(|gap| gap.end <= view.end) {
            let offsets = view.end.max(replayed.start)..replayed.end;
            gaps.push(Gap { partition: view.id, offsets, cause: CAUSE.into(), in_replay: true });
        }
    }
    gaps.extend(unlisted.into_iter().map(|(partition, offsets)| Gap {
        partition,
        offsets,
        cause: CAUSE.into(),
        in_replay: true,
    }));
    gaps
}

/// Why a gap is one.
fn cause(view: &PartitionView, gap: &Range<Offset>, lost: &str) -> String {
    if view.unwanted.as_ref() == Some(gap) { "left out by command".into() } else { lost.to_owned() }
}

const CAUSE: &str = "no longer held by the source when it was to be replayed";

fn halt_message(source: &impl Source, id: PartitionId, offsets: &Range<Offset>) -> String {
    let place = source.inputs().get(id.input as usize).map_or("", |input| input.place.as_str());
    let once = source.gap_command().map_or(String::new(), |command| format!("once by `{command}`, always "));
    format!(
        "{place}, partition {}: offsets {}..{}{} ({} records) were not read and are no longer there; restore them, \
         or go on without them, listed in the ledger: {once}by --on-gap=record",
        id.partition,
        offsets.start,
        offsets.end,
        of_files(source, id, offsets),
        offsets.end - offsets.start
    )
}

/// The files that held the records, the first of them by name; nothing where the source has no files.
fn of_files(source: &impl Source, id: PartitionId, offsets: &Range<Offset>) -> String {
    let segments = source.segments(id, offsets.clone());
    match (segments.first(), segments.len().saturating_sub(1)) {
        (None, _) => String::new(),
        (Some(first), 0) => format!(" of {}", first.file.escape_debug()),
        (Some(first), more) => format!(" of {} and {more} more", first.file.escape_debug()),
    }
}
