//! Refused records through the real binary: exported exactly once and as they came, listed, replayed at most once.

use std::{fs, path::PathBuf};

use serde_json::Value;
use telemetra_services::postgres::{Database, Postgres};

use crate::support::{Telemetra, fixture};

/// A folder of shop events and the store they go to.
struct Shop {
    telemetra: Telemetra,
    database: Option<Database<'static>>,
}

impl Shop {
    fn new(database: Option<Database<'static>>) -> Self {
        let telemetra = Telemetra::new();
        let input = telemetra.path().join("data/raw");
        fs::create_dir_all(&input).expect("a folder");
        for entry in fs::read_dir(fixture("commerce_dirty/raw")).expect("the fixture") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), input.join(entry.file_name())).expect("copied");
        }
        Self { telemetra, database }
    }

    #[track_caller]
    fn run(&self, words: &str) -> String {
        let mut args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        args.extend(self.database.iter().flat_map(|it| ["--store".to_owned(), it.address()]));
        self.telemetra.run(&args).expect_code(0)
    }

    #[track_caller]
    fn ingest(&self) -> String {
        self.run("run commerce --once --arrival rename")
    }

    fn sql(&self, sql: &str) {
        match &self.database {
            Some(database) => database.client().batch_execute(sql).expect("a statement"),
            None => {
                let db = rusqlite::Connection::open(self.telemetra.store()).expect("the store is there");
                db.execute_batch(&sql.replace("telemetra.", "telemetra_")).expect("a statement");
            }
        }
    }

    fn error_file(&self, name: &str) -> PathBuf {
        self.telemetra.path().join("data/error").join(name)
    }

    fn exported(&self, name: &str) -> Vec<u8> {
        fs::read(self.error_file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn error_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.error_file("")).expect("the folder is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().into_string().expect("a name of ours")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Codes of what a batch refused of a file, in the order of lines.
    fn codes(&self, batch: u64, file: &str) -> Vec<String> {
        let listed = self.run(&format!("quarantine list --json --limit 1000 --file {file}"));
        let records = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_batch = records.filter(|record| record["batch"] == batch);
        of_batch.map(|record| record["codes"].to_string()).collect()
    }
}

/// The head of a file of the fixture and the lines of it that are refused, as they came but for the line ends.
fn expected(file: &str) -> Vec<u8> {
    let raw = fs::read(fixture("commerce_dirty/raw").join(file)).expect("the fixture");
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&raw);
    let lines: Vec<&[u8]> = raw.split(|&byte| byte == b'\n').collect();
    let refused = fs::read_to_string(fixture("commerce_dirty/expected.rejected.csv")).expect("the fixture");
    let numbers = refused.lines().filter_map(|line| {
        let mut fields = line.split(',');
        (fields.next() == Some(file)).then(|| fields.next()?.parse::<usize>().ok()).flatten()
    });
    let mut bytes = Vec::new();
    for number in std::iter::once(1).chain(numbers) {
        let line = lines[number - 1];
        bytes.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        bytes.push(b'\n');
    }
    bytes
}

const EXPORTS: [(&str, &str); 2] =
    [("a_rules.csv", "a_rules.b1.s0.csv"), ("b_dialect.csv", "b_dialect.b1.s1.csv")];

fn exports_are_exact_and_made_once(shop: &Shop) {
    shop.ingest();
    for (file, export) in EXPORTS {
        let (found, expected) = (shop.exported(export), expected(file));
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{export}");
        assert_eq!(found, expected, "{export}");
    }
    let names = shop.error_names();
    assert_eq!(names.len(), 4, "{names:?}");
    let before: Vec<_> = names.iter().map(|name| shop.exported(name)).collect();
    let reasons = String::from_utf8(shop.exported("b_dialect.b1.s1.reasons.jsonl")).expect("UTF-8");
    let reason: Value = serde_json::from_str(&reasons).expect("one line of JSON");
    assert_eq!((&reason["line"], &reason["codes"][0]), (&Value::from(5), &Value::from("price_syntax")));
    // What a user deleted stays deleted.
    fs::remove_file(shop.error_file(EXPORTS[0].1)).expect("it is there");
    shop.ingest();
    assert!(!shop.error_file(EXPORTS[0].1).exists());
    // A crash between the commit and the mark, half a file left.
    shop.sql("UPDATE telemetra.export SET exported_at = NULL");
    fs::write(shop.error_file(".a_rules.b1.s0.csv.tmp"), "event_id,us").expect("written");
    fs::write(shop.error_file(EXPORTS[1].1), "torn").expect("written");
    shop.ingest();
    assert_eq!(shop.error_names(), names);
    assert_eq!(names.iter().map(|name| shop.exported(name)).collect::<Vec<_>>(), before);
    let log = fs::read_to_string(shop.telemetra.path().join("logs/streaming_metrics.log")).expect("the log");
    let line: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    let numbers = ["batch", "files", "records", "accepted", "duplicate", "conflict", "quarantined"];
    assert_eq!(numbers.map(|name| line[name].as_u64()), [1, 2, 46, 18, 4, 1, 23].map(Some), "{line}");
}

fn what_is_fed_back_is_refused_as_before(shop: &Shop) {
    let codes = EXPORTS.map(|(file, _)| shop.codes(1, file));
    for (_, export) in EXPORTS {
        let back = shop.telemetra.path().join("data/raw").join(export);
        fs::copy(shop.error_file(export), back).expect("copied");
    }
    shop.ingest();
    assert_eq!(EXPORTS.map(|(_, export)| shop.codes(2, export)), codes);
    assert_eq!(shop.exported("a_rules.b1.s0.b2.s2.csv"), shop.exported(EXPORTS[0].1));
}

fn a_record_becomes_a_row_at_most_once(shop: &Shop) {
    shop.sql("UPDATE user_events SET event_id = 'old' WHERE event_id = 'e001'");
    let replay = |more: &str| shop.run(&format!("quarantine replay{more}"));
    let found = replay(" --code duplicate_conflict");
    assert!(found.contains("1 became rows, 1 were duplicates, 0 conflicts, 0 are still refused"), "{found}");
    let found = replay("");
    assert!(found.contains("0 became rows, 1 were duplicates, 0 conflicts, 46 are still refused"), "{found}");
    assert!(found.contains("  2 price_syntax|timestamp_syntax"), "{found}");
    let listed = shop.run("quarantine list --limit 3");
    assert!(listed.contains("a_rules.csv:4") && listed.contains("3 records; --limit"), "{listed}");
}

fn from_refusal_to_replay(database: Option<Database<'static>>) {
    let shop = Shop::new(database);
    exports_are_exact_and_made_once(&shop);
    what_is_fed_back_is_refused_as_before(&shop);
    a_record_becomes_a_row_at_most_once(&shop);
    shop.run("audit");
}

#[test]
fn refused_records_on_sqlite() {
    from_refusal_to_replay(None);
}

#[test]
fn refused_records_on_postgresql() {
    from_refusal_to_replay(Some(Postgres::shared().create_database()));
}

#[test]
fn enospc_in_the_error_folder_leaves_the_export_pending_and_the_run_goes_on() {
    // A disk that is full in the midst of a file: no file may be longer than a block, and nothing but exports is.
    let shop = Shop::new(Some(Postgres::shared().create_database()));
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let store = shop.database.as_ref().expect("it was made").address();
    let run =
        shop.telemetra.command(&["run", "commerce", "--once", "--arrival", "rename", "--store", &store]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", limited, "sh"]).arg(run.get_program()).args(run.get_args());
    shell.current_dir(shop.telemetra.path()).env_clear();
    let ran = shell.output().expect("a shell is there");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("could not be exported"), "{said}");
    assert!(!shop.error_file(EXPORTS[0].1).exists(), "half a file has no name");
    shop.run("audit");
    exports_are_exact_and_made_once(&shop);
}

#[test]
fn an_error_folder_that_cannot_be_written_does_not_stop_the_run() {
    let shop = Shop::new(None);
    fs::write(shop.telemetra.path().join("data/error"), "a file").expect("written");
    let said = shop.ingest();
    assert!(said.contains("could not be exported"), "{said}");
    fs::remove_file(shop.telemetra.path().join("data/error")).expect("it is there");
    shop.ingest();
    assert_eq!(shop.error_names().len(), 4);
    shop.run("audit");
}

#[test]
fn records_are_not_judged_again_by_another_time_zone() {
    let telemetra = Telemetra::new();
    let input = telemetra.path().join("data/raw");
    fs::create_dir_all(&input).expect("a folder");
    let head = "event_id,user_id,product_id,product_name,category,price,event_type,timestamp";
    fs::write(input.join("a.csv"), format!("{head}\na,u,p,n,c,1.00,view,2025-03-30 02:30:00\n"))
        .expect("written");
    let berlin = [("EVENT_TIMEZONE", "Europe/Berlin")];
    telemetra.run_env(&["run", "commerce", "--once", "--arrival", "rename"], &berlin).expect_code(0);
    let replay = ["quarantine", "replay"];
    let said = telemetra.run(&replay).expect_code(1);
    assert!(said.contains("EVENT_TIMEZONE"), "{said}");
    let said = telemetra.run_env(&replay, &berlin).expect_code(0);
    assert!(said.contains("1 are still refused"), "{said}");
    // Whoever goes on by another zone is told.
    let said = telemetra.run(&["run", "commerce", "--once", "--arrival", "rename"]).expect_code(0);
    assert!(said.contains("EVENT_TIMEZONE"), "{said}");
}
