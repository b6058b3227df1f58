//! The audit finds every change of a commerce job's tables that the law forbids.

use super::*;

/// Two batches, three files, of everything one.
fn told<S: Store>() -> Shop<S> {
    let mut shop = Shop::<S>::new();
    shop.commit("a=1 b=1 ! | a=1 a=2 .");
    shop.commit("c=1 b=1");
    shop
}

/// Tampers with a store that balances; clause `expected` must fail, and say `words` of the place.
#[track_caller]
fn check<S: Store>(tamper: &str, expected: &str, words: &str) {
    let shop = told::<S>();
    shop.assert_balanced();
    shop.store.sql(tamper);
    let report = shop.store.audit();
    let found: Vec<String> = report.imbalances().map(ToString::to_string).collect();
    let hit = found.iter().any(|text| text.starts_with(&format!("{expected}: ")) && text.contains(words));
    assert!(hit, "{tamper}: no {expected} ({words}) in {found:#?}");
}

fn rows<S: Store>() {
    check::<S>(
        "DELETE FROM user_events WHERE event_id = 'a'",
        "unique_rows",
        "batch 1: rows of the batch is 1",
    );
    check::<S>("UPDATE user_events SET batch_id = 2 WHERE event_id = 'a'", "unique_rows", "batch 2");
    check::<S>("UPDATE user_events SET batch_id = 3 WHERE event_id = 'a'", "unique_rows", "batch 1");
    check::<S>(
        "UPDATE user_events SET batch_id = NULL",
        "unique_rows",
        "user_events: rows with a batch is 0",
    );
    let copy =
        "INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type,
                    event_timestamp, created_at, batch_id)
                SELECT 'z', user_id, product_id, product_name, category, price, event_type, event_timestamp,
                    created_at, 9 FROM user_events WHERE event_id = 'a'";
    check::<S>(copy, "unique_rows", "user_events: rows with a batch is 4");
    check::<S>("DELETE FROM telemetra.result_table", "owner", "job commerce");
}

fn rows_of_others_are_told_and_not_counted<S: Store>() {
    let shop = told::<S>();
    let copy =
        "INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type,
                    event_timestamp, created_at)
                SELECT 'z', user_id, product_id, product_name, category, price, event_type, event_timestamp,
                    created_at FROM user_events WHERE event_id = 'a'";
    shop.store.sql(copy);
    shop.assert_balanced();
    let told = "rows of user_events written by another program, which no sum counts: 1";
    assert_eq!(shop.store.audit().remarks, [told]);
}

fn the_quarantine<S: Store>() {
    let of_range = "events/0, batch 1, offsets 3..6: rows of rejected_events is";
    check::<S>("DELETE FROM rejected_events WHERE \"offset\" = 4", "quarantine", of_range);
    check::<S>("DELETE FROM rejected_events WHERE \"offset\" = 4", "quarantine", "all partitions");
    check::<S>("UPDATE rejected_events SET \"offset\" = 3 WHERE \"offset\" = 2", "quarantine", of_range);
    check::<S>("UPDATE rejected_events SET \"offset\" = 99 WHERE \"offset\" = 4", "quarantine", of_range);
    check::<S>("UPDATE rejected_events SET batch_id = 2", "quarantine", "events/0, batch 1, offsets 0..3");
    check::<S>(
        "UPDATE rejected_events SET replayed_at = '2025-01-01T00:00:00.000Z'",
        "unique_rows",
        "batch 1",
    );
    check::<S>("DELETE FROM telemetra.export", "quarantine", "batch 1: exports, made or to be made is 0");
    check::<S>("UPDATE telemetra.export SET batch_id = 2", "quarantine", "batch 2");
    let dead = "INSERT INTO dead_letters (job, input, \"partition\", \"offset\", code, raw, batch_id)
                SELECT job, 'events', \"partition\", \"offset\", codes, raw, batch_id FROM rejected_events";
    check::<S>(dead, "dead_letters", "events/0, batch 1");
}

fn the_ledger<S: Store>() {
    let range = |column: &str| {
        format!("UPDATE telemetra.batch_range SET {column} = {column} + 1 WHERE from_offset = 0")
    };
    for column in ["accepted", "duplicates", "conflicts", "quarantined", "records"] {
        check::<S>(&range(column), "outcomes", "events/0, batch 1, offsets 0..3");
    }
    for column in ["accepted", "duplicates", "conflicts"] {
        check::<S>(&range(column), "batch_sums", &format!("batch 1, {column}"));
    }
    check::<S>(&range("counted"), "outcomes", "offsets 0..3");
    check::<S>(&range("counted"), "tally", "offsets 0..3");
    check::<S>(&range("dead"), "batch_sums", "batch 1, refused");
    check::<S>(&range("to_offset"), "tiling", "offsets 3..6");
    // Sums that stay as they were.
    let swap = "UPDATE telemetra.batch_range SET accepted = accepted - 1, duplicates = duplicates + 1
                WHERE from_offset = 0";
    check::<S>(swap, "batch_sums", "batch 1, accepted");
    let both = format!(
        "{swap}; UPDATE telemetra.batch SET accepted = accepted - 1, duplicates = duplicates + 1 WHERE batch_id = 1;
         UPDATE telemetra.job SET accepted = accepted - 1, duplicates = duplicates + 1"
    );
    check::<S>(&both, "unique_rows", "batch 1");
    for column in ["accepted", "duplicates", "conflicts", "refused"] {
        let tamper = format!("UPDATE telemetra.batch SET {column} = {column} + 1 WHERE batch_id = 2");
        check::<S>(&tamper, "batch_sums", &format!("batch 2, {column}"));
        let tamper = format!("UPDATE telemetra.job SET {column} = {column} + 1");
        check::<S>(&tamper, "totals", &format!("job commerce, {column}"));
    }
    check::<S>("UPDATE telemetra.position SET next_offset = 7", "tiling", "partition events/0");
    check::<S>("UPDATE telemetra.batch SET attempt = 'x', epoch = 9 WHERE batch_id = 1", "batches", "epoch");
    check::<S>("DELETE FROM telemetra.file", "tiling", "files");
    check::<S>("DELETE FROM telemetra.job", "totals", "job commerce");
}

fn a_chat_job_accepts_nothing_by_an_id<S: Store>() {
    let store = S::with_story();
    store.sql("UPDATE telemetra.batch_range SET accepted = 1 WHERE from_offset = 12");
    let report = store.audit();
    let found: Vec<_> = report.imbalances().map(|it| it.clause.name()).collect();
    assert_eq!(found, ["batch_sums", "outcomes"]);
}

on_both![
    rows,
    rows_of_others_are_told_and_not_counted,
    the_quarantine,
    the_ledger,
    a_chat_job_accepts_nothing_by_an_id,
];
