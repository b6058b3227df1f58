//! Rows are found by seeks in the key, whatever the file holds.

use std::time::Duration;

use telemetra_core::watermark::Watermark;
use telemetra_engine::sink::SinkError;

use super::*;
use crate::ledger::{Arg, Readable, Row, Snapshot, Wanted, windows};

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
    let store = filled();
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

#[test]
fn refused_records_of_a_batch_are_found_by_a_seek_to_the_batch() {
    let store = filled();
    let (plans, explained) = std::sync::mpsc::channel();
    let explaining = Explaining { db: Connection::open(&store.path).unwrap(), plans };
    let wanted = Wanted { batch_id: Some(7), after: Some((0, 100)), limit: 10, ..Wanted::default() };
    StoreReader::new(explaining).rejected("chat", &wanted).unwrap();
    let plans: Vec<String> = explained.iter().collect();
    assert_eq!(plans.len(), 2);
    for plan in plans {
        assert!(
            plan.contains("SEARCH r USING INDEX rejected_events_batch_id (job=? AND batch_id=?)"),
            "{plan}"
        );
    }
}

#[test]
fn baselines_are_found_by_a_seek_in_the_key() {
    let store = Store::new();
    migrate(&store.path).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT chat_count FROM chat_summary_minute
               WHERE stream_id = 'a' AND window_start < 'x' AND is_final ORDER BY window_start DESC LIMIT 10";
    let plan = store.text(sql);
    assert!(plan.contains("USING PRIMARY KEY (stream_id=? AND window_start<?)"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}
