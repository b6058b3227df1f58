//! Partitions whose time runs unevenly: none makes another's events late, and none holds the others for ever.

use telemetra_services::kafka::Kafka;

use super::{Topics, chat, chats, produce, rows_of, viewer};

const COUNTED: &str = "SELECT sum(counted) FROM telemetra_batch_range";
const LATE: &str = "SELECT sum(late) + sum(window_misses) FROM telemetra_batch_range";
const FINAL: &str = "SELECT count(*) FROM chat_summary_minute WHERE is_final";

#[test]
fn partitions_added_under_load_are_read_from_their_first_record() {
    let topics = Topics::new(Kafka::shared(), 2);
    // A new partition's first events may lie below what the others have come to by then.
    let delay = ["--watermark-delay", "5 minutes"];
    let instance = topics.start(&delay);
    topics.send(0, &chats(0..100, "a"));
    topics.await_number(COUNTED, 100);
    topics.kafka.add_partitions(&topics.chat, 4);
    for partition in 0..4 {
        topics.send(partition, &chats(100..200, &format!("s{partition}")));
    }
    topics.await_number(COUNTED, 500);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&[&delay[..], &["--drain"]].concat()).expect_code(0);
    topics.audit();
    assert_eq!(topics.number(LATE), 0);
    let mut events = chats(0..100, "a");
    (0..4).for_each(|partition| events.extend(chats(100..200, &format!("s{partition}"))));
    events.sort();
    assert_eq!(topics.rows(), rows_of(&events, &[]));
}

#[test]
fn a_silent_partition_holds_the_others_no_longer_than_the_idle_timeout() {
    let topics = Topics::new(Kafka::shared(), 2);
    let instance = topics.start(&["--idle-timeout", "2s"]);
    topics.send(1, &chats(0..10, "quiet"));
    topics.send(0, &chats(0..200, "a"));
    topics.await_number(COUNTED, 210);
    // The other one goes on; the silent one would hold the watermark at ten seconds.
    topics.talk_until_watermark(0, 200, "a");
    assert!(topics.number(FINAL) > 0);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.audit();
    assert_eq!(topics.number(LATE), 0);
}

/// Events of one chat topic, with a viewer topic that is there and empty, or not there at all.
fn check_without_viewers(is_there: bool) {
    let mut topics = Topics::new(Kafka::shared(), 1);
    if is_there {
        topics.make_viewer(2);
    }
    let events = chats(0..300, "a");
    topics.send(0, &events);
    let instance = topics.start(&[]);
    if !is_there {
        instance.expect(&format!("topic {} does not exist yet", topics.viewer));
    }
    topics.await_number(COUNTED, 300);
    // The watermark follows chat alone, while the job runs.
    topics.await_number("SELECT max(watermark_ms) FROM telemetra_batch", super::T0 + 289_000);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.number("SELECT count(*) FROM chat_summary_minute WHERE avg_viewers IS NOT NULL"), 0);
    assert_eq!(topics.rows(), rows_of(&events, &[]));
}

#[test]
fn an_empty_viewer_topic_holds_nobody() {
    check_without_viewers(true);
}

#[test]
fn a_missing_viewer_topic_is_told_of_and_holds_nobody() {
    check_without_viewers(false);
}

#[test]
fn a_viewer_topic_that_appears_later_is_read_within_seconds() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..20, "a"));
    let instance = topics.start(&[]);
    topics.await_number(COUNTED, 20);
    topics.kafka.create_topic(&topics.viewer, 1);
    produce(topics.kafka, &topics.viewer, 0, &[viewer(5, "a", 40)]);
    topics.await_number(COUNTED, 21);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.audit();
}

#[test]
fn a_topic_named_on_the_command_line_must_be_there_for_once() {
    let topics = Topics::new(Kafka::shared(), 1);
    let said = topics.once(&["--viewer-topic", &topics.viewer.clone()]).expect_code(1);
    assert!(said.contains(&format!("topic {} does not exist", topics.viewer)), "{said}");
}

#[test]
fn a_producer_whose_clock_is_eighty_seconds_slow_is_never_late() {
    let topics = Topics::new(Kafka::shared(), 2);
    let (right, slow) = (chats(80..600, "a"), chats(0..520, "b"));
    let instance = topics.start(&["--max-records-per-trigger", "100"]);
    for (right, slow) in right.chunks(65).zip(slow.chunks(65)) {
        topics.send(0, right);
        topics.send(1, slow);
    }
    topics.await_number(COUNTED, 1_040);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.number(LATE), 0);
    let mut events = [right, slow].concat();
    events.sort();
    assert_eq!(topics.rows(), rows_of(&events, &[]));
}

#[test]
fn a_backlog_of_an_hour_on_one_partition_of_four_makes_nothing_late() {
    let topics = Topics::new(Kafka::shared(), 4);
    let mut events = chats(0..3_700, "slow");
    topics.send(0, &events);
    for partition in 1..4 {
        let own = chats(3_600..3_700, &format!("s{partition}"));
        topics.send(partition, &own);
        events.extend(own);
    }
    topics.once(&["--max-records-per-trigger", "500", "--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.number(LATE), 0);
    events.sort();
    assert_eq!(topics.rows(), rows_of(&events, &[]));
}

#[test]
#[expect(clippy::print_stdout, reason = "the numbers are for whoever runs it with --nocapture")]
fn a_viewer_topic_an_hour_ahead_neither_opens_every_window_nor_stretches_the_replay() {
    let mut topics = Topics::new(Kafka::shared(), 2);
    topics.make_viewer(1);
    let mut chat: Vec<String> = chats(0..1_800, "a");
    topics.send(0, &chat);
    let viewers: Vec<String> = (0..600).map(|at| viewer(3_600 + at, "a", 5)).collect();
    produce(topics.kafka, &topics.viewer, 0, &viewers);
    let run = ["--max-records-per-trigger", "200", "--json"];
    let report: serde_json::Value = serde_json::from_str(&topics.once(&run).stdout()).expect("a report");
    let (panes, replay) = (&report["open_panes_max"], &report["replay_records_max"]);
    println!("most panes open at once: {panes}; most records that a restart would have read again: {replay}");
    // A minute's windows span 11 panes; the horizon lets a batch reach 70 seconds ahead, and what lies an hour ahead was
    // begun before its position was known.
    assert!(panes.as_u64().expect("a number") <= 120, "{panes}");
    assert!(replay.as_u64().expect("a number") <= 1_200, "{replay}");
    topics.audit();
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.number(LATE), 0);
    chat.sort();
    assert_eq!(topics.rows(), rows_of(&chat, &viewers));
}

/// A producer that holds a transaction open in partition 0 until it is told to end, then gives it up.
const HUNG: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": sys.argv[2]})
producer.init_transactions()
producer.begin_transaction()
producer.produce(sys.argv[2], b'{"timestamp":1735689600000,"stream_id":"never","user_id":"u","message":"x"}', partition=0)
producer.flush()
print("open", flush=True)
import os
os._exit(0)
"#;

#[test]
fn a_hung_transaction_does_not_hold_the_other_partitions() {
    let topics = Topics::new(Kafka::shared(), 2);
    topics.send(0, &chats(0..50, "a"));
    topics.kafka.python(HUNG, &[&topics.chat]);
    topics.send(0, &[chat(50, "a", "behind")]);
    topics.send(1, &chats(0..400, "b"));
    let instance = topics.start(&["--idle-timeout", "2s"]);
    topics.await_number(COUNTED, 450);
    topics.talk_until_watermark(1, 400, "b");
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.audit();
    assert_eq!(topics.number("SELECT count(*) FROM chat_summary_minute WHERE stream_id = 'never'"), 0);
    assert_eq!(topics.number("SELECT next_offset FROM telemetra_position WHERE \"partition\" = 0"), 50);
}

/// A null value to partition 1 ten times a second, so long as somebody reads what it says.
const TOMBSTONES: &str = r#"
import sys, threading
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 0})
pause = threading.Event()
while True:
    producer.produce(sys.argv[2], None, key=b"k", partition=1)
    producer.flush()
    print("one", flush=True)
    pause.wait(0.1)
"#;

#[test]
fn tombstones_one_after_the_other_do_not_hold_the_watermark() {
    let topics = Topics::new(Kafka::shared(), 2);
    topics.send(1, &chats(0..10, "once"));
    topics.send(0, &chats(0..400, "a"));
    let mut python = topics.kafka.python_command(TOMBSTONES, &[&topics.chat]);
    let mut tombstones = python.stdout(std::process::Stdio::null()).spawn().expect("Python starts");
    let instance = topics.start(&["--idle-timeout", "2s"]);
    topics.await_number(COUNTED, 410);
    topics.talk_until_watermark(0, 400, "a");
    tombstones.kill().expect("it is ours");
    tombstones.wait().expect("it is ours");
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert!(topics.number("SELECT sum(empty) FROM telemetra_batch_range") > 2);
    assert_eq!(topics.number(LATE), 0);
}

/// Events recorded when they happened: ten minutes of one stream in partition 0, one an hour earlier in partition 1.
const RECORDED: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
t0 = 1735689600
def send(second, stream, partition):
    event = b'{"timestamp":%d,"stream_id":"%s","user_id":"u","message":"x"}' % ((t0 + second) * 1000, stream)
    producer.produce(sys.argv[2], event, partition=partition, timestamp=(t0 + second) * 1000)
send(-3600, b"old", 1)
for second in range(600): send(second, b"a", 0)
producer.flush()
"#;

#[test]
fn a_partition_that_stays_silent_behind_an_instant_makes_no_later_window_incomplete() {
    let mut topics = Topics::new(Kafka::shared(), 1);
    topics.chat = topics.kafka.unique_topic("recorded");
    topics.kafka.create_topic_with(&topics.chat, 2, &[("retention.ms", "-1")]);
    topics.kafka.python(RECORDED, &[&topics.chat]);
    topics.once(&["--start-at", "2025-01-01T00:05:00Z", "--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 300);
    let rows = |incomplete: &str| {
        topics.number(&format!("SELECT count(*) FROM chat_summary_minute WHERE {incomplete}"))
    };
    // Those that begin before the first event, and, until the silent one speaks, within the skew of the instant.
    assert!((5..=12).contains(&rows("incomplete")), "{}", rows("incomplete"));
    assert_eq!(rows("incomplete AND window_start > '2025-01-01T00:06:00Z'"), 0);
    assert!(rows("NOT incomplete") > 20);
}
