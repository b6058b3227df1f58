//! The real binary writes beside the old job's rows: what it counts is what it counts in an empty store, what it does
//! not touch stays, and the audit balances.

use ::postgres::{Client, SimpleQueryMessage};

use super::old::{CHAT_COLUMNS, MOMENT_COLUMNS};
use telemetra_services::postgres::{Database, Postgres};

use crate::support::{Telemetra, fixture};

/// The old job's rows: every second window of the fixture with wrong counts, some windows twice as far back and of a
/// stream that is gone, and one of the two moments that will be found.
const OLD_ROWS: &str = "
    INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment,
        chat_rate, top_emotes, z_score, is_anomaly)
    SELECT stream, t, t + interval '1 minute', 7, 7, 0.5, 0.12, ARRAY['Old'], 3.1, true
    FROM unnest(ARRAY['stream_0000', 'stream_0001', 'gone']) stream,
         generate_series(timestamp '2024-12-31 23:40', '2025-01-01 00:08', '20 seconds') t;
    INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata) VALUES
        ('stream_0000', '2025-01-01 00:06:20', 'chat_spike', 'old', 1, '{}'),
        ('stream_0000', '2025-01-01 00:00:20', 'chat_spike', 'kept', 2, '{}'),
        ('gone', '2024-12-31 23:40', 'raid', 'kept', 2, '{}')";

fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let answers = client.simple_query(sql).expect("a query");
    let row = |answer| match answer {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    answers.into_iter().filter_map(row).collect()
}

/// Reads the fixture to its end in batches, audits, and gives back all that is ours.
fn ours(database: &Database) -> [Vec<String>; 2] {
    let telemetra = Telemetra::new();
    let folder = |name: &str| fixture("chat_small").join(name).display().to_string();
    let (chat, viewer, store) = (folder("chat"), folder("viewer"), database.address());
    let run = ["run", "chat", "--once", "--drain", "--max-records-per-trigger", "997", "--chat-dir", &chat];
    telemetra.run(&[&run[..], &["--viewer-dir", &viewer, "--store", &store]].concat()).expect_code(0);
    let audit = telemetra.run(&["audit", "--store", &store]).expect_code(0);
    assert!(!audit.is_empty());
    let windows = "
        SELECT stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count,
               negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, z_score, is_anomaly, is_final, incomplete
        FROM chat_summary_minute WHERE batch_id IS NOT NULL ORDER BY stream_id, window_start";
    let moments = "SELECT stream_id, timestamp, moment_type, description, intensity, metadata, detected_at
                   FROM moments WHERE batch_id IS NOT NULL ORDER BY stream_id, timestamp";
    [windows, moments].map(|sql| rows(&mut database.client(), sql))
}

/// Adopts old tables that were made with `options` by the binary itself, and runs beside them.
fn check(options: &str) {
    let fresh = Postgres::shared().create_database();
    let expected = ours(&fresh);
    assert!(expected.iter().all(|rows| rows.len() > 1), "{expected:?}");

    let database = Postgres::shared().create_database();
    let mut client = database.client();
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}) {options}; CREATE TABLE moments ({MOMENT_COLUMNS}); {OLD_ROWS}"
    );
    client.batch_execute(&sql).expect("the old tables");
    let telemetra = Telemetra::new();
    let run = ["run", "chat", "--once", "--chat-dir", ".", "--store", &database.address()];
    assert!(telemetra.run(&run).expect_code(4).contains("`telemetra migrate`"));
    let adopted = telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
    assert!(adopted.contains("adopted table chat_summary_minute: 255 rows kept"), "{adopted}");
    // What no window of ours overwrites.
    let untouched = |client: &mut Client| {
        let sql =
            "SELECT * FROM chat_summary_minute WHERE stream_id = 'gone' OR window_start < '2024-12-31 23:59Z'
             ORDER BY stream_id, window_start";
        let moments = "SELECT * FROM moments WHERE description = 'kept' ORDER BY id";
        [rows(client, sql), rows(client, moments)]
    };
    let before = untouched(&mut client);
    assert_eq!(ours(&database), expected);
    assert_eq!(untouched(&mut client), before);
    assert_eq!(rows(&mut client, "SELECT count(*) FROM moments WHERE description = 'old'"), ["0"]);
}

#[test]
fn beside_a_plain_table() {
    check("");
}

#[test]
fn beside_partitions_by_stream() {
    check(
        "PARTITION BY LIST (stream_id); CREATE TABLE first PARTITION OF chat_summary_minute FOR VALUES IN ('stream_0000');
         CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT",
    );
}

#[test]
fn beside_partitions_by_time() {
    check(
        "PARTITION BY RANGE (window_start);
         CREATE TABLE y2024 PARTITION OF chat_summary_minute FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
         CREATE TABLE y2025 PARTITION OF chat_summary_minute FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    );
}
