//! [`MemSource`]: the trait `Source` over logs in memory.
//!
//! The clock that decides what has arrived is the latest instant any instance polled at: a job's wall clock
//! may step back, the log does not. What a source may not be asked is asserted: reading below what it was
//! told will never be read again, ranges that were never available, `committed` going back.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use telemetra_core::limits::RECORD_BYTES_MAX;

use super::{dice::Dice, faults::CRASH, log::Log};
use crate::{
    ids::{Offset, PartitionId},
    source::{Chunk, Input, PartitionView, RangeReader, Resume, Segment, Source, SourceError, Span},
};

/// What a source was asked for so far, over all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Polls.
    pub polls: u64,
    /// Ranges opened.
    pub opens: u64,
    /// Records handed over, those read again included.
    pub records: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// How often reading fails: one in so many ranges, 0 never.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadFaults {
    /// The source is away.
    pub retry: u64,
    /// What was cut is no longer there as it was.
    pub changed: u64,
    /// The instance dies while it reads.
    pub crash: u64,
}

#[derive(Debug)]
struct World {
    inputs: Vec<Input>,
    logs: BTreeMap<PartitionId, Log>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now_ms: i64,
    counters: Counters,
    faults: ReadFaults,
    dice: Dice,
    /// Per partition, below which nothing will be read again, and the next offset last told.
    told: BTreeMap<PartitionId, (Offset, Offset)>,
}

/// One instance's view of the logs.
#[derive(Debug)]
pub struct MemSource {
    world: Arc<World>,
    dice: Option<Dice>,
    chunk_records: usize,
}

impl MemSource {
    /// A source over `logs`, which are partitions of `inputs`.
    pub fn new(inputs: Vec<Input>, logs: Vec<Log>) -> Self {
        let logs: BTreeMap<_, _> = logs.into_iter().map(|log| (log.id(), log)).collect();
        let state = State {
            now_ms: i64::MIN,
            counters: Counters::default(),
            faults: ReadFaults::default(),
            dice: Dice::new(0),
            told: BTreeMap::new(),
        };
        let world = World { inputs, logs, state: Mutex::new(state) };
        Self { world: Arc::new(world), dice: None, chunk_records: 64 }
    }

    /// Another instance over the same logs, as after a crash.
    pub fn instance(&self) -> Self {
        Self { world: Arc::clone(&self.world), dice: None, chunk_records: self.chunk_records }
    }

    /// Cuts pieces of random sizes, and hands over chunks of a random number of records.
    #[must_use]
    pub fn with_random_pieces(mut self, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        self.chunk_records = dice.pick(&[1, 3, 64, 1_000]);
        self.dice = Some(dice);
        self
    }

    /// Lets reading fail at times, in all instances from now on.
    pub fn set_faults(&self, faults: ReadFaults, seed: u64) {
        let mut state = self.state();
        state.faults = faults;
        state.dice = Dice::new(seed);
    }

    /// What was asked of it so far, over all instances.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// The log of a partition.
    pub fn log(&self, id: PartitionId) -> Option<&Log> {
        self.world.logs.get(&id)
    }

    /// All logs, by partition.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        self.world.logs.values()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.world.state.lock().expect("nothing panics while it holds the state, but an assertion that fails")
    }

    fn known(&self, id: PartitionId) -> &Log {
        self.log(id).unwrap_or_else(|| panic!("partition {id} does not exist"))
    }
}

impl Source for MemSource {
    fn inputs(&self) -> &[Input] {
        &self.world.inputs
    }

    fn resume(&mut self, positions: &[Resume]) -> Result<(), SourceError> {
        for resume in positions {
            let id = resume.id;
            assert!(
                resume.replay <= resume.next,
                "{id}: replay {} beyond next {}",
                resume.replay,
                resume.next
            );
            let Some(log) = self.log(id) else {
                return Err(SourceError::Halt(format!("partition {id} is gone")));
            };
            if resume.next > log.len() {
                return Err(SourceError::Halt(format!(
                    "{id}: next {} beyond the log's {}",
                    resume.next,
                    log.len()
                )));
            }
            let held = log.segments(&(0..log.len()));
            for recorded in &resume.segments {
                let same = |segment: &&Segment| {
                    Segment { span_ms: recorded.span_ms, head: recorded.head.clone(), ..(*segment).clone() }
                        == *recorded
                };
                if !held.iter().any(|segment| same(&segment)) {
                    return Err(SourceError::Halt(format!(
                        "{id}: {} is not as it was recorded",
                        recorded.file
                    )));
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, now_ms: i64) -> Result<Vec<PartitionView>, SourceError> {
        let mut state = self.state();
        state.counters.polls += 1;
        state.now_ms = state.now_ms.max(now_ms);
        let now_ms = state.now_ms;
        drop(state);
        Ok(self.world.logs.values().filter_map(|log| log.view(now_ms)).collect())
    }

    fn cut(
        &mut self,
        partition: PartitionId,
        from: Offset,
        records: u64,
        bytes: u64,
        pieces: usize,
    ) -> Result<Vec<Range<Offset>>, SourceError> {
        assert!(pieces > 0, "{partition}: no pieces asked for");
        let to = {
            let now_ms = self.state().now_ms;
            let log = self.known(partition);
            let end = log.end(now_ms);
            // A gap ends what can be read; from inside of one nothing can be.
            let gaps = log.gaps(now_ms, end);
            let gap = gaps.iter().find(|gap| gap.end > from).map_or(end, |gap| gap.start.max(from));
            let end = end.min(gap).min(from.saturating_add(records));
            let mut left = bytes;
            let mut to = from;
            while to < end && (to == from || left > 0) {
                left = left.saturating_sub(log.get(to).map_or(0, <[u8]>::len) as u64);
                to += 1;
            }
            to
        };
        Ok(cut_pieces(from..to, pieces, self.dice.as_mut()))
    }

    fn open(
        &self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Box<dyn RangeReader + '_>, SourceError> {
        let log = self.known(partition);
        let mut state = self.state();
        state.counters.opens += 1;
        let (now_ms, faults) = (state.now_ms, state.faults);
        let (told, _) = state.told.get(&partition).copied().unwrap_or_default();
        let fails = faults.draw(&mut state.dice);
        drop(state);
        assert!(range.start <= range.end, "{partition}: {range:?} is no range");
        assert!(
            range.start >= told,
            "{partition}: {range:?} read again though told nothing below {told} would be"
        );
        if log.gaps(now_ms, range.end).iter().any(|gap| gap.start < range.end && range.start < gap.end) {
            return Err(SourceError::Changed(format!("{partition}: part of {range:?} is gone")));
        }
        assert!(range.end <= log.len(), "{partition}: {range:?} was never available");
        Ok(Box::new(Reader { source: self, log, range, fails }))
    }

    fn segments(&self, partition: PartitionId, range: Range<Offset>) -> Vec<Segment> {
        self.known(partition).segments(&range)
    }

    fn committed(&mut self, partition: PartitionId, replay: Offset, next: Offset) {
        assert!(replay <= next, "{partition}: replay {replay} beyond next {next}");
        let mut state = self.state();
        let told = state.told.entry(partition).or_default();
        assert!(
            replay >= told.0 && next >= told.1,
            "{partition}: {told:?} went back to {:?}",
            (replay, next)
        );
        *told = (replay, next);
    }
}

/// Cuts `range` into at most `pieces`, equal but for chance.
fn cut_pieces(range: Range<Offset>, pieces: usize, dice: Option<&mut Dice>) -> Vec<Range<Offset>> {
    let len = range.end - range.start;
    let pieces = (pieces as u64).min(len);
    let mut ends: Vec<_> = match dice {
        Some(dice) => (1..pieces).map(|_| range.start + dice.below(len)).collect(),
        None => (1..pieces).map(|piece| range.start + len * piece / pieces).collect(),
    };
    ends.push(range.end);
    ends.sort_unstable();
    let mut from = range.start;
    let cut = ends.into_iter().map(|to| std::mem::replace(&mut from, to)..to);
    cut.filter(|piece| piece.start < piece.end).collect()
}

impl ReadFaults {
    fn draw(self, dice: &mut Dice) -> Option<SourceError> {
        if dice.one_in(self.crash) {
            return Some(SourceError::Halt(CRASH.to_owned()));
        }
        if dice.one_in(self.retry) {
            return Some(SourceError::Retry {
                what: "simulated read".to_owned(),
                source: "the source is away".into(),
            });
        }
        dice.one_in(self.changed).then(|| SourceError::Changed("simulated change".to_owned()))
    }
}

struct Reader<'a> {
    source: &'a MemSource,
    log: &'a Log,
    range: Range<Offset>,
    fails: Option<SourceError>,
}

impl RangeReader for Reader<'_> {
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        chunk.bytes.clear();
        chunk.records.clear();
        chunk.file = None;
        chunk.segment = 0;
        if self.range.is_empty() {
            // A fault comes at the end, when most has been read for nothing.
            return self.fails.take().map_or(Ok(false), Err);
        }
        let mut to = self.range.end;
        let mut line_of = None;
        if let Some((name, seq, offsets)) = self.log.file_at(self.range.start) {
            chunk.file = Some(name.into());
            chunk.segment = seq;
            to = to.min(offsets.end);
            line_of = Some(offsets.start);
        }
        while self.range.start < to && chunk.records.len() < self.source.chunk_records {
            let offset = self.range.start;
            self.range.start += 1;
            let Some(bytes) = self.log.get(offset) else { continue };
            let start = u32::try_from(chunk.bytes.len()).expect("a chunk is far below 4 GiB");
            let kept = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
            chunk.bytes.extend_from_slice(kept);
            let end = u32::try_from(chunk.bytes.len()).expect("a chunk is far below 4 GiB");
            let line = line_of.map_or(0, |first| offset - first + 1);
            chunk.records.push(Span { offset, line, start, end, truncated: kept.len() < bytes.len() });
        }
        let counters = &mut self.source.state().counters;
        counters.records += chunk.records.len() as u64;
        counters.bytes += chunk.bytes.len() as u64;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
