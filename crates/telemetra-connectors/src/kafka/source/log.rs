//! One topic as the job knows it: its partitions, what they hold now, and what of it is committed.

use std::{ops::Range, time::Duration};

use telemetra_engine::{
    ids::{Offset, PARTITIONS_PER_GENERATION, PartitionId},
    source::{LogMark, PartitionView, Resume, SourceError},
};
use uuid::Uuid;

use super::{KafkaInput, KafkaOptions, Report, Skip, guard};
use crate::kafka::{
    cluster::{Cluster, Leader, Topic},
    fault::Fault,
    offsets::Which,
};

/// So often all brokers are asked before it is believed that a topic is gone, and that it is another one.
const ROUNDS_MAX: u32 = 10;
const ROUNDS_OF_OTHERS: u32 = 3;
/// Time between two of those questions.
const ROUND: Duration = Duration::from_secs(1);
/// How often the policy is looked at: it can be changed under a running job.
const POLICY_EVERY_MS: i64 = 60_000;
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
    policy_at_ms: Option<i64>,
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
    frozen: Option<Offset>,
    /// Since when the last stable offset stands still below the end, and how far below.
    stalled: Option<Stall>,
}

/// What a run to the end of the input takes for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freeze {
    /// All that is there now.
    AtEnd,
    /// Nothing of partitions that were not there at first.
    AtBegin,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    at: Offset,
    since_ms: i64,
    now_ms: i64,
    behind: u64,
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

    fn part(&mut self, number: u32) -> &mut Part {
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

    /// Takes in what the brokers say of the topic.
    pub(super) fn see_topic(
        &mut self,
        cluster: &Cluster,
        topic: Option<Topic>,
        options: &KafkaOptions,
        now_ms: i64,
    ) -> Result<(), SourceError> {
        let topic = if self.contradicts(topic.as_ref()) { self.confirmed(cluster)? } else { topic };
        let Some(topic) = topic else {
            self.now = None;
            return if self.parts.is_empty() {
                Ok(())
            } else {
                Err(SourceError::Halt(guard::gone(self, options.pipeline)))
            };
        };
        let is_known = self.id.is_some_and(|id| id == topic.id);
        let is_due = now_ms.saturating_sub(self.policy_at_ms.unwrap_or(i64::MIN)) >= POLICY_EVERY_MS;
        if !is_known || is_due {
            guard::demand_uncompacted(cluster, &topic)?;
            self.policy_at_ms = Some(now_ms);
        }
        if !is_known {
            if let Some(former) = self.id {
                if options.reset.is_none() {
                    return Err(SourceError::Halt(guard::made_anew(
                        self,
                        options.pipeline,
                        former,
                        topic.id,
                    )));
                }
                self.begin_anew();
            }
            self.id = Some(topic.id);
        }
        if topic.partitions.len() < self.parts.len() {
            return Err(SourceError::Halt(guard::fewer(self, topic.partitions.len())));
        }
        self.parts.resize(topic.partitions.len(), Part::default());
        self.now = Some(topic);
        Ok(())
    }

    /// The topic of this name is another one from now on.
    pub(super) fn begin_anew(&mut self) {
        self.generation += 1;
        self.is_anew = true;
        self.parts.clear();
    }

    /// Whether this is not the topic that was read.
    fn contradicts(&self, topic: Option<&Topic>) -> bool {
        match topic {
            None => !self.parts.is_empty(),
            Some(topic) => {
                self.id.is_some_and(|id| id != topic.id) || topic.partitions.len() < self.parts.len()
            }
        }
    }

    /// What the brokers say of the topic after a while in which each of them contradicted the positions. One that lags
    /// behind the others, or has just started, knows topics as they were.
    ///
    /// # Errors
    /// `Retry` as soon as one of them does not.
    fn confirmed(&self, cluster: &Cluster) -> Result<Option<Topic>, SourceError> {
        let mut said = None;
        for round in 0..ROUNDS_MAX {
            let opinions = cluster.opinions(&self.name)?;
            if opinions.iter().any(|opinion| !self.contradicts(opinion.as_ref())) {
                let what = "the brokers do not agree on what it is";
                return Err(Fault::away(&format!("topic {}", self.name), what).into());
            }
            said = opinions.into_iter().flatten().next();
            // That there is another one is sure sooner than that there is none.
            if said.is_some() && round + 1 >= ROUNDS_OF_OTHERS {
                break;
            }
            cluster.pause(ROUND);
        }
        Ok(said)
    }

    /// Holds the leaders' epochs against those under which the log was read.
    pub(super) fn check_epochs(
        &mut self,
        cluster: &Cluster,
        options: &KafkaOptions,
    ) -> Result<(), SourceError> {
        let Some(topic) = self.now.clone() else { return Ok(()) };
        let is_behind =
            |(part, leader): (&Part, &Leader)| part.epoch.is_some_and(|epoch| leader.epoch < epoch);
        if let Some(number) = self.parts.iter().zip(&topic.partitions).position(is_behind) {
            let place = format!("topic {}, partition {number}", self.name);
            return Err(Fault::away(&place, "the broker that was asked lags behind its leader").into());
        }
        let has_changed = |(number, part): (usize, &Part)| {
            let now = topic.partitions[number].epoch;
            part.epoch.filter(|&epoch| epoch != now).map(|epoch| (number as u32, epoch))
        };
        let changed: Vec<(u32, i32)> = self.parts.iter().enumerate().filter_map(has_changed).collect();
        if !changed.is_empty() {
            let ends = cluster.ends_of_epochs(&topic, &changed)?;
            let lost = guard::lost(self, &changed, &ends)?;
            if !lost.is_empty() {
                if options.reset.is_none() {
                    return Err(SourceError::Halt(guard::truncated(self, options.pipeline, &lost)));
                }
                self.begin_behind_loss(&lost);
            }
        }
        for (part, leader) in self.parts.iter_mut().zip(&topic.partitions) {
            part.epoch = Some(leader.epoch);
        }
        Ok(())
    }

    /// A log that lost records that were read goes on as another one: each partition where it stood, those that lost
    /// records where what is left of them ends.
    fn begin_behind_loss(&mut self, lost: &[guard::Lost]) {
        let stood: Vec<Option<Offset>> = self.parts.iter().map(|part| part.committed).collect();
        self.begin_anew();
        for (number, next) in stood.into_iter().enumerate() {
            let end = lost.iter().find(|lost| lost.number == number).map(|lost| lost.end);
            self.part(number as u32).begin = end.or(next).map(|offset| (offset, None));
        }
    }

    /// Asks for the first offsets that are still there.
    pub(super) fn see_lows(&mut self, cluster: &Cluster) -> Result<(), SourceError> {
        let Some(topic) = &self.now else { return Ok(()) };
        let lows = cluster.offsets(topic, Which::Earliest)?;
        for (part, low) in self.parts.iter_mut().zip(lows) {
            part.low = low.unwrap_or(0);
        }
        Ok(())
    }

    /// Asks for the last stable offsets: that far can be read. With `freezes` the partitions end where they end at their
    /// first look for good, and those found later hold nothing.
    pub(super) fn see_ends(
        &mut self,
        cluster: &Cluster,
        options: &KafkaOptions,
        freezes: Option<Freeze>,
    ) -> Result<(), SourceError> {
        let Some(topic) = self.now.clone() else { return Ok(()) };
        let mut ends = cluster.offsets(&topic, Which::LastStable)?;
        // Leaders agreed that nothing is lost. One that was just chosen may not know yet how far all have come.
        let mut rounds = 1;
        while self.is_short(&ends) && rounds < ROUNDS_MAX {
            cluster.pause(ROUND);
            ends = cluster.offsets(&topic, Which::LastStable)?;
            rounds += 1;
        }
        if self.is_short(&ends) {
            let lost = guard::short(self, &ends);
            if options.reset.is_none() {
                return Err(SourceError::Halt(guard::truncated(self, options.pipeline, &lost)));
            }
            self.begin_behind_loss(&lost);
        }
        for (part, end) in self.parts.iter_mut().zip(ends) {
            part.end = end.unwrap_or(part.low);
            match freezes {
                None => {}
                Some(Freeze::AtEnd) => part.frozen = Some(part.end),
                Some(Freeze::AtBegin) => part.frozen = part.frozen.or(Some(0)),
            }
        }
        Ok(())
    }

    /// Whether a partition ends before what was read of it.
    fn is_short(&self, ends: &[Option<Offset>]) -> bool {
        self.parts
            .iter()
            .zip(ends)
            .any(|(part, end)| end.is_some_and(|end| part.committed.is_some_and(|next| end < next)))
    }

    /// Notices a transaction that is open for long. Nobody waits for its partition.
    pub(super) fn see_stall(&mut self, cluster: &Cluster, now_ms: i64) {
        let Some(topic) = &self.now else { return };
        let Ok(tops) = cluster.offsets(topic, Which::HighWatermark) else { return };
        for (part, top) in self.parts.iter_mut().zip(tops) {
            let behind = top.unwrap_or(0).saturating_sub(part.end);
            let since_ms =
                part.stalled.filter(|stall| stall.at == part.end).map_or(now_ms, |stall| stall.since_ms);
            part.stalled = (behind > 0).then_some(Stall { at: part.end, since_ms, now_ms, behind });
        }
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
