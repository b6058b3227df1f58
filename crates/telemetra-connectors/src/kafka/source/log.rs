//! One topic as the job knows it: its partitions, what they hold now, and what of it is committed.

use std::ops::Range;

use telemetra_engine::{
    ids::{Offset, PARTITIONS_PER_GENERATION, PartitionId},
    source::{LogMark, PartitionView, Resume, SourceError},
};
use uuid::Uuid;

use super::{KafkaInput, Report, Skip, guard};
use crate::kafka::cluster::Topic;

/// A last stable offset that stands still below the end for so long is told of.
const STALL_MS: i64 = 60_000;

/// A topic.
#[derive(Debug)]
pub(super) struct Log {
    /// The topic's name.
    pub(super) name: String,
    is_named: bool,
    /// As brokers described it last; `None` while it does not exist.
    pub(super) now: Option<Topic>,
    /// Which topic of this name is read: the first has 0.
    pub(super) generation: u32,
    /// The id of the topic in which the positions count.
    pub(super) id: Option<Uuid>,
    /// By Kafka's number.
    pub(super) parts: Vec<Part>,
    /// It is another one than the positions are of, since this instance began.
    pub(super) is_anew: bool,
    /// When its policy was looked at last.
    pub(super) policy_at_ms: Option<i64>,
    /// Offsets of one partition that are left out because somebody said so.
    unwanted: Option<(usize, Range<Offset>)>,
}

/// A partition of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// The next offset that is committed; `None` while the store does not know the partition.
    pub(super) committed: Option<Offset>,
    /// Where a partition begins that the store does not know; and when the youngest of the records was written at the
    /// latest that this leaves out, milliseconds.
    pub(super) begin: Option<(Offset, Option<i64>)>,
    /// The leadership under which everything up to `planned` was seen.
    pub(super) epoch: Option<i32>,
    /// Largest end of a range that was planned.
    pub(super) planned: Offset,
    /// First offset that is still there.
    pub(super) low: Offset,
    /// The last stable offset.
    pub(super) end: Offset,
    /// With `once`: where the partition ended at the first look.
    pub(super) frozen: Option<Offset>,
    /// Since when the last stable offset stands still below the end, and how far below.
    pub(super) stalled: Option<Stall>,
}

/// A last stable offset below the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub(super) at: Offset,
    pub(super) since_ms: i64,
    pub(super) now_ms: i64,
    /// So many offsets wait.
    pub(super) behind: u64,
}

impl Log {
    pub(super) fn of(input: KafkaInput, skip: Option<&Skip>) -> Option<Self> {
        let skip = skip.filter(|skip| input.topic.as_ref() == Some(&skip.topic));
        let unwanted = skip.map(|skip| (skip.partition as usize, skip.offsets.clone()));
        Some(Self {
            unwanted,
            name: input.topic?,
            is_named: input.is_named,
            now: None,
            generation: 0,
            id: None,
            parts: Vec::new(),
            is_anew: false,
            policy_at_ms: None,
        })
    }

    /// Takes in where the job stands. Positions of former topics of this name say nothing any more.
    pub(super) fn resume(&mut self, position: &Resume) {
        let generation = position.id.partition / PARTITIONS_PER_GENERATION;
        if generation > self.generation {
            self.generation = generation;
            self.parts.clear();
            self.id = None;
        }
        if generation < self.generation {
            return;
        }
        self.id = self.id.or(position.mark.id.map(Uuid::from_u128));
        let part = self.part(position.id.partition % PARTITIONS_PER_GENERATION);
        part.committed = Some(position.next);
        part.planned = position.next;
        part.epoch = position.mark.epoch;
    }

    pub(super) fn part(&mut self, number: u32) -> &mut Part {
        let number = number as usize;
        if self.parts.len() <= number {
            self.parts.resize(number + 1, Part::default());
        }
        &mut self.parts[number]
    }

    /// Kafka's number of a partition, if it is one of the topic that is read now.
    fn number(&self, id: PartitionId) -> Option<usize> {
        let is_of_now = id.partition / PARTITIONS_PER_GENERATION == self.generation;
        is_of_now.then_some((id.partition % PARTITIONS_PER_GENERATION) as usize)
    }

    /// The topic that holds a partition.
    pub(super) fn topic_of(&self, id: PartitionId) -> Option<&Topic> {
        let number = self.number(id)?;
        self.now.as_ref().filter(|topic| number < topic.partitions.len())
    }

    /// What the engine is told of each partition that has begun.
    pub(super) fn views(&self, input: u8) -> Vec<PartitionView> {
        let Some(topic) = &self.now else { return Vec::new() };
        let view = |(number, part): (u32, &Part)| {
            let (begin, left_out_ms) = part.begin.or(part.committed.map(|next| (next, None)))?;
            let end = part.frozen.map_or(part.end, |frozen| frozen.min(part.end));
            let id = PartitionId { input, partition: self.generation * PARTITIONS_PER_GENERATION + number };
            let mut gaps: Vec<Range<Offset>> = (part.low > 0).then_some(0..part.low).into_iter().collect();
            let unwanted = self.unwanted.as_ref().filter(|(at, _)| *at == number as usize);
            let unwanted = unwanted.map(|(_, range)| range.start.max(part.low)..range.end.min(end));
            let unwanted = unwanted.filter(|range| !range.is_empty());
            gaps.extend(unwanted.clone());
            let mark = LogMark { id: Some(topic.id.as_u128()), epoch: part.epoch };
            Some(PartitionView {
                begin,
                left_out_ms,
                mark,
                end: end.max(begin),
                gaps,
                unwanted,
                ..PartitionView::empty(id)
            })
        };
        (0..).zip(&self.parts).filter_map(view).collect()
    }

    /// The next `records` offsets of a partition, as far as they can be read.
    pub(super) fn cut(&mut self, id: PartitionId, from: Offset, records: u64) -> Option<Range<Offset>> {
        let number = self.number(id)?;
        let part = self.parts.get_mut(number)?;
        let end = part.frozen.map_or(part.end, |frozen| frozen.min(part.end));
        // What a restart reads again may lie behind a frozen end: nothing was committed behind it by then.
        let to = from.saturating_add(records).min(end.max(part.committed.unwrap_or(0)));
        part.planned = part.planned.max(to);
        (from < to).then_some(from..to)
    }

    /// Takes in what is known to be committed; whether the partition is one of the topic that is read now.
    pub(super) fn commit(&mut self, id: PartitionId, next: Offset) -> bool {
        let Some(number) = self.number(id) else { return false };
        let Some(part) = self.parts.get_mut(number) else { return false };
        part.committed = Some(next);
        true
    }

    /// A topic that somebody named is missed: reading the others alone would make its events late.
    pub(super) fn demand_named(&self) -> Result<(), SourceError> {
        match self.is_named && self.now.is_none() && self.parts.is_empty() {
            true => Err(SourceError::Halt(guard::missing(&self.name))),
            false => Ok(()),
        }
    }

    /// What is worth a word.
    pub(super) fn report(&self, report: &mut Report) {
        if self.now.is_none() && self.parts.is_empty() {
            report
                .warnings
                .push(format!("topic {} does not exist yet; it is looked for every 5 seconds", self.name));
        }
        for (number, part) in self.parts.iter().enumerate() {
            let Some(stall) = part.stalled.filter(|stall| stall.now_ms - stall.since_ms >= STALL_MS) else {
                continue;
            };
            report.warnings.push(format!(
                "topic {}, partition {number}: {} offsets from {} on wait for a transaction that neither ends nor is \
                 given up; kafka-transactions.sh find-hanging names it",
                self.name, stall.behind, stall.at
            ));
        }
    }
}
