//! Shop events from a topic, with duplicates, conflicts and broken records, killed on the way: the generator's sums.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use telemetra_services::kafka::Kafka;

use super::Topics;
use crate::support::Instance;

const KILLS: i64 = 5;
const READ: &str = "SELECT sum(records) FROM telemetra_batch_range";

/// Topic, partition, offset of a refused record.
type Place = (String, u64, u64);

fn place(record: &Value) -> Place {
    let number = |key: &str| record[key].as_u64().unwrap_or_else(|| panic!("{key} of {record}"));
    (record["topic"].as_str().expect("it has a topic").to_owned(), number("partition"), number("offset"))
}

fn objects(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// What stands in the table of refused records.
fn refused(topics: &Topics) -> BTreeSet<Place> {
    let db = topics.telemetra.open_store();
    let sql = "SELECT topic, \"partition\", \"offset\" FROM rejected_events";
    let mut statement = db.prepare(sql).expect("the table is there");
    let row = |row: &rusqlite::Row| {
        let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok((row.get(0)?, number(1)?, number(2)?))
    };
    statement.query_map([], row).expect("a query").collect::<Result<_, _>>().expect("rows")
}

/// The records of `data/error` by the reasons beside them; each is there once, and every line of records has its reasons.
fn exported(topics: &Topics) -> BTreeSet<Place> {
    let folder = topics.telemetra.path().join("data/error");
    let (mut places, mut records) = (BTreeSet::new(), 0);
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let bytes = fs::read(&path).expect("a file");
        if name.ends_with(".reasons.jsonl") {
            for reason in objects(str::from_utf8(&bytes).expect("JSON is UTF-8")) {
                assert!(reason["codes"].as_array().is_some_and(|codes| !codes.is_empty()), "{reason}");
                assert!(places.insert(place(&reason)), "{reason} comes again");
            }
        } else {
            assert!(name.ends_with(".jsonl"), "{name} was left over");
            // As they came, which need not be UTF-8.
            records += bytes.iter().filter(|&&byte| byte == b'\n').count();
        }
    }
    assert_eq!(places.len(), records);
    places
}

#[test]
fn shop_events_from_a_topic_come_to_the_generators_sums_through_kills() {
    let mut topics = Topics::new(Kafka::shared(), 1);
    topics.chat = topics.kafka.unique_topic("shop");
    let bootstrap = topics.kafka.bootstrap();
    let generate = format!(
        "generate commerce --kafka {bootstrap} --topic {} --partitions 4 --count 20000 --events-per-second 100 \
         --seed 7 --invalid 0.03 --duplicate 0.02 --conflict 0.005 --codec zstd --sums sums.json",
        topics.chat
    );
    topics.telemetra.run(&generate.split_whitespace().collect::<Vec<_>>()).expect_code(0);
    let text = fs::read_to_string(topics.telemetra.path().join("sums.json")).expect("the sums are there");
    let sums: Value = serde_json::from_str(&text).expect("they are JSON");

    let run = ["run", "commerce", "--once", "--kafka", &*bootstrap, "--topic", &*topics.chat];
    for kill in 1..=KILLS {
        // One batch at a time has to be there: a run that is at its end cannot be killed any more.
        let mut command = topics.telemetra.command(&run);
        command.args(["--max-records-per-trigger", "100", "--retry-delay-seconds", "0.1"]);
        let instance = Instance::of(command);
        let goal = 20_000 * kill / (KILLS + 1);
        telemetra_services::eventually("a part of it is read", || {
            (topics.number(READ) >= goal).then_some(())
        });
        instance.signal(libc::SIGKILL);
        assert_eq!(instance.wait().code(), None, "it was over before kill {kill}");
    }
    topics.telemetra.run(&run).expect_code(0);
    topics.audit();

    let status = topics.telemetra.run(&["status", "--json"]);
    status.expect_code(0);
    let status: Value = serde_json::from_str(&status.stdout()).expect("it is JSON");
    for (counted, made) in [
        ("records", "records"),
        ("accepted", "accepted"),
        ("duplicates", "duplicates"),
        ("conflicts", "conflicts"),
        ("quarantined", "invalid"),
    ] {
        assert!(sums[made].as_u64().is_some_and(|sum| sum > 0), "{made}: {sums}");
        assert_eq!(status["jobs"][0][counted], sums[made], "{counted}: {status}");
    }
    let sum = |sql| topics.number(sql);
    assert_eq!(Some(sum("SELECT count(*) FROM user_events")), sums["accepted"].as_i64());
    assert_eq!(Some(sum("SELECT sum(price) FROM user_events")), sums["cents"].as_i64());

    let refused = refused(&topics);
    let expected = sums["conflicts"].as_u64().zip(sums["invalid"].as_u64());
    assert_eq!(Some(refused.len() as u64), expected.map(|(conflicts, invalid)| conflicts + invalid));
    assert!(refused.iter().all(|(topic, ..)| *topic == topics.chat));
    assert_eq!(exported(&topics), refused);
    let listed = topics.telemetra.run(&["quarantine", "list", "--json", "--limit", "100000"]);
    listed.expect_code(0);
    assert_eq!(objects(&listed.stdout()).map(|record| place(&record)).collect::<BTreeSet<_>>(), refused);
}
