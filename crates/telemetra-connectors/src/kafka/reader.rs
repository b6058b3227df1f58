//! Reads one range of one partition, in order, as long as it is led as it was when the range was planned.
//!
//! A range ends below the last stable offset, so all of it is there to be read; what does not come now will come, or the
//! range is planned anew. That is the planner's to say: after an election it alone can tell whether the log was cut off.
//!
//! ```text
//! broker   fetch 1 │ fetch 2      │ fetch 3      │
//! reader           │ take 1, ask 3 │ take 2, ask 4 │
//! caller                  fold 1         fold 2
//! ```
//! When the headers of a response show where it ends, the rest of the range is asked for before its records are handed
//! over. The answer waits in the system's socket buffer, so that memory is that of one response (1 MiB, or one batch
//! where that is longer) and of one chunk, whatever the range's length. What stands in a header unchecked decides only
//! what is asked for; an answer that turns out not to be the next one is dropped with its connection.

use std::{
    hash::{BuildHasher, RandomState},
    mem,
    ops::Range,
    time::{Duration, Instant},
};

use telemetra_engine::{
    ids::Offset,
    source::{Chunk, RangeReader, SourceError},
};

use super::{
    cluster::{Cluster, Lease, Topic},
    connection::Sent,
    fault::Fault,
    fetch::{self, Ask},
    offsets::leader_of,
    records::{Fetched, Mark, RecordsFault, Stretch},
};

/// Most bytes of records asked for at once: enough to forget the cost of a question, little enough that they are still
/// in the processor's near caches when they are checked, found and decoded (docs/performance.md).
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// Fewest: the end of a range is worth no second question.
const FETCH_BYTES_MIN: u64 = 64 << 10;
/// How long a range that nobody serves is waited for, before whoever planned it is told.
const PATIENCE: Duration = Duration::from_secs(20);
/// First pause before a broker is asked again, and the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How closely the records of a partition lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Density {
    offset_bytes: f64,
    batch_bytes: f64,
}

impl Default for Density {
    /// What is expected of a partition that was never read: not little, for one question is better than two.
    fn default() -> Self {
        Self { offset_bytes: 1024.0, batch_bytes: 16_384.0 }
    }
}

impl Density {
    fn of(stretch: &Stretch) -> Self {
        let bytes = stretch.bytes as f64;
        let offsets = stretch.offsets.end.saturating_sub(stretch.offsets.start).max(1) as f64;
        Self { offset_bytes: bytes / offsets, batch_bytes: bytes / f64::from(stretch.batches.max(1)) }
    }

    /// Bytes that so many offsets are likely to take, the batches at both ends included.
    fn bytes(self, offsets: u64) -> u64 {
        let bytes = offsets as f64 * self.offset_bytes * 1.1 + self.batch_bytes * 1.5;
        (bytes as u64).clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX)
    }
}

/// Reads one range; see [`Cluster::read`].
pub struct Reader<'c> {
    cluster: &'c Cluster,
    /// As it was planned, but for the broker that is told anew.
    topic: Topic,
    partition: u32,
    range: Range<Offset>,
    /// The next offset to ask for.
    at: Offset,
    /// The connection to the leader, and what was asked there ahead, from which offset on.
    line: Option<(Lease, Option<(Sent, Offset)>)>,
    fetched: Option<Fetched>,
    buffer: Vec<u8>,
    density: Option<Density>,
    /// Key and time are kept.
    is_marked: bool,
}

impl<'c> Reader<'c> {
    /// Reads `range` of a partition of `topic`. Nothing is asked yet.
    pub(super) fn new(cluster: &'c Cluster, topic: Topic, partition: u32, range: Range<Offset>) -> Self {
        Self {
            density: cluster.density(topic.id, partition),
            cluster,
            topic,
            partition,
            at: range.start,
            range,
            line: None,
            fetched: None,
            buffer: Vec::new(),
            is_marked: false,
        }
    }

    /// Keeps key and time of records too, which nothing but a comparison with another reader needs.
    #[must_use]
    pub fn with_marks(mut self) -> Self {
        self.is_marked = true;
        self
    }

    /// Key and time of each record of the last chunk, in its order; empty without [`Self::with_marks`].
    pub fn marks(&self) -> &[Mark] {
        self.fetched.as_ref().map(Fetched::marks).unwrap_or_default()
    }

    fn what(&self) -> String {
        format!("topic {}, partition {}, offset {}", self.topic.name, self.partition, self.at)
    }

    /// Asks until records come.
    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let mut until = Instant::now() + PATIENCE;
        let (mut pause, mut needed) = (PAUSE, 0);
        loop {
            let fault = match self.fetch_once(needed) {
                Ok((fetched, _)) if fetched.has_batch() => return Ok(fetched),
                Ok((fetched, answer)) => {
                    let needs = fetched.needs_bytes();
                    self.buffer = fetched.into_buffer();
                    if let Some(bytes) = needs.filter(|&bytes| bytes as u64 > needed) {
                        needed = bytes as u64;
                        continue;
                    }
                    if let Ok(ms @ 1..) = u64::try_from(answer.throttle_ms) {
                        // An empty answer that asks for rest, which the connection gives before it asks again.
                        until += Duration::from_millis(ms);
                        continue;
                    }
                    let last_stable = answer.last_stable;
                    Fault::away(
                        &self.what(),
                        format!("nothing comes below the last stable offset {last_stable}"),
                    )
                }
                Err(fault @ Fault::Halt(_)) => return Err(fault.into()),
                Err(fault) if fault.is_changed() => return Err(SourceError::Changed(fault.to_string())),
                Err(fault) => fault,
            };
            if Instant::now() >= until || self.cluster.leave().is_asked() {
                return Err(fault.into());
            }
            self.cluster.leave().pause(jittered(pause));
            pause = (pause * 2).min(PAUSE_MAX);
            if fault.is_elsewhere() {
                self.find_leader()?;
            }
        }
    }

    /// Takes what was asked ahead, or asks now, for at least `needed` bytes; then asks for what lies behind.
    fn fetch_once(&mut self, needed: u64) -> Result<(Fetched, fetch::Answer), Fault> {
        let (mut lease, sent) = match self.line.take() {
            Some((lease, Some((sent, offset)))) if offset == self.at => (lease, Some(sent)),
            Some((lease, None)) => (lease, None),
            // Without a connection, or an answer is under way that nobody wants.
            _ => (self.cluster.lease(leader_of(&self.topic, self.partition.cast_signed())?)?, None),
        };
        let answer = match self.exchange(&mut lease, sent, needed) {
            Ok(answer) => answer,
            Err(fault) => {
                self.cluster.distrust(lease);
                return Err(fault);
            }
        };
        self.cluster.count_fetch(self.buffer.len(), answer.throttle_ms > 0);
        if let Some(code) = answer.refusal() {
            let place = lease.connection.place().to_owned();
            self.cluster.give_back(lease);
            return Err(Fault::Refused { place, what: format!("a fetch of {}", self.what()), code });
        }
        let (records, aborted) = (answer.records.clone(), answer.aborted.clone());
        let mut fetched = Fetched::new(mem::take(&mut self.buffer), records, aborted);
        if self.is_marked {
            fetched.keep_marks(Vec::new());
        }
        self.line = self.ask_ahead(lease, &fetched, answer.throttle_ms > 0);
        Ok((fetched, answer))
    }

    fn exchange(
        &mut self,
        lease: &mut Lease,
        sent: Option<Sent>,
        needed: u64,
    ) -> Result<fetch::Answer, Fault> {
        let sent = match sent {
            Some(sent) => sent,
            None => fetch::ask(&mut lease.connection, &self.ask(self.at, needed))?,
        };
        fetch::answer(&mut lease.connection, &sent, self.partition, &mut self.buffer)
    }

    /// Asks for what lies behind a response, if that is known and the broker does not want rest.
    fn ask_ahead(
        &mut self,
        mut lease: Lease,
        fetched: &Fetched,
        is_throttled: bool,
    ) -> Option<(Lease, Option<(Sent, Offset)>)> {
        let Some(stretch) = fetched.stretch() else { return Some((lease, None)) };
        self.density = Some(Density::of(stretch));
        let next = stretch.offsets.end;
        if is_throttled || next <= self.at || next >= self.range.end {
            return Some((lease, None));
        }
        // What is wrong with the connection shows, if it is still so, when it is asked again.
        let sent = fetch::ask(&mut lease.connection, &self.ask(next, 0)).ok()?;
        Some((lease, Some((sent, next))))
    }

    /// The question for the range from `offset` on.
    fn ask(&self, offset: Offset, needed: u64) -> Ask {
        let density = self.density.unwrap_or_default();
        let bytes = density.bytes(self.range.end.saturating_sub(offset)).max(needed);
        Ask {
            topic: self.topic.id,
            partition: self.partition,
            leader_epoch: self.topic.partitions.get(self.partition as usize).map_or(-1, |it| it.epoch),
            offset,
            bytes: i32::try_from(bytes).unwrap_or(i32::MAX),
        }
    }

    /// Looks who leads the partition now.
    fn find_leader(&mut self) -> Result<(), SourceError> {
        // Nobody answers: the pause goes on.
        let Ok(mut topics) = self.cluster.topics(std::slice::from_ref(&self.topic.name)) else {
            return Ok(());
        };
        let found = topics.pop().flatten().filter(|topic| topic.id == self.topic.id);
        let leader = found.and_then(|topic| topic.partitions.get(self.partition as usize).copied());
        let planned = self.topic.partitions.get_mut(self.partition as usize);
        let (Some(leader), Some(planned)) = (leader, planned) else {
            let text = format!("{}: the topic is no longer the one that was planned", self.what());
            return Err(SourceError::Changed(text));
        };
        if leader.broker.is_some() && leader.epoch > planned.epoch {
            let text = format!("leader epoch {} has begun since {} was planned", leader.epoch, planned.epoch);
            return Err(SourceError::Changed(format!("{}: {text}", self.what())));
        }
        // A lower epoch is old news.
        if leader.epoch == planned.epoch {
            planned.broker = leader.broker;
        }
        Ok(())
    }

    fn halt(&self, fault: &RecordsFault, batch: Option<&Range<Offset>>) -> SourceError {
        let (topic, partition) = (&self.topic.name, self.partition);
        let command = match batch {
            Some(Range { start, end }) => format!("--offsets {topic}:{partition}={start}..{end}"),
            None => format!("--offsets {topic}:{partition}=FROM..TO, the offsets of this batch"),
        };
        SourceError::Halt(format!(
            "topic {topic}, partition {partition}: {fault}; {}, or go on without it by `telemetra offsets skip-gap` with \
             {command}",
            fault.way_on()
        ))
    }
}

impl RangeReader for Reader<'_> {
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        while self.at < self.range.end {
            let mut fetched = match self.fetched.take() {
                Some(fetched) => fetched,
                None => self.fetch()?,
            };
            let has_records = fetched.next_chunk(&(self.at..self.range.end), chunk);
            let has_records = has_records.map_err(|fault| self.halt(&fault, fetched.reading()))?;
            if has_records {
                self.fetched = Some(fetched);
                return Ok(true);
            }
            let next = fetched.next_offset().unwrap_or(self.at);
            if next <= self.at {
                let text = format!("{}: the broker sent batches that end before it", self.what());
                return Err(SourceError::Changed(text));
            }
            self.at = next;
            self.buffer = fetched.into_buffer();
        }
        Ok(false)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(density) = self.density {
            self.cluster.keep_density(self.topic.id, self.partition, density);
        }
        // With an answer under way a connection is of no use to others.
        if let Some((lease, None)) = self.line.take() {
            self.cluster.give_back(lease);
        }
    }
}

/// Half of a pause to the whole, so that readers who failed together do not come again together.
fn jittered(pause: Duration) -> Duration {
    let share = RandomState::new().hash_one(()) % 1024;
    pause / 2 + pause * u32::try_from(share).unwrap_or(0) / 2048
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_fits_what_was_seen() {
        let check = |offsets, bytes, batches, ahead, expected: Range<u64>| {
            let density = Density::of(&Stretch { offsets, bytes, batches });
            assert!(expected.contains(&density.bytes(ahead)), "{}", density.bytes(ahead));
        };
        // A record a batch, many a batch, a hole that is nearly all, and headers that say nonsense.
        check(0..1_000, 100_000, 1_000, 5_000, 500_000..600_000);
        check(0..1_000, 100_000, 2, 5_000, 600_000..650_000);
        check(0..1_000, 100_000, 2, 1, FETCH_BYTES_MIN..100_000);
        check(0..1_000, 100_000, 1_000, 1, FETCH_BYTES_MIN..FETCH_BYTES_MIN + 1);
        check(0..1_000, 100_000, 2, u64::MAX, FETCH_BYTES_MAX..FETCH_BYTES_MAX + 1);
        check(0..1 << 60, 100, 2, 1 << 40, FETCH_BYTES_MIN..FETCH_BYTES_MIN + 1);
        check(Range { start: 9, end: 3 }, 0, 0, 5, FETCH_BYTES_MIN..FETCH_BYTES_MIN + 1);
        assert_eq!(Density::default().bytes(100), 137_216);
    }

    #[test]
    fn a_pause_is_shortened_by_half_at_most() {
        for _ in 0..1_000 {
            let pause = jittered(PAUSE);
            assert!(pause >= PAUSE / 2 && pause <= PAUSE);
        }
    }
}
