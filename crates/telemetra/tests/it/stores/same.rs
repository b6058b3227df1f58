//! The same story in both stores: every question that a reader or a successor asks has one answer.

use telemetra_core::chat::shown::RatePoint;

use super::{Lite, Pg, Store, story::*};

/// Tables that both stores hold, with what orders their rows last, and their columns but those that tell when and by whom they were written.
const TABLES: [(&str, &str, &str); 10] = [
    (
        "chat_summary_minute",
        "stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count, \
         negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, z_score, is_anomaly, is_final, \
         incomplete, revision, batch_id",
        "window_start",
    ),
    (
        "moments",
        "stream_id, timestamp, moment_type, description, intensity, metadata, detected_at, batch_id",
        "timestamp",
    ),
    (
        "dead_letters",
        "job, input, topic, \"partition\", \"offset\", file, line, code, raw, batch_id",
        "\"offset\"",
    ),
    (
        "late_events",
        "job, input, topic, \"partition\", \"offset\", file, line, stream_id, event_time, watermark, raw, batch_id",
        "\"offset\"",
    ),
    (
        "telemetra.batch",
        "job, batch_id, attempt, epoch, kind, planned_at, watermark_before_ms, watermark_ms, open_end_ms, \
         open_digest, open_count, records, empty, counted, in_windows, late, dead, window_misses, early_misses, \
         final_count, final_rows, rows_written, moments, start_ms",
        "batch_id",
    ),
    (
        "telemetra.batch_range",
        "job, input, \"partition\", from_offset, to_offset, batch_id, watermark_ms, records, empty, counted, \
         in_windows, late, dead, window_misses",
        "batch_id, input",
    ),
    (
        "telemetra.file",
        "job, input, \"partition\", seq, name, byte_from, byte_to, line, first_offset, records, fingerprint, \
         modified_ns, smallest_ms, largest_ms",
        "input, seq",
    ),
    (
        "telemetra.position",
        "job, input, topic, \"partition\", first_offset, replay_offset, next_offset, largest_ms, pending_ms, \
         pending_age, head_since_ms, log_id, log_epoch, begun_ms",
        "input",
    ),
    ("telemetra.result_table", "name, job", "name"),
    (
        "telemetra.job",
        "job, pipeline, epoch, last_batch, watermark_ms, open_end_ms, open_digest, open_count, meaning, length_ms, \
         slide_ms, records, late, dead, in_windows, window_misses, final_count, final_rows, status, halt_cause, start_ms",
        "job",
    ),
];

#[test]
fn what_a_batch_leaves_is_the_same() {
    let (lite, pg) = (Lite::with_story(), Pg::with_story());
    for (table, columns, order) in TABLES {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {order}");
        let (lite, pg) = (lite.text(&sql), pg.text(&sql));
        assert!(!lite.is_empty(), "{table}");
        assert_eq!(lite, pg, "{table}");
    }
}

/// Both stores, told more: names whose order depends on who sorts, and a gap.
fn both() -> (Lite, Pg) {
    let (lite, pg) = (Lite::with_story(), Pg::with_story());
    run(&lite, &pg, "INSERT INTO telemetra.gap (job, input, \"partition\", from_offset, to_offset, in_replay, cause, batch_id)
        VALUES ('chat', 'chat', 0, 3, 4, true, 'none', 2)");
    for name in ["Ä", "B", "z"] {
        let sql = format!(
            "CREATE TEMP TABLE more AS SELECT * FROM chat_summary_minute WHERE NOT is_final AND stream_id = 'a';
             UPDATE more SET stream_id = '{name}', chat_count = 2 * chat_count, chat_rate = 2 * chat_rate;
             INSERT INTO chat_summary_minute SELECT * FROM more"
        );
        run(&lite, &pg, &sql);
    }
    (lite, pg)
}

fn run(lite: &Lite, pg: &Pg, sql: &str) {
    lite.sql(sql);
    pg.sql(sql);
}

/// Sums of floating-point numbers depend on their order.
fn rounded(points: Vec<RatePoint>) -> Vec<(i64, i64, bool)> {
    points.into_iter().map(|at| (at.start_ms, (at.rate * 1e9).round() as i64, at.is_final)).collect()
}

#[test]
fn every_question_has_one_answer() {
    let (lite, pg) = both();
    let (mut one, mut other) = (lite.reader(), pg.reader());
    macro_rules! same {
        ($($question:tt)*) => {
            assert_eq!(one.$($question)*.expect("a sound store answers"), other.$($question)*.expect("a sound store answers"), stringify!($($question)*))
        };
    }
    // The two were not written in the same millisecond, and each has a holder of its own kind.
    for (job, found) in [(None, 1), (Some("chat"), 1), (Some("other"), 0)] {
        let [a, b] = [&mut one, &mut other].map(|reader| {
            let mut jobs = reader.jobs(job).expect("a sound store answers");
            for job in &mut jobs {
                assert!(job.created_at_ms > T0 && job.updated_at_ms >= job.created_at_ms);
                (job.created_at_ms, job.updated_at_ms) = (0, 0);
                job.holder.clear();
            }
            jobs
        });
        assert_eq!((a.len(), &a), (found, &b));
    }
    let [a, b] = [&mut one, &mut other].map(|reader| {
        let mut batches = reader.batches("chat", 2).expect("a sound store answers");
        batches.iter_mut().for_each(|batch| batch.committed_at_ms = 0);
        batches
    });
    assert_eq!((a.len(), &a), (2, &b));
    same!(owner("chat_summary_minute"));
    same!(newest_ms());
    same!(moments(10));
    same!(streams(T0, T0 + 20_000, 10));
    same!(streams(T0, T0 + 20_000, 2));
    for stream in [None, Some("a"), Some("Ä"), Some("nobody")] {
        assert_eq!(
            rounded(one.rates(T0, stream).expect("a sound store answers")),
            rounded(other.rates(T0, stream).expect("a sound store answers"))
        );
    }
}

#[test]
fn a_successor_finds_the_same() {
    let (lite, pg) = both();
    let [a, b] = [lite.take_over().1, pg.take_over().1].map(|found| format!("{found:#?}"));
    assert!(a.contains("last_batch: 3"), "{a}");
    assert_eq!(a, b);
}

#[test]
fn the_audit_finds_the_same() {
    let (lite, pg) = both();
    for tamper in [
        "SELECT 1",
        "UPDATE chat_summary_minute SET chat_count = 11 WHERE chat_count = 10",
        "UPDATE moments SET batch_id = NULL",
        "UPDATE late_events SET watermark = '2025-01-01T00:00:16.000Z'",
        "DELETE FROM telemetra.file",
        "UPDATE telemetra.position SET replay_offset = next_offset",
        "DELETE FROM dead_letters",
        "DELETE FROM telemetra.batch WHERE batch_id = 2",
        "DELETE FROM telemetra.job",
    ] {
        run(&lite, &pg, tamper);
        let (a, b) = (lite.audit(), pg.audit());
        assert_eq!(a.is_balanced(), tamper == "SELECT 1", "{tamper}: {a:#?}");
        assert_eq!(a, b, "{tamper}");
    }
}
