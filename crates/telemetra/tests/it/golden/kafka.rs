//! The fixtures once more, their records through a real Kafka topic: written by librdkafka, over one partition or four.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use telemetra_services::{
    kafka::{Kafka, Setup, Version},
    postgres::Postgres,
};
use tempfile::TempDir;

use super::{Filled, Store, commerce, compare, dead_letters_by_offset, expected, moments, summary};
use crate::support::{Telemetra, fixture};

/// Sends what a file lists, `partition hex`, in this order.
const SENDER: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "acks": "all", "enable.idempotence": True, "linger.ms": 20})
def told(error, message):
    if error: raise SystemExit(str(error))
for line in open(sys.argv[3]):
    number, value = line.rstrip("\n").split(" ")
    producer.produce(sys.argv[2], bytes.fromhex(value), partition=int(number), on_delivery=told)
    producer.poll(0)
producer.flush()
"#;

/// A place in a topic.
type At = (u32, u64);
/// A place in a file: name and line.
type Line = (String, u64);

/// A topic that holds the lines of a folder's files, and where each went.
struct Sent {
    topic: String,
    lines: BTreeMap<At, Line>,
}

/// Writes values with their places, in turn to each of `partitions`.
fn send(kafka: &Kafka, values: Vec<(Line, Vec<u8>)>, partitions: u32) -> Sent {
    let topic = kafka.unique_topic("golden");
    kafka.create_topic(&topic, partitions.cast_signed());
    let folder = TempDir::new().expect("a temporary folder");
    let (mut list, mut lines) = (String::new(), BTreeMap::new());
    for ((line, value), at) in values.into_iter().zip(0_u64..) {
        let place = ((at % u64::from(partitions)) as u32, at / u64::from(partitions));
        write!(list, "{} ", place.0).expect("a text grows");
        value.iter().for_each(|byte| write!(list, "{byte:02x}").expect("a text grows"));
        list.push('\n');
        lines.insert(place, line);
    }
    let file = folder.path().join("values");
    fs::write(&file, list).expect("the folder is ours");
    kafka.python(SENDER, &[&topic, &file.display().to_string()]);
    Sent { topic, lines }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// All lines of a folder's files, without line ends.
fn lines(folder: &Path) -> Vec<(Line, Vec<u8>)> {
    let mut values = Vec::new();
    for path in files(folder) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let bytes = fs::read(&path).expect("a fixture");
        let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let numbered = (1..).zip(whole.split(|&byte| byte == b'\n'));
        values.extend(numbered.map(|(line, value)| ((name.clone(), line), value.to_vec())));
    }
    values
}

/// Runs a pipeline over topics to their end, into a store of its own.
fn run(kafka: &Kafka, store: Store, args: &[&str], env: &[(&str, &str)]) -> Filled {
    let telemetra = Telemetra::new();
    let bootstrap = kafka.bootstrap();
    let mut all: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    all.extend(["--once", "--kafka", &bootstrap].map(str::to_owned));
    let database = match store {
        Store::Sqlite => None,
        Store::Postgres => Some(Postgres::shared().create_database()),
    };
    let store_args: Vec<String> =
        database.iter().flat_map(|database| ["--store".to_owned(), database.address()]).collect();
    all.extend(store_args.clone());
    telemetra.run_env(&all, env).expect_code(0);
    telemetra.run(&[vec!["audit".to_owned()], store_args].concat()).expect_code(0);
    database.map_or(Filled::Sqlite(telemetra), Filled::Postgres)
}

/// Refusals by input, file, line, code: the places in the files that the places in the topics were made from.
fn dead_letters(filled: &Filled, sent: &[(&str, &Sent)]) -> Vec<Vec<String>> {
    let mut rows: Vec<(String, Line, String)> = dead_letters_by_offset(filled)
        .into_iter()
        .map(|row| {
            let [input, topic, partition, offset, code] = &row[..] else { panic!("five columns: {row:?}") };
            let (_, sent) = sent.iter().find(|(name, _)| name == input).expect("an input that was sent");
            assert_eq!(*topic, sent.topic);
            let at = (partition.parse().expect("a number"), offset.parse().expect("a number"));
            (input.clone(), sent.lines[&at].clone(), code.clone())
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(input, (file, line), code)| vec![input, file, line.to_string(), code]).collect()
}

fn check_chat(kafka: &Kafka, name: &str, prefix: &str, env: &[(&str, &str)]) {
    let folder = fixture(name);
    let [chat, viewer] = ["chat", "viewer"].map(|input| send(kafka, lines(&folder.join(input)), 4));
    for store in [Store::Sqlite, Store::Postgres] {
        for batch in [None, Some("997")] {
            let mut args =
                vec!["run", "chat", "--drain", "--chat-topic", &chat.topic, "--viewer-topic", &viewer.topic];
            args.extend(batch.iter().flat_map(|batch| ["--max-records-per-trigger", batch]));
            let filled = run(kafka, store, &args, env);
            let context = format!("{store:?}, {name} {prefix} from Kafka in batches of {batch:?}");
            let wanted = |what: &str| expected(&folder.join(format!("{prefix}.{what}.csv")));
            compare(&context, &summary(&filled), &wanted("summary"));
            compare(&context, &moments(&filled), &wanted("moments"));
            let dead = dead_letters(&filled, &[("chat", &chat), ("viewer", &viewer)]);
            compare(&context, &dead, &wanted("dead"));
        }
    }
}

#[test]
fn chat_small_over_four_partitions() {
    check_chat(Kafka::shared(), "chat_small", "expected", &[]);
}

#[test]
fn chat_small_over_four_partitions_of_the_last_kafka_of_the_third_series() {
    let kafka = Kafka::start(Setup { version: Version::V3, ..Setup::default() });
    check_chat(&kafka, "chat_small", "expected", &[]);
}

#[test]
fn chat_small_over_four_partitions_with_the_whitespace_tokenizer() {
    check_chat(
        Kafka::shared(),
        "chat_small",
        "expected_whitespace",
        &[("SENTIMENT_TOKENIZER", "whitespace")],
    );
}

#[test]
fn chat_dirty_over_four_partitions() {
    check_chat(Kafka::shared(), "chat_dirty", "expected", &[]);
}

#[test]
fn chat_late_from_one_partition_late_events_and_ledger_included() {
    let folder = fixture("chat_late");
    let chat = send(Kafka::shared(), lines(&folder.join("chat")), 1);
    for batch in ["50", "500"] {
        for store in [Store::Sqlite, Store::Postgres] {
            let filled = run(
                Kafka::shared(),
                store,
                &["run", "chat", "--drain", "--chat-topic", &chat.topic, "--max-records-per-trigger", batch],
                &[],
            );
            let context = format!("{store:?}, chat_late from Kafka in batches of {batch}");
            let wanted = |what: &str| expected(&folder.join(format!("expected_{batch}.{what}.csv")));
            compare(&context, &summary(&filled), &wanted("summary"));
            compare(&context, &moments(&filled), &wanted("moments"));
            compare(&context, &dead_letters(&filled, &[("chat", &chat)]), &wanted("dead"));
            let late = filled.rows("SELECT \"offset\" FROM late_events ORDER BY \"offset\"");
            let place = |row: &Vec<String>| {
                let (file, line) = &chat.lines[&(0, row[0].parse().expect("a number"))];
                vec![file.clone(), line.to_string()]
            };
            compare(&context, &late.iter().map(place).collect::<Vec<_>>(), &wanted("late"));
            let text =
                fs::read_to_string(folder.join(format!("expected_{batch}.ledger.json"))).expect("a ledger");
            let ledger: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let sums = filled.rows(
                "SELECT SUM(records), SUM(counted), SUM(late), SUM(window_misses) FROM telemetra.batch_range",
            );
            let number = |name: &str| ledger[name].to_string();
            let names = ["records", "counted", "late", "window_misses"];
            assert_eq!(sums[0], names.map(number).to_vec(), "{context}");
        }
    }
}

/// The rows of the CSV files as JSON objects of texts; those with a wrong number of fields are left out.
fn shop_events(folder: &Path) -> Vec<(Line, Vec<u8>)> {
    let mut values = Vec::new();
    for path in files(folder) {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(&path).expect("a fixture");
        let head = reader.headers().expect("a head").clone();
        for record in reader.records() {
            let record = record.expect("CSV");
            if record.len() != head.len() {
                continue;
            }
            let object: serde_json::Map<String, serde_json::Value> =
                head.iter().zip(&record).map(|(name, value)| (name.to_owned(), value.into())).collect();
            let line = record.position().expect("it was read").line();
            values.push(((name.clone(), line), serde_json::to_vec(&object).expect("JSON")));
        }
    }
    values
}

#[test]
fn commerce_small_as_json_from_one_partition() {
    let folder = fixture("commerce_small");
    let sent = send(Kafka::shared(), shop_events(&folder.join("raw")), 1);
    for store in [Store::Sqlite, Store::Postgres] {
        for batch in [None, Some("7")] {
            let mut args = vec!["run", "commerce", "--topic", &sent.topic];
            args.extend(batch.iter().flat_map(|batch| ["--max-records-per-trigger", batch]));
            let filled = run(Kafka::shared(), store, &args, &[]);
            let context = format!("{store:?}, commerce_small from Kafka in batches of {batch:?}");
            let wanted = expected(&folder.join("expected.accepted.csv"));
            commerce::compare_exactly(&context, commerce::accepted(&filled), commerce::with_instants(wanted));
            let refused = filled.rows(
                "SELECT topic, \"partition\", \"offset\", codes FROM rejected_events ORDER BY \"offset\"",
            );
            let place = |row: &Vec<String>| {
                assert_eq!(row[0], sent.topic);
                let at = (row[1].parse().expect("a number"), row[2].parse().expect("a number"));
                let (file, line) = sent.lines[&at].clone();
                vec![file, line.to_string(), row[3].clone()]
            };
            let mut wanted = expected(&folder.join("expected.rejected.csv"));
            wanted.retain(|row| row[2] != "field_count");
            compare(&context, &refused.iter().map(place).collect::<Vec<_>>(), &wanted);
            commerce::compare_exactly(
                &context,
                commerce::summary(&filled),
                expected(&folder.join("expected.v_event_summary.csv")),
            );
        }
    }
}
