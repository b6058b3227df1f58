//! Topics as a source: one partition of a topic is one partition of the job, offsets are Kafka's own.
//!
//! ```text
//! poll ── every 5 s, or after a fault ── who leads, which topic is it, which partitions ── guards
//!      └─ each time ── last stable offsets: what can be read now
//! cut  ── from..to, in equal pieces            open ── a range reader
//! ```
//! Positions come from the store alone. What contradicts them halts, with the offsets and the command that goes on:
//! a topic that was made anew, a log that lost what was read, a compacted topic. What retention deleted is a gap, which
//! the engine judges. (RELIABILITY §1.7)
//!
//! A topic that was made anew and accepted (`offsets reset`) has partitions of its own in the ledger: their numbers
//! begin at [`PARTITIONS_PER_GENERATION`] for the second topic of that name, and so on.

mod begin;
mod guard;
mod lag;
mod log;
mod look;
mod report;

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use telemetra_engine::{
    ids::{Offset, PARTITIONS_PER_GENERATION, PartitionId},
    source::{Chunk, Input, PartitionView, RangeReader, Resume, Segment, Source, SourceError},
};

use self::{lag::Lag, log::Log, look::Freeze};
use super::{cluster::Cluster, reader::Reader, start_at::StartAt};

pub use self::report::{Report, Reporter};

/// How often topics are looked at anew: new partitions, new topics, other leaders, what retention deleted.
const LOOK_EVERY_MS: i64 = 5_000;
/// Bytes of a record, as long as none was read.
const RECORD_BYTES: u64 = 512;
/// Pieces of a range are no shorter than this many offsets: each costs a request.
const PIECE_MIN: u64 = 500;

/// An input of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaInput {
    /// The input's name: the `input` column.
    pub name: &'static str,
    /// Its topic; `None` if this input is not read.
    pub topic: Option<String>,
    /// Whether somebody named the topic: then it is missed when it does not exist.
    pub is_named: bool,
}

/// How topics are read.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where a job begins that knows no partition yet.
    pub start_at: StartAt,
    /// Read up to what is there at the first poll.
    pub once: bool,
    /// Go on with topics that were made anew or lost records, from here; `None` halts.
    pub reset: Option<StartAt>,
    /// Offsets that are left out.
    pub skip: Option<Skip>,
    /// The pipeline's name, as commands take it.
    pub pipeline: &'static str,
    /// Consumer group under which positions are shown to tools that watch lags; `None` shows none.
    pub group: Option<String>,
}

/// Offsets of one partition that somebody wants left out, such as those of a batch that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The topic.
    pub topic: String,
    /// Kafka's number of the partition.
    pub partition: u32,
    /// The offsets.
    pub offsets: Range<Offset>,
}

/// Topics of one cluster.
pub struct KafkaSource {
    cluster: Arc<Cluster>,
    inputs: Vec<Input>,
    /// By input.
    logs: Vec<Option<Log>>,
    options: KafkaOptions,
    /// The first poll has chosen where the partitions begin that were there.
    has_begun: bool,
    /// The first poll has seen how far they go.
    is_frozen: bool,
    looked_at_ms: Option<i64>,
    seen: Seen,
    report: Arc<Mutex<Report>>,
    lag: Option<Lag>,
}

/// What readers found out, on their threads.
#[derive(Debug, Default)]
struct Seen {
    /// Something was not as planned: topics are looked at anew.
    is_stale: AtomicBool,
    bytes: AtomicU64,
    offsets: AtomicU64,
}

impl KafkaSource {
    /// Topics of `cluster`, by number of the input. Nothing is asked yet.
    pub fn new(cluster: Cluster, inputs: Vec<KafkaInput>, options: KafkaOptions) -> Self {
        let cluster = Arc::new(cluster);
        let shown = |input: &KafkaInput| Input {
            name: input.name,
            topic: input.topic.clone(),
            place: input.topic.as_ref().map_or("nothing".into(), |name| format!("topic {name}")),
        };
        let lag = options.group.clone().map(|group| Lag::new(Arc::clone(&cluster), group));
        Self {
            cluster,
            inputs: inputs.iter().map(shown).collect(),
            logs: inputs.into_iter().map(|input| Log::of(input, options.skip.as_ref())).collect(),
            options,
            has_begun: false,
            is_frozen: false,
            looked_at_ms: None,
            seen: Seen::default(),
            report: Arc::default(),
            lag,
        }
    }

    /// Tells what is worth a word beside the records.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(Arc::clone(&self.report))
    }

    /// Topics, leaders, partitions: everything that changes seldom.
    fn look(&mut self, now_ms: i64) -> Result<(), SourceError> {
        let names: Vec<String> = self.logs.iter().flatten().map(|log| log.name.clone()).collect();
        let mut topics = self.cluster.topics(&names)?.into_iter();
        for log in self.logs.iter_mut().flatten() {
            let topic = topics.next().flatten();
            log.see_topic(&self.cluster, topic, &self.options, now_ms)?;
            log.check_epochs(&self.cluster, &self.options)?;
            log.see_lows(&self.cluster)?;
            log.see_stall(&self.cluster, now_ms);
        }
        self.looked_at_ms = Some(now_ms);
        Ok(())
    }

    fn try_poll(&mut self, now_ms: i64) -> Result<Vec<PartitionView>, SourceError> {
        let is_due = self.looked_at_ms.is_none_or(|at| now_ms.saturating_sub(at).abs() >= LOOK_EVERY_MS);
        if self.seen.is_stale.swap(false, Ordering::Relaxed) || is_due {
            self.looked_at_ms = None;
            self.look(now_ms)?;
        }
        let (is_first, is_frozen) = (!self.has_begun, self.is_frozen);
        for log in self.logs.iter_mut().flatten() {
            let freezes = if is_frozen { Freeze::AtBegin } else { Freeze::AtEnd };
            log.see_ends(&self.cluster, &self.options, self.options.once.then_some(freezes))?;
            let start_at = match (is_first, &self.options.reset) {
                (true, _) => &self.options.start_at,
                (false, Some(reset)) if log.is_anew => reset,
                (false, _) => &StartAt::Earliest,
            };
            log.begin(&self.cluster, start_at, now_ms)?;
        }
        if !is_frozen && self.options.once {
            self.logs.iter().flatten().try_for_each(Log::demand_named)?;
        }
        // Later topics and partitions begin at their first record, however the others began.
        self.has_begun = true;
        self.is_frozen = true;
        let numbered = (0_u8..).zip(&self.logs);
        let views = numbered.filter_map(|(input, log)| Some(log.as_ref()?.views(input))).flatten().collect();
        Ok(views)
    }

    fn log(&self, id: PartitionId) -> Option<&Log> {
        self.logs.get(usize::from(id.input))?.as_ref()
    }

    /// Offsets that make up `bytes`, about.
    fn offsets_of(&self, bytes: u64) -> u64 {
        let offsets = self.seen.offsets.load(Ordering::Relaxed);
        let mean = self.seen.bytes.load(Ordering::Relaxed).checked_div(offsets).unwrap_or(RECORD_BYTES);
        (bytes / mean.max(1)).max(1)
    }
}

impl Source for KafkaSource {
    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn resume(&mut self, positions: &[Resume]) -> Result<(), SourceError> {
        // Who knows a partition has begun: what comes now is new.
        self.has_begun = !positions.is_empty();
        for position in positions {
            if let Some(Some(log)) = self.logs.get_mut(usize::from(position.id.input)) {
                log.resume(position);
            }
        }
        Ok(())
    }

    fn poll(&mut self, now_ms: i64) -> Result<Vec<PartitionView>, SourceError> {
        let polled = self.try_poll(now_ms);
        if polled.is_err() {
            self.seen.is_stale.store(true, Ordering::Relaxed);
        }
        let mut report = Report::default();
        self.logs.iter().flatten().for_each(|log| log.report(&mut report));
        report.publish(&self.report);
        polled
    }

    fn cut(
        &mut self,
        partition: PartitionId,
        from: Offset,
        records: u64,
        bytes: u64,
        pieces: usize,
    ) -> Result<Vec<Range<Offset>>, SourceError> {
        let wanted = records.min(self.offsets_of(bytes));
        let Some(Some(log)) = self.logs.get_mut(usize::from(partition.input)) else { return Ok(Vec::new()) };
        Ok(log.cut(partition, from, wanted).map_or_else(Vec::new, |range| in_pieces(range, pieces)))
    }

    fn open(
        &self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Box<dyn RangeReader + '_>, SourceError> {
        let topic = self.log(partition).and_then(|log| log.topic_of(partition));
        let topic = topic.ok_or_else(|| {
            SourceError::Changed(format!("partition {partition} is not of a topic that is read now"))
        })?;
        let number = partition.partition % PARTITIONS_PER_GENERATION;
        let reader = self.cluster.read(topic.clone(), number, range.clone());
        Ok(Box::new(Watched { reader, seen: &self.seen, at: range.start }))
    }

    fn segments(&self, _partition: PartitionId, _range: Range<Offset>) -> Vec<Segment> {
        Vec::new()
    }

    fn gap_command(&self) -> Option<String> {
        Some(format!("telemetra offsets skip-gap {}", self.options.pipeline))
    }

    fn committed(&mut self, partition: PartitionId, _replay: Offset, next: Offset) {
        let Some(Some(log)) = self.logs.get_mut(usize::from(partition.input)) else { return };
        let is_of_now = log.commit(partition, next);
        if let Some(lag) = self.lag.as_ref().filter(|_| is_of_now) {
            lag.show(&log.name, partition.partition % PARTITIONS_PER_GENERATION, next);
        }
    }
}

/// A reader that leaves word of what it met.
struct Watched<'s> {
    reader: Reader<'s>,
    seen: &'s Seen,
    at: Offset,
}

impl RangeReader for Watched<'_> {
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let read = self.reader.next_chunk(chunk);
        match &read {
            Ok(true) => {
                if let Some(last) = chunk.records.last() {
                    let offsets = (last.offset + 1).saturating_sub(self.at);
                    self.at = last.offset + 1;
                    self.seen.offsets.fetch_add(offsets, Ordering::Relaxed);
                    self.seen.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                }
            }
            Ok(false) => {}
            Err(_) => self.seen.is_stale.store(true, Ordering::Relaxed),
        }
        read
    }
}

/// Equal pieces, none of them short.
fn in_pieces(range: Range<Offset>, pieces: usize) -> Vec<Range<Offset>> {
    let length = range.end - range.start;
    let pieces = (pieces as u64).min(length / PIECE_MIN).max(1);
    let at = |piece: u64| range.start + length / pieces * piece + (length % pieces).min(piece);
    (0..pieces).map(|piece| at(piece)..at(piece + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: Range<Offset>, pieces: usize, ends: &[Offset]) {
        let from = range.start;
        let cut = in_pieces(range, pieces);
        assert_eq!(cut.iter().map(|piece| piece.end).collect::<Vec<_>>(), ends);
        assert_eq!(cut[0].start, from);
        assert!(cut.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn pieces_are_equal_and_none_is_short() {
        check(7..8, 4, &[8]);
        check(0..999, 4, &[999]);
        check(10..1_011, 2, &[511, 1_011]);
        check(0..2_000, 4, &[500, 1_000, 1_500, 2_000]);
        check(0..2_003, 3, &[668, 1_336, 2_003]);
    }
}
