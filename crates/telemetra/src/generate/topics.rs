//! Generated events to topics of Kafka: made if they are not there, keyed, acknowledged by all replicas.

use std::io;

use telemetra_connectors::kafka::{Cluster, Codec, NewTopic, Producer, Topic, create_topics};
use telemetra_core::{
    commerce::Format,
    generate::{ChatGenerator, ChatPlan, CommerceGenerator, CommercePlan, CommerceSums, Input},
};

use crate::{
    cli::{BatchCodec, TopicArgs},
    settings::{KafkaSettings, TopicName},
};

/// Replicas as the cluster's default says.
const DEFAULT_REPLICATION: i16 = -1;

/// Writes to topics, in the order in which they were named.
#[derive(Debug)]
struct Writer {
    producer: Producer,
    /// What differs from what was asked for.
    notes: Vec<String>,
}

impl Writer {
    fn new(kafka: &KafkaSettings, names: &[&TopicName], args: &TopicArgs) -> anyhow::Result<Self> {
        let cluster = Cluster::new(kafka.bootstrap.clone(), kafka.security.clone());
        let replication = args.replication.unwrap_or(DEFAULT_REPLICATION);
        let wanted = |topic: &&TopicName| NewTopic {
            name: topic.name.clone(),
            partitions: args.partitions,
            replication,
        };
        let topics = create_topics(&cluster, &names.iter().map(wanted).collect::<Vec<_>>())?;
        let is_other = |topic: &&Topic| {
            usize::try_from(args.partitions).is_ok_and(|count| count != topic.partitions.len())
        };
        let note = |topic: &Topic| {
            format!("topic {} was there already, with {} partitions", topic.name, topic.partitions.len())
        };
        let notes = topics.iter().filter(is_other).map(note).collect();
        let codec = match args.codec {
            BatchCodec::None => Codec::None,
            BatchCodec::Gzip => Codec::Gzip,
            BatchCodec::Snappy => Codec::Snappy,
            BatchCodec::Lz4 => Codec::Lz4,
            BatchCodec::Zstd => Codec::Zstd,
        };
        Ok(Self { producer: Producer::new(cluster, topics, codec)?, notes })
    }
}

/// Both topics of chat and what goes into them; events of a topic that is none are left out.
#[derive(Debug)]
pub struct ChatTopics {
    generator: ChatGenerator,
    writer: Writer,
    /// Place of each input's topic.
    chat: Option<usize>,
    viewer: Option<usize>,
    chat_events: u64,
    line: Vec<u8>,
    key: Vec<u8>,
}

impl ChatTopics {
    /// Makes the topics that are not there and begins.
    ///
    /// # Errors
    /// When the plan is at fault, or brokers refuse or are away for long.
    pub fn new(kafka: &KafkaSettings, args: &TopicArgs, plan: ChatPlan) -> anyhow::Result<Self> {
        let generator = ChatGenerator::new(plan).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
        let names: Vec<&TopicName> = [&kafka.chat_topic, &kafka.viewer_topic].into_iter().flatten().collect();
        let chat = kafka.chat_topic.as_ref().map(|_| 0);
        let viewer = kafka.viewer_topic.as_ref().map(|_| names.len() - 1);
        let writer = Writer::new(kafka, &names, args)?;
        Ok(Self { generator, writer, chat, viewer, chat_events: 0, line: Vec::new(), key: Vec::new() })
    }

    /// What should be known of the topics.
    pub fn notes(&self) -> &[String] {
        &self.writer.notes
    }

    /// Chat events so far, those for no topic counted too.
    pub fn chat_events(&self) -> u64 {
        self.chat_events
    }

    /// When the next event is to be written, milliseconds.
    pub fn next_ms(&self) -> i64 {
        self.generator.next_ms()
    }

    /// Writes events until the next is to be written at or after `until_ms`, or `most` chat events were written in all.
    ///
    /// # Errors
    /// When brokers refuse or are away for long.
    pub fn write_until(&mut self, until_ms: i64, most: u64) -> io::Result<()> {
        while self.generator.next_ms() < until_ms && self.chat_events < most {
            self.line.clear();
            self.key.clear();
            let item = self.generator.next(&mut self.line);
            item.key(&mut self.key);
            self.chat_events += u64::from(item.input == Input::Chat);
            let topic = if item.input == Input::Chat { self.chat } else { self.viewer };
            if let Some(topic) = topic {
                let pushed = self.writer.producer.push(topic, &self.key, &self.line, item.time_ms);
                pushed.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Sends what has gathered; returns once it is acknowledged.
    ///
    /// # Errors
    /// When brokers refuse or are away for long.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.producer.flush().map_err(io::Error::other)
    }
}

/// The topic of shop events, as JSON, and the sums of all that was written.
#[derive(Debug)]
pub struct ShopTopic {
    generator: CommerceGenerator,
    writer: Writer,
    line: Vec<u8>,
    key: Vec<u8>,
}

impl ShopTopic {
    /// Makes the topic if it is not there and begins.
    ///
    /// # Errors
    /// As [`ChatTopics::new`].
    pub fn new(kafka: &KafkaSettings, args: &TopicArgs, plan: CommercePlan) -> anyhow::Result<Self> {
        let generator = CommerceGenerator::new(plan).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
        let names: Vec<&TopicName> = kafka.commerce_topic.iter().collect();
        let writer = Writer::new(kafka, &names, args)?;
        Ok(Self { generator, writer, line: Vec::new(), key: Vec::new() })
    }

    /// What should be known of the topic.
    pub fn notes(&self) -> &[String] {
        &self.writer.notes
    }

    /// What a run over all that was written must come to, however partitions are interleaved.
    pub fn sums(&self) -> &CommerceSums {
        self.generator.sums()
    }

    /// When the next record is to be written, milliseconds.
    pub fn next_ms(&self) -> i64 {
        self.generator.next_ms()
    }

    /// Writes records until the next is to be written at or after `until_ms`, or `most` were written in all.
    ///
    /// # Errors
    /// When brokers refuse or are away for long.
    pub fn write_until(&mut self, until_ms: i64, most: u64) -> io::Result<()> {
        while self.generator.next_ms() < until_ms && self.sums().records < most {
            self.line.clear();
            self.key.clear();
            let item = self.generator.next(Format::Json, &mut self.line);
            item.key(&mut self.key);
            let pushed = self.writer.producer.push(0, &self.key, &self.line, item.written_ms);
            pushed.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Sends what has gathered; returns once it is acknowledged.
    ///
    /// # Errors
    /// When brokers refuse or are away for long.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.producer.flush().map_err(io::Error::other)
    }
}
