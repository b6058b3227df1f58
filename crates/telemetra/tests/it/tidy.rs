//! The rules of CONTRIBUTING.md that a machine can check, held against the tree as it stands.
//!
//! Each rule is a function in a submodule from text to faults, tested there on texts that break it; here they
//! meet the files. A fault names its place and says what to do. Needs no binary and touches no network.

mod files;
mod floors;
mod pages;
mod rust;

use std::{fmt::Write as _, fs};

use files::{Area, area};
use telemetra_services::workspace;

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files of the workspace with their texts; paths relative to its folder.
fn rust_files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join("crates"), workspace().join("fuzz")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is readable text");
                let path = path.strip_prefix(workspace()).expect("it lies in the workspace");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    assert!(found.len() > 20, "the tree was not found: only {} files", found.len());
    found.sort();
    found
}

/// Fails with all faults at once.
fn none(faults: impl IntoIterator<Item = String>) {
    let mut all = String::new();
    for fault in faults {
        writeln!(all, "  {fault}").expect("writing to a string cannot fail");
    }
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn files_are_short_and_say_what_they_own() {
    none(rust_files().iter().flat_map(|(path, text)| {
        let faults = [files::too_long(path, text), files::no_module_doc(text)];
        faults.into_iter().flatten().map(move |fault| format!("{path}: {fault}"))
    }));
    none(files::stale_exceptions(&rust_files()));
}

#[test]
fn dependencies_go_down_the_floors() {
    let mut crates = 0;
    for entry in fs::read_dir(workspace().join("crates")).expect("crates/ is readable") {
        let manifest = entry.expect("crates/ is readable").path().join("Cargo.toml");
        let text =
            fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        none(floors::faults(&text));
        crates += 1;
    }
    assert!(crates >= 5, "only {crates} crates were looked at");
}

#[test]
fn each_floor_knows_only_what_it_may() {
    let files = rust_files();
    let of = |wanted: Area| files.iter().filter(move |(path, _)| area(path) == Some(wanted));
    for (wanted, bans) in
        [(Area::Core, rust::CORE), (Area::Engine, rust::ENGINE), (Area::Connectors, rust::CONNECTORS)]
    {
        assert!(of(wanted).count() > 0, "no file of {wanted:?}");
        none(of(wanted).flat_map(|(path, text)| {
            rust::banned(&rust::shipped(text), bans).into_iter().map(move |fault| format!("{path}:{fault}"))
        }));
    }
}

#[test]
fn connectors_do_not_know_each_other() {
    let files = rust_files();
    let connectors: Vec<_> = files.iter().filter(|(path, _)| area(path) == Some(Area::Connectors)).collect();
    let paths: Vec<&str> = connectors.iter().map(|(path, _)| path.as_str()).collect();
    let siblings = files::siblings(&paths);
    none(connectors.iter().flat_map(|(path, text)| {
        rust::names_sibling(files::module_of(path), &siblings, text)
            .map(move |fault| format!("{path}:{fault}"))
    }));
}

#[test]
fn nothing_is_left_unfinished_or_ignored() {
    none(rust_files().iter().flat_map(|(path, text)| {
        rust::banned(&rust::bare(text), rust::UNFINISHED)
            .into_iter()
            .map(move |fault| format!("{path}:{fault}"))
    }));
}

#[test]
fn tests_do_not_sleep() {
    none(rust_files().iter().flat_map(|(path, text)| {
        let tests = if files::is_test(path) { rust::bare(text) } else { rust::tests_of(text) };
        rust::banned(&tests, rust::IN_TESTS).into_iter().map(move |fault| format!("{path}:{fault}"))
    }));
}

#[test]
fn the_pages_are_true() {
    let architecture = read("ARCHITECTURE.md");
    none(pages::too_long(&architecture));
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = read(page);
        let missing = pages::paths(&text).into_iter().filter(|path| !workspace().join(path).exists());
        none(missing.map(|path| format!("{page} names {path}, which does not exist")));
    }
    none(pages::opening(&read("README.md")));
    none(pages::targets(&read("Makefile")));
}
