//! What tools that watch lags see: positions as offsets of the group `telemetra-JOB`.

use telemetra_services::{eventually, kafka::Kafka};

use super::{Topics, chats};

/// Prints topic, partition and offset of a group's positions in two partitions.
const GROUP: &str = r#"
import sys
from confluent_kafka import Consumer, KafkaException, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[2]})
asked = [TopicPartition(sys.argv[3], number) for number in range(2)]
while True:
    try:
        found = consumer.committed(asked, timeout=30)
        break
    except KafkaException as error:
        # The coordinator of the first group takes its time.
        if error.args[0].name() not in ("NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE"):
            raise
for it in found:
    print(it.topic, it.partition, it.offset)
consumer.close()
"#;

/// The group's offsets as librdkafka sees them.
fn shown(topics: &Topics, group: &str) -> Vec<String> {
    let said = topics.kafka.python(GROUP, &[group, &topics.chat]);
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}

#[test]
fn positions_are_shown_as_offsets_of_a_group() {
    let topics = Topics::new(Kafka::shared(), 2);
    let (job, group, topic) = ("watched", "telemetra-watched", topics.chat.clone());
    let expected = |offsets: [u64; 2]| {
        let line = |(number, offset)| format!("{topic} {number} {offset}");
        (0..).zip(offsets).map(line).collect::<Vec<String>>()
    };
    topics.send(0, &chats(0..100, "a"));
    topics.send(1, &chats(0..30, "b"));
    let instance = topics.start(&["--job", job]);
    eventually("the group has them", || (shown(&topics, group) == expected([100, 30])).then_some(()));
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));

    // One that leaves at once has shown them by then; the other partition's stays.
    topics.send(0, &chats(100..120, "a"));
    topics.once(&["--job", job]).expect_code(0);
    assert_eq!(topics.number("SELECT max(next_offset) FROM telemetra_position"), 120);
    assert_eq!(shown(&topics, group), expected([120, 30]));
    topics.audit();
}
