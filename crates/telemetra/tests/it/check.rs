//! `check` through the real binary: what a run would find is told beforehand, and nothing is changed by it.

use std::{fs, path::Path};

use serde_json::Value;
use telemetra_services::postgres::Postgres;

use crate::support::{Telemetra, fixture, telemetra_with_events};

/// The fixture of shop events in the default folder.
fn shop() -> Telemetra {
    let telemetra = Telemetra::new();
    let raw = telemetra.path().join("data/raw");
    fs::create_dir_all(&raw).expect("a folder");
    for entry in fs::read_dir(fixture("commerce_dirty/raw")).expect("the fixture") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), raw.join(entry.file_name())).expect("copied");
    }
    telemetra
}

/// Names of all that lies in a folder and below.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(self::names(&path));
        }
    }
    names.sort();
    names
}

#[test]
fn shop_events_are_judged_as_a_run_would_and_nothing_is_changed() {
    let telemetra = shop();
    let before = names(telemetra.path());
    let said = telemetra.run(&["check", "commerce"]).expect_code(0);
    for words in [
        "store sqlite:telemetra.db",
        "commerce folder data/raw",
        "3 files",
        "processed folder data/processed",
        "error folder data/error",
        "log folder logs",
        "not there yet; a run makes it",
        // Conflicts and duplicates are seen once rows are compared, so they count as accepted here.
        "46 records looked at, 23 accepted, 23 refused",
        "price_syntax, first at a_rules.csv:",
    ] {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    assert_eq!(names(telemetra.path()), before);
    telemetra.run(&["run", "commerce", "--once"]).expect_code(0);
    let after = names(telemetra.path());
    let said = telemetra.run(&["check", "commerce", "--json"]);
    said.expect_code(0);
    let report: Value = serde_json::from_str(&said.stdout()).expect("JSON");
    let found: Vec<&str> =
        report["findings"].as_array().expect("a list").iter().filter_map(|it| it["found"].as_str()).collect();
    assert!(found.contains(&"the tables are of this version; tables of job commerce"), "{found:?}");
    // The head alone is not moved at once.
    assert!(found.contains(&"1 file") && found.contains(&"can be written"), "{found:?}");
    assert_eq!(names(telemetra.path()), after);
}

#[test]
fn what_would_keep_shop_events_from_being_read_or_moved_is_told() {
    let check = |args: &[&str], prepare: fn(&Path), words: &str| {
        let telemetra = shop();
        prepare(telemetra.path());
        let said = telemetra.run(&[&["check", "commerce"], args].concat()).expect_code(1);
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
        assert!(failed.iter().any(|line| line.contains(words)), "no {words:?} in\n{said}");
    };
    check(&["--input-dir", "nowhere"], |_| {}, "there is no such folder");
    check(
        &["--input-dir", "file"],
        |at| fs::write(at.join("file"), "").expect("written"),
        "it is not a folder",
    );
    check(
        &["--processed-dir", "file"],
        |at| fs::write(at.join("file"), "").expect("written"),
        "is not a folder",
    );
    check(
        &["--error-dir", "file/x"],
        |at| fs::write(at.join("file"), "").expect("written"),
        "is not a folder",
    );
    let link = |at: &Path| std::os::unix::fs::symlink("data/raw", at.join("link")).expect("linked");
    check(&["--processed-dir", "link"], link, "it is the folder that is read");
    // Every record of the sample is refused: that is no way to start.
    let telemetra = Telemetra::new();
    fs::create_dir_all(telemetra.path().join("data/raw")).expect("a folder");
    fs::write(telemetra.path().join("data/raw/a.csv"), "id,price\n1,2\n").expect("written");
    let said = telemetra.run(&["check", "commerce"]).expect_code(1);
    assert!(
        said.contains("1 records looked at, 0 accepted") && said.contains("header_missing:event_id"),
        "{said}"
    );
}

#[test]
fn tables_of_another_job_or_program_are_told_to_shop_events() {
    let telemetra = shop();
    let database = Postgres::shared().create_database();
    let store = database.address();
    let check = |code: i32, words: &str| {
        let said = telemetra.run(&["check", "commerce", "--store", &store]).expect_code(code);
        assert!(said.contains(words), "no {words:?} in\n{said}");
    };
    check(0, "no tables there yet; a run makes them");
    database.client().batch_execute("CREATE TABLE user_events (event_id text)").expect("a table");
    check(1, "user_events");
    database.client().batch_execute("DROP TABLE user_events").expect("dropped");
    telemetra
        .run(&["run", "commerce", "--once", "--arrival", "rename", "--job", "other", "--store", &store])
        .expect_code(0);
    check(1, "tables of job other, not of commerce: give --job other or another --store");
}

#[test]
fn without_a_pipeline_it_is_chat() {
    let telemetra = telemetra_with_events();
    let plain = telemetra.run(&["check", "--chat-dir", "chat", "--sample", "200"]).expect_code(0);
    assert!(plain.contains("200 records looked at, 200 accepted"), "{plain}");
    assert_eq!(
        telemetra.run(&["check", "chat", "--chat-dir", "chat", "--sample", "200"]).expect_code(0),
        plain
    );
    telemetra.run(&["check", "--chat-dir", "chat", "commerce"]).expect_code(2);
    telemetra.run(&["check", "commerce", "--chat-dir", "chat"]).expect_code(2);
}
