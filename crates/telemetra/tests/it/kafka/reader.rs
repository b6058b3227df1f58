//! What a reader does when the partition changes under it, and what it asks for.

use telemetra_connectors::kafka::{Cluster, Fault, Which};
use telemetra_engine::source::{Chunk, RangeReader, SourceError};
use telemetra_services::{
    eventually,
    kafka::{Kafka, Setup},
};

use super::{cluster, drain, topic};

/// So many lines in one partition, each of about `width` bytes, `batch` of them in a batch.
fn write_lines(kafka: &Kafka, name: &str, count: usize, width: usize, batch: usize) {
    let lines: String = (0..count).map(|number| format!("{number:width$}\n")).collect();
    let batch = format!("batch.num.messages={batch}");
    let settings = ["-X", "acks=all", "-X", "linger.ms=200", "-X", &batch];
    kafka.kcat(&[&["-P", "-t", name, "-p", "0"], &settings[..]].concat(), lines.as_bytes());
}

/// What the reader of a range says when it cannot go on as planned.
fn changed(result: Result<(usize, u64), SourceError>) -> String {
    match result {
        Err(SourceError::Changed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_range_is_planned_anew_when_its_leader_moves_or_dies() {
    let kafka = Kafka::start(Setup { nodes: 3, ..Setup::default() });
    let name = kafka.unique_topic("moves");
    kafka.create_topic(&name, 1);
    write_lines(&kafka, &name, 2_000, 20, 100);
    let cluster = cluster(&kafka);
    let planned = topic(&cluster, &name);
    let first_epoch = planned.partitions[0].epoch;
    assert_eq!(cluster.ends_of_epochs(&planned, &[(0, first_epoch)]).expect("an end"), [Some(2_000)]);
    assert_eq!(cluster.ends_of_epochs(&planned, &[(0, first_epoch + 9)]).expect("an answer"), [None]);
    let leader = kafka.leader(&name, 0).expect("somebody leads");
    let other = kafka.nodes().find(|node| *node != leader).expect("there are three");
    kafka.move_leader(&name, 0, other);
    let text = changed(drain(&mut cluster.read(planned.clone(), 0, 0..1_000)));
    for word in [&*name, "partition 0", "offset 0", "leader epoch"] {
        assert!(text.contains(word), "{text}");
    }
    let moved = topic(&cluster, &name);
    assert!(moved.partitions[0].epoch > first_epoch);
    assert_eq!(drain(&mut cluster.read(moved.clone(), 0, 0..1_000)).expect("it is read"), (1_000, 1_000));
    write_lines(&kafka, &name, 100, 20, 100);
    // The first leader's epoch ended where the second one's first record lies.
    assert_eq!(cluster.ends_of_epochs(&moved, &[(0, first_epoch)]).expect("an end"), [Some(2_000)]);
    let epoch = moved.partitions[0].epoch;
    let ends = cluster.ends_of_epochs(&moved, &[(0, epoch), (0, first_epoch)]);
    assert!(ends.is_ok(), "{ends:?}");
    // The one that was planned with is refused, since a reader that knows less must look first.
    assert!(matches!(cluster.ends_of_epochs(&planned, &[(0, epoch)]), Err(Fault::Refused { .. })));
    kafka.kill(other);
    let text = changed(drain(&mut cluster.read(moved, 0, 1_000..2_100)));
    assert!(text.contains("leader epoch") && text.contains("offset 1000"), "{text}");
    let again = eventually("somebody leads", || {
        let topic = topic(&cluster, &name);
        topic.partitions[0].broker.is_some().then_some(topic)
    });
    assert_eq!(drain(&mut cluster.read(again, 0, 1_000..2_100)).expect("it is read"), (1_100, 2_100));
}

#[test]
fn a_reader_whose_broker_restarts_goes_on_or_says_that_an_epoch_began() {
    let kafka = Kafka::start(Setup::default());
    let name = kafka.unique_topic("restarts");
    kafka.create_topic(&name, 1);
    write_lines(&kafka, &name, 60_000, 200, 1_000);
    let cluster = cluster(&kafka);
    let planned = topic(&cluster, &name);
    let mut reader = cluster.read(planned, 0, 0..60_000);
    let mut chunk = Chunk::default();
    assert!(reader.next_chunk(&mut chunk).expect("it is read"));
    let next = chunk.records.last().expect("not empty").offset + 1;
    assert!(next < 60_000, "one answer holds it all");
    kafka.kill(1);
    kafka.start_again(1);
    let at = match drain(&mut reader) {
        Ok((count, end)) => {
            assert_eq!((count as u64, end), (60_000 - next, 60_000));
            return;
        }
        Err(SourceError::Changed(text)) => {
            assert!(text.contains("leader epoch"), "{text}");
            next
        }
        Err(other) => panic!("{other}"),
    };
    let rest = drain(&mut cluster.read(topic(&cluster, &name), 0, at..60_000)).expect("it is read");
    assert_eq!(rest, ((60_000 - at) as usize, 60_000));
}

#[test]
fn offsets_that_are_gone_or_never_were_are_the_planners_to_judge() {
    let kafka = Kafka::shared();
    let name = kafka.unique_topic("range");
    kafka.create_topic(&name, 1);
    write_lines(kafka, &name, 100, 20, 10);
    kafka.delete_records(&name, 0, 35);
    let cluster = cluster(kafka);
    let planned = topic(&cluster, &name);
    for (range, offset) in [(30..60, "offset 30"), (200..300, "offset 200")] {
        let text = changed(drain(&mut cluster.read(planned.clone(), 0, range)));
        for word in [&*name, "partition 0", offset, "OffsetOutOfRange"] {
            assert!(text.contains(word), "{text}");
        }
    }
    assert_eq!(drain(&mut cluster.read(planned.clone(), 0, 35..100)).expect("it is read"), (65, 100));
    kafka.delete_topic(&name);
    let text = changed(drain(&mut cluster.read(planned.clone(), 0, 35..100)));
    assert!(text.contains(&name) && text.contains("offset 35"), "{text}");
    kafka.create_topic(&name, 1);
    write_lines(kafka, &name, 200, 20, 10);
    let text = changed(drain(&mut cluster.read(planned, 0, 35..100)));
    assert!(text.contains(&name) && text.contains("offset 35"), "{text}");
}

#[test]
fn a_hung_transaction_shows_between_two_offsets() {
    const OPEN: &str = r#"
import os, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": sys.argv[2]})
producer.init_transactions()
producer.begin_transaction()
producer.produce(sys.argv[2], b"open", partition=0)
producer.flush()
os._exit(0)
"#;
    let kafka = Kafka::shared();
    let name = kafka.unique_topic("hung");
    kafka.create_topic(&name, 1);
    write_lines(kafka, &name, 10, 20, 10);
    kafka.python(OPEN, &[&name]);
    write_lines(kafka, &name, 10, 20, 10);
    let cluster = cluster(kafka);
    let topic = topic(&cluster, &name);
    assert_eq!(cluster.offsets(&topic, Which::LastStable).expect("offsets"), [Some(10)]);
    assert_eq!(cluster.offsets(&topic, Which::HighWatermark).expect("offsets"), [Some(21)]);
}

#[test]
fn a_compacted_topic_is_told_from_others() {
    let kafka = Kafka::shared();
    let cluster = cluster(kafka);
    for (policy, expected) in [("delete", false), ("compact", true), ("compact,delete", true)] {
        let name = kafka.unique_topic("policy");
        kafka.create_topic_with(&name, 1, &[("cleanup.policy", policy)]);
        assert_eq!(cluster.is_compacted(&name).expect("an answer"), Some(expected), "{policy}");
    }
    assert!(matches!(cluster.is_compacted("nowhere"), Err(Fault::Refused { .. })));
}

/// Bytes and answers that reading `0..end` in pieces of so many offsets takes.
fn traffic(cluster: &Cluster, name: &str, end: u64, piece: u64) -> (u64, u64) {
    let topic = topic(cluster, name);
    let before = cluster.traffic();
    for from in (0..end).step_by(usize::try_from(piece).expect("it fits")) {
        let to = end.min(from + piece);
        let read = drain(&mut cluster.read(topic.clone(), 0, from..to)).expect("it is read");
        assert_eq!(read, ((to - from) as usize, to));
    }
    let after = cluster.traffic();
    (after.bytes - before.bytes, after.fetches - before.fetches)
}

#[test]
fn what_is_asked_for_fits_the_range() {
    let kafka = Kafka::shared();
    let name = kafka.unique_topic("sizes");
    kafka.create_topic(&name, 1);
    // 24 MB in batches of about 20 kB.
    write_lines(kafka, &name, 100_000, 230, 80);
    let cluster = cluster(kafka);
    let (whole, fetches) = traffic(&cluster, &name, 100_000, 100_000);
    assert!(whole < 25_500_000 && fetches < 40, "{whole} bytes in {fetches} answers");
    for (piece, most) in [(20_000, 11), (5_000, 12), (1_000, 15), (400, 22)] {
        let (bytes, fetches) = traffic(&cluster, &name, 100_000, piece);
        assert!(bytes < whole * most / 10, "{bytes} of {whole} bytes in pieces of {piece}");
        // Hardly ever is a second question needed for what one could have brought.
        let least = (100_000 / piece).max(24);
        assert!(fetches <= least * 3 / 2 + 8, "{fetches} answers in pieces of {piece}");
    }
    // A reader that is dropped in the middle leaves nothing that others would stumble over.
    let topic = topic(&cluster, &name);
    for _ in 0..20 {
        let mut reader = cluster.read(topic.clone(), 0, 0..100_000);
        assert!(reader.next_chunk(&mut Chunk::default()).expect("it is read"));
    }
    assert_eq!(drain(&mut cluster.read(topic, 0, 0..100_000)).expect("it is read"), (100_000, 100_000));
}

#[test]
fn a_broker_that_asks_for_rest_is_given_it_and_all_is_read() {
    // The rate is that of the last two seconds.
    let kafka = Kafka::start(Setup { properties: &[("quota.window.num", "2")], ..Setup::default() });
    let name = kafka.unique_topic("throttled");
    kafka.create_topic(&name, 1);
    write_lines(&kafka, &name, 30_000, 230, 80);
    let brokers = kafka.bootstrap();
    let args = [
        ["--bootstrap-server", &*brokers],
        ["--entity-type", "clients"],
        ["--entity-name", "telemetra"],
        ["--add-config", "consumer_byte_rate=1000000"],
    ];
    kafka.java("kafka.admin.ConfigCommand", &[&["--alter"], args.as_flattened()].concat(), b"");
    let cluster = cluster(&kafka);
    let topic = topic(&cluster, &name);
    assert_eq!(drain(&mut cluster.read(topic, 0, 0..30_000)).expect("it is read"), (30_000, 30_000));
    let traffic = cluster.traffic();
    assert!(traffic.throttled > 0, "{traffic:?}");
    // Seven answers would do, and about as many without records that ask for rest: nobody asked on and on.
    assert!(traffic.fetches < 60, "{traffic:?}");
}
