//! The audit finds every change of the store that the law forbids.

use super::*;

/// Tampers with a store that balances; clause `expected` must fail, and say `words` of the place.
#[track_caller]
fn check(tamper: &str, expected: &str, words: &str) {
    let store = Store::with_story();
    store.sql(tamper);
    let report = store.audit();
    let found: Vec<String> = report.imbalances().map(ToString::to_string).collect();
    let hit = found.iter().any(|text| text.starts_with(&format!("{expected}: ")) && text.contains(words));
    assert!(hit, "{tamper}: no {expected} ({words}) in {found:#?}");
}

#[test]
fn an_honest_store_balances_and_everything_was_compared() {
    let store = Store::with_story();
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    let idle: Vec<_> = report.checks.iter().filter(|check| check.compared == 0).collect();
    assert!(idle.is_empty(), "{idle:?}");
    assert_eq!(store.reader().audit(Some("other")).unwrap(), []);
}

#[test]
fn rows_of_another_program_are_told_and_not_counted() {
    let store = Store::with_story();
    store.sql(
        "INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata, detected_at)
         VALUES ('a', '2024-12-31T23:59:50.000Z', 'chat_spike', 'old', 9, '{}', '2025-01-01T00:00:00.000Z')",
    );
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    let told =
        "rows adopted from another program, which no sum counts: 0 of chat_summary_minute, 1 of moments";
    assert_eq!(report.remarks, [told]);
    assert!(Store::with_story().audit().remarks.is_empty());
}

#[test]
fn rows() {
    check("UPDATE chat_summary_minute SET chat_count = 11 WHERE chat_count = 10", "counts", "job chat");
    check("UPDATE chat_summary_minute SET chat_count = 11 WHERE chat_count = 10", "final_rows", "");
    check("DELETE FROM chat_summary_minute WHERE chat_count = 17", "counts", "");
    check("DELETE FROM chat_summary_minute WHERE chat_count = 17", "final_rows", "final rows is 2");
    check("UPDATE chat_summary_minute SET is_final = 1 WHERE NOT is_final", "final_rows", "");
    check(
        "UPDATE chat_summary_minute SET is_final = 0 WHERE chat_count = 17",
        "final_rows",
        "not final though",
    );
    check(
        "UPDATE chat_summary_minute SET batch_id = 4 WHERE chat_count = 17",
        "final_rows",
        "after the last",
    );
    check("UPDATE chat_summary_minute SET is_anomaly = 1 WHERE chat_count = 17", "moments", "");
    check("DELETE FROM moments", "moments", "moments is 0");
    check("UPDATE moments SET batch_id = NULL", "moments", "moments is 0");
    check("UPDATE moments SET batch_id = 2", "moments", "moments that differ from their row is 1");
    check("UPDATE moments SET metadata = '{\"chat_count\":6,\"z_score\":null}'", "moments", "differ");
    check("UPDATE moments SET timestamp = '2025-01-01T00:00:00.000Z'", "moments", "");
    check("DELETE FROM telemetra_result_table", "owner", "job chat");
}

#[test]
fn what_leaves_every_sum_as_it_was() {
    check("DELETE FROM telemetra_job", "totals", "job chat");
    check("UPDATE moments SET intensity = 0", "moments", "moments");
    check("UPDATE telemetra_position SET replay_offset = next_offset", "positions", "job chat");
    check("DELETE FROM telemetra_file", "tiling", "files");
    check("UPDATE telemetra_file SET first_offset = first_offset + 1", "tiling", "files");
    let swap = "UPDATE chat_summary_minute SET batch_id = (SELECT MAX(batch_id) FROM chat_summary_minute) - batch_id + 1
                WHERE is_final";
    check(swap, "final_rows", "batch");
}

#[test]
fn refused_and_late_records() {
    let copy = |table: &str, columns: &str, offset: u64| {
        format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM {table} LIMIT 1; UPDATE copy SET \"offset\" = {offset}{columns};
             INSERT INTO {table} SELECT * FROM copy"
        )
    };
    check("DELETE FROM dead_letters WHERE \"offset\" = 11", "dead_letters", "chat/0, batch 1, offsets 0..12");
    check(&copy("dead_letters", "", 3), "dead_letters", "chat/0, batch 1, offsets 0..12");
    check(&copy("dead_letters", "", 99), "dead_letters", "all partitions");
    check(&copy("dead_letters", ", input = 'viewer'", 6), "dead_letters", "viewer/0, batch 1, offsets 5..8");
    check("UPDATE dead_letters SET \"offset\" = 13 WHERE \"offset\" = 11", "dead_letters", "offsets 0..12");
    check("UPDATE dead_letters SET batch_id = 2", "dead_letters", "chat/0, batch 1");
    check("DELETE FROM late_events", "late_events", "chat/0, batch 3, offsets 20..26");
    check(&copy("late_events", "", 21), "late_events", "chat/0, batch 3, offsets 20..26");
    check(&copy("late_events", "", 99), "late_events", "all partitions");
    let late = "late by that watermark";
    check("UPDATE late_events SET event_time = '2025-01-01T00:00:00.000Z'", "late_events", late);
    check("UPDATE late_events SET watermark = '2025-01-01T00:00:16.000Z'", "late_events", "offset 22");
}

#[test]
fn positions_and_ranges() {
    check(
        "UPDATE telemetra_position SET next_offset = 27 WHERE input = 'chat'",
        "tiling",
        "partition chat/0",
    );
    check(
        "UPDATE telemetra_position SET next_offset = 25 WHERE input = 'chat'",
        "tiling",
        "partition chat/0",
    );
    check(
        "UPDATE telemetra_position SET first_offset = 4 WHERE input = 'viewer'",
        "tiling",
        "partition viewer/0",
    );
    let beyond = "replay offset is 27, next offset is 26";
    check("UPDATE telemetra_position SET replay_offset = 27 WHERE input = 'chat'", "positions", beyond);
    check("DELETE FROM telemetra_position WHERE input = 'viewer'", "positions", "partition viewer/0");
    let hole =
        "partition chat/0, batch 3, offsets 20..26: begin of the piece is 20, end of the piece before is 12";
    check("DELETE FROM telemetra_batch_range WHERE batch_id = 2", "tiling", hole);
    check("DELETE FROM telemetra_batch_range WHERE batch_id = 1", "tiling", "offsets 12..20");
    check("DELETE FROM telemetra_batch_range WHERE batch_id = 3", "tiling", "next offset is 26");
    let overlap = "begin of the piece is 12, end of the piece before is 13";
    check("UPDATE telemetra_batch_range SET to_offset = 13 WHERE from_offset = 0", "tiling", overlap);
    check(
        "INSERT INTO telemetra_gap VALUES ('chat', 'chat', 0, 15, 17, 0, 'none', 2)",
        "tiling",
        "batch 2, offsets 15..17",
    );
    check("UPDATE telemetra_batch_range SET counted = 8 WHERE from_offset = 12", "tally", "offsets 12..20");
    check("UPDATE telemetra_batch_range SET empty = 0 WHERE from_offset = 0", "tally", "offsets 0..12");
    check("UPDATE telemetra_batch_range SET records = 9 WHERE from_offset = 12", "tally", "offsets 12..20");
    check(
        "UPDATE telemetra_batch_range SET late = 2 WHERE from_offset = 20",
        "late_events",
        "offsets 20..26",
    );
    check(
        "UPDATE telemetra_batch_range SET in_windows = 8 WHERE from_offset = 12",
        "tally",
        "events in windows is 8",
    );
    check("UPDATE telemetra_batch_range SET in_windows = 6 WHERE from_offset = 12", "counts", "");
    check("UPDATE telemetra_batch_range SET window_misses = 0 WHERE from_offset = 20", "counts", "");
    check(
        "UPDATE telemetra_batch_range SET watermark_ms = 0 WHERE from_offset = 12",
        "batches",
        "offsets 12..20",
    );
}

#[test]
fn batches_and_totals() {
    check("UPDATE telemetra_job SET last_batch = 4", "totals", "job chat, last_batch");
    check("DELETE FROM telemetra_batch WHERE batch_id = 3", "totals", "job chat, last_batch");
    check("DELETE FROM telemetra_batch WHERE batch_id = 2", "batches", "batch 3: number of the batch is 3");
    check("DELETE FROM telemetra_batch WHERE batch_id = 2", "batches", "batch rows of the range is 0");
    check("UPDATE telemetra_batch SET watermark_ms = 0 WHERE batch_id = 2", "batches", "batch 3");
    check("UPDATE telemetra_batch SET epoch = 9 WHERE batch_id = 2", "batches", "epoch of the batch is 9");
    for column in ["records", "empty", "counted", "late", "dead", "in_windows", "window_misses"] {
        let tamper = format!("UPDATE telemetra_batch SET {column} = {column} + 1 WHERE batch_id = 2");
        check(&tamper, "batch_sums", &format!("batch 2, {column}"));
    }
    for column in TOTALS {
        let tamper = format!("UPDATE telemetra_job SET {column} = {column} + 1");
        check(&tamper, "totals", &format!("job chat, {column}"));
    }
    check("UPDATE telemetra_job SET watermark_ms = 0", "totals", "watermark_ms");
    check("UPDATE telemetra_job SET open_digest = 0", "totals", "open_digest");
    check("UPDATE telemetra_job SET open_end_ms = NULL", "totals", "open_end_ms");
    check("UPDATE telemetra_batch SET final_rows = 0 WHERE batch_id = 2", "final_rows", "");
    check("UPDATE telemetra_batch SET final_count = 0 WHERE batch_id = 2", "final_rows", "");
    check("UPDATE telemetra_batch SET moments = 0", "moments", "");
    // Changed in both places alike, the rows still tell.
    check("UPDATE telemetra_job SET open_count = 9; UPDATE telemetra_batch SET open_count = 9", "counts", "");
    let both = "UPDATE telemetra_batch SET window_misses = 2, early_misses = 1 WHERE batch_id = 3;
                UPDATE telemetra_job SET window_misses = 2";
    check(both, "counts", "");
}

const TOTALS: [&str; 7] = crate::ledger::audit::TOTALS;
