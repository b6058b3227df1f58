//! Whole topics, record by record, beside librdkafka, which knows nothing of ours: offset, time, key and value.

use telemetra_connectors::kafka::{Cluster, Which};
use telemetra_engine::source::{Chunk, RangeReader};
use telemetra_services::kafka::{Kafka, Setup, Version};

use super::{cluster, topic};

/// Writes to every partition of a topic of four: all codecs, batches of one record, of some, and as large as they get,
/// keys, times, headers, null, empty and blank values; then transactions of which every second one is given up, and
/// one that stays open.
const WRITER: &str = r#"
import random, sys
from confluent_kafka import Producer
brokers, topic = sys.argv[1], sys.argv[2]
rng = random.Random(7)
def value(n):
    kind = rng.randrange(20)
    if kind == 0: return None
    if kind == 1: return b""
    if kind == 2: return b" \t "
    return (f"{n}-" + "x" * rng.choice([1, 10, 300, 5000])).encode()
def key(n):
    return rng.choice([None, b"", b"key", bytes([n % 256]) * 70])
n = 0
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    for linger, count in [(0, 400), (50, 400), (1000, 4000)]:
        producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": linger,
                             "batch.size": 900000, "batch.num.messages": 100000, "acks": "all"})
        for _ in range(count):
            producer.produce(topic, value(n), key=key(n), partition=n % 4,
                             timestamp=1700000000000 + rng.randrange(-10**9, 10**9),
                             headers=[("h", b"1"), ("h", None)] if n % 3 == 0 else None)
            n += 1
            if linger == 0 and n % 50 == 0: producer.flush()
            if linger == 0 and n % 7 == 0: producer.poll(0.001)
        producer.flush()
def transactional(name):
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": topic + name, "linger.ms": 5})
    producer.init_transactions()
    return producer
producer = transactional("a")
for number in range(12):
    producer.begin_transaction()
    for _ in range(30):
        producer.produce(topic, f"{'given up' if number % 2 else 'kept'} {n}".encode(), partition=n % 4)
        n += 1
    producer.flush()
    producer.abort_transaction() if number % 2 else producer.commit_transaction()
producer = transactional("b")
producer.begin_transaction()
producer.produce(topic, b"open", partition=0)
producer.flush()
plain = Producer({"bootstrap.servers": brokers})
for number in range(4): plain.produce(topic, b"behind", partition=number)
plain.flush()
print("done", flush=True)
import os
os._exit(0)
"#;

/// Prints partition, offset, time, key and value of all that is committed; bytes in hexadecimal, `-` for null.
const READER: &str = r#"
import sys
from confluent_kafka import Consumer, KafkaError, TopicPartition, OFFSET_BEGINNING
brokers, topic = sys.argv[1], sys.argv[2]
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "equality", "enable.auto.commit": False,
                     "isolation.level": "read_committed", "enable.partition.eof": True, "check.crcs": True,
                     "auto.offset.reset": "error"})
consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(4)])
left = 4
shown = lambda it: "-" if it is None else it.hex() or "empty"
while left:
    for message in consumer.consume(1000, 1.0):
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            left -= 1
            continue
        print(message.partition(), message.offset(), message.timestamp()[1], shown(message.key()),
              shown(message.value()))
"#;

/// All of one record that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    partition: u32,
    offset: u64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
}

/// All that can be read now, in ranges of at most `piece` offsets.
pub(super) fn read_all(cluster: &Cluster, name: &str, piece: u64) -> Vec<Seen> {
    let topic = topic(cluster, name);
    let begins = cluster.offsets(&topic, Which::Earliest).expect("offsets");
    let ends = cluster.offsets(&topic, Which::LastStable).expect("offsets");
    let mut all = Vec::new();
    for (partition, (begin, end)) in (0..).zip(begins.into_iter().zip(ends)) {
        let (mut from, end) = (begin.expect("it has a begin"), end.expect("it has an end"));
        while from < end {
            let to = end.min(from.saturating_add(piece));
            let mut reader = cluster.read(topic.clone(), partition, from..to).with_marks();
            let mut chunk = Chunk::default();
            while reader.next_chunk(&mut chunk).expect("it can be read") {
                assert!(!chunk.records.is_empty());
                assert_eq!(chunk.records.len(), reader.marks().len());
                for (span, mark) in chunk.records.iter().zip(reader.marks()) {
                    assert!((from..to).contains(&span.offset));
                    all.push(Seen {
                        partition,
                        offset: span.offset,
                        timestamp_ms: mark.timestamp_ms,
                        key: mark.key.clone().map(|key| chunk.bytes[key].to_vec()),
                        value: chunk.record(span).bytes.to_vec(),
                    });
                }
            }
            from = to;
        }
    }
    all
}

/// The same by librdkafka; and how many values were null, and how many empty or blank, which ours leaves out.
fn read_by_librdkafka(kafka: &Kafka, name: &str) -> (Vec<Seen>, [usize; 2]) {
    let bytes = |text: &str| match text {
        "-" => None,
        "empty" => Some(Vec::new()),
        text => {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
            Some((0..text.len()).step_by(2).map(digit).collect())
        }
    };
    let said = String::from_utf8(kafka.python(READER, &[name])).expect("text");
    let (mut all, mut left_out) = (Vec::new(), [0; 2]);
    for line in said.lines() {
        let [partition, offset, timestamp_ms, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        match bytes(value) {
            None => left_out[0] += 1,
            Some(value) if value.trim_ascii().is_empty() => left_out[1] += 1,
            Some(value) => all.push(Seen {
                partition: partition.parse().expect("a number"),
                offset: offset.parse().expect("a number"),
                timestamp_ms: timestamp_ms.parse().expect("a number"),
                key: bytes(key),
                value,
            }),
        }
    }
    all.sort();
    (all, left_out)
}

fn compare(kafka: &Kafka, name: &str, piece: u64, expected: &[Seen]) {
    let found = read_all(&cluster(kafka), name, piece);
    if let Some((found, expected)) = found.iter().zip(expected).find(|(found, expected)| found != expected) {
        panic!("in pieces of {piece}: {found:?} instead of {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "in pieces of {piece}");
}

/// Writes a topic, by Kafka's own `producer` too, and reads it by both, in pieces of several sizes.
fn check(kafka: &Kafka, producer: &str, time: &str) {
    let name = kafka.unique_topic("equal");
    // What is written is old already.
    let configs = [("retention.ms", "-1"), ("message.timestamp.type", time)];
    kafka.create_topic_with(&name, 4, &configs);
    assert_eq!(kafka.python(WRITER, &[&name]), b"done\n");
    // Kafka's own producer: its key and value stand in one line.
    let lines: String = (0..500).map(|number| format!("java {number}:{{\"n\": {number}}}\n")).collect();
    let brokers = kafka.bootstrap();
    let args = [
        ["--bootstrap-server", &brokers],
        ["--topic", &name],
        ["--compression-codec", "lz4"],
        ["--property", "parse.key=true"],
        ["--property", "key.separator=:"],
    ];
    kafka.java(producer, args.as_flattened(), lines.as_bytes());
    // The first batches go; the next one begins in the middle.
    kafka.delete_records(&name, 1, 57);
    let (expected, left_out) = read_by_librdkafka(kafka, &name);
    assert!(expected.len() > 15_000 && left_out.iter().all(|count| *count > 500), "{left_out:?}");
    let has = |word: &str| expected.iter().any(|it| it.value.starts_with(word.as_bytes()));
    assert!(has("kept") && !has("given up") && !has("open"));
    let with_key = |key: Option<&[u8]>| expected.iter().any(|it| it.key.as_deref() == key);
    assert!(with_key(None) && with_key(Some(b"")) && with_key(Some(b"key")) && with_key(Some(b"java 499")));
    for piece in [u64::MAX, 997, 7] {
        compare(kafka, &name, piece, &expected);
    }
}

#[test]
fn whole_topics_are_read_as_an_independent_client_reads_them() {
    check(Kafka::shared(), "org.apache.kafka.tools.ConsoleProducer", "CreateTime");
}

#[test]
fn a_topic_with_the_brokers_own_times_is_read_as_an_independent_client_reads_it() {
    check(Kafka::shared(), "org.apache.kafka.tools.ConsoleProducer", "LogAppendTime");
}

#[test]
fn a_topic_of_the_third_series_is_read_as_an_independent_client_reads_it() {
    let kafka = Kafka::start(Setup { version: Version::V3, ..Setup::default() });
    check(&kafka, "kafka.tools.ConsoleProducer", "CreateTime");
}
