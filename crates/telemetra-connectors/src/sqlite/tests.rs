//! Tests of what is SQLite's own: its file, its locks, how it finds rows. What both stores promise is tested on both
//! (`stores` of the integration tests).

mod file;
mod plans;
mod schema;

use std::path::PathBuf;

use rusqlite::{Connection, types::FromSql};
use telemetra_core::{
    chat::rows::{ChatRows, MomentRow, WindowRow},
    watermark::{PartitionClock, Watermark},
};
use telemetra_engine::{
    audit::Report,
    sink::{BatchKind, Position, PositionEntry, RangeEntry, Tally},
    source::Segment,
};

use super::*;
use crate::ledger::StoreReader;

/// 2025-01-01T00:00:00Z.
const T0: i64 = 1_735_689_600_000;
const CHAT: PartitionId = PartitionId { input: 0, partition: 0 };

/// A store in a folder of its own.
struct Store {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetra.db");
        Self { _folder: folder, path }
    }

    fn sink(&self) -> SqliteSink {
        SqliteSink::open(&self.path, "chat", window()).unwrap()
    }

    fn take_over(&self) -> (SqliteSink, Recovered) {
        let mut sink = self.sink();
        let recovered = sink.take_over(&inputs(), "meaning").unwrap();
        (sink, recovered)
    }

    fn sql(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    fn one<T: FromSql>(&self, sql: &str) -> T {
        Connection::open(&self.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// All values of a query: columns joined by a space, rows by a line end.
    fn text(&self, sql: &str) -> String {
        let db = Connection::open(&self.path).unwrap();
        let mut statement = db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let value = |column| match row.get_ref(column).unwrap() {
                rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Real(number) => number.to_string(),
                rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
            };
            Ok((0..columns).map(value).collect::<Vec<_>>().join(" "))
        };
        statement.query_map([], line).unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("\n")
    }

    fn reader(&self) -> StoreReader {
        open_reader(&self.path).unwrap()
    }

    fn audit(&self) -> Report {
        self.reader().audit(None).unwrap().remove(0)
    }
}

/// Length 20 s, slide 10 s: every event is in two windows.
fn window() -> WindowSpec {
    WindowSpec::new(20_000, 10_000).unwrap()
}

fn inputs() -> [Input; 1] {
    [Input { name: "chat", topic: None, place: "in/chat".into() }]
}

/// A batch that reads nothing, after `first`.
fn batch(batch_id: u64) -> Commit<ChatRows> {
    Commit {
        batch_id,
        attempt: AttemptId(u128::from(batch_id) << 100),
        kind: BatchKind::Read,
        planned_at_ms: T0 + 60_000,
        watermark_before: Watermark::at(T0 + 20_000),
        watermark: Watermark::at(T0 + 20_000),
        open_end_ms: Some(T0 + 30_000),
        open_digest: u64::MAX - batch_id,
        open_count: 1,
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

/// One event in two windows, of which the first is final and a peak.
fn first() -> Commit<ChatRows> {
    let row = |start_ms: i64, is_final: bool| WindowRow {
        stream: "a".into(),
        start_ms,
        end_ms: start_ms + 20_000,
        chat_count: 1,
        unique_chatters: 1,
        avg_sentiment: Some(0.25),
        positive_count: 1,
        negative_count: 0,
        chat_rate: 0.05,
        avg_viewers: None,
        top_emotes: vec![("Kappa".into(), 3)],
        z_score: is_final.then_some(4.5),
        is_anomaly: is_final,
        is_final,
        incomplete: false,
    };
    let moment = MomentRow {
        stream: "a".into(),
        start_ms: T0,
        end_ms: T0 + 20_000,
        description: "a peak".into(),
        intensity: 0.05,
        chat_count: 1,
        unique_chatters: 1,
        avg_viewers: None,
        z_score: 4.5,
    };
    let clock = PartitionClock { largest_ms: Some(T0 + 15_000), pending_ms: None, pending_age: 0 };
    let position = Position {
        id: CHAT,
        next: 1,
        replay: 0,
        clock,
        head_since_ms: None,
        mark: Default::default(),
        begun_ms: None,
    };
    let tally = Tally { records: 1, counted: 1, in_windows: 1, ..Tally::default() };
    let segment = Segment {
        seq: 0,
        file: "part-00.jsonl".into(),
        bytes: 0..100,
        line: 1,
        first_offset: 0,
        records: 1,
        fingerprint: "00ff".into(),
        head: None,
        modified_ns: None,
        span_ms: None,
    };
    Commit {
        segments: vec![(CHAT, segment)],
        watermark_before: Watermark::NONE,
        final_count: 1,
        ranges: vec![RangeEntry { partition: CHAT, from: 0, to: 1, tally }],
        positions: vec![PositionEntry { expected_next: None, position }],
        rows: ChatRows { windows: vec![row(T0, true), row(T0 + 10_000, false)], moments: vec![moment] },
        ..batch(1)
    }
}

/// A store that holds `first`; nobody runs the job.
fn filled() -> Store {
    let store = Store::new();
    store.take_over().0.commit(&first()).unwrap();
    store
}
