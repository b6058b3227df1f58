//! Three batches in which everything happens that the law speaks of, and what they are made of.

use std::{ops::Range, sync::Arc};

use telemetra_core::{
    chat::rows::{ChatRows, MomentRow, WindowRow},
    watermark::{PartitionClock, Watermark},
    window::WindowSpec,
};
use telemetra_engine::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{BatchKind, Commit, DeadLetter, LateEvent, Place, Position, PositionEntry, RangeEntry, Tally},
    source::{Input, Segment},
};

/// 2025-01-01T00:00:00Z.
pub(super) const T0: i64 = 1_735_689_600_000;
pub(super) const CHAT: PartitionId = PartitionId { input: 0, partition: 0 };
pub(super) const VIEWER: PartitionId = PartitionId { input: 1, partition: 0 };

/// Length 20 s, slide 10 s: every event is in two windows.
pub(super) fn window() -> WindowSpec {
    WindowSpec::new(20_000, 10_000).expect("a multiple")
}

pub(super) fn inputs() -> [Input; 2] {
    ["chat", "viewer"].map(|name| Input { name, topic: None, place: format!("in/{name}") })
}

/// A batch of which nothing is known but its number and watermarks (seconds after T0).
pub(super) fn batch(batch_id: u64, before: Option<i64>, after: Option<i64>) -> Commit<ChatRows> {
    let watermark = |seconds: Option<i64>| Watermark::from(seconds.map(|seconds| T0 + seconds * 1_000));
    Commit {
        batch_id,
        attempt: AttemptId(u128::from(batch_id) << 100),
        kind: BatchKind::Read,
        planned_at_ms: T0 + 60_000,
        watermark_before: watermark(before),
        watermark: watermark(after),
        open_end_ms: None,
        open_digest: u64::MAX - batch_id,
        open_count: 0,
        final_count: 0,
        window_misses: 0,
        start_ms: None,
        ranges: Vec::new(),
        positions: Vec::new(),
        segments: Vec::new(),
        dead_letters: Vec::new(),
        late_events: Vec::new(),
        gaps: Vec::new(),
        rows: ChatRows::default(),
        close_early: false,
        new_meaning: None,
    }
}

pub(super) fn range(partition: PartitionId, offsets: Range<Offset>, tally: Tally) -> RangeEntry {
    RangeEntry { partition, from: offsets.start, to: offsets.end, tally }
}

pub(super) fn position(id: PartitionId, expected_next: Option<Offset>, next: Offset) -> PositionEntry {
    let clock =
        PartitionClock { largest_ms: Some(T0 + 15_000), pending_ms: Some(T0 + 99_000), pending_age: 3 };
    let position = Position {
        id,
        next,
        replay: next - 1,
        clock,
        head_since_ms: Some(T0 + 61_000),
        mark: Default::default(),
        begun_ms: None,
    };
    PositionEntry { expected_next, position }
}

fn place(offset: Offset) -> Place {
    let (file, line) = (Some(Arc::from("part-00.jsonl")), Some(offset + 1));
    Place { partition: CHAT, offset, file, line, bytes: Some(offset * 10..offset * 10 + 9) }
}

pub(super) fn dead(offset: Offset) -> DeadLetter {
    DeadLetter { place: place(offset), code: "json_syntax".into(), raw: b"{\xff".to_vec() }
}

/// A window of stream `a` that starts `start` seconds after T0.
pub(super) fn row(start: i64, chat_count: i64, is_final: bool) -> WindowRow {
    WindowRow {
        stream: "a".into(),
        start_ms: T0 + start * 1_000,
        end_ms: T0 + start * 1_000 + 20_000,
        chat_count,
        unique_chatters: 3,
        avg_sentiment: Some(0.25),
        positive_count: 2,
        negative_count: 1,
        chat_rate: chat_count as f64 / 20.0,
        avg_viewers: None,
        top_emotes: vec![("Kappa".into(), 3), ("LUL".into(), 1)],
        z_score: None,
        is_anomaly: false,
        is_final,
        incomplete: false,
    }
}

pub(super) fn segment(first_offset: Offset, records: u64) -> Segment {
    Segment {
        seq: 0,
        file: "part-00.jsonl".into(),
        bytes: 0..records * 100,
        line: 1,
        first_offset,
        records,
        fingerprint: "00ff".into(),
        head: None,
        modified_ns: Some(T0 * 1_000_000),
        span_ms: Some((T0, T0 + 15_000)),
    }
}

/// Three batches in which everything happens that the law speaks of.
///
/// ```text
/// windows (count)   -10..10  0..20  10..30  20..40  30..50   final + open = 2 × events - missed
/// batch 1, to  5 s      9       9                               0 + 18 = 2 ×  9
/// batch 2, to 15 s     10f     16      6                       10 + 22 = 2 × 16
/// batch 3, to 35 s             17f     6f      4       4       33 +  8 = 2 × 21 - 1
/// ```
pub(super) fn story() -> [Commit<ChatRows>; 3] {
    [first(), second(), third()]
}

pub(super) fn first() -> Commit<ChatRows> {
    let tally = Tally { records: 11, empty: 1, counted: 9, in_windows: 9, dead: 2, ..Tally::default() };
    let viewers = Tally { records: 3, counted: 3, ..Tally::default() };
    Commit {
        open_end_ms: Some(T0 + 20_000),
        open_count: 18,
        ranges: vec![range(CHAT, 0..12, tally), range(VIEWER, 5..8, viewers)],
        positions: vec![position(CHAT, None, 12), position(VIEWER, None, 8)],
        segments: vec![(CHAT, segment(0, 20)), (VIEWER, segment(5, 3))],
        dead_letters: vec![dead(0), dead(11)],
        rows: ChatRows { windows: vec![row(-10, 9, false), row(0, 9, false)], moments: Vec::new() },
        ..batch(1, None, Some(5))
    }
}

pub(super) fn second() -> Commit<ChatRows> {
    let tally = Tally { records: 8, counted: 7, in_windows: 7, dead: 1, ..Tally::default() };
    let windows = vec![row(-10, 10, true), row(0, 16, false), row(10, 6, false)];
    Commit {
        open_end_ms: Some(T0 + 30_000),
        open_count: 22,
        final_count: 10,
        ranges: vec![range(CHAT, 12..20, tally)],
        positions: vec![position(CHAT, Some(12), 20)],
        segments: vec![(CHAT, segment(0, 20))],
        dead_letters: vec![dead(15)],
        rows: ChatRows { windows, moments: Vec::new() },
        ..batch(2, Some(5), Some(15))
    }
}

pub(super) fn third() -> Commit<ChatRows> {
    let counted =
        Tally { records: 6, counted: 5, in_windows: 5, late: 1, window_misses: 1, ..Tally::default() };
    let late = LateEvent {
        place: place(22),
        key: "a".into(),
        event_time_ms: T0 - 5_000,
        watermark: Watermark::at(T0 + 15_000),
        raw: b"{}".to_vec(),
    };
    let anomaly =
        WindowRow { z_score: Some(4.5), is_anomaly: true, avg_viewers: Some(12.5), ..row(10, 6, true) };
    let moment = MomentRow {
        stream: "a".into(),
        start_ms: anomaly.start_ms,
        end_ms: anomaly.end_ms,
        description: "a peak".into(),
        intensity: 0.3,
        chat_count: 6,
        unique_chatters: 3,
        avg_viewers: Some(12.5),
        z_score: 4.5,
    };
    let windows = vec![row(0, 17, true), anomaly, row(20, 4, false), row(30, 4, false)];
    Commit {
        open_end_ms: Some(T0 + 50_000),
        open_count: 8,
        final_count: 23,
        window_misses: 1,
        start_ms: None,
        ranges: vec![range(CHAT, 20..26, counted)],
        positions: vec![position(CHAT, Some(20), 26)],
        segments: vec![(CHAT, Segment { seq: 1, ..segment(20, 6) })],
        late_events: vec![late],
        rows: ChatRows { windows, moments: vec![moment] },
        ..batch(3, Some(15), Some(35))
    }
}
