//! The README's example with Kafka, typed word for word but for the broker's address.

use std::{fs, path::Path, process::Command};

use telemetra_services::{
    kafka::{Kafka, Setup},
    workspace,
};

use crate::support::Telemetra;

/// The first block of commands below a heading.
fn block(text: &str, heading: &str) -> Vec<String> {
    let (_, below) = text.split_once(heading).expect("the heading is there");
    let (_, from) = below.split_once("```sh\n").expect("a block is there");
    let (block, _) = from.split_once("```").expect("the block ends");
    block.lines().map(str::to_owned).collect()
}

#[test]
fn the_first_example_with_kafka_works_word_for_word() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("a README");
    let mut lines = block(&readme, "## From Kafka\n");
    let kafka = Kafka::start(Setup::default());
    assert!(lines[0].starts_with("KAFKA=localhost:9092 "), "{}", lines[0]);
    lines[0] = lines[0].replacen("localhost:9092", &kafka.bootstrap(), 1);
    let telemetra = Telemetra::new();
    let folder = Path::new(env!("CARGO_BIN_EXE_telemetra")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is a PATH"));
    let mut shell = Command::new("sh");
    shell.args(["-e", "-u", "-c", &lines.join("\n")]).current_dir(telemetra.path());
    let ran = shell.env_clear().env("PATH", path).output().expect("a shell");
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let number = |sql: &str| -> i64 {
        telemetra.open_store().query_row(sql, [], |row| row.get(0)).expect("the table is there")
    };
    assert!(number("SELECT count(*) FROM chat_summary_minute WHERE is_final") > 500, "{said}");
    assert_eq!(number("SELECT count(*) FROM chat_summary_minute WHERE NOT is_final"), 0);
    assert_eq!(number("SELECT sum(records) FROM telemetra_batch_range WHERE input = 'commerce'"), 10_000);
}
