//! One broker, and topics of it that are filled once: the same events in all that hold chat as it comes.
//!
//! Events end at the clock's now, for brokers remove what is stamped long ago.

use telemetra::{
    cli::{BatchCodec, TopicArgs},
    commands::run_loop::now_ms,
    generate::topics::ChatTopics,
    settings::KafkaSettings,
};
use telemetra_connectors::kafka::{Cluster, Codec, Producer};
use telemetra_core::generate::ChatPlan;
use telemetra_services::kafka::{Kafka, Setup};

use super::settings;
use crate::input::{self, RATE};

/// What a topic is filled with.
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    codec: BatchCodec,
    partitions: i32,
    /// Bytes of each message; `None` as people write.
    message_bytes: Option<usize>,
}

/// Partitions of a topic as users have it.
pub(super) const PARTITIONS: i32 = 4;

/// Chat as it comes, by compression; then what could need much memory.
pub(super) const KINDS: [Kind; 6] = [
    Kind::packed("plain", BatchCodec::None),
    Kind::packed("snappy", BatchCodec::Snappy),
    Kind::packed("lz4", BatchCodec::Lz4),
    Kind::packed("zstd", BatchCodec::Zstd),
    Kind { name: "64-partitions", codec: BatchCodec::None, partitions: 64, message_bytes: None },
    Kind { name: "100-kB", codec: BatchCodec::None, partitions: PARTITIONS, message_bytes: Some(100_000) },
];

impl Kind {
    const fn packed(name: &'static str, codec: BatchCodec) -> Kind {
        Kind { name, codec, partitions: PARTITIONS, message_bytes: None }
    }

    pub(super) fn is_chat_as_it_comes(&self) -> bool {
        self.partitions == PARTITIONS && self.message_bytes.is_none()
    }

    /// How many events are written where others get `events`.
    pub(super) fn events(&self, events: u64) -> u64 {
        if self.message_bytes.is_some() { (events / 400).max(1) } else { events }
    }
}

/// A broker that is fast once it is warm.
pub(super) struct Broker {
    pub(super) kafka: Kafka,
}

impl Broker {
    pub(super) fn start() -> Broker {
        Broker { kafka: Kafka::start(Setup { is_fast: true, ..Setup::default() }) }
    }

    /// How a stage is told of a topic.
    pub(super) fn place(&self, topic: &str) -> String {
        format!("{}/{topic}", self.kafka.bootstrap())
    }

    /// Makes a topic of this kind and writes what others get `events` of.
    pub(super) fn fill(&self, kind: &Kind, events: u64) -> anyhow::Result<()> {
        let events = kind.events(events);
        let length_ms = i64::try_from(events * 1_000 / RATE)?;
        if let Some(bytes) = kind.message_bytes {
            return self.fill_with_long(kind, events, bytes);
        }
        let plan = ChatPlan { start_ms: now_ms() - length_ms, ..input::plan() };
        let mut topics = self.topics(kind.name, kind.codec, kind.partitions, plan)?;
        topics.write_until(i64::MAX, events)?;
        topics.flush()?;
        Ok(())
    }

    /// Events of one plan on their way to a topic.
    pub(super) fn topics(
        &self,
        topic: &str,
        codec: BatchCodec,
        partitions: i32,
        plan: ChatPlan,
    ) -> anyhow::Result<ChatTopics> {
        ChatTopics::new(&self.settings(topic)?, &TopicArgs { partitions, replication: None, codec }, plan)
    }

    fn settings(&self, topic: &str) -> anyhow::Result<KafkaSettings> {
        let settings = settings(&self.place(topic), "sqlite:not-opened.db", &[])?;
        settings.kafka.ok_or_else(|| anyhow::anyhow!("topics are asked for"))
    }

    /// Writes single events to a topic that is there.
    pub(super) fn producer(&self, topic: &str) -> anyhow::Result<Producer> {
        let kafka = self.settings(topic)?;
        let cluster = Cluster::new(kafka.bootstrap, kafka.security);
        let topics = cluster.topics(&[topic.to_owned()])?.into_iter().flatten().collect();
        Ok(Producer::new(cluster, topics, Codec::None)?)
    }

    fn fill_with_long(&self, kind: &Kind, events: u64, bytes: usize) -> anyhow::Result<()> {
        self.kafka.create_topic(kind.name, kind.partitions);
        let mut producer = self.producer(kind.name)?;
        let words = "love it ".repeat(bytes / 8);
        let begun_ms = now_ms() - i64::try_from(events)?;
        for number in 0..events {
            let (time_ms, stream) = (begun_ms + i64::try_from(number)?, number % 20);
            let line = format!(
                r#"{{"timestamp":{time_ms},"stream_id":"s{stream}","user_id":"u{}","message":"{words}"}}"#,
                number % 1_000
            );
            producer.push(0, format!("s{stream}").as_bytes(), line.as_bytes(), time_ms)?;
        }
        Ok(producer.flush()?)
    }
}
