//! A job done by hand, for testing the simulator itself: one step at a time, the test says how far to read
//! and what the watermark becomes. It has no planner and keeps nothing but what a step needs.

use std::collections::BTreeMap;

use telemetra_core::{
    logic::{EmitRequest, Event, Logic},
    watermark::{PartitionClock, Watermark},
    window::WindowSpec,
};

use super::{
    log::Log,
    sink::MemSink,
    source::MemSource,
    sums::{SumOpen, SumOverlay, Sums},
};
use crate::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{
        BatchKind, Commit, DeadLetter, LateEvent, Place, Position, PositionEntry, RangeEntry, Sink,
        SinkError, Tally,
    },
    source::{Chunk, Input, Source},
};

/// The only partition.
pub(super) const ID: PartitionId = PartitionId { input: 0, partition: 0 };

type Rows = <Sums as Logic>::Rows;

/// One job over one partition.
pub(super) struct Hand {
    pub(super) source: MemSource,
    pub(super) sink: MemSink<Sums>,
    pub(super) logic: Sums,
    open: SumOpen,
    overlay: Option<SumOverlay>,
    clock: PartitionClock,
    next: Offset,
    batch_id: u64,
    watermark: Watermark,
    first_of_pane: BTreeMap<i64, Offset>,
    tries: u128,
}

pub(super) fn window() -> WindowSpec {
    WindowSpec::new(60_000, 10_000).expect("six panes to a window")
}

pub(super) fn inputs() -> Vec<Input> {
    vec![Input { name: "events", topic: None, place: "memory".to_owned() }]
}

/// A log of events at these seconds, all there from the first; a negative one is a refused record.
pub(super) fn log(times_s: &[i64]) -> Log {
    let mut log = Log::stream(ID);
    for (&time_s, value) in times_s.iter().zip(1..) {
        match time_s {
            ..0 => log.record(0, b"broken"),
            _ => log.record(0, &Sums::record(true, time_s * 1_000, "a", value)),
        };
    }
    log
}

impl Hand {
    /// A job that has taken over an empty store.
    pub(super) fn new(log: Log) -> Self {
        let mut sink = MemSink::new(window(), Sums::lens());
        sink.take_over(&inputs(), "meaning").expect("nobody else is there");
        let mut source = MemSource::new(inputs(), vec![log]);
        source.poll(i64::MAX).expect("memory is always there");
        let logic = Sums::new(window());
        let open = logic.open(Vec::new());
        Self {
            source,
            sink,
            logic,
            open,
            overlay: None,
            clock: PartitionClock::default(),
            next: 0,
            batch_id: 0,
            watermark: Watermark::NONE,
            first_of_pane: BTreeMap::new(),
            tries: 0,
        }
    }

    /// Reads to `to`, moves the watermark to `watermark_s`, commits, and absorbs what was written.
    pub(super) fn step(&mut self, to: Offset, watermark_s: i64) -> Result<(), SinkError> {
        let commit = self.batch(to, watermark_s);
        let result = self.sink.commit(&commit).map(drop);
        if result.is_ok() {
            self.applied(&commit);
        }
        result
    }

    /// Makes what was committed the state.
    pub(super) fn applied(&mut self, commit: &Commit<Rows>) {
        let overlay = self.overlay.take().expect("a batch was made");
        self.logic.absorb(&mut self.open, overlay, commit.watermark);
        self.batch_id = commit.batch_id;
        self.watermark = commit.watermark;
        let position = commit.positions[0].position;
        self.next = position.next;
        self.clock = position.clock;
        self.source.committed(ID, position.replay, position.next);
    }

    /// Makes the next batch.
    pub(super) fn batch(&mut self, to: Offset, watermark_s: i64) -> Commit<Rows> {
        let mut commit = self.read(to);
        commit.watermark = Watermark::at(watermark_s * 1_000);
        let request = EmitRequest {
            batch_id: commit.batch_id,
            from: self.watermark,
            to: commit.watermark,
            largest_ms: commit.positions[0].position.clock.largest_ms,
            start_ms: None,
            provisional_rows_max: 100,
        };
        let overlay = self.overlay.as_mut().expect("reading makes one");
        let ask = self.logic.ask(&self.open, overlay, &request);
        let answer = self.sink.answer(&ask).expect("the job is taken over");
        let emitted = self.logic.emit(&self.open, overlay, answer, &request);
        commit.rows = emitted.rows;
        commit.final_count = emitted.final_count;
        commit.open_digest = emitted.open.digest;
        commit.open_count = emitted.open.count;
        commit.open_end_ms = emitted.open.end_ms;
        let spec = self.logic.window;
        let mut open =
            self.first_of_pane.iter().filter(|(pane, _)| !spec.is_pane_closed(**pane, commit.watermark));
        commit.positions[0].position.replay = open.by_ref().map(|(_, first)| *first).min().unwrap_or(to);
        commit
    }

    fn read(&mut self, to: Offset) -> Commit<Rows> {
        let mut commit = self.empty_commit(to);
        let mut partial = self.logic.begin();
        let mut tally = Tally::default();
        let spec = self.logic.window;
        let mut reader = self.source.open(ID, self.next..to).expect("memory is always there");
        let mut chunk = Chunk::default();
        while reader.next_chunk(&mut chunk).expect("memory is always there") {
            for span in &chunk.records {
                let bytes = &chunk.bytes[span.start as usize..span.end as usize];
                let place = Place::from(chunk.origin(ID, span));
                tally.records += 1;
                let record = chunk.record(span);
                let mut scratch = ();
                let Ok(event) = self.logic.decode(0, record, &mut scratch) else {
                    tally.dead += 1;
                    commit.dead_letters.push(DeadLetter { place, code: "syntax".into(), raw: bytes.into() });
                    continue;
                };
                let time_ms = event.time_ms().expect("every event of the simulator has a time");
                commit.positions[0].position.clock.observe(time_ms, i64::MAX, 60_000);
                let pane = spec.pane_of(time_ms);
                if spec.is_pane_closed(pane, self.watermark) {
                    tally.late += 1;
                    commit.late_events.push(LateEvent {
                        place,
                        key: event.key().to_owned(),
                        event_time_ms: time_ms,
                        watermark: self.watermark,
                        raw: bytes.into(),
                    });
                    continue;
                }
                tally.counted += 1;
                if event.is_counted_in_windows() {
                    tally.in_windows += 1;
                    tally.window_misses += spec.closed_windows(pane, self.watermark).unsigned_abs();
                }
                self.first_of_pane.entry(pane).or_insert(span.offset);
                self.logic.fold(&mut partial, pane, &event, &chunk.origin(ID, span));
            }
        }
        drop(reader);
        tally.empty = to - self.next - tally.records;
        commit.window_misses = tally.window_misses.cast_signed();
        commit.ranges.push(RangeEntry { partition: ID, from: self.next, to, tally });
        self.overlay = Some(self.logic.merge(&self.open, vec![partial]).expect("no budget is set"));
        commit
    }

    fn empty_commit(&mut self, to: Offset) -> Commit<Rows> {
        self.tries += 1;
        let position = Position {
            id: ID,
            next: to,
            replay: to,
            clock: self.clock,
            head_since_ms: None,
            mark: Default::default(),
            begun_ms: None,
        };
        let expected_next = (self.batch_id > 0).then_some(self.next);
        Commit {
            batch_id: self.batch_id + 1,
            attempt: AttemptId(self.tries),
            kind: BatchKind::Read,
            planned_at_ms: i64::MAX,
            watermark_before: self.watermark,
            watermark: self.watermark,
            open_end_ms: None,
            open_digest: 0,
            open_count: 0,
            final_count: 0,
            window_misses: 0,
            start_ms: None,
            ranges: Vec::new(),
            positions: vec![PositionEntry { expected_next, position }],
            segments: Vec::new(),
            dead_letters: Vec::new(),
            late_events: Vec::new(),
            gaps: Vec::new(),
            rows: Vec::new(),
            close_early: false,
            new_meaning: None,
        }
    }
}
