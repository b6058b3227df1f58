//! Records and batches that are large, packed tight or damaged, on a real broker's disk.

use std::fs;

use telemetra_engine::source::{Chunk, RangeReader, SourceError};
use telemetra_services::kafka::{Kafka, Setup};

use super::{cluster, drain, topic};

/// Writes the values that the expression `argv[3]` gives, each in a batch of its own, compressed by `argv[4]`.
const WRITER: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "message.max.bytes": 1000000000, "linger.ms": 0,
                     "compression.type": sys.argv[4], "queue.buffering.max.kbytes": 2000000})
for value in eval(sys.argv[3]):
    producer.produce(sys.argv[2], value, partition=0)
    producer.flush()
"#;

/// Offset, length and whether it was cut of each record of a range.
fn lengths(kafka: &Kafka, name: &str, end: u64) -> Vec<(u64, u32, bool)> {
    let cluster = cluster(kafka);
    let mut reader = cluster.read(topic(&cluster, name), 0, 0..end);
    let (mut all, mut chunk) = (Vec::new(), Chunk::default());
    while reader.next_chunk(&mut chunk).expect("it is read") {
        all.extend(chunk.records.iter().map(|span| (span.offset, span.end - span.start, span.truncated)));
    }
    all
}

#[test]
fn a_record_of_ten_megabytes_is_cut_and_its_neighbours_are_whole() {
    let kafka = Kafka::start(Setup { properties: &[("message.max.bytes", "20000000")], ..Setup::default() });
    for codec in ["none", "zstd"] {
        let name = kafka.unique_topic("long");
        kafka.create_topic_with(&name, 1, &[("max.message.bytes", "20000000")]);
        // Longer than a fetch in the first place and behind others, and longer than a record may be.
        let values = "[b'a', bytes(7 * i % 251 + 33 & 127 | 64 for i in range(10_000_000)), b'b', b'x' * 5_000_000, b'c']";
        kafka.python(WRITER, &[&name, values, codec]);
        let most = 1 << 20;
        let expected = [(0, 1, false), (1, most, true), (2, 1, false), (3, most, true), (4, 1, false)];
        assert_eq!(lengths(&kafka, &name, 5), expected, "{codec}");
    }
}

#[test]
fn a_batch_that_unpacks_to_a_gigabyte_stops_the_reader_with_its_place() {
    let kafka = Kafka::shared();
    for codec in ["zstd", "gzip"] {
        let name = kafka.unique_topic("bomb");
        kafka.create_topic_with(&name, 1, &[("max.message.bytes", "20000000")]);
        kafka.kcat(&["-P", "-t", &name, "-p", "0"], b"before\n");
        kafka.python(WRITER, &[&name, "[bytes(980_000_000)]", codec]);
        let cluster = cluster(kafka);
        let topic = topic(&cluster, &name);
        let error = drain(&mut cluster.read(topic.clone(), 0, 0..2)).expect_err("it is refused");
        let SourceError::Halt(text) = error else { panic!("{error:?}") };
        for word in [&*name, "partition 0", "offset 1", "unpacked", "telemetra offsets skip-gap"] {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(drain(&mut cluster.read(topic, 0, 0..1)).expect("it is read"), (1, 1));
    }
}

#[test]
fn a_flipped_bit_on_the_brokers_disk_stops_the_reader_with_its_place() {
    let kafka = Kafka::start(Setup::default());
    let name = kafka.unique_topic("flipped");
    kafka.create_topic(&name, 1);
    let values = "[b'first', b'second', b'the third', b'fourth']";
    kafka.python(WRITER, &[&name, values, "none"]);
    kafka.stop(1);
    let segment = kafka.partition_folder(1, &name, 0).join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).expect("the segment");
    let word = b"the third";
    let at = bytes.windows(word.len()).position(|window| window == word).expect("it is there");
    bytes[at] ^= 0x10;
    fs::write(&segment, bytes).expect("it is ours");
    kafka.start_again(1);
    let cluster = cluster(&kafka);
    let topic = topic(&cluster, &name);
    assert_eq!(drain(&mut cluster.read(topic.clone(), 0, 0..2)).expect("it is read"), (2, 2));
    let error = drain(&mut cluster.read(topic.clone(), 0, 0..4)).expect_err("it is refused");
    let SourceError::Halt(text) = error else { panic!("{error:?}") };
    for word in [&*name, "partition 0", "offset 2", "checksum", "telemetra offsets skip-gap"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(drain(&mut cluster.read(topic, 0, 3..4)).expect("it is read"), (1, 4));
}
