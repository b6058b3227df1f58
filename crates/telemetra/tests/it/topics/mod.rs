//! The real binary over topics of a real broker: what halts it and how it goes on, time that runs unevenly, records out
//! of the ordinary.
//!
//! What a run comes to is held against the same events from folders.

mod away;
mod begin;
mod group;
mod guards;
mod readme;
mod records;
mod shop;
mod time;

use std::fs;

use telemetra_services::{eventually, kafka::Kafka};

use crate::{
    golden::{Filled, summary},
    support::{Finished, Instance, Telemetra},
};

/// 2025-01-01T00:00:00Z.
pub(crate) const T0: i64 = 1_735_689_600_000;

/// A chat event `second` after the beginning.
pub(crate) fn chat(second: i64, stream: &str, user: &str) -> String {
    let time_ms = T0 + second * 1_000;
    format!(
        r#"{{"timestamp":{time_ms},"stream_id":"{stream}","user_id":"{user}","message":"love {second}"}}"#
    )
}

/// A viewer event.
pub(crate) fn viewer(second: i64, stream: &str, count: u64) -> String {
    let time_ms = T0 + second * 1_000;
    format!(r#"{{"timestamp":{time_ms},"stream_id":"{stream}","viewer_count":{count}}}"#)
}

/// One chat event a second, by one of a few people, of one stream.
pub(crate) fn chats(seconds: std::ops::Range<i64>, stream: &str) -> Vec<String> {
    seconds.map(|second| chat(second, stream, &format!("u{}", second % 7))).collect()
}

/// Writes lines to a partition by kcat.
pub(crate) fn produce(kafka: &Kafka, topic: &str, partition: u32, lines: &[String]) {
    let args = ["-P", "-t", topic, "-p", &partition.to_string(), "-X", "acks=all"];
    kafka.kcat(&args, (lines.join("\n") + "\n").as_bytes());
}

/// Writes lines to a partition as one batch.
pub(crate) fn produce_at_once(kafka: &Kafka, topic: &str, partition: u32, lines: &[String]) {
    let args = ["-P", "-t", topic, "-p", &partition.to_string(), "-X", "acks=all", "-X", "linger.ms=500"];
    kafka.kcat(&args, (lines.join("\n") + "\n").as_bytes());
}

/// A broker's two topics, and the folder of a job that reads them.
pub(crate) struct Topics<'k> {
    pub(crate) kafka: &'k Kafka,
    pub(crate) telemetra: Telemetra,
    pub(crate) chat: String,
    pub(crate) viewer: String,
    has_viewer: bool,
}

impl<'k> Topics<'k> {
    /// A chat topic with so many partitions; the viewer topic does not exist.
    pub(crate) fn new(kafka: &'k Kafka, partitions: i32) -> Self {
        let chat = kafka.unique_topic("chat");
        kafka.create_topic(&chat, partitions);
        Self {
            kafka,
            telemetra: Telemetra::new(),
            chat,
            viewer: kafka.unique_topic("viewer"),
            has_viewer: false,
        }
    }

    /// Makes the viewer topic.
    pub(crate) fn make_viewer(&mut self, partitions: i32) {
        self.kafka.create_topic(&self.viewer, partitions);
        self.has_viewer = true;
    }

    pub(crate) fn send(&self, partition: u32, lines: &[String]) {
        produce(self.kafka, &self.chat, partition, lines);
    }

    /// A command line that names the brokers and the chat topic; the viewer topic is named by the environment.
    fn with(&self, words: &[&str], more: &[&str]) -> Vec<String> {
        let bootstrap = self.kafka.bootstrap();
        let topics = ["--kafka", &bootstrap, "--chat-topic", &self.chat];
        [words, &topics, more].concat().into_iter().map(str::to_owned).collect()
    }

    /// Runs a command of the pipeline to its end.
    pub(crate) fn command(&self, words: &[&str], more: &[&str]) -> Finished {
        let topic = [("TELEMETRA_VIEWER_TOPIC", if self.has_viewer { &*self.viewer } else { "none" })];
        self.telemetra.run_env(&self.with(words, more), &topic)
    }

    /// Reads to the end of what is there.
    pub(crate) fn once(&self, more: &[&str]) -> Finished {
        self.command(&["run", "chat", "--once"], more)
    }

    /// Starts a run that stays.
    pub(crate) fn start(&self, more: &[&str]) -> Instance {
        let words = [
            "run",
            "chat",
            "--log-format",
            "json",
            "--retry-delay-seconds",
            "0.1",
            "--trigger-interval",
            "50ms",
        ];
        let mut command = self.telemetra.command(&self.with(&words, more));
        command.env("TELEMETRA_VIEWER_TOPIC", &self.viewer);
        Instance::of(command)
    }

    /// Every committed sum holds.
    pub(crate) fn audit(&self) {
        self.telemetra.run(&["audit"]).expect_code(0);
    }

    /// One number of the store; 0 as long as there is none.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        if !self.telemetra.store().exists() {
            return 0;
        }
        let db = self.telemetra.open_store();
        db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten().unwrap_or(0)
    }

    /// Waits until the store says so.
    pub(crate) fn await_number(&self, sql: &str, expected: i64) {
        eventually(&format!("{sql}: {expected}"), || (self.number(sql) == expected).then_some(()));
    }

    /// Goes on with events of a partition, a second apart from `from` on, until the watermark has come so far too: nobody
    /// else holds it any more.
    pub(crate) fn talk_until_watermark(&self, partition: u32, from: i64, stream: &str) {
        let mut second = from;
        let has_come = format!("SELECT max(watermark_ms) >= {} FROM telemetra_batch", T0 + from * 1_000);
        eventually(&has_come, || {
            self.send(partition, &[chat(second, stream, "u")]);
            second += 1;
            (self.number(&has_come) == 1).then_some(())
        });
    }

    /// Events counted so far.
    pub(crate) fn counted(&self) -> i64 {
        self.number("SELECT sum(counted) FROM telemetra_batch_range")
    }

    /// The rows of all windows.
    pub(crate) fn rows(self) -> Vec<Vec<String>> {
        summary(&Filled::Sqlite(self.telemetra))
    }
}

/// The rows of all windows that the same events come to, read from folders.
pub(crate) fn rows_of(chat: &[String], viewer: &[String]) -> Vec<Vec<String>> {
    let telemetra = Telemetra::new();
    for (folder, lines) in [("chat", chat), ("viewer", viewer)] {
        fs::create_dir(telemetra.path().join(folder)).expect("a folder");
        if !lines.is_empty() {
            fs::write(telemetra.path().join(folder).join("a.jsonl"), lines.join("\n") + "\n")
                .expect("a file");
        }
    }
    let run = [
        "run",
        "chat",
        "--once",
        "--drain",
        "--chat-dir",
        "chat",
        "--viewer-dir",
        "viewer",
        "--arrival",
        "rename",
    ];
    telemetra.run(&run).expect_code(0);
    summary(&Filled::Sqlite(telemetra))
}
