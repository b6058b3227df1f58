//! Made-up shop events through the real binary: what a run counts and stores is what the generator says it must be.

use std::fs;

use serde_json::Value;
use telemetra_services::postgres::{Database, Postgres};

use crate::support::Telemetra;

const GENERATE: &str = "generate commerce --events-per-second 50 --duration 2m --seed 7 --invalid 0.05 \
                        --duplicate 0.05 --conflict 0.03 --rotate 30 --output data/raw --sums sums.json";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A folder with six thousand records in four files, and the sums that they must come to.
fn generated(more: &str) -> (Telemetra, Value) {
    let telemetra = Telemetra::new();
    telemetra.run(&words(&format!("{GENERATE} {more}"))).expect_code(0);
    let sums = fs::read_to_string(telemetra.path().join("sums.json")).expect("the sums are there");
    (telemetra, json(&sums))
}

#[test]
fn a_run_comes_to_the_generators_sums_in_report_status_and_table() {
    for compress in ["none", "gz", "zst"] {
        let (telemetra, sums) = generated(&format!("--compress {compress}"));
        assert_eq!(sums["records"], 6_000);
        let run = telemetra.run(&words("run commerce --once --json --max-records-per-trigger 1000"));
        run.expect_code(0);
        let report = json(&run.stdout());
        let status = telemetra.run(&words("status --json"));
        status.expect_code(0);
        let status = json(&status.stdout())["jobs"][0].clone();
        for (counted, made) in [
            ("records", "records"),
            ("accepted", "accepted"),
            ("duplicates", "duplicates"),
            ("conflicts", "conflicts"),
            ("quarantined", "invalid"),
        ] {
            assert!(sums[made].as_u64().is_some_and(|sum| sum > 0), "{made}: {sums}");
            assert_eq!((&report[counted], &status[counted]), (&sums[made], &sums[made]), "{counted}");
        }
        assert_eq!(report["files"]["read"], 4, "{report}");
        assert!(report.get("watermark_ms").is_none() && report.get("late").is_none(), "{report}");
        let db = telemetra.open_store();
        let found: (i64, i64) = db
            .query_row("SELECT COUNT(*), SUM(price) FROM user_events", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("the table is there");
        assert_eq!((Some(found.0), Some(found.1)), (sums["accepted"].as_i64(), sums["cents"].as_i64()));
        telemetra.run(&["audit"]).expect_code(0);
    }
}

#[test]
fn the_report_tells_known_empty_and_faulty_files() {
    let (telemetra, _) = generated("");
    let raw = telemetra.path().join("data/raw");
    let mut files: Vec<_> =
        fs::read_dir(&raw).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    // Some of the invalid records are no UTF-8.
    let bytes = fs::read(&files[0]).expect("CSV");
    let head = bytes.split(|byte| *byte == b'\n').next().expect("a head");
    fs::write(raw.join("x-known.csv"), &bytes).expect("a copy");
    fs::write(raw.join("x-empty.csv"), head).expect("a head alone");
    fs::write(raw.join("x-faulty.csv"), "event_id,user_id\n1,2\n").expect("columns are missing");
    let run = telemetra.run(&words("run commerce --once"));
    let shown = run.expect_code(0);
    assert!(shown.contains("6,001 records read"), "{shown}");
    assert!(shown.contains("files 5 read, 1 duplicates, 1 without a record, 1 faulty"), "{shown}");
    let named = "x-faulty.csv: none of its records were read, it is one refused record (header_missing:";
    assert!(shown.contains(named) && shown.contains("put it back into data/raw"), "{shown}");
    assert_eq!(run.stderr().matches(named).count(), 1, "{}", run.stderr());
    assert!(!shown.contains("watermark") && !shown.contains("window"), "{shown}");
    let status = telemetra.run(&words("status")).expect_code(0);
    assert!(status.contains("job commerce: not running") && status.contains("quarantined"), "{status}");
}

/// Ten thousand good rows in one file, one of them once more in the midst of the others.
fn one_duplicate(database: Option<&Database<'_>>) {
    let telemetra = Telemetra::new();
    let generate =
        "generate commerce --count 10000 --events-per-second 1000 --start 2025-01-01T00:00:00Z --output made";
    telemetra.run(&words(generate)).expect_code(0);
    let made = fs::read_dir(telemetra.path().join("made")).expect("a folder").next().expect("a file");
    let text = fs::read_to_string(made.expect("an entry").path()).expect("CSV");
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 10_000);
    lines.insert(7_500, lines[5_000]);
    let raw = telemetra.path().join("data/raw");
    fs::create_dir_all(&raw).expect("a folder");
    fs::write(raw.join("a.csv"), lines.join("\n") + "\n").expect("written");

    let store: Vec<String> = database.iter().flat_map(|it| ["--store".into(), it.address()]).collect();
    let command = |line: &str| [words(line).into_iter().map(str::to_owned).collect(), store.clone()].concat();
    let run = telemetra.run(&command("run commerce --once --json --arrival rename"));
    run.expect_code(0);
    let report = json(&run.stdout());
    let counted = ["records", "accepted", "duplicates", "conflicts", "quarantined"];
    assert_eq!(counted.map(|name| report[name].as_u64()), [10_001, 10_000, 1, 0, 0].map(Some), "{report}");
    let sql = "SELECT count(*) FROM user_events";
    let rows: i64 = match database {
        Some(database) => database.client().query_one(sql, &[]).expect("the table is there").get(0),
        None => telemetra.open_store().query_row(sql, [], |row| row.get(0)).expect("the table is there"),
    };
    assert_eq!(rows, 10_000);
    assert!(!telemetra.path().join("data/error/a.b1.s0.csv").exists(), "nothing was refused");
    telemetra.run(&command("audit")).expect_code(0);
}

#[test]
fn one_duplicate_among_ten_thousand_good_rows_is_counted_and_hurts_nobody_on_sqlite() {
    one_duplicate(None);
}

#[test]
fn one_duplicate_among_ten_thousand_good_rows_is_counted_and_hurts_nobody_on_postgresql() {
    one_duplicate(Some(&Postgres::shared().create_database()));
}
