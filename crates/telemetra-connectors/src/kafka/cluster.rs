//! Which broker leads which partition, and connections to them.
//!
//! What brokers said last is kept until somebody finds it untrue: then all is asked anew, of any broker that answers.
//! Shared by threads; a connection belongs to one of them at a time and comes back when it is still good.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
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
    epochs::ends_of_epochs,
    fault::Fault,
    leave::Leave,
    offsets::{Which, offsets},
    policy::is_compacted,
    reader::{Density, Reader},
    security::Security,
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
    security: Security,
    leave: Leave,
    known: Mutex<Known>,
    fetches: AtomicU64,
    fetched_bytes: AtomicU64,
    throttled: AtomicU64,
}

/// What fetches have brought since the cluster was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Answers with or without records.
    pub fetches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Answers by which a broker asked for rest; it was given.
    pub throttled: u64,
}

/// A connection that somebody has for longer than one question.
#[derive(Debug)]
pub(super) struct Lease {
    address: Address,
    pub(super) connection: Connection,
}

#[derive(Debug, Default)]
struct Known {
    brokers: BTreeMap<i32, Address>,
    idle: BTreeMap<Address, Vec<Connection>>,
    /// How closely the records of partitions lie, by topic and partition.
    densities: BTreeMap<(Uuid, u32), Density>,
    /// Which bootstrap address is tried first.
    turn: usize,
    /// Whom brokers take for the one that makes topics; since KRaft any of them passes that on.
    controller: Option<i32>,
    /// Whether a broker once let us in.
    is_let_in: bool,
}

impl Cluster {
    /// A cluster that is reached through any of `bootstrap`, as `security` says. Nothing is connected yet.
    pub fn new(bootstrap: Vec<Address>, security: Security) -> Self {
        Self {
            bootstrap,
            security,
            leave: Leave::default(),
            known: Mutex::default(),
            fetches: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        }
    }

    /// Lets every wait for a broker end within about a second once `flag` is set.
    #[must_use]
    pub fn leaving_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.leave = Leave::by(flag);
        self
    }

    /// Whether and when waits end.
    pub(super) fn leave(&self) -> &Leave {
        &self.leave
    }

    /// Asks what the topics are; one that does not exist is `None`.
    ///
    /// # Errors
    /// `Away` when no broker answers, `Refused` when this user may not know the topic.
    pub fn topics(&self, names: &[String]) -> Result<Vec<Option<Topic>>, Fault> {
        let request = metadata_of(names);
        let (place, response) = self.ask_any(|connection| connection.call(&request, METADATA))?;
        self.take_brokers(&response)?;
        names.iter().map(|name| of_response(&response, name, &place)).collect()
    }

    /// Asks every broker that answers what a topic is: those that lag behind the others say something else.
    ///
    /// # Errors
    /// As [`Self::topics`], when none answers.
    pub fn opinions(&self, name: &str) -> Result<Vec<Option<Topic>>, Fault> {
        let names = [name.to_owned()];
        let mut opinions = vec![self.topics(&names)?.pop().flatten()];
        let brokers: Vec<Address> = self.known().brokers.values().cloned().collect();
        for address in brokers {
            let asked =
                self.with_address(&address, |connection| connection.call(&metadata_of(&names), METADATA));
            if let Ok(response) = asked {
                opinions.push(of_response(&response, name, &address.to_string())?);
            }
        }
        Ok(opinions)
    }

    /// Asks for an offset of every partition of a topic; `None` where no record is that young.
    ///
    /// # Errors
    /// Of the first partition that has no leader or refuses: look for leaders anew and ask again.
    pub fn offsets(&self, topic: &Topic, which: Which) -> Result<Vec<Option<Offset>>, Fault> {
        offsets(self, topic, which)
    }

    /// Asks where epochs of partitions end, given as partition and epoch: the first offset that belongs to a later
    /// epoch, or the log's end. An end below a position that was reached in that epoch means a log cut off. `None`
    /// where the leader knows nothing of the epoch.
    ///
    /// # Errors
    /// As [`Self::offsets`].
    pub fn ends_of_epochs(&self, topic: &Topic, epochs: &[(u32, i32)]) -> Result<Vec<Option<Offset>>, Fault> {
        ends_of_epochs(self, topic, epochs)
    }

    /// Asks whether a topic is compacted; `None` when this user may not know.
    ///
    /// # Errors
    /// `Away` when no broker answers, `Refused` for a topic that is not there.
    pub fn is_compacted(&self, topic: &str) -> Result<Option<bool>, Fault> {
        Ok(self.ask_any(|connection| is_compacted(connection, topic))?.1)
    }

    /// Reads `range` of a partition of `topic`, which ends below its last stable offset. Nothing is asked yet.
    pub fn read(&self, topic: Topic, partition: u32, range: Range<Offset>) -> Reader<'_> {
        Reader::new(self, topic, partition, range)
    }

    /// What fetches have brought so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            fetches: self.fetches.load(Relaxed),
            bytes: self.fetched_bytes.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
        }
    }

    /// Counts the answer to a fetch.
    pub(super) fn count_fetch(&self, bytes: usize, is_throttled: bool) {
        self.fetches.fetch_add(1, Relaxed);
        self.fetched_bytes.fetch_add(bytes as u64, Relaxed);
        self.throttled.fetch_add(u64::from(is_throttled), Relaxed);
    }

    /// How closely the records of a partition lay when it was read last.
    pub(super) fn density(&self, topic: Uuid, partition: u32) -> Option<Density> {
        self.known().densities.get(&(topic, partition)).copied()
    }

    /// Keeps how closely the records of a partition lie.
    pub(super) fn keep_density(&self, topic: Uuid, partition: u32, density: Density) {
        self.known().densities.insert((topic, partition), density);
    }

    /// Takes a connection to a broker, to have it for longer than one question.
    ///
    /// # Errors
    /// `Away` when the broker is not known or not reached.
    pub(super) fn lease(&self, broker: i32) -> Result<Lease, Fault> {
        let address = self.address(broker)?;
        let connection = self.connection(&address)?;
        Ok(Lease { address, connection })
    }

    /// Waits before brokers are asked once more.
    ///
    /// # Errors
    /// `Away` if somebody wants to leave: what was to be confirmed by waiting is not.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Fault> {
        self.leave.pause(pause);
        match self.leave.is_asked() {
            true => Err(Fault::away("the brokers", "they were not asked again, for the run is to end")),
            false => Ok(()),
        }
    }

    /// Takes a connection back that has answered all it was asked; any other is to be dropped.
    pub(super) fn give_back(&self, lease: Lease) {
        let mut known = self.known();
        known.is_let_in = true;
        let idle = known.idle.entry(lease.address).or_default();
        if idle.len() < IDLE_MAX {
            idle.push(lease.connection);
        }
    }

    /// Drops a connection that broke, and the idle ones to the same place: what ended it is likely to have ended them.
    pub(super) fn distrust(&self, lease: Lease) {
        let Lease { address, connection } = lease;
        drop(connection);
        self.known().idle.remove(&address);
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
        self.with_address(&self.address(broker)?, work)
    }

    fn address(&self, broker: i32) -> Result<Address, Fault> {
        let address = self.known().brokers.get(&broker).cloned();
        address.ok_or_else(|| Fault::away(&format!("broker {broker}"), "it is not in the cluster"))
    }

    /// Does `work` with the broker that makes topics.
    ///
    /// # Errors
    /// As [`with`](Self::with). Who it is comes with [`topics`](Self::topics).
    pub(super) fn with_controller<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let controller = self.known().controller;
        let controller = controller.ok_or_else(|| Fault::away("the controller", "nobody is it now"))?;
        self.with(controller, work)
    }

    /// Does `work` with whichever broker answers, and says which that was.
    pub(super) fn ask_any<T>(
        &self,
        mut work: impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> Result<(String, T), Fault> {
        let candidates = {
            let known = self.known();
            let turned = |mut addresses: Vec<Address>| {
                let turn = known.turn % addresses.len().max(1);
                addresses.rotate_left(turn);
                addresses
            };
            [turned(known.brokers.values().cloned().collect()), turned(self.bootstrap.clone())].concat()
        };
        let mut last = None;
        for address in candidates {
            match self.with_address(&address, &mut work) {
                Ok(done) => return Ok((address.to_string(), done)),
                Err(fault @ Fault::Halt(_)) => return Err(fault),
                Err(fault) if self.leave.is_asked() => return Err(fault),
                Err(fault) => {
                    // The next question begins with another one.
                    let mut known = self.known();
                    known.turn = known.turn.wrapping_add(1);
                    last = Some(fault);
                }
            }
        }
        Err(last.unwrap_or_else(|| Fault::Halt("no Kafka broker is named".into())))
    }

    fn with_address<T>(
        &self,
        address: &Address,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut lease = Lease { address: address.clone(), connection: self.connection(address)? };
        let done = work(&mut lease.connection);
        // After an error of the connection nobody knows what the next bytes are.
        match done {
            Err(Fault::Away { .. }) => self.distrust(lease),
            Err(Fault::Halt(_)) => drop(lease),
            _ => self.give_back(lease),
        }
        done
    }

    fn connection(&self, address: &Address) -> Result<Connection, Fault> {
        match self.idle(address) {
            Some(connection) => Ok(connection),
            None => Connection::open(address, &self.security, &self.leave)
                .map_err(|fault| self.opened(address, fault)),
        }
    }

    fn idle(&self, address: &Address) -> Option<Connection> {
        let now = Instant::now();
        let mut known = self.known();
        let idle = known.idle.get_mut(address)?;
        idle.retain(|connection| connection.is_good(now));
        idle.pop()
    }

    /// What a connection that cannot be opened means. At the start whoever is refused is told at once. Later it is no
    /// reason to stop: certificates and passwords are renewed one broker after the other.
    fn opened(&self, address: &Address, fault: Fault) -> Fault {
        let is_told = !self.bootstrap.contains(address);
        match fault {
            Fault::Halt(text) if self.known().is_let_in => Fault::away(&address.to_string(), text),
            // Nobody typed that address.
            Fault::Away { place, cause } if is_told => {
                let cause =
                    format!("{cause} (the brokers say that one of them is there: advertised.listeners)");
                Fault::Away { place, cause }
            }
            fault => fault,
        }
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
        known.controller = Some(response.controller_id.0).filter(|broker| brokers.contains_key(broker));
        known.brokers = brokers;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that can panic happens under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn metadata_of(names: &[String]) -> MetadataRequest {
    let topic = |name: &String| {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.clone()))))
    };
    MetadataRequest::default()
        .with_topics(Some(names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use super::*;

    /// Whoever waits to confirm what would halt a job must not take a wait cut short for a confirmation.
    #[test]
    fn a_wait_that_is_cut_short_confirms_nothing() {
        let check = |is_leaving: bool| {
            let cluster = Cluster::new(Vec::new(), Security::default());
            let cluster = cluster.leaving_by(Arc::new(AtomicBool::new(is_leaving)));
            cluster.pause(Duration::from_nanos(1)).is_err()
        };
        assert_eq!((check(false), check(true)), (false, true));
    }
}
