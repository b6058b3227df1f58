//! Records out of the ordinary, written by clients that are not ours.

use std::{fs, path::Path};

use telemetra_services::kafka::{Kafka, Setup};

use super::{Topics, chat, chats, produce_at_once, rows_of};

const COUNTED: &str = "SELECT sum(counted) FROM telemetra_batch_range";

#[test]
fn both_spellings_by_kcat_and_by_kafkas_console_producer() {
    let topics = Topics::new(Kafka::shared(), 1);
    let at = |second: i64| super::T0 + second * 1_000;
    let ours = format!(
        r#"{{"timestamp":{},"stream_id":"s","user_id":"u","message":"love","emotes":["Pog"]}}"#,
        at(1)
    );
    let theirs = r#"{"message_id":"1","timestamp":"2025-01-01T00:00:02Z","channel":"s","username":"v","message":"bad","badges":["x"]}"#
        .to_owned();
    topics.send(0, std::slice::from_ref(&ours));
    let args = ["--bootstrap-server", &topics.kafka.bootstrap(), "--topic", &topics.chat];
    topics.kafka.java("org.apache.kafka.tools.ConsoleProducer", &args, (theirs.clone() + "\n").as_bytes());
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 2);
    assert_eq!(topics.number("SELECT max(unique_chatters) FROM chat_summary_minute"), 2);
    assert_eq!(topics.rows(), rows_of(&[ours, theirs], &[]));
}

/// One record of so many bytes between two good ones, written by librdkafka.
const LARGE: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "message.max.bytes": 20000000, "linger.ms": 0})
def told(error, message):
    if error: raise SystemExit(str(error))
event = b'{"timestamp":%d,"stream_id":"s","user_id":"u","message":"%s"}'
for value in [event % (1735689600000, b"a"), event % (1735689601000, b"x" * int(sys.argv[3])), event % (1735689602000, b"b")]:
    producer.produce(sys.argv[2], value, partition=0, on_delivery=told)
    producer.flush()
"#;

#[test]
fn a_record_of_ten_megabytes_is_refused_alone() {
    let kafka = Kafka::shared();
    let mut topics = Topics::new(kafka, 1);
    topics.chat = kafka.unique_topic("large");
    kafka.create_topic_with(&topics.chat, 1, &[("max.message.bytes", "20000000")]);
    kafka.python(LARGE, &[&topics.chat, "10000000"]);
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 2);
    let sql = "SELECT count(*) FROM dead_letters WHERE code = 'record_too_long' AND \"offset\" = 1 AND length(raw) <= 1048576";
    assert_eq!(topics.number(sql), 1);
}

/// A batch of one record that is a gigabyte of zeros when it is unpacked: as small as its codec makes it.
const BOMB: &str = r#"
import sys, zlib
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "compression.type": "gzip", "message.max.bytes": 1000000000,
                     "linger.ms": 0, "queue.buffering.max.kbytes": 2097151})
def told(error, message):
    if error: raise SystemExit(str(error))
producer.produce(sys.argv[2], b'{"timestamp":1735689600000,"stream_id":"s","user_id":"u","message":"a"}', partition=0)
producer.flush()
producer.produce(sys.argv[2], bytes(900000000), partition=0, on_delivery=told)
producer.flush()
"#;

#[test]
fn a_batch_that_unpacks_to_a_gigabyte_halts_with_its_place() {
    let kafka = Kafka::shared();
    let mut topics = Topics::new(kafka, 1);
    topics.chat = kafka.unique_topic("bomb");
    kafka.create_topic_with(&topics.chat, 1, &[("max.message.bytes", "20000000")]);
    kafka.python(BOMB, &[&topics.chat]);
    let finished = topics.once(&["--json"]);
    let said = finished.expect_code(4);
    assert!(
        said.contains(&topics.chat) && said.contains("partition 0") && said.contains("offset 1"),
        "{said}"
    );
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("a report");
    let peak = report["peak_rss_bytes"].as_u64().expect("Linux tells");
    assert!(peak < 300 << 20, "{peak} bytes");
}

/// Flips one bit in the middle of a log's last batch.
fn flip(segment: &Path) {
    let mut bytes = fs::read(segment).expect("the log");
    let place = bytes.len() - 20;
    bytes[place] ^= 1;
    fs::write(segment, bytes).expect("the log is ours");
}

#[test]
fn a_flipped_bit_halts_with_its_place() {
    let kafka = Kafka::start(Setup::default());
    let topics = Topics::new(&kafka, 1);
    topics.send(0, &chats(0..50, "a"));
    produce_at_once(&kafka, &topics.chat, 0, &chats(50..60, "a"));
    kafka.stop(1);
    flip(&kafka.partition_folder(1, &topics.chat, 0).join("00000000000000000000.log"));
    kafka.start_again(1);
    topics.send(0, &chats(60..200, "a"));
    let said = topics.once(&[]).expect_code(4);
    assert!(
        said.contains("checksum") && said.contains("partition 0") && said.contains("offset 50"),
        "{said}"
    );
    topics.audit();
    let batch = format!("{}:0=50..60", topics.chat);
    assert!(said.contains(&format!("`telemetra offsets skip-gap` with --offsets {batch}")), "{said}");
    topics.command(&["offsets", "skip-gap", "chat"], &["--offsets", &batch]).expect_code(0);
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 190);
    let sql = "SELECT from_offset * 1000 + to_offset FROM telemetra_gap WHERE cause = 'left out by command'";
    assert_eq!(topics.number(sql), 50_060);
}

#[test]
fn a_broker_away_at_the_start_and_in_between_is_waited_for() {
    let kafka = Kafka::start(Setup::default());
    let topics = Topics::new(&kafka, 1);
    topics.send(0, &chats(0..100, "a"));
    kafka.kill(1);
    let instance = topics.start(&[]);
    instance.expect("nothing is lost, trying again");
    kafka.start_again(1);
    instance.expect("back after");
    topics.await_number(COUNTED, 100);
    kafka.kill(1);
    instance.expect("nothing is lost, trying again");
    kafka.start_again(1);
    topics.send(0, &chats(100..200, "a"));
    topics.await_number(COUNTED, 200);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.rows(), rows_of(&chats(0..200, "a"), &[]));
}

#[test]
fn a_single_event_is_written_at_once() {
    let topics = Topics::new(Kafka::shared(), 1);
    let instance = topics.start(&[]);
    topics.send(0, &[chat(1, "a", "u")]);
    topics.await_number("SELECT count(*) FROM chat_summary_minute", 6);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.audit();
}

/// Shop events that are good, and half a megabyte long by a field that nobody reads.
const WIDE: &str = r#"
import json, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 0, "queue.buffering.max.kbytes": 65536})
for n in range(400):
    event = dict(event_id=f"e{n}", user_id="u", product_id="p", product_name="n", category="c", price="1.50",
                 event_type="view", timestamp="2025-01-01 00:00:00", more="x" * 500000)
    producer.produce(sys.argv[2], json.dumps(event).encode(), partition=0)
    producer.flush()
"#;

#[test]
fn a_batch_is_bounded_by_bytes_however_long_its_records_are() {
    let kafka = Kafka::shared();
    let topics = Topics::new(kafka, 1);
    kafka.python(WIDE, &[&topics.chat]);
    let run = ["run", "commerce", "--once", "--json", "--kafka", &kafka.bootstrap(), "--topic", &topics.chat];
    let finished = topics.telemetra.run(&run);
    finished.expect_code(0);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout()).expect("a report");
    assert_eq!(report["accepted"], 400);
    let peak = report["peak_rss_bytes"].as_u64().expect("Linux tells");
    // Two batches of 16 MiB each, by two workers, and what a fetch holds; all of it would be 200 MB.
    assert!(peak < 130 << 20, "{peak} bytes");
    topics.audit();
}
