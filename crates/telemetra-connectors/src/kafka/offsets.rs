//! Where partitions begin and end.

use std::collections::BTreeMap;

use kafka_protocol::{
    error::ResponseError,
    messages::{
        BrokerId, ListOffsetsRequest, TopicName,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::{StrBytes, VersionRange},
};
use telemetra_engine::ids::Offset;

use super::{
    cluster::{Cluster, Topic},
    fault::Fault,
};

/// With leader epochs (Kafka 2.1) up to the newest that was read for this.
const VERSIONS: VersionRange = VersionRange { min: 4, max: 8 };
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
/// Who asks is no broker; a broker is told of what is not committed too.
pub(super) const CONSUMER: BrokerId = BrokerId(-1);

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first that is still there.
    Earliest,
    /// The first that may still be given up, or is not yet written.
    LastStable,
    /// The first that a reader of all could not read yet. If it stays above a last stable offset that does not move, a
    /// transaction hangs.
    HighWatermark,
    /// The first whose record was written at this time or later, milliseconds since the Unix epoch.
    At(i64),
}

impl Which {
    fn timestamp(self) -> i64 {
        match self {
            Which::Earliest => -2,
            Which::LastStable | Which::HighWatermark => -1,
            Which::At(ms) => ms.max(0),
        }
    }

    fn isolation(self) -> i8 {
        if self == Which::HighWatermark { READ_UNCOMMITTED } else { READ_COMMITTED }
    }
}

/// Asks for an offset of every partition; `None` where no record is that young.
///
/// # Errors
/// Of the first partition that has no leader or refuses: look for leaders anew and ask again.
pub(super) fn offsets(cluster: &Cluster, topic: &Topic, which: Which) -> Result<Vec<Option<Offset>>, Fault> {
    let mut by_broker: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (number, leader) in (0..).zip(&topic.partitions) {
        let broker = leader_of(topic, number)?;
        let partition = ListOffsetsPartition::default()
            .with_partition_index(number)
            .with_current_leader_epoch(leader.epoch)
            .with_timestamp(which.timestamp());
        by_broker.entry(broker).or_default().push(partition);
    }
    let mut found = vec![None; topic.partitions.len()];
    for (broker, partitions) in by_broker {
        let name = TopicName(StrBytes::from_string(topic.name.clone()));
        let asked = ListOffsetsTopic::default().with_name(name).with_partitions(partitions);
        let request = ListOffsetsRequest::default()
            .with_replica_id(CONSUMER)
            .with_isolation_level(which.isolation())
            .with_topics(vec![asked]);
        let (place, response) = cluster.with(broker, |connection| {
            Ok((connection.place().to_owned(), connection.call(&request, VERSIONS)?))
        })?;
        for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
            if let Some(code) = ResponseError::try_from_code(answer.error_code) {
                let what = format!("offsets of topic {}, partition {}", topic.name, answer.partition_index);
                return Err(Fault::Refused { place, what, code });
            }
            let number = usize::try_from(answer.partition_index).unwrap_or(usize::MAX);
            if let Some(found) = found.get_mut(number) {
                *found = Offset::try_from(answer.offset).ok();
            }
        }
    }
    Ok(found)
}

/// The broker that leads a partition.
///
/// # Errors
/// `Away` if nobody does, or there is no such partition.
pub(super) fn leader_of(topic: &Topic, partition: i32) -> Result<i32, Fault> {
    let leader = usize::try_from(partition).ok().and_then(|partition| topic.partitions.get(partition));
    leader.and_then(|leader| leader.broker).ok_or_else(|| {
        Fault::away(&format!("topic {}, partition {partition}", topic.name), "nobody leads it now")
    })
}
