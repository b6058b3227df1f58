//! One split, on a worker: read, decode, judge, fold.
//!
//! A pure function of the split and the bytes read: no clock, no state but what the split carries. In replay
//! nothing is judged again: refused offsets are skipped, panes closed at the committed watermark are left out,
//! all else is folded.

use std::collections::BTreeMap;

use telemetra_core::{
    limits::POSITION_EVENTS,
    logic::{Event, Logic},
    mutant::{self, Mutant},
    record::{Record, Reject},
    watermark::PartitionClock,
    window::WindowSpec,
};

use crate::{
    ids::{Offset, PartitionId},
    limits::{PEEK_EVENTS, REFUSED_BYTES_MAX},
    sink::{DeadLetter, LateEvent, Place, Tally},
    source::{Chunk, Source, SourceError, Span},
    split::{Mode, Recent, Split},
};

/// What a split came to.
#[derive(Debug)]
pub struct Folded<P> {
    /// Which partition.
    pub partition: PartitionId,
    /// First offset read.
    pub from: Offset,
    /// First offset not read; less than the split's end if `ended`.
    pub to: Offset,
    /// Why it ended before the split's end.
    pub ended: Option<Ended>,
    /// What became of the records.
    pub tally: Tally,
    /// The partition's clock after it.
    pub clock: PartitionClock,
    /// The partition's last events after it.
    pub recent: Recent,
    /// Largest event time among its first events, at most [`POSITION_EVENTS`].
    pub first_ms: Option<i64>,
    /// Panes that were folded into, with the first offset that touched each.
    pub panes: BTreeMap<i64, Offset>,
    /// What was seen of each segment.
    pub segments: BTreeMap<u32, SegmentSeen>,
    /// Refused records.
    pub dead_letters: Vec<DeadLetter>,
    /// Late events.
    pub late_events: Vec<LateEvent>,
    /// The aggregates.
    pub partial: P,
}

/// Why a split ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The partition's position passed the horizon.
    Horizon,
    /// Refused and late records filled their buffer.
    Refused,
    /// Its records are longer than the source thought when it was cut.
    Bytes,
}

/// What a split saw of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSeen {
    /// First offset read of it.
    pub from: Offset,
    /// Smallest and largest event time that was not late; milliseconds.
    pub span_ms: Option<(i64, i64)>,
    /// Of its first [`PEEK_EVENTS`] events in this split: how many there were.
    pub peeked: u64,
    /// And how many of those were late.
    pub peeked_late: u64,
}

impl SegmentSeen {
    /// Takes in what a later split saw of the same segment.
    pub fn go_on(&mut self, later: &SegmentSeen) {
        if self.peeked < PEEK_EVENTS {
            self.peeked += later.peeked;
            self.peeked_late += later.peeked_late;
        }
    }
}

/// The rules that a fold applies.
#[derive(Clone, Copy, Debug)]
pub struct FoldRules {
    /// Length and slide.
    pub window: WindowSpec,
    /// How far after `planned_at` an event may be stamped, milliseconds.
    pub future_skew_ms: i64,
}

/// Reads, decodes and folds one split.
///
/// # Errors
/// Those of the source; and [`SourceError::Differs`] if a replayed record is refused that was not when it was
/// committed.
pub fn fold_split<L: Logic>(
    logic: &L,
    rules: FoldRules,
    source: &dyn Source,
    split: &Split,
) -> Result<Folded<L::Partial>, SourceError> {
    let mut reader = source.open(split.partition, split.from..split.to)?;
    let mut chunk = Chunk::default();
    let mut scratch = L::Scratch::default();
    let mut fold = SplitFold::new(logic, rules, split);
    while reader.next_chunk(&mut chunk)? {
        let text = std::str::from_utf8(&chunk.bytes).ok();
        fold.enter(&chunk);
        for span in &chunk.records {
            let range = span.start as usize..span.end as usize;
            // A record that was cut short may end inside a character.
            let record = Record { text: text.and_then(|text| text.get(range)), ..chunk.record(span) };
            if fold.skips(span.offset) {
                continue;
            }
            match logic.decode(split.partition.input, record, &mut scratch) {
                Ok(event) => fold.take(&chunk, span, &event)?,
                Err(reject) => fold.refuse(&chunk, span, &reject)?,
            }
            fold.bytes += u64::from(span.end - span.start);
            if fold.bytes >= split.bytes_max {
                fold.out.ended = Some(Ended::Bytes);
            }
            if fold.out.ended.is_some() {
                return Ok(fold.finish(span.offset + 1));
            }
        }
    }
    Ok(fold.finish(split.to))
}

struct SplitFold<'a, L: Logic> {
    logic: &'a L,
    rules: FoldRules,
    split: &'a Split,
    /// First window still open, by number; a pane below it is closed.
    first_open: i64,
    panes_per_window: i64,
    /// Next of the refused offsets to skip in replay.
    refused: usize,
    refused_bytes: usize,
    /// Of the records so far.
    bytes: u64,
    segment: u32,
    seen: SegmentSeen,
    /// The pane touched last.
    pane: i64,
    /// How many more events are the first ones.
    firsts: usize,
    out: Folded<L::Partial>,
}

impl<'a, L: Logic> SplitFold<'a, L> {
    fn new(logic: &'a L, rules: FoldRules, split: &'a Split) -> Self {
        Self {
            logic,
            rules,
            split,
            first_open: rules.window.first_open(split.watermark).unwrap_or(i64::MIN),
            panes_per_window: rules.window.panes_per_window(),
            refused: 0,
            refused_bytes: 0,
            bytes: 0,
            segment: u32::MAX,
            seen: SegmentSeen { from: split.from, span_ms: None, peeked: 0, peeked_late: 0 },
            pane: i64::MIN,
            firsts: POSITION_EVENTS,
            out: Folded {
                partition: split.partition,
                from: split.from,
                to: split.to,
                ended: None,
                tally: Tally::default(),
                clock: split.clock,
                recent: split.recent.clone(),
                first_ms: None,
                panes: BTreeMap::new(),
                segments: BTreeMap::new(),
                dead_letters: Vec::new(),
                late_events: Vec::new(),
                partial: logic.begin(),
            },
        }
    }

    /// A chunk lies in one segment; what is seen of it is kept by segment.
    fn enter(&mut self, chunk: &Chunk) {
        let Some(first) = chunk.records.first() else { return };
        if chunk.segment != self.segment {
            self.leave();
            self.segment = chunk.segment;
            self.seen = SegmentSeen { from: first.offset, span_ms: None, peeked: 0, peeked_late: 0 };
        }
    }

    fn leave(&mut self) {
        if self.segment != u32::MAX {
            self.out.segments.insert(self.segment, self.seen);
        }
    }

    /// Whether a replayed record was refused when it was committed.
    #[inline]
    fn skips(&mut self, offset: Offset) -> bool {
        self.out.tally.records += 1;
        let Mode::Replay(refused) = &self.split.mode else { return false };
        while refused.get(self.refused).is_some_and(|&at| at < offset) {
            self.refused += 1;
        }
        refused.get(self.refused) == Some(&offset) && !mutant::is(Mutant::ReplayJudges)
    }

    #[inline]
    fn take(&mut self, chunk: &Chunk, span: &Span, event: &L::Event<'_>) -> Result<(), SourceError> {
        let Some(time_ms) = event.time_ms() else {
            self.out.tally.counted += 1;
            self.logic.fold(&mut self.out.partial, 0, event, &chunk.origin(self.split.partition, span));
            return Ok(());
        };
        let is_replay = self.split.mode != Mode::Judge;
        if (!is_replay || mutant::is(Mutant::ReplayJudges))
            && time_ms > self.split.planned_at_ms.saturating_add(self.rules.future_skew_ms)
        {
            return self.refuse(chunk, span, &Reject::FUTURE);
        }
        self.out.recent.push(time_ms);
        if self.firsts > 0 {
            self.firsts -= 1;
            self.out.first_ms = self.out.first_ms.max(Some(time_ms));
        }
        let pane = self.rules.window.pane_of(time_ms);
        if is_replay {
            if pane >= self.first_open {
                self.count(pane, chunk, span, event);
            }
            return Ok(());
        }
        self.out.clock.observe(time_ms, self.split.planned_at_ms, self.rules.future_skew_ms);
        let is_late = pane < self.first_open;
        self.see(time_ms, is_late);
        if is_late {
            self.late(chunk, span, event, time_ms);
        } else {
            self.count(pane, chunk, span, event);
        }
        if self.split.horizon_ms.is_some_and(|horizon_ms| {
            time_ms > horizon_ms && self.out.recent.position_ms().is_some_and(|at| at > horizon_ms)
        }) {
            self.out.ended = Some(Ended::Horizon);
        }
        Ok(())
    }

    #[inline]
    fn count(&mut self, pane: i64, chunk: &Chunk, span: &Span, event: &L::Event<'_>) {
        self.out.tally.counted += 1;
        if event.is_counted_in_windows() {
            self.out.tally.in_windows += 1;
            let first_window = pane - self.panes_per_window + 1;
            if first_window < self.first_open {
                self.out.tally.window_misses +=
                    (self.first_open - first_window).min(self.panes_per_window) as u64;
            }
        }
        self.touch(pane, span.offset);
        self.logic.fold(&mut self.out.partial, pane, event, &chunk.origin(self.split.partition, span));
    }

    /// Remembers the first offset that touched `pane`; neighbours in the log touch the same few panes.
    #[inline]
    fn touch(&mut self, pane: i64, offset: Offset) {
        if pane != self.pane {
            self.pane = pane;
            self.out.panes.entry(pane).or_insert(offset);
        }
    }

    #[inline]
    fn see(&mut self, time_ms: i64, is_late: bool) {
        if self.seen.peeked < PEEK_EVENTS {
            self.seen.peeked += 1;
            self.seen.peeked_late += u64::from(is_late);
        }
        // A stamp that is not confirmed does not stretch the span either.
        if !is_late && self.out.clock.largest_ms.is_some_and(|largest_ms| time_ms <= largest_ms) {
            let (low, high) = self.seen.span_ms.unwrap_or((time_ms, time_ms));
            self.seen.span_ms = Some((low.min(time_ms), high.max(time_ms)));
        }
    }

    fn late(&mut self, chunk: &Chunk, span: &Span, event: &L::Event<'_>, time_ms: i64) {
        self.out.tally.late += 1;
        let raw = self.keep(chunk, span);
        self.out.late_events.push(LateEvent {
            place: self.place(chunk, span),
            key: event.key().to_owned(),
            event_time_ms: time_ms,
            watermark: self.split.watermark,
            raw,
        });
    }

    #[cold]
    fn refuse(&mut self, chunk: &Chunk, span: &Span, reject: &Reject) -> Result<(), SourceError> {
        let place = self.place(chunk, span);
        if self.split.mode != Mode::Judge {
            if mutant::is(Mutant::ReplayJudges) {
                return Ok(());
            }
            return Err(SourceError::Differs(format!(
                "{} was folded when it was committed and is refused now ({}): what is there has changed; restore \
                 it, or go on without its open windows by --accept-changed-meaning",
                describe(&place),
                reject.0
            )));
        }
        self.out.tally.dead += 1;
        let raw = self.keep(chunk, span);
        self.out.dead_letters.push(DeadLetter { place, code: reject.0.clone().into_owned(), raw });
        Ok(())
    }

    /// The record's bytes; ends the split once those kept fill their buffer.
    fn keep(&mut self, chunk: &Chunk, span: &Span) -> Vec<u8> {
        let raw = chunk.bytes[span.start as usize..span.end as usize].to_vec();
        self.refused_bytes += raw.len() + 128;
        if self.refused_bytes > REFUSED_BYTES_MAX {
            self.out.ended = Some(Ended::Refused);
        }
        raw
    }

    fn place(&self, chunk: &Chunk, span: &Span) -> Place {
        chunk.origin(self.split.partition, span).into()
    }

    fn finish(mut self, to: Offset) -> Folded<L::Partial> {
        self.leave();
        self.out.to = to;
        self.out.tally.empty = (to - self.out.from) - self.out.tally.records;
        self.out
    }
}

/// A place as people read it: `file:line` or `partition/offset`.
fn describe(place: &Place) -> String {
    match (&place.file, place.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        _ => format!("the record at offset {} of partition {}", place.offset, place.partition.partition),
    }
}
