//! What brokers say of a topic, held against what the job has read of it.
//!
//! A broker that lags behind the others, or has just started, knows topics as they were: what contradicts the positions
//! is believed only when every broker says so for a while, and no leadership is older than one that was seen.

use std::time::Duration;

use telemetra_engine::{ids::Offset, source::SourceError};

use super::{
    KafkaOptions, guard,
    log::{Log, Part, Stall},
};
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

/// What a run to the end of the input takes for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freeze {
    /// All that is there now.
    AtEnd,
    /// Nothing of partitions that were not there at first.
    AtBegin,
}

impl Log {
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
            cluster.pause(ROUND)?;
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
            cluster.pause(ROUND)?;
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
}
