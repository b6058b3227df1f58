//! Reads one range of one partition, in order, whoever leads it.
//!
//! A range ends below the last stable offset, so all of it is there to be read; what does not come now will come, or the
//! range is planned anew. Memory is that of one response.

use std::{
    mem,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use telemetra_engine::{
    ids::Offset,
    source::{Chunk, RangeReader, SourceError},
};

use super::{
    cluster::{Cluster, Topic},
    fault::Fault,
    fetch::{Ask, fetch},
    records::Fetched,
};

/// Bytes of records asked for at once.
const FETCH_BYTES: i32 = 4 << 20;
/// How long a range that nobody serves is waited for, before whoever planned it is told.
const PATIENCE: Duration = Duration::from_secs(20);
/// First pause before a broker is asked again, and the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Reads one range; see [`Cluster::read`].
pub struct Reader<'c> {
    cluster: &'c Cluster,
    topic: Topic,
    partition: u32,
    range: Range<Offset>,
    /// The next offset to ask for.
    at: Offset,
    fetched: Option<Fetched>,
    buffer: Vec<u8>,
}

impl<'c> Reader<'c> {
    /// Reads `range` of a partition of `topic`. Nothing is asked yet.
    pub(super) fn new(cluster: &'c Cluster, topic: Topic, partition: u32, range: Range<Offset>) -> Self {
        Self { cluster, topic, partition, at: range.start, range, fetched: None, buffer: Vec::new() }
    }

    fn what(&self) -> String {
        format!("topic {}, partition {}, offset {}", self.topic.name, self.partition, self.at)
    }

    /// Asks until records come.
    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let until = Instant::now() + PATIENCE;
        let (mut pause, mut bytes) = (PAUSE, FETCH_BYTES);
        loop {
            let fault = match self.fetch_once(bytes) {
                Ok((fetched, _)) if fetched.has_batch() => return Ok(fetched),
                Ok((fetched, last_stable)) => {
                    if let Some(needed) = fetched.needs_bytes() {
                        self.buffer = fetched.into_buffer();
                        bytes = i32::try_from(needed).unwrap_or(i32::MAX);
                        continue;
                    }
                    self.buffer = fetched.into_buffer();
                    Fault::away(
                        &self.what(),
                        format!("nothing comes below the last stable offset {last_stable}"),
                    )
                }
                Err(fault @ Fault::Halt(_)) => return Err(fault.into()),
                Err(fault) => fault,
            };
            if Instant::now() >= until {
                return Err(fault.into());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            if fault.is_elsewhere() {
                self.find_leader()?;
            }
        }
    }

    fn fetch_once(&mut self, bytes: i32) -> Result<(Fetched, i64), Fault> {
        let what = self.what();
        let leader = self.topic.partitions.get(self.partition as usize);
        let (broker, leader_epoch) = leader
            .and_then(|leader| Some((leader.broker?, leader.epoch)))
            .ok_or_else(|| Fault::away(&what, "nobody leads it now"))?;
        let ask =
            Ask { topic: self.topic.id, partition: self.partition, leader_epoch, offset: self.at, bytes };
        let frame = &mut self.buffer;
        let answer = self.cluster.with(broker, |connection| fetch(connection, &ask, &what, frame))?;
        let fetched = Fetched::new(mem::take(&mut self.buffer), answer.records, answer.aborted);
        Ok((fetched, answer.last_stable))
    }

    /// Looks who leads the partition now.
    fn find_leader(&mut self) -> Result<(), SourceError> {
        // Nobody answers: the pause goes on.
        let Ok(mut topics) = self.cluster.topics(std::slice::from_ref(&self.topic.name)) else {
            return Ok(());
        };
        match topics.pop().flatten() {
            Some(topic) if topic.id == self.topic.id => {
                self.topic = topic;
                Ok(())
            }
            _ => Err(SourceError::Changed(format!(
                "topic {} is no longer the one that was planned",
                self.topic.name
            ))),
        }
    }
}

impl RangeReader for Reader<'_> {
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        while self.at < self.range.end {
            let mut fetched = match self.fetched.take() {
                Some(fetched) => fetched,
                None => self.fetch()?,
            };
            let has_records = fetched.next_chunk(&self.range, chunk).map_err(|fault| {
                SourceError::Halt(format!("topic {}, partition {}: {fault}", self.topic.name, self.partition))
            })?;
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
