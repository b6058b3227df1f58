//! The commerce fixtures, through the real binary into both stores: every row, refusal, file and view.
//!
//! Prices are compared as exact decimals, instants as microseconds, codes and places as they stand. A run moves its
//! files, so each works on a copy in its default folders. The store's ledger lists a file from its first record on:
//! those of the fixtures that hold none are in the run's report, as so many files without a record.

use std::{fs, path::Path};

use jiff::Timestamp;
use telemetra_connectors::{
    FileLedger, StoreReader,
    postgres::{self as pg, Address},
    sqlite,
};
use telemetra_services::postgres::{Database, Postgres};

use super::{Filled, Store, compare, expected};
use crate::support::{Telemetra, fixture};

const BATCHES: [Option<u64>; 2] = [None, Some(7)];

/// A filled store and the folder that the run worked in.
struct Shop {
    filled: Filled,
    /// Files without a record, as the run reported them.
    files_empty: u64,
    /// Dropped with its files once nothing is asked of them any more; `None` where the store lies in it.
    _folder: Option<Telemetra>,
}

fn run(store: Store, fixture_name: &str, batch: Option<u64>) -> Shop {
    let telemetra = Telemetra::new();
    let raw = telemetra.path().join("data/raw");
    let files = copy_folder(&fixture(fixture_name).join("raw"), &raw);
    let database = match store {
        Store::Sqlite => None,
        Store::Postgres => Some(Postgres::shared().create_database()),
    };
    let store_args = database
        .as_ref()
        .map_or(Vec::new(), |database: &Database<'static>| vec!["--store".to_owned(), database.address()]);
    let mut args = ["run", "commerce", "--once", "--json"].map(str::to_owned).to_vec();
    args.extend(batch.iter().flat_map(|batch| ["--max-records-per-trigger".to_owned(), batch.to_string()]));
    args.extend(store_args.clone());
    let run = telemetra.run(&args);
    run.expect_code(0);
    let report: serde_json::Value = serde_json::from_str(&run.stdout()).expect("a report");
    let files_empty = report["files"]["empty"].as_u64().expect("files are counted");
    // A head alone may be all that its writer has written as yet: it stays for some minutes.
    let (left, files) = (files_empty as usize, files - files_empty as usize);
    assert_eq!(fs::read_dir(&raw).expect("the folder stays").count(), left, "every other file is moved");
    let processed = telemetra.path().join("data/processed");
    assert_eq!(fs::read_dir(processed).expect("it is made").count(), files);
    telemetra.run(&[vec!["audit".to_owned()], store_args].concat()).expect_code(0);
    match database {
        None => Shop { filled: Filled::Sqlite(telemetra), files_empty, _folder: None },
        Some(database) => Shop { filled: Filled::Postgres(database), files_empty, _folder: Some(telemetra) },
    }
}

/// Copies the files of a folder and returns how many they were.
fn copy_folder(from: &Path, to: &Path) -> usize {
    fs::create_dir_all(to).expect("the folder is made");
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    let copied = entries.map(|entry| {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("it is copied")
    });
    copied.count()
}

fn check(fixture_name: &str) {
    let folder = fixture(fixture_name);
    for store in [Store::Sqlite, Store::Postgres] {
        for batch in BATCHES {
            let shop = run(store, fixture_name, batch);
            let told = |what: &str| format!("{store:?}, {fixture_name} {what} in batches of {batch:?}");
            let wanted = |what: &str| expected(&folder.join(format!("expected.{what}.csv")));
            compare_exactly(&told("accepted"), accepted(&shop.filled), with_instants(wanted("accepted")));
            compare(&told("rejected"), &rejected(&shop), &wanted("rejected"));
            let (empty, files): (Vec<_>, Vec<_>) =
                wanted("ledger").into_iter().partition(|row| row[1..].iter().all(|sum| sum == "0"));
            compare(&told("ledger"), &ledger(&shop), &files);
            assert_eq!(shop.files_empty, empty.len() as u64, "{}", told("files without a record"));
            compare_exactly(&told("v_event_summary"), summary(&shop.filled), wanted("v_event_summary"));
        }
    }
}

#[test]
fn commerce_small_matches_in_any_batches() {
    check("commerce_small");
}

#[test]
fn commerce_dirty_matches_in_any_batches() {
    check("commerce_dirty");
}

/// Rows by event_id, the price as a decimal, the timestamp in microseconds.
pub(super) fn accepted(filled: &Filled) -> Vec<Vec<String>> {
    let (price, timestamp) = match filled {
        Filled::Sqlite(_) => ("printf('%d.%02d', price / 100, price % 100)", "event_timestamp"),
        Filled::Postgres(_) => {
            ("price", "to_char(event_timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
    };
    with_instants(filled.rows(&format!(
        "SELECT event_id, user_id, product_id, product_name, category, {price}, event_type, {timestamp} \
         FROM user_events WHERE batch_id IS NOT NULL"
    )))
}

pub(super) fn with_instants(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for row in &mut rows {
        let at: Timestamp = row[7].parse().unwrap_or_else(|error| panic!("{row:?}: {error}"));
        row[7] = at.as_microsecond().to_string();
    }
    rows
}

fn rejected(shop: &Shop) -> Vec<Vec<String>> {
    shop.filled.rows("SELECT file, line, codes FROM rejected_events ORDER BY \"offset\"")
}

pub(super) fn summary(filled: &Filled) -> Vec<Vec<String>> {
    filled.rows(
        "SELECT event_type, total_events, unique_users, CAST(avg_price AS text), CAST(total_value AS text) \
         FROM v_event_summary",
    )
}

/// What the store's own reader says of each file.
fn ledger(shop: &Shop) -> Vec<Vec<String>> {
    let mut reader: StoreReader = match &shop.filled {
        Filled::Sqlite(telemetra) => sqlite::open_reader(&telemetra.store()),
        Filled::Postgres(database) => {
            pg::open_reader(&Address::parse(&database.address()).expect("it is ours"))
        }
    }
    .expect("the store is there");
    let files = reader.files("commerce", None, 100).expect("the store is readable");
    let row = |file: &FileLedger| {
        assert_eq!(file.read, file.records, "{} is read to its end", file.name);
        let sums = [file.records, file.accepted, file.duplicates, file.conflicts, file.quarantined];
        [file.name.clone()].into_iter().chain(sums.map(|sum| sum.to_string())).collect()
    };
    files.iter().map(row).collect()
}

/// Compares as text, in the order of the first column.
pub(super) fn compare_exactly(context: &str, mut found: Vec<Vec<String>>, mut expected: Vec<Vec<String>>) {
    found.sort();
    expected.sort();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{context}");
    }
    assert_eq!(found.len(), expected.len(), "{context}: number of rows");
}
