//! Whole topics, record by record, beside an independent client that reads the same.

use telemetra_connectors::kafka::{Address, Cluster, Which};
use telemetra_engine::source::{Chunk, RangeReader};
use telemetra_services::kafka::{Kafka, Listener, Setup};

/// Writes to every partition of a topic of four: all codecs, batches of one record and of many, keys, headers, null,
/// empty and blank values; then transactions of which every second one is given up, and one that stays open.
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
n = 0
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    for linger in [0, 50]:
        producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": linger,
                             "acks": "all", "message.max.bytes": 20000000})
        for _ in range(400):
            producer.produce(topic, value(n), key=rng.choice([None, b"", b"key"]), partition=n % 4,
                             headers=[("h", b"1")] if n % 3 == 0 else None)
            n += 1
            if linger == 0 and n % 50 == 0: producer.flush()
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

fn cluster(kafka: &Kafka) -> Cluster {
    let address = |it: &str| {
        let (host, port) = it.rsplit_once(':').expect("host:port");
        Address { host: host.to_owned(), port: port.parse().expect("a port") }
    };
    Cluster::new(kafka.address(Listener::Plain).split(',').map(address).collect())
}

/// Partition, offset and value of all that can be read now, in pieces of at most `piece` offsets.
fn read_all(cluster: &Cluster, name: &str, piece: u64) -> Vec<(u32, u64, Vec<u8>)> {
    let topic = cluster.topics(&[name.to_owned()]).expect("a broker").pop().flatten().expect("the topic");
    let begins = cluster.offsets(&topic, Which::Earliest).expect("offsets");
    let ends = cluster.offsets(&topic, Which::LastStable).expect("offsets");
    let mut all = Vec::new();
    for (partition, (begin, end)) in (0..).zip(begins.into_iter().zip(ends)) {
        let (mut from, end) = (begin.expect("it has a begin"), end.expect("it has an end"));
        while from < end {
            let to = end.min(from + piece);
            let mut reader = cluster.read(topic.clone(), partition, from..to);
            let mut chunk = Chunk::default();
            while reader.next_chunk(&mut chunk).expect("it can be read") {
                assert!(!chunk.records.is_empty());
                for span in &chunk.records {
                    assert!((from..to).contains(&span.offset));
                    all.push((partition, span.offset, chunk.record(span).bytes.to_vec()));
                }
            }
            from = to;
        }
    }
    all
}

/// The same by kcat, null and blank values left out.
fn read_by_kcat(kafka: &Kafka, name: &str) -> Vec<(u32, u64, Vec<u8>)> {
    let args = ["-C", "-e", "-q", "-t", name, "-X", "isolation.level=read_committed", "-f", "%p %o %s\n"];
    let said = String::from_utf8(kafka.kcat(&args, b"")).expect("text");
    let mut all: Vec<_> = said
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            let partition = parts.next()?.parse().ok()?;
            let offset = parts.next()?.parse().ok()?;
            let value = parts.next().unwrap_or("");
            (!value.trim().is_empty()).then(|| (partition, offset, value.as_bytes().to_vec()))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn whole_topics_are_read_as_an_independent_client_reads_them() {
    let kafka = Kafka::shared();
    let topic = kafka.unique_topic("equal");
    kafka.create_topic(&topic, 4);
    assert_eq!(kafka.python(WRITER, &[&topic]), b"done\n");
    let expected = read_by_kcat(kafka, &topic);
    assert!(expected.len() > 3_000, "{}", expected.len());
    let has = |word: &str| expected.iter().any(|(_, _, value)| value.starts_with(word.as_bytes()));
    assert!(has("kept") && !has("given up") && !has("open"));
    let cluster = cluster(kafka);
    for piece in [u64::MAX / 2, 997, 7] {
        let found = read_all(&cluster, &topic, piece);
        let shown = |all: &[(u32, u64, Vec<u8>)]| all.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>();
        assert_eq!(shown(&found), shown(&expected), "{piece}");
        assert_eq!(found, expected, "{piece}");
    }
}

#[test]
fn a_reader_follows_a_partition_whose_leader_moves_or_dies() {
    let kafka = Kafka::start(Setup { nodes: 3, ..Setup::default() });
    let topic = kafka.unique_topic("moves");
    kafka.create_topic(&topic, 1);
    let lines: String = (0..2_000).map(|number| format!("line {number}\n")).collect();
    kafka.kcat(&["-P", "-t", &topic, "-p", "0", "-X", "acks=all"], lines.as_bytes());
    let cluster = cluster(&kafka);
    let names = [topic.clone()];
    let known = cluster.topics(&names).expect("a broker").pop().flatten().expect("the topic");
    let mut reader = cluster.read(known.clone(), 0, 0..1_000);
    let mut chunk = Chunk::default();
    let leader = kafka.leader(&topic, 0).expect("somebody leads");
    let other = kafka.nodes().find(|node| *node != leader).expect("there are three");
    kafka.move_leader(&topic, 0, other);
    let mut count = 0;
    while reader.next_chunk(&mut chunk).expect("it is followed") {
        count += chunk.records.len();
    }
    assert_eq!(count, 1_000);
    kafka.kill(other);
    let mut reader = cluster.read(known, 0, 1_000..2_000);
    while reader.next_chunk(&mut chunk).expect("it is followed") {
        count += chunk.records.len();
    }
    assert_eq!(count, 2_000);
}
