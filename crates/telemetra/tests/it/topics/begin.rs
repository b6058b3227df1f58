//! Where a job begins that is new: at the end, at an instant, at offsets; and that a crash chooses nothing anew.

use telemetra_services::kafka::Kafka;

use super::{T0, Topics, chats};

const POSITIONS: &str = "SELECT count(*) FROM telemetra_position";

/// Writes to partition 0 the chat events of these seconds, written at their event time as brokers know it.
const DATED: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "acks": "all"})
for line in sys.argv[4:]:
    second, value = line.split(" ", 1)
    producer.produce(sys.argv[2], value.encode(), partition=0, timestamp=int(sys.argv[3]) + int(second) * 1000)
producer.flush()
"#;

fn send_dated(topics: &Topics, seconds: std::ops::Range<i64>) {
    let lines: Vec<String> =
        seconds.clone().zip(chats(seconds, "a")).map(|(second, line)| format!("{second} {line}")).collect();
    let begin = T0.to_string();
    let mut args = vec![&*topics.chat, &*begin];
    args.extend(lines.iter().map(String::as_str));
    topics.kafka.python(DATED, &args);
}

/// Two partitions hold a hundred events each; a job that begins as `start_at` says counts so many of them.
fn check(start_at: &str, expected: i64) {
    let mut topics = Topics::new(Kafka::shared(), 1);
    // By what is written on them, the records are older than retention allows.
    topics.chat = topics.kafka.unique_topic("dated");
    topics.kafka.create_topic_with(&topics.chat, 2, &[("retention.ms", "-1")]);
    send_dated(&topics, 0..100);
    topics.send(1, &chats(0..100, "b"));
    let start_at = start_at.replace("CHAT", &topics.chat);
    topics.once(&["--start-at", &start_at]).expect_code(0);
    assert_eq!(topics.counted(), expected, "{start_at}");
    // It is chosen once: whatever is said later, it goes on.
    topics.send(0, &chats(100..150, "a"));
    topics.send(1, &chats(100..150, "b"));
    topics.once(&["--start-at", "latest", "--drain"]).expect_code(0);
    assert_eq!(topics.counted(), expected + 100, "{start_at}");
    topics.audit();
}

#[test]
fn a_job_begins_at_the_earliest_record() {
    check("earliest", 200);
}

#[test]
fn a_job_begins_at_the_end() {
    check("latest", 0);
}

#[test]
fn a_job_begins_at_an_instant_by_the_time_of_writing() {
    // Partition 1 was written today.
    check("2025-01-01T00:01:00Z", 140);
}

#[test]
fn a_job_begins_behind_all_records_where_none_is_that_young() {
    check("2099-01-01T00:00:00Z", 0);
}

#[test]
fn a_job_begins_at_offsets() {
    check("CHAT:0=30,CHAT:1=latest", 70);
    check("CHAT:1=99", 101);
}

#[test]
fn an_offset_that_is_not_there_halts() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    let start_at = format!("{}:0=101", topics.chat);
    let halted = topics.once(&["--start-at", &start_at]).expect_code(4);
    assert!(halted.contains("offset 101") && halted.contains("0..100"), "{halted}");
}

#[test]
fn the_old_jobs_name_for_it_is_heeded() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    let bootstrap = topics.kafka.bootstrap();
    let run = ["run", "chat", "--once", "--kafka", &bootstrap, "--chat-topic", &topics.chat];
    let environment = [("TELEMETRA_VIEWER_TOPIC", "none"), ("KAFKA_STARTING_OFFSETS", "latest")];
    topics.telemetra.run_env(&run, &environment).expect_code(0);
    topics.send(0, &chats(100..130, "a"));
    topics.telemetra.run_env(&run, &environment).expect_code(0);
    assert_eq!(topics.counted(), 30);
    topics.audit();
}

#[test]
fn a_crash_right_after_the_start_does_not_begin_at_another_end() {
    let topics = Topics::new(Kafka::shared(), 2);
    topics.send(0, &chats(0..100, "a"));
    topics.send(1, &chats(0..100, "b"));
    let latest = ["--start-at", "latest"];
    let instance = topics.start(&latest);
    // Both partitions have begun, and nothing has come.
    topics.await_number(POSITIONS, 2);
    instance.signal(libc::SIGKILL);
    instance.wait();
    topics.send(0, &chats(100..140, "a"));
    topics.send(1, &chats(100..160, "b"));
    let instance = topics.start(&latest);
    topics.await_number("SELECT sum(counted) FROM telemetra_batch_range", 100);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    // The first windows lack what came before the job.
    assert!(topics.number("SELECT count(*) FROM chat_summary_minute WHERE incomplete") > 0);
    assert_eq!(topics.counted(), 100);
}
