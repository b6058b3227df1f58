//! What the page is shown: sums over streams, the busiest of them, the newest moments.

use std::time::Duration;

use telemetra_engine::sink::SinkError;

use super::*;
use crate::ledger::{Arg, Readable, Row, Snapshot, windows};

/// The story, and stream `b` in its last two windows with twice the count.
fn two_streams() -> Store {
    let store = Store::with_story();
    let sql = "CREATE TEMP TABLE more AS SELECT * FROM chat_summary_minute WHERE NOT is_final;
               UPDATE more SET stream_id = 'b', chat_count = 2 * chat_count, chat_rate = 2 * chat_rate;
               INSERT INTO chat_summary_minute SELECT * FROM more";
    Connection::open(&store.path).unwrap().execute_batch(sql).unwrap();
    store
}

#[test]
fn rates_are_summed_by_window_start() {
    let mut reader = two_streams().reader();
    assert_eq!(reader.newest_ms().unwrap(), Some(T0 + 30_000));
    let mut check = |stream: Option<&str>, expected: &[(i64, i64, bool)]| {
        let points = reader.rates(T0 + 10_000, stream).unwrap();
        let seen: Vec<_> = points
            .iter()
            .map(|at| (at.start_ms - T0, (at.rate * 20.0).round() as i64, at.is_final))
            .collect();
        assert_eq!(seen, expected, "{stream:?}");
    };
    check(None, &[(10_000, 6, true), (20_000, 12, false), (30_000, 12, false)]);
    check(Some("b"), &[(20_000, 8, false), (30_000, 8, false)]);
    check(Some("c"), &[]);
}

#[test]
fn the_busiest_streams_come_first_with_their_newest_full_window() {
    let mut reader = two_streams().reader();
    let mut check = |from_ms: i64, at_ms: i64, most: usize, expected: &[(&str, i64)]| {
        let streams = reader.streams(T0 + from_ms, T0 + at_ms, most).unwrap();
        let seen: Vec<_> =
            streams.iter().map(|now| (now.stream.as_str(), (now.rate * 20.0).round() as i64)).collect();
        assert_eq!(seen, expected, "{from_ms} {at_ms} {most}");
    };
    check(0, 20_000, 9, &[("a", 4), ("b", 8)]);
    check(20_000, 30_000, 9, &[("b", 8), ("a", 4)]);
    check(20_000, 30_000, 1, &[("b", 8)]);
    check(0, 10_000, 9, &[("a", 6)]);
    let now = reader.streams(T0, T0 + 10_000, 1).unwrap().remove(0);
    assert_eq!((now.chatters, now.sentiment, now.viewers), (3, Some(0.25), Some(12.5)));
    assert_eq!(now.emotes, ["Kappa", "LUL"]);
}

#[test]
fn moments_come_newest_first() {
    let mut reader = two_streams().reader();
    let moment = reader.moments(10).unwrap().remove(0);
    assert_eq!((moment.stream.as_str(), moment.start_ms - T0), ("a", 10_000));
    assert_eq!((moment.z_score, moment.description.as_str()), (4.5, "a peak"));
    assert_eq!(reader.moments(0).unwrap(), []);
}

#[test]
fn an_empty_store_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    migrate(&path).unwrap();
    let mut reader = open_reader(&path).unwrap();
    assert_eq!(reader.newest_ms().unwrap(), None);
    assert_eq!(reader.rates(0, None).unwrap(), []);
    assert_eq!(reader.streams(0, T0, 10).unwrap(), []);
    assert_eq!(reader.owner().unwrap(), None);
}

/// A store that answers nothing and keeps how it would have found the rows.
#[derive(Debug)]
struct Explaining {
    db: Connection,
    plans: std::sync::mpsc::Sender<String>,
}

impl Snapshot for Explaining {
    fn each(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        _: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let explain = format!("EXPLAIN QUERY PLAN {}", snapshot::translate(sql));
        let mut statement = self.db.prepare(&explain).unwrap();
        let steps = statement.query_map(rusqlite::params_from_iter(args), |row| row.get::<_, String>(3));
        self.plans.send(steps.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("\n")).unwrap();
        Ok(())
    }
}

impl Readable for Explaining {
    fn snapshot(
        &mut self,
        _: Duration,
        read: &mut dyn FnMut(&mut dyn Snapshot) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        read(self)
    }

    fn is_running(&mut self, _: &str) -> Result<bool, SinkError> {
        Ok(false)
    }
}

#[test]
fn windows_are_found_by_seeks_in_the_key() {
    let store = two_streams();
    let (plans, explained) = std::sync::mpsc::channel();
    let mut explaining = Explaining { db: Connection::open(&store.path).unwrap(), plans };
    windows::above_watermark(&mut explaining, window(), Watermark::at(T0)).unwrap();
    windows::provisional(&mut explaining, window(), Watermark::at(T0)).unwrap();
    let mut reader = StoreReader::new(explaining);
    reader.newest_ms().unwrap();
    reader.rates(T0, None).unwrap();
    reader.streams(T0, T0, 10).unwrap();
    drop(reader);
    let plans: Vec<String> = explained.iter().collect();
    assert_eq!(plans.len(), 5);
    for plan in plans {
        assert!(plan.contains("SEARCH w USING PRIMARY KEY (stream_id=?"), "{plan}");
        for table in ["w", "c", "n", "chat_summary_minute"] {
            assert!(!plan.lines().any(|step| step == format!("SCAN {table}")), "{plan}");
        }
    }
}
