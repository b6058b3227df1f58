//! The fixtures, through the real binary into a real store: row by row, all columns.
//!
//! Floating-point columns agree to 1e-9, keys and integers exactly. After each run the audit must balance.

mod commerce;
mod kafka;

use std::path::Path;

use telemetra_services::postgres::{Database, Postgres};

use crate::support::{Telemetra, fixture};

/// A store that a run has filled.
pub(crate) enum Filled {
    Sqlite(Telemetra),
    Postgres(Database<'static>),
}

/// Which store a run is to fill.
#[derive(Clone, Copy, Debug)]
enum Store {
    Sqlite,
    Postgres,
}

fn run(store: Store, fixture_name: &str, batch: Option<u64>, env: &[(&str, &str)]) -> Filled {
    match store {
        Store::Sqlite => {
            let telemetra = Telemetra::new();
            run_into(&telemetra, None, fixture_name, batch, env);
            telemetra.run(&["audit"]).expect_code(0);
            Filled::Sqlite(telemetra)
        }
        Store::Postgres => {
            let database = Postgres::shared().create_database();
            run_into(&Telemetra::new(), Some(database.address()), fixture_name, batch, env);
            Telemetra::new().run(&["audit", "--store", &database.address()]).expect_code(0);
            Filled::Postgres(database)
        }
    }
}

/// Runs a fixture to its end and closes every window.
pub(crate) fn run_into(
    telemetra: &Telemetra,
    store: Option<String>,
    fixture_name: &str,
    batch: Option<u64>,
    env: &[(&str, &str)],
) {
    let viewer = fixture(fixture_name).join("viewer");
    let mut args = vec!["run".into(), "chat".into(), "--once".into(), "--drain".into()];
    args.extend(["--chat-dir".to_owned(), fixture(fixture_name).join("chat").display().to_string()]);
    if viewer.exists() {
        args.extend(["--viewer-dir".to_owned(), viewer.display().to_string()]);
    }
    if let Some(batch) = batch {
        args.extend(["--max-records-per-trigger".to_owned(), batch.to_string()]);
    }
    args.extend(store.into_iter().flat_map(|store| ["--store".to_owned(), store]));
    telemetra.run_env(&args, env).expect_code(0);
}

/// Compares what is in each store with the expected files whose names begin with `prefix`.
fn check(fixture_name: &str, prefix: &str, batches: &[Option<u64>], env: &[(&str, &str)]) {
    let folder = fixture(fixture_name);
    for store in [Store::Sqlite, Store::Postgres] {
        for &batch in batches {
            let filled = run(store, fixture_name, batch, env);
            let context = format!("{store:?}, {fixture_name} {prefix} in batches of {batch:?}");
            compare_all(&context, &filled, &folder, prefix);
        }
    }
}

/// Compares result tables and dead letters with the expected files of `folder`.
pub(crate) fn compare_all(context: &str, filled: &Filled, folder: &Path, prefix: &str) {
    compare(context, &summary(filled), &expected(&folder.join(format!("{prefix}.summary.csv"))));
    compare(context, &moments(filled), &expected(&folder.join(format!("{prefix}.moments.csv"))));
    compare(context, &dead_letters(filled), &expected(&folder.join(format!("{prefix}.dead.csv"))));
}

const BATCHES: [Option<u64>; 4] = [None, Some(7), Some(120), Some(997)];

#[test]
fn chat_small_matches_in_any_batches() {
    check("chat_small", "expected", &BATCHES, &[]);
}

#[test]
fn chat_small_matches_with_the_whitespace_tokenizer() {
    check("chat_small", "expected_whitespace", &BATCHES, &[("SENTIMENT_TOKENIZER", "whitespace")]);
}

#[test]
fn chat_dirty_matches_in_any_batches() {
    check("chat_dirty", "expected", &BATCHES, &[]);
}

#[test]
fn chat_late_matches_for_both_batch_sizes_late_events_and_ledger_included() {
    for batch in [50, 500] {
        let prefix = format!("expected_{batch}");
        check("chat_late", &prefix, &[Some(batch)], &[]);
        for store in [Store::Sqlite, Store::Postgres] {
            let filled = run(store, "chat_late", Some(batch), &[]);
            let folder = fixture("chat_late");
            let late = filled.rows("SELECT file, line FROM late_events ORDER BY \"offset\"");
            compare("late events", &late, &expected(&folder.join(format!("{prefix}.late.csv"))));
            let text =
                std::fs::read_to_string(folder.join(format!("{prefix}.ledger.json"))).expect("a ledger");
            let ledger: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let sums = filled.rows(
                "SELECT SUM(records), SUM(counted), SUM(late), SUM(window_misses) FROM telemetra.batch_range",
            );
            let chat_count = filled.rows("SELECT SUM(chat_count) FROM chat_summary_minute");
            let number = |name: &str| ledger[name].to_string();
            let names = ["records", "counted", "late", "window_misses"];
            assert_eq!(sums[0], names.map(number).to_vec(), "{store:?} {prefix}");
            assert_eq!(chat_count[0][0], number("sum_chat_count"), "{store:?} {prefix}");
        }
    }
}

impl Filled {
    /// An instant column in the fixtures' form.
    fn instant(&self, column: &str) -> String {
        match self {
            Filled::Sqlite(_) => column.to_owned(),
            Filled::Postgres(_) => {
                format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
            }
        }
    }

    /// All values of a query as text, NULL as none; ledger tables by their PostgreSQL names.
    fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Filled::Sqlite(telemetra) => {
                sqlite_rows(&telemetra.open_store(), &sql.replace("telemetra.", "telemetra_"))
            }
            Filled::Postgres(database) => {
                let answers = database.client().simple_query(sql).expect("a query");
                let rows = answers.into_iter().filter_map(|answer| match answer {
                    postgres::SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                });
                rows.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
                    .collect()
            }
        }
    }
}

pub(crate) fn summary(filled: &Filled) -> Vec<Vec<String>> {
    let (start, end) = (filled.instant("window_start"), filled.instant("window_end"));
    let emotes = match filled {
        Filled::Sqlite(_) => "top_emotes",
        Filled::Postgres(_) => "to_json(top_emotes)",
    };
    let mut rows = filled.rows(&format!(
        "SELECT stream_id, {start}, {end}, chat_count, unique_chatters, avg_sentiment, positive_count, \
         negative_count, chat_rate, avg_viewers, {emotes}, emote_counts, z_score, CAST(is_anomaly AS integer), \
         CAST(is_final AS integer), CAST(incomplete AS integer) FROM chat_summary_minute"
    ));
    rows.sort_by(|a, b| a[..2].cmp(&b[..2]));
    for row in &mut rows {
        assert_eq!(
            row.split_off(14),
            ["1", "0"],
            "every window is final and complete after --drain: {row:?}"
        );
        let names: Vec<String> = serde_json::from_str(&row[10]).expect("top_emotes is a JSON array");
        row[10] = names.join("|");
        row[13] = if row[13] == "1" { "true".into() } else { "false".into() };
    }
    rows
}

fn moments(filled: &Filled) -> Vec<Vec<String>> {
    let timestamp = filled.instant("timestamp");
    let mut rows = filled.rows(&format!(
        "SELECT stream_id, {timestamp}, moment_type, intensity, metadata ->> 'z_score', metadata ->> 'chat_count' \
         FROM moments"
    ));
    rows.sort_by(|a, b| a[..2].cmp(&b[..2]));
    rows
}

fn dead_letters(filled: &Filled) -> Vec<Vec<String>> {
    filled.rows("SELECT input, file, line, code FROM dead_letters ORDER BY input, \"offset\"")
}

/// Refused records of topics: input, topic, partition, offset, code.
fn dead_letters_by_offset(filled: &Filled) -> Vec<Vec<String>> {
    filled.rows("SELECT input, topic, \"partition\", \"offset\", code FROM dead_letters")
}

fn sqlite_rows(db: &rusqlite::Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = db.prepare(sql).expect("the table is there");
    let columns = statement.column_count();
    let text = |value: rusqlite::types::ValueRef<'_>| match value {
        rusqlite::types::ValueRef::Null => String::new(),
        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
        rusqlite::types::ValueRef::Real(number) => number.to_string(),
        rusqlite::types::ValueRef::Text(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
        rusqlite::types::ValueRef::Blob(_) => panic!("no blob is compared"),
    };
    statement
        .query_map([], |row| (0..columns).map(|at| Ok(text(row.get_ref(at)?))).collect())
        .expect("a query")
        .collect::<Result<_, _>>()
        .expect("rows")
}

fn expected(path: &Path) -> Vec<Vec<String>> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = reader.records().map(|record| record.expect("CSV").iter().map(str::to_owned).collect());
    rows.collect()
}

fn compare(context: &str, found: &[Vec<String>], expected: &[Vec<String>]) {
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let equal =
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| cells_equal(a, b));
        assert!(equal, "{context}: row {row}\nfound    {found:?}\nexpected {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{context}: number of rows");
}

/// Equal as text, as instants, as JSON or as numbers that differ by at most 1e-9.
fn cells_equal(found: &str, expected: &str) -> bool {
    let instant = |text: &str| text.strip_suffix('Z').map(|text| text.trim_end_matches(".000").to_owned());
    let json = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object)
    };
    if found == expected || (json(found).is_some() && json(found) == json(expected)) {
        return true;
    }
    if instant(found).is_some() {
        return instant(found) == instant(expected);
    }
    match (found.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(found), Ok(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        _ => false,
    }
}

#[test]
fn cells_that_differ_are_told_apart() {
    assert!(cells_equal("0.1", "0.10000000000000001"));
    assert!(!cells_equal("0.1", "0.10001"));
    assert!(cells_equal("2025-01-01T00:00:00.000Z", "2025-01-01T00:00:00Z"));
    assert!(!cells_equal("2025-01-01T00:00:10.000Z", "2025-01-01T00:00:00Z"));
    assert!(!cells_equal("", "0"));
    assert!(!cells_equal("{\"a\":1}", "{\"a\": 2}"));
}
