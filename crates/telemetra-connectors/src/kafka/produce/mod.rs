//! Records of ours to topics, each once, acknowledged by all replicas in sync.
//!
//! | part | question it answers |
//! |---|---|
//! | `batch` | the bytes of a record batch |
//! | `partition` | which partition a key belongs to |
//!
//! Synchronous: records gather by partition; when one has enough, or all of it is too much, they are sent and waited for.
//! A batch has its number before it is first sent, and is sent with that number until it is acknowledged: a broker that
//! has it already says so and does not write it again (idempotent producer, KIP-98).
//!
//! Invariant: the next batch of a partition is made after the last one was acknowledged, so numbers have no holes.

mod batch;
mod partition;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::{
    error::ResponseError,
    messages::{
        InitProducerIdRequest, ProduceRequest, TopicName,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{StrBytes, VersionRange},
};

use self::{
    batch::{Open, Sequence},
    partition::partition_of,
};
use super::{
    cluster::{Cluster, Topic},
    fault::Fault,
};

/// With flexible fields (Kafka 2.8), by topics' names.
const PRODUCE: VersionRange = VersionRange { min: 9, max: 12 };
const INIT: VersionRange = VersionRange { min: 2, max: 4 };
/// All replicas in sync.
const ACKS_ALL: i16 = -1;
/// How long a broker may wait for the replicas, milliseconds.
const TIMEOUT_MS: i32 = 30_000;
/// Bytes of records that a batch holds, before compression, unless one record is longer: brokers take 1 MiB unless told
/// otherwise.
const BATCH_BYTES: usize = 512 << 10;
/// Most bytes of a record beside key and value.
const RECORD_OVERHEAD: usize = 40;
/// Bytes of records over all partitions after which all are sent.
const OPEN_BYTES_MAX: usize = 32 << 20;
/// Bytes of one request: brokers take 100 MiB unless told otherwise.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// How long a batch is tried before its caller is told.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Its number in a batch's attributes.
    fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// Writes to topics.
#[derive(Debug)]
pub struct Producer {
    cluster: Cluster,
    codec: Codec,
    id: i64,
    epoch: i16,
    topics: Vec<Out>,
    /// Bytes of records in `topics`.
    open_bytes: usize,
}

/// A topic that is written to.
#[derive(Debug)]
struct Out {
    topic: Topic,
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    open: Open,
    /// Made, and not known to be written.
    batch: Option<Batch>,
    /// Records acknowledged, modulo 2^31.
    sequence: i32,
}

#[derive(Debug)]
struct Batch {
    bytes: Bytes,
    count: i32,
}

/// Topic and partition by place.
type Place = (usize, usize);

impl Producer {
    /// Begins to write to `topics`, which are there.
    ///
    /// # Errors
    /// When no broker gives a producer its number.
    pub fn new(cluster: Cluster, topics: Vec<Topic>, codec: Codec) -> Result<Self, Fault> {
        let (id, epoch) = patiently(|| producer_id(&cluster))?;
        let out = |topic: Topic| {
            let partitions = topic.partitions.iter().map(|_| Partition::default()).collect();
            Out { topic, partitions }
        };
        let topics = topics.into_iter().map(out).collect();
        Ok(Self { cluster, codec, id, epoch, topics, open_bytes: 0 })
    }

    /// Adds a record to the topic at place `topic`; its partition is that of its key. `time_ms` is its stamp,
    /// milliseconds since the Unix epoch. What has gathered is sent if it is enough.
    ///
    /// # Errors
    /// When what is sent is not acknowledged for two minutes, or refused for good.
    pub fn push(&mut self, topic: usize, key: &[u8], value: &[u8], time_ms: i64) -> Result<(), Fault> {
        let place = (topic, partition_of(key, self.topics[topic].partitions.len()));
        let open = &self.topics[topic].partitions[place.1].open;
        if open.count() > 0 && open.len() + key.len() + value.len() + RECORD_OVERHEAD > BATCH_BYTES {
            self.send(vec![place])?;
        }
        let open = &mut self.topics[topic].partitions[place.1].open;
        let before = open.len();
        open.push(key, value, time_ms);
        self.open_bytes += open.len() - before;
        if self.open_bytes >= OPEN_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Sends all that has gathered; returns once it is acknowledged.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn flush(&mut self) -> Result<(), Fault> {
        let all = self.topics.iter().enumerate().flat_map(|(topic, out)| {
            let waiting = |partition: &Partition| partition.batch.is_some() || partition.open.count() > 0;
            let places = out.partitions.iter().enumerate().filter(move |(_, it)| waiting(it));
            places.map(move |(partition, _)| (topic, partition))
        });
        let all: Vec<Place> = all.collect();
        self.send(all)
    }

    /// Sends the batches at `places` until all are acknowledged.
    fn send(&mut self, mut places: Vec<Place>) -> Result<(), Fault> {
        for &place in &places {
            self.close(place);
        }
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        while !places.is_empty() {
            let Err(fault) = self.send_once(&mut places) else { continue };
            if !fault.is_passing() || Instant::now() >= until {
                return Err(fault);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            if fault.is_elsewhere() {
                self.find_leaders()?;
            }
        }
        Ok(())
    }

    /// Makes a batch of what has gathered, unless the last one is not acknowledged yet.
    fn close(&mut self, (topic, partition): Place) {
        let partition = &mut self.topics[topic].partitions[partition];
        if partition.batch.is_some() || partition.open.count() == 0 {
            return;
        }
        self.open_bytes -= partition.open.len();
        let count = partition.open.count();
        let sequence =
            Sequence { producer_id: self.id, producer_epoch: self.epoch, base: partition.sequence };
        let bytes = partition.open.close(self.codec, sequence).into();
        partition.batch = Some(Batch { bytes, count });
    }

    /// Sends each batch once, by the brokers that lead; takes those out of `places` that are acknowledged. The first
    /// fault that will not pass, else the last one.
    fn send_once(&mut self, places: &mut Vec<Place>) -> Result<(), Fault> {
        let mut by_broker: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        let mut last = Ok(());
        for &(topic, partition) in places.iter() {
            let of = &self.topics[topic].topic;
            match of.partitions[partition].broker {
                Some(broker) => by_broker.entry(broker).or_default().push((topic, partition)),
                None => {
                    let place = format!("topic {}, partition {partition}", of.name);
                    last = Err(Fault::away(&place, "nobody leads it now"));
                }
            }
        }
        for (broker, places_of_broker) in by_broker {
            let mut rest = &places_of_broker[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(self.fitting(rest));
                rest = later;
                match self.send_to(broker, now, places) {
                    Ok(()) => {}
                    Err(fault) if fault.is_passing() => last = Err(fault),
                    Err(fault) => return Err(fault),
                }
            }
        }
        last
    }

    /// How many of `places` go into one request.
    fn fitting(&self, places: &[Place]) -> usize {
        let mut bytes = 0;
        let over = places.iter().position(|&(topic, partition)| {
            let batch = self.topics[topic].partitions[partition].batch.as_ref();
            bytes += batch.map_or(0, |batch| batch.bytes.len());
            bytes > REQUEST_BYTES_MAX
        });
        over.unwrap_or(places.len()).max(1)
    }

    fn send_to(&mut self, broker: i32, now: &[Place], places: &mut Vec<Place>) -> Result<(), Fault> {
        let request = self.request(now);
        let (at, response) = self.cluster.with(broker, |connection| {
            let response = connection.call(&request, PRODUCE)?;
            connection.throttle(response.throttle_time_ms);
            Ok((connection.place().to_owned(), response))
        })?;
        let mut last = Ok(());
        for answer in &response.responses {
            for part in &answer.partition_responses {
                let found = now.iter().find(|(topic, partition)| {
                    self.topics[*topic].topic.name == *answer.name.0
                        && i32::try_from(*partition) == Ok(part.index)
                });
                let Some(&found) = found else { continue };
                match ResponseError::try_from_code(part.error_code) {
                    // It was written the time before, whose answer was lost.
                    None | Some(ResponseError::DuplicateSequenceNumber) => {
                        self.acknowledged(found);
                        places.retain(|place| *place != found);
                    }
                    Some(code) => {
                        let said = part
                            .error_message
                            .as_ref()
                            .map_or(String::new(), |said| format!(" ({})", &**said));
                        let what =
                            format!("records for topic {}, partition {}{said}", &*answer.name.0, part.index);
                        let fault = Fault::Refused { place: at.clone(), what, code };
                        if !fault.is_passing() {
                            return Err(fault);
                        }
                        last = Err(fault);
                    }
                }
            }
        }
        if last.is_ok() && now.iter().any(|place| places.contains(place)) {
            return Err(Fault::away(&at, "the broker said nothing of some of the records"));
        }
        last
    }

    fn request(&self, places: &[Place]) -> ProduceRequest {
        let mut by_topic: BTreeMap<usize, Vec<PartitionProduceData>> = BTreeMap::new();
        for &(topic, partition) in places {
            let batch = self.topics[topic].partitions[partition].batch.as_ref();
            let data = PartitionProduceData::default()
                .with_index(i32::try_from(partition).expect("Kafka counts partitions so"))
                .with_records(batch.map(|batch| batch.bytes.clone()));
            by_topic.entry(topic).or_default().push(data);
        }
        let topic = |(topic, data): (usize, Vec<PartitionProduceData>)| {
            let name = TopicName(StrBytes::from_string(self.topics[topic].topic.name.clone()));
            TopicProduceData::default().with_name(name).with_partition_data(data)
        };
        ProduceRequest::default()
            .with_acks(ACKS_ALL)
            .with_timeout_ms(TIMEOUT_MS)
            .with_topic_data(by_topic.into_iter().map(topic).collect())
    }

    fn acknowledged(&mut self, (topic, partition): Place) {
        let partition = &mut self.topics[topic].partitions[partition];
        if let Some(batch) = partition.batch.take() {
            // After the largest number comes 0.
            let next = i64::from(partition.sequence) + i64::from(batch.count);
            partition.sequence = (next & i64::from(i32::MAX)) as i32;
        }
    }

    /// Looks who leads now.
    fn find_leaders(&mut self) -> Result<(), Fault> {
        let names: Vec<String> = self.topics.iter().map(|out| out.topic.name.clone()).collect();
        // Nobody answers: the pause goes on.
        let Ok(found) = self.cluster.topics(&names) else { return Ok(()) };
        for (out, found) in self.topics.iter_mut().zip(found) {
            let Some(found) = found else { continue };
            if found.id != out.topic.id {
                let text =
                    format!("topic {} was made anew meanwhile: what was written to it is gone", found.name);
                return Err(Fault::Halt(text));
            }
            // Partitions that were added are left alone: keys keep theirs.
            let ours = out.partitions.len();
            if found.partitions.len() >= ours {
                out.topic.partitions = found.partitions.into_iter().take(ours).collect();
            }
        }
        Ok(())
    }
}

fn producer_id(cluster: &Cluster) -> Result<(i64, i16), Fault> {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let (place, response) = cluster.ask_any(|connection| connection.call(&request, INIT))?;
    match ResponseError::try_from_code(response.error_code) {
        None => Ok((response.producer_id.0, response.producer_epoch)),
        Some(code) => Err(Fault::Refused { place, what: "a producer its number".into(), code }),
    }
}

/// Tries until it succeeds, or fails for good, or patience is over.
fn patiently<T>(mut work: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let until = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        match work() {
            Err(fault) if fault.is_passing() && Instant::now() < until => {
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            done => return done,
        }
    }
}
