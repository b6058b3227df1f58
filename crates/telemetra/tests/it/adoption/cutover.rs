//! The old job is stopped, its tables are adopted, and `run chat --start-at latest` begins while events flow.
//!
//! ```text
//! events    ────────────────────────────────────────────────────────►
//! old rows  stream a ████████████████████████████████████████████████   some of them hold too little: it was stopped
//!           stream b none
//! job                       ·│ start_ms: the first event of the last partition to begin
//! a         old rows stay    │ ours, whole                            │ old rows stay
//! b         nothing, then    │ ours, whole
//!           incomplete ones  │
//! ```

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use ::postgres::{Client, SimpleQueryMessage};
use telemetra_services::{
    PATIENCE,
    kafka::Kafka,
    postgres::{Database, Postgres},
};

use super::old::{CHAT_COLUMNS, MOMENT_COLUMNS};
use crate::{
    support::{Instance, Telemetra},
    topics::chat,
};

/// Old rows of stream `a` lie this far in event time, beyond all events.
const OLD_SECONDS: u32 = 40_000;
const PARTITIONS: i64 = 2;

/// Writes values that it reads, `partition value`, one after the other, and says so.
const FEED: &str = r#"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "acks": "all", "linger.ms": 0})
for line in sys.stdin:
    partition, value = line.rstrip("\n").split(" ", 1)
    producer.produce(sys.argv[2], value.encode(), partition=int(partition))
    producer.flush()
    print("written", flush=True)
"#;

/// Events that flow: one of each stream every second of event time.
struct Feed {
    child: Child,
    values: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Seconds written so far.
    seconds: i64,
    events: Vec<String>,
}

impl Feed {
    fn start(kafka: &Kafka, topic: &str) -> Self {
        let mut python = kafka.python_command(FEED, &[topic]);
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        Self {
            values: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
            seconds: 0,
            events: Vec::new(),
        }
    }

    /// Writes the next second.
    fn second(&mut self) {
        for stream in ["a", "b"] {
            let event = chat(self.seconds, stream, &format!("u{}", self.seconds % 7));
            writeln!(self.values, "{} {event}", self.seconds % PARTITIONS).expect("it reads");
            self.answers.read_line(&mut String::new()).expect("it answers");
            self.events.push(event);
        }
        self.seconds += 1;
    }

    /// Writes the next second to the first partition, and lets one pass that would be the second's.
    fn second_of_first(&mut self) {
        self.seconds += self.seconds % PARTITIONS;
        self.second();
    }

    fn seconds(&mut self, count: i64) {
        (0..count).for_each(|_| self.second());
    }

    /// Writes on until the store says so.
    fn until(&mut self, database: &Database, what: &str) {
        self.wait_for(database, what, Self::second);
    }

    /// Does something again and again until the store says so.
    fn wait_for(&mut self, database: &Database, what: &str, mut meanwhile: impl FnMut(&mut Self)) {
        let until = std::time::Instant::now() + PATIENCE;
        let mut client = database.client();
        while rows(&mut client, &format!("SELECT 1 WHERE {what}")).is_empty() {
            assert!(std::time::Instant::now() < until, "in vain: {what}");
            meanwhile(self);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let answers = client.simple_query(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    let row = |answer| match answer {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    answers.into_iter().filter_map(row).collect()
}

/// Our rows by a condition: what hangs on nothing but a window's own events.
fn ours(database: &Database, condition: &str) -> Vec<String> {
    let sql = format!(
        "SELECT stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count,
                negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, is_final, incomplete
         FROM chat_summary_minute WHERE batch_id IS NOT NULL AND {condition} ORDER BY stream_id, window_start"
    );
    rows(&mut database.client(), &sql)
}

/// The same events from a folder, into an empty store.
fn reference(events: &[String], condition: &str) -> Vec<String> {
    let (telemetra, database) = (Telemetra::new(), Postgres::shared().create_database());
    std::fs::create_dir(telemetra.path().join("chat")).expect("a folder");
    std::fs::write(telemetra.path().join("chat/a.jsonl"), events.join("\n") + "\n").expect("a file");
    let run = ["run", "chat", "--once", "--drain", "--arrival", "rename", "--chat-dir", "chat"];
    telemetra.run(&[&run[..], &["--store", &database.address()]].concat()).expect_code(0);
    ours(&database, condition)
}

/// A database with the old job's table, adopted.
fn adopted(telemetra: &Telemetra) -> Database<'static> {
    let database = Postgres::shared().create_database();
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}); CREATE TABLE moments ({MOMENT_COLUMNS});
         INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment,
             chat_rate, top_emotes, z_score, is_anomaly)
         SELECT 'a', t, t + interval '1 minute', 7, 7, 0.5, 0.12, ARRAY['Old'], 3.1, true
         FROM generate_series(timestamp '2024-12-31 23:59:10',
                              timestamp '2025-01-01' + interval '{OLD_SECONDS} seconds', '10 seconds') t"
    );
    database.client().batch_execute(&sql).expect("the old tables");
    telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
    database
}

/// Takes over at the end of the topic while events flow, is killed `kills` times, and is held against all events. One
/// partition may have its first event much later than the other: `is_apart`.
fn check(kills: usize, is_apart: bool) {
    let kafka = Kafka::shared();
    let topic = kafka.unique_topic("cutover");
    kafka.create_topic(&topic, 2);
    let telemetra = Telemetra::new();
    let database = adopted(&telemetra);
    let old = "SELECT * FROM chat_summary_minute WHERE batch_id IS NULL ORDER BY stream_id, window_start";
    let before = rows(&mut database.client(), old);

    let mut feed = Feed::start(kafka, &topic);
    feed.seconds(120);
    let (bootstrap, store) = (kafka.bootstrap(), database.address());
    let run = |more: &[&str]| {
        let topics =
            ["--kafka", &bootstrap, "--chat-topic", &topic, "--start-at", "latest", "--store", &store];
        let flags = ["run", "chat", "--log-format", "json", "--retry-delay-seconds", "0.1"];
        let mut command = telemetra.command(&[&flags[..], &topics, more].concat());
        // By the clock of a slow machine somebody could be idle.
        command.env("TELEMETRA_VIEWER_TOPIC", "none").env("IDLE_TIMEOUT", "1 hour");
        command
    };
    let stays = || Instance::of(run(&["--trigger-interval", "50ms"]));
    let mut instance = stays();
    const COUNTS: &str = "EXISTS (SELECT FROM telemetra.batch_range WHERE counted > 0)";
    if is_apart {
        feed.wait_for(&database, "(SELECT count(*) FROM telemetra.position) = 2", |_| {});
        feed.wait_for(&database, COUNTS, Feed::second_of_first);
        let what = "EXISTS (SELECT FROM chat_summary_minute WHERE batch_id IS NOT NULL)";
        feed.wait_for(&database, what, Feed::second_of_first);
        // What the other one left out is not known yet.
        assert_eq!(rows(&mut database.client(), old), before);
    }
    feed.until(&database, COUNTS);
    for _ in 0..kills {
        let epoch = rows(&mut database.client(), "SELECT max(epoch) FROM telemetra.batch").remove(0);
        instance.signal(libc::SIGKILL);
        instance.wait();
        feed.seconds(3);
        instance = stays();
        feed.until(&database, &format!("(SELECT max(epoch) FROM telemetra.batch) > {epoch}"));
    }
    feed.seconds(200);
    instance.signal(libc::SIGTERM);
    assert_eq!(instance.wait().code(), Some(0));
    let drained = run(&["--once", "--drain"]).output().expect("the binary starts");
    assert!(drained.status.success(), "{drained:?}");
    telemetra.run(&["audit", "--store", &store]).expect_code(0);

    let mut client = database.client();
    let begun = "SELECT start_ms FROM telemetra.job";
    let start_ms: i64 = rows(&mut client, begun)[0].parse().expect("it has begun behind the first record");
    assert!(feed.seconds < i64::from(OLD_SECONDS), "the old rows end before the events");
    // Whole windows: all that the same events come to, old rows or not.
    let whole = format!("window_start >= to_timestamp({start_ms} / 1000.0)");
    let found = ours(&database, &whole);
    assert!(found.len() > 20, "{found:?}");
    assert_eq!(found, reference(&feed.events, &whole));
    // Windows that began before: an old row stays, else what is there is incomplete.
    let begun_before = format!("window_start < to_timestamp({start_ms} / 1000.0)");
    let torn = ours(&database, &begun_before);
    assert!(
        !torn.is_empty() && torn.iter().all(|row| row.starts_with("b|") && row.ends_with("|t|t")),
        "{torn:?}"
    );
    let after = rows(&mut client, old);
    let (kept, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|row| after.contains(row));
    assert_eq!(kept, after, "an old row was changed");
    let replaced = found.iter().filter(|row| row.starts_with("a|")).count();
    assert_eq!(gone.len(), replaced, "old rows that are gone are those that whole windows took the place of");
    let late = "SELECT sum(late) FROM telemetra.batch_range";
    assert_eq!(rows(&mut client, late), ["0"]);
}

#[test]
fn a_job_that_begins_at_the_end_while_events_flow_overwrites_no_good_row() {
    check(0, false);
}

#[test]
fn a_kill_right_after_the_beginning_changes_nothing() {
    check(2, false);
}

#[test]
fn a_partition_whose_first_event_comes_later_costs_no_good_row() {
    check(0, true);
}
