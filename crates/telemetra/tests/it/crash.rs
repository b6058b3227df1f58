//! `kill -9` at random moments, fsync on: the rows equal those of an undisturbed run and the audit balances.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rusqlite::Connection;

use crate::support::Telemetra;

const KILLS: u32 = 30;
const EVENTS: &str = "1000000";

/// Small batches, so that a run takes long enough to be killed in every part of the way.
fn run_args(input: &Path) -> Vec<String> {
    let folder = |name: &str| input.join(name).display().to_string();
    ["run", "chat", "--once", "--drain", "--max-records-per-trigger", "4000"]
        .map(str::to_owned)
        .into_iter()
        .chain(["--chat-dir".to_owned(), folder("chat"), "--viewer-dir".to_owned(), folder("viewer")])
        .collect()
}

#[test]
fn a_million_events_killed_thirty_times_give_the_rows_of_an_undisturbed_run() {
    let undisturbed = Telemetra::new();
    let input = undisturbed.path().join("input");
    let output = input.display().to_string();
    undisturbed
        .run(&[
            "generate",
            "chat",
            "--count",
            EVENTS,
            "--rate",
            "2000",
            "--streams",
            "20",
            "--users",
            "5000",
            "--seed",
            "7",
            "--start",
            "2025-01-01T00:00:00Z",
            "--out-of-order",
            "0.02",
            "--broken",
            "0.001",
            "--rotate",
            "30",
            "--output",
            &output,
        ])
        .expect_code(0);
    undisturbed.run(&run_args(&input)).expect_code(0);
    undisturbed.run(&["audit"]).expect_code(0);

    let killed = Telemetra::new();
    let mut rng = StdRng::seed_from_u64(1);
    let mut kills = 0;
    let mut patience_ms = 400;
    while kills < KILLS {
        let mut child = killed.spawn(&run_args(&input));
        let until = Instant::now() + Duration::from_millis(rng.random_range(1..patience_ms));
        let mut is_over = false;
        while Instant::now() < until && !is_over {
            is_over = child.try_wait().expect("the child can be asked").is_some();
            std::thread::yield_now();
        }
        if is_over {
            // It came to its end: the rest of the kills fall into a fresh store, earlier.
            assert!(kills > 0, "the run ended before it could be killed once");
            compare(&undisturbed, &killed);
            remove_store(&killed);
            patience_ms = (patience_ms / 2).max(20);
            continue;
        }
        child.kill().expect("the child can be killed");
        child.wait().expect("the child can be waited for");
        kills += 1;
    }
    killed.run(&run_args(&input)).expect_code(0);
    compare(&undisturbed, &killed);
}

fn remove_store(telemetra: &Telemetra) {
    for end in ["", "-wal", "-shm"] {
        let path = telemetra.path().join(format!("telemetra.db{end}"));
        if path.exists() {
            std::fs::remove_file(path).expect("the store can be removed");
        }
    }
}

fn compare(undisturbed: &Telemetra, killed: &Telemetra) {
    killed.run(&["audit"]).expect_code(0);
    let db = killed.open_store();
    let other = undisturbed.store().display().to_string();
    db.execute("ATTACH ? AS undisturbed", [other]).expect("the other store can be attached");
    let windows = "stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count, \
                   negative_count, chat_rate, avg_viewers, top_emotes, emote_counts, z_score, is_anomaly, is_final, \
                   incomplete";
    compare_table(&db, "chat_summary_minute", windows);
    compare_table(
        &db,
        "moments",
        "stream_id, timestamp, moment_type, description, intensity, metadata, detected_at",
    );
    compare_table(&db, "dead_letters", "job, input, topic, partition, offset, file, line, code, raw");
    compare_table(
        &db,
        "late_events",
        "job, input, topic, partition, offset, file, line, stream_id, event_time, raw",
    );
}

fn compare_table(db: &Connection, table: &str, columns: &str) {
    let count = |sql: String| db.query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    let only_in = |one: &str, other: &str| {
        count(format!(
            "SELECT COUNT(*) FROM (SELECT {columns} FROM {one}.{table} EXCEPT SELECT {columns} FROM {other}.{table})"
        ))
    };
    assert_eq!(only_in("main", "undisturbed"), 0, "{table}: rows only after kills");
    assert_eq!(only_in("undisturbed", "main"), 0, "{table}: rows only in the undisturbed run");
    let rows = |schema: &str| count(format!("SELECT COUNT(*) FROM {schema}.{table}"));
    assert_eq!(rows("main"), rows("undisturbed"), "{table}");
}
