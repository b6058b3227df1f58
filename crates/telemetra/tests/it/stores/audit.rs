//! The audit finds every change of the store that the law forbids.

use super::{Store, on_both};

/// Tampers with a store that balances; clause `expected` must fail, and say `words` of the place.
#[track_caller]
fn check<S: Store>(tamper: &str, expected: &str, words: &str) {
    let store = S::with_story();
    store.sql(tamper);
    let report = store.audit();
    let found: Vec<String> = report.imbalances().map(ToString::to_string).collect();
    let hit = found.iter().any(|text| text.starts_with(&format!("{expected}: ")) && text.contains(words));
    assert!(hit, "{tamper}: no {expected} ({words}) in {found:#?}");
}

fn an_honest_store_balances_and_everything_was_compared<S: Store>() {
    let store = S::with_story();
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    let idle: Vec<_> = report.checks.iter().filter(|check| check.compared == 0).collect();
    assert!(idle.is_empty(), "{idle:?}");
    assert_eq!(store.reader().audit(Some("other")).expect("a sound store answers"), []);
}

fn rows_of_another_program_are_told_and_not_counted<S: Store>() {
    let store = S::with_story();
    store.sql(
        "INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata, detected_at)
         VALUES ('a', '2024-12-31T23:59:50.000Z', 'chat_spike', 'old', 9, '{}', '2025-01-01T00:00:00.000Z')",
    );
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    let told =
        "rows adopted from another program, which no sum counts: 0 of chat_summary_minute, 1 of moments";
    assert_eq!(report.remarks, [told]);
    assert!(S::with_story().audit().remarks.is_empty());
}

fn rows<S: Store>() {
    check::<S>("UPDATE chat_summary_minute SET chat_count = 11 WHERE chat_count = 10", "counts", "job chat");
    check::<S>("UPDATE chat_summary_minute SET chat_count = 11 WHERE chat_count = 10", "final_rows", "");
    check::<S>("DELETE FROM chat_summary_minute WHERE chat_count = 17", "counts", "");
    check::<S>("DELETE FROM chat_summary_minute WHERE chat_count = 17", "final_rows", "final rows is 2");
    check::<S>("UPDATE chat_summary_minute SET is_final = true WHERE NOT is_final", "final_rows", "");
    check::<S>(
        "UPDATE chat_summary_minute SET is_final = false WHERE chat_count = 17",
        "final_rows",
        "not final though",
    );
    check::<S>(
        "UPDATE chat_summary_minute SET batch_id = 4 WHERE chat_count = 17",
        "final_rows",
        "after the last",
    );
    check::<S>("UPDATE chat_summary_minute SET is_anomaly = true WHERE chat_count = 17", "moments", "");
    check::<S>("DELETE FROM moments", "moments", "moments is 0");
    check::<S>("UPDATE moments SET batch_id = NULL", "moments", "moments is 0");
    check::<S>("UPDATE moments SET batch_id = 2", "moments", "moments that differ from their row is 1");
    check::<S>("UPDATE moments SET metadata = '{\"chat_count\":6,\"z_score\":null}'", "moments", "differ");
    check::<S>("UPDATE moments SET timestamp = '2025-01-01T00:00:00.000Z'", "moments", "");
    check::<S>("DELETE FROM telemetra.result_table", "owner", "job chat");
}

fn what_leaves_every_sum_as_it_was<S: Store>() {
    check::<S>("DELETE FROM telemetra.job", "totals", "job chat");
    check::<S>("UPDATE moments SET intensity = 0", "moments", "moments");
    check::<S>("UPDATE telemetra.position SET replay_offset = next_offset", "positions", "job chat");
    check::<S>("DELETE FROM telemetra.file", "tiling", "files");
    check::<S>("UPDATE telemetra.file SET first_offset = first_offset + 1", "tiling", "files");
    let swap = "UPDATE chat_summary_minute SET batch_id = (SELECT MAX(batch_id) FROM chat_summary_minute) - batch_id + 1
                WHERE is_final";
    check::<S>(swap, "final_rows", "batch");
}

fn refused_and_late_records<S: Store>() {
    let copy = |table: &str, columns: &str, offset: u64| {
        format!(
            "CREATE TEMP TABLE one AS SELECT * FROM {table} LIMIT 1; UPDATE one SET \"offset\" = {offset}{columns};
             INSERT INTO {table} SELECT * FROM one"
        )
    };
    check::<S>(
        "DELETE FROM dead_letters WHERE \"offset\" = 11",
        "dead_letters",
        "chat/0, batch 1, offsets 0..12",
    );
    check::<S>(&copy("dead_letters", "", 3), "dead_letters", "chat/0, batch 1, offsets 0..12");
    check::<S>(&copy("dead_letters", "", 99), "dead_letters", "all partitions");
    check::<S>(
        &copy("dead_letters", ", input = 'viewer'", 6),
        "dead_letters",
        "viewer/0, batch 1, offsets 5..8",
    );
    check::<S>(
        "UPDATE dead_letters SET \"offset\" = 13 WHERE \"offset\" = 11",
        "dead_letters",
        "offsets 0..12",
    );
    check::<S>("UPDATE dead_letters SET batch_id = 2", "dead_letters", "chat/0, batch 1");
    check::<S>("DELETE FROM late_events", "late_events", "chat/0, batch 3, offsets 20..26");
    check::<S>(&copy("late_events", "", 21), "late_events", "chat/0, batch 3, offsets 20..26");
    check::<S>(&copy("late_events", "", 99), "late_events", "all partitions");
    let late = "late by that watermark";
    check::<S>("UPDATE late_events SET event_time = '2025-01-01T00:00:00.000Z'", "late_events", late);
    check::<S>("UPDATE late_events SET watermark = '2025-01-01T00:00:16.000Z'", "late_events", "offset 22");
}

fn positions_and_ranges<S: Store>() {
    check::<S>(
        "UPDATE telemetra.position SET next_offset = 27 WHERE input = 'chat'",
        "tiling",
        "partition chat/0",
    );
    check::<S>(
        "UPDATE telemetra.position SET next_offset = 25 WHERE input = 'chat'",
        "tiling",
        "partition chat/0",
    );
    check::<S>(
        "UPDATE telemetra.position SET first_offset = 4 WHERE input = 'viewer'",
        "tiling",
        "partition viewer/0",
    );
    let beyond = "replay offset is 27, next offset is 26";
    check::<S>("UPDATE telemetra.position SET replay_offset = 27 WHERE input = 'chat'", "positions", beyond);
    check::<S>("DELETE FROM telemetra.position WHERE input = 'viewer'", "positions", "partition viewer/0");
    let hole =
        "partition chat/0, batch 3, offsets 20..26: begin of the piece is 20, end of the piece before is 12";
    check::<S>("DELETE FROM telemetra.batch_range WHERE batch_id = 2", "tiling", hole);
    check::<S>("DELETE FROM telemetra.batch_range WHERE batch_id = 1", "tiling", "offsets 12..20");
    check::<S>("DELETE FROM telemetra.batch_range WHERE batch_id = 3", "tiling", "next offset is 26");
    let overlap = "begin of the piece is 12, end of the piece before is 13";
    check::<S>("UPDATE telemetra.batch_range SET to_offset = 13 WHERE from_offset = 0", "tiling", overlap);
    check::<S>(
        "INSERT INTO telemetra.gap (job, input, \"partition\", from_offset, to_offset, in_replay, cause, batch_id)
         VALUES ('chat', 'chat', 0, 15, 17, false, 'none', 2)",
        "tiling",
        "batch 2, offsets 15..17",
    );
    check::<S>(
        "UPDATE telemetra.batch_range SET counted = 8 WHERE from_offset = 12",
        "tally",
        "offsets 12..20",
    );
    check::<S>("UPDATE telemetra.batch_range SET empty = 0 WHERE from_offset = 0", "tally", "offsets 0..12");
    check::<S>(
        "UPDATE telemetra.batch_range SET records = 9 WHERE from_offset = 12",
        "tally",
        "offsets 12..20",
    );
    check::<S>(
        "UPDATE telemetra.batch_range SET late = 2 WHERE from_offset = 20",
        "late_events",
        "offsets 20..26",
    );
    check::<S>(
        "UPDATE telemetra.batch_range SET in_windows = 8 WHERE from_offset = 12",
        "tally",
        "events in windows is 8",
    );
    check::<S>("UPDATE telemetra.batch_range SET in_windows = 6 WHERE from_offset = 12", "counts", "");
    check::<S>("UPDATE telemetra.batch_range SET window_misses = 0 WHERE from_offset = 20", "counts", "");
    check::<S>(
        "UPDATE telemetra.batch_range SET watermark_ms = 0 WHERE from_offset = 12",
        "batches",
        "offsets 12..20",
    );
}

fn batches_and_totals<S: Store>() {
    check::<S>("UPDATE telemetra.job SET last_batch = 4", "totals", "job chat, last_batch");
    check::<S>("DELETE FROM telemetra.batch WHERE batch_id = 3", "totals", "job chat, last_batch");
    check::<S>(
        "DELETE FROM telemetra.batch WHERE batch_id = 2",
        "batches",
        "batch 3: number of the batch is 3",
    );
    check::<S>("DELETE FROM telemetra.batch WHERE batch_id = 2", "batches", "batch rows of the range is 0");
    check::<S>("UPDATE telemetra.batch SET watermark_ms = 0 WHERE batch_id = 2", "batches", "batch 3");
    check::<S>(
        "UPDATE telemetra.batch SET epoch = 9 WHERE batch_id = 2",
        "batches",
        "epoch of the batch is 9",
    );
    for column in ["records", "empty", "counted", "late", "dead", "in_windows", "window_misses"] {
        let tamper = format!("UPDATE telemetra.batch SET {column} = {column} + 1 WHERE batch_id = 2");
        check::<S>(&tamper, "batch_sums", &format!("batch 2, {column}"));
    }
    for column in TOTALS {
        let tamper = format!("UPDATE telemetra.job SET {column} = {column} + 1");
        check::<S>(&tamper, "totals", &format!("job chat, {column}"));
    }
    check::<S>("UPDATE telemetra.job SET watermark_ms = 0", "totals", "watermark_ms");
    check::<S>("UPDATE telemetra.job SET open_digest = 0", "totals", "open_digest");
    check::<S>("UPDATE telemetra.job SET open_end_ms = NULL", "totals", "open_end_ms");
    check::<S>("UPDATE telemetra.batch SET final_rows = 0 WHERE batch_id = 2", "final_rows", "");
    check::<S>("UPDATE telemetra.batch SET final_count = 0 WHERE batch_id = 2", "final_rows", "");
    check::<S>("UPDATE telemetra.batch SET moments = 0", "moments", "");
    // Changed in both places alike, the rows still tell.
    check::<S>(
        "UPDATE telemetra.job SET open_count = 9; UPDATE telemetra.batch SET open_count = 9",
        "counts",
        "",
    );
    let both = "UPDATE telemetra.batch SET window_misses = 2, early_misses = 1 WHERE batch_id = 3;
                UPDATE telemetra.job SET window_misses = 2";
    check::<S>(both, "counts", "");
}

/// Sums that the job row carries along.
const TOTALS: [&str; 7] =
    ["records", "late", "dead", "in_windows", "window_misses", "final_count", "final_rows"];

on_both!(
    an_honest_store_balances_and_everything_was_compared,
    rows_of_another_program_are_told_and_not_counted,
    rows,
    what_leaves_every_sum_as_it_was,
    refused_and_late_records,
    positions_and_ranges,
    batches_and_totals,
);
