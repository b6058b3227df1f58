//! What contradicts the positions: a topic made anew, records lost, a compacted topic. Going on could lose or double
//! records, so each is a halt with the offsets and the command that goes on.

use telemetra_engine::{ids::Offset, source::SourceError};
use uuid::Uuid;

use super::log::Log;
use crate::kafka::{
    cluster::{Cluster, Topic},
    fault::Fault,
};

/// Partitions that a message names.
const NAMED_MAX: usize = 10;

/// A partition whose log ends before what was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) number: usize,
    /// What was read up to here is what is there.
    pub(super) end: Offset,
    /// The next offset that was committed.
    pub(super) next: Offset,
}

/// A compacted topic loses records of which newer ones have the same key: what was read cannot be read again.
pub(super) fn demand_uncompacted(cluster: &Cluster, topic: &Topic) -> Result<(), SourceError> {
    // Who may not ask is believed: compaction shows later, as a replay that differs.
    if cluster.is_compacted(&topic.name)? == Some(true) {
        return Err(SourceError::Halt(format!(
            "topic {} is compacted (cleanup.policy): records vanish from it, so nothing could be counted again after a \
             restart; read a topic with cleanup.policy=delete",
            topic.name
        )));
    }
    Ok(())
}

/// Of the partitions with another leader epoch, those whose former epoch ends below what is committed.
///
/// # Errors
/// `Retry` when only what is planned or in flight lies behind the end: what becomes of that must be known first.
pub(super) fn lost(
    log: &mut Log,
    asked: &[(u32, i32)],
    ends: &[Option<Offset>],
) -> Result<Vec<Lost>, SourceError> {
    let mut lost = Vec::new();
    let mut is_in_flight = false;
    for (&(number, _), end) in asked.iter().zip(ends) {
        let (number, part) = (number as usize, &mut log.parts[number as usize]);
        let Some(end) = *end else { continue };
        let next = part.committed.unwrap_or(0);
        if end < next {
            lost.push(Lost { number, end, next });
        } else if end < part.planned {
            is_in_flight = true;
            part.planned = next;
        }
    }
    if is_in_flight && lost.is_empty() {
        let what = "its leader changed and the log is shorter than what is under way";
        return Err(Fault::away(&format!("topic {}", log.name), what).into());
    }
    Ok(lost)
}

/// The partitions that end before what was read of them.
pub(super) fn short(log: &Log, ends: &[Option<Offset>]) -> Vec<Lost> {
    let parts = log.parts.iter().zip(ends).enumerate();
    let lost = parts.filter_map(|(number, (part, end))| {
        let (end, next) = ((*end)?, part.committed?);
        (end < next).then_some(Lost { number, end, next })
    });
    lost.collect()
}

/// The topic has fewer partitions than were read.
pub(super) fn fewer(log: &Log, partitions: usize) -> String {
    format!(
        "topic {} has {partitions} partitions, {} were read: this is not the cluster that was read before; name that one by \
         --kafka, or start another --job and --store",
        log.name,
        log.parts.len()
    )
}

/// The topic was deleted and made anew.
pub(super) fn made_anew(log: &Log, pipeline: &str, former: Uuid, now: Uuid) -> String {
    format!(
        "topic {} was made anew: its id is {now}, the job read {former} up to {}. What was not read of that one is gone. \
         `telemetra offsets reset {pipeline}` goes on with the new one from its first offset",
        log.name,
        positions(log)
    )
}

/// Somebody named a topic that does not exist.
pub(super) fn missing(name: &str) -> String {
    format!(
        "topic {name} does not exist; nothing was read. Correct the name, or make the topic and run again"
    )
}

/// The topic is not there any more.
pub(super) fn gone(log: &Log, pipeline: &str) -> String {
    format!(
        "topic {} does not exist any more; the job read it up to {}. What was not read of it is gone. Make it anew and \
         go on by `telemetra offsets reset {pipeline}`",
        log.name,
        positions(log)
    )
}

/// The log ends before what was read of it.
pub(super) fn truncated(log: &Log, pipeline: &str, lost: &[Lost]) -> String {
    let shown = lost.iter().take(NAMED_MAX).map(|lost| {
        format!(
            "partition {}: offsets {}..{} were read and are no longer what was read",
            lost.number, lost.end, lost.next
        )
    });
    let shown: Vec<String> = shown.collect();
    format!(
        "topic {} lost records (an unclean election, or a disk that was lost): {}. What was counted stays counted. \
         `telemetra offsets reset {pipeline}` goes on with what is there now from those offsets",
        log.name,
        shown.join("; ")
    )
}

fn positions(log: &Log) -> String {
    let known = log.parts.iter().enumerate().filter_map(|(number, part)| Some((number, part.committed?)));
    let mut shown: Vec<String> =
        known.take(NAMED_MAX).map(|(number, next)| format!("offset {next} of partition {number}")).collect();
    if log.parts.len() > NAMED_MAX {
        shown.push("…".into());
    }
    if shown.is_empty() { "no offset".into() } else { shown.join(", ") }
}
