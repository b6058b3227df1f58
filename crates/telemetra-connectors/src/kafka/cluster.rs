//! Which broker leads which partition, and connections to them.
//!
//! What brokers said last is kept until somebody finds it untrue: then all is asked anew, of any broker that answers.
//! Shared by threads; a connection belongs to one of them at a time and comes back when it is still good.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kafka_protocol::{
    error::ResponseError,
    messages::{
        MetadataRequest, MetadataResponse, TopicName,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::{StrBytes, VersionRange},
};
use telemetra_engine::ids::Offset;
use uuid::Uuid;

use super::{
    connection::{Address, Connection},
    fault::Fault,
    offsets::{Which, offsets},
    reader::Reader,
};

/// Metadata with topic ids (Kafka 2.8) up to the newest that was read for this.
const METADATA: VersionRange = VersionRange { min: 10, max: 13 };
/// Idle connections kept to one broker.
const IDLE_MAX: usize = 8;

/// A topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Another one after the topic was made anew.
    pub id: Uuid,
    /// By number, without holes.
    pub partitions: Vec<Leader>,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker's number; `None` while an election is under way.
    pub broker: Option<i32>,
    /// Raised by each election.
    pub epoch: i32,
}

/// The brokers of one cluster.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Vec<Address>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    brokers: BTreeMap<i32, Address>,
    idle: BTreeMap<Address, Vec<Connection>>,
    /// Which bootstrap address is tried first.
    turn: usize,
}

impl Cluster {
    /// A cluster that is reached through any of `bootstrap`. Nothing is connected yet.
    pub fn new(bootstrap: Vec<Address>) -> Self {
        Self { bootstrap, known: Mutex::default() }
    }

    /// Asks what the topics are; one that does not exist is `None`.
    ///
    /// # Errors
    /// `Away` when no broker answers, `Refused` when this user may not know the topic.
    pub fn topics(&self, names: &[String]) -> Result<Vec<Option<Topic>>, Fault> {
        let topic = |name: &String| {
            MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.clone()))))
        };
        let request = MetadataRequest::default()
            .with_topics(Some(names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        let (place, response) = self.ask_any(|connection| connection.call(&request, METADATA))?;
        self.take_brokers(&response)?;
        names.iter().map(|name| of_response(&response, name, &place)).collect()
    }

    /// Asks for an offset of every partition of a topic; `None` where no record is that young.
    ///
    /// # Errors
    /// Of the first partition that has no leader or refuses: look for leaders anew and ask again.
    pub fn offsets(&self, topic: &Topic, which: Which) -> Result<Vec<Option<Offset>>, Fault> {
        offsets(self, topic, which)
    }

    /// Reads `range` of a partition of `topic`, which ends below its last stable offset. Nothing is asked yet.
    pub fn read(&self, topic: Topic, partition: u32, range: Range<Offset>) -> Reader<'_> {
        Reader::new(self, topic, partition, range)
    }

    /// Does `work` with a connection to a broker.
    ///
    /// # Errors
    /// Those of `work`; `Away` when the broker is not known or not reached.
    pub(super) fn with<T>(
        &self,
        broker: i32,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let address = self.known().brokers.get(&broker).cloned();
        let address =
            address.ok_or_else(|| Fault::away(&format!("broker {broker}"), "it is not in the cluster"))?;
        self.with_address(&address, work)
    }

    /// Does `work` with whichever broker answers, and says which that was.
    fn ask_any<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> Result<(String, T), Fault> {
        let candidates = {
            let mut known = self.known();
            known.turn = known.turn.wrapping_add(1);
            let mut bootstrap = self.bootstrap.clone();
            let turn = known.turn % bootstrap.len().max(1);
            bootstrap.rotate_left(turn);
            let mut all: Vec<Address> = known.brokers.values().cloned().collect();
            all.extend(bootstrap);
            all
        };
        let mut last = None;
        for address in candidates {
            match self.with_address(&address, &mut work) {
                Ok(done) => return Ok((address.to_string(), done)),
                Err(fault @ Fault::Halt(_)) => return Err(fault),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| Fault::Halt("no Kafka broker is named".into())))
    }

    fn with_address<T>(
        &self,
        address: &Address,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let idle = self.known().idle.get_mut(address).and_then(Vec::pop);
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(address)?,
        };
        let done = work(&mut connection);
        // After an error of the connection nobody knows what the next bytes are.
        if !matches!(done, Err(Fault::Away { .. })) {
            let mut known = self.known();
            let idle = known.idle.entry(address.clone()).or_default();
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
        }
        done
    }

    fn take_brokers(&self, response: &MetadataResponse) -> Result<(), Fault> {
        let mut brokers = BTreeMap::new();
        for broker in &response.brokers {
            let port = u16::try_from(broker.port).map_err(|_| {
                Fault::Halt(format!("broker {} is at port {}", broker.node_id.0, broker.port))
            })?;
            brokers.insert(broker.node_id.0, Address { host: broker.host.to_string(), port });
        }
        let mut known = self.known();
        known.idle.retain(|address, _| brokers.values().any(|it| it == address));
        known.brokers = brokers;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that can panic happens under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_response(response: &MetadataResponse, name: &str, place: &str) -> Result<Option<Topic>, Fault> {
    let is_it = |topic: &&MetadataResponseTopic| topic.name.as_ref().is_some_and(|it| &*it.0 == name);
    let Some(topic) = response.topics.iter().find(is_it) else {
        return Err(Fault::away(place, format!("the broker said nothing of topic {name}")));
    };
    match ResponseError::try_from_code(topic.error_code) {
        None => {}
        Some(ResponseError::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => {
            return Err(Fault::Refused { place: place.to_owned(), what: format!("topic {name}"), code });
        }
    }
    let leader = |it: &MetadataResponsePartition| Leader {
        broker: (it.leader_id.0 >= 0).then_some(it.leader_id.0),
        epoch: it.leader_epoch,
    };
    let mut partitions: Vec<_> = topic.partitions.iter().map(|it| (it.partition_index, leader(it))).collect();
    partitions.sort_unstable_by_key(|(number, _)| *number);
    if partitions.iter().zip(0..).any(|((number, _), place)| *number != place) {
        return Err(Fault::away(place, format!("the broker leaves out partitions of topic {name}")));
    }
    let partitions = partitions.into_iter().map(|(_, leader)| leader).collect();
    Ok(Some(Topic { name: name.to_owned(), id: topic.topic_id, partitions }))
}
