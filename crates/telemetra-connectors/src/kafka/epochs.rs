//! Where the leadership of a partition ended: whether a log was cut off behind our back.
//!
//! Each election begins an epoch, and every batch is stamped with its own. A new leader that lacked the last records of
//! the old one lets that one's epoch end below what was read of it. Rule and request are those of KIP-320.

use std::collections::BTreeMap;

use kafka_protocol::{
    error::ResponseError,
    messages::{
        ApiKey, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
    protocol::{StrBytes, VersionRange},
};
use telemetra_engine::ids::Offset;

use super::{
    cluster::{Cluster, Topic},
    connection::Request,
    fault::Fault,
    offsets::{CONSUMER, leader_of},
};

/// With a consumer's number (Kafka 2.3) and the newest there is.
const VERSIONS: VersionRange = VersionRange { min: 3, max: 4 };

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
}

/// Asks where epochs of partitions end: the first offset that belongs to a later one, or the log's end. `None` where
/// the leader knows nothing of the epoch: it is newer than the leader's own, or all that was written in it is gone.
///
/// # Errors
/// Of the first partition that has no leader or refuses: look for leaders anew and ask again.
pub(super) fn ends_of_epochs(
    cluster: &Cluster,
    topic: &Topic,
    epochs: &[(u32, i32)],
) -> Result<Vec<Option<Offset>>, Fault> {
    let mut by_broker: BTreeMap<i32, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for &(number, epoch) in epochs {
        let broker = leader_of(topic, number.cast_signed())?;
        let current = topic.partitions.get(number as usize).map_or(-1, |leader| leader.epoch);
        let partition = OffsetForLeaderPartition::default()
            .with_partition(number.cast_signed())
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        by_broker.entry(broker).or_default().push(partition);
    }
    let mut ends = BTreeMap::new();
    for (broker, partitions) in by_broker {
        let name = TopicName(StrBytes::from_string(topic.name.clone()));
        let asked = OffsetForLeaderTopic::default().with_topic(name).with_partitions(partitions);
        let request =
            OffsetForLeaderEpochRequest::default().with_replica_id(CONSUMER).with_topics(vec![asked]);
        let (place, response) = cluster.with(broker, |connection| {
            Ok((connection.place().to_owned(), connection.call(&request, VERSIONS)?))
        })?;
        for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
            if let Some(code) = ResponseError::try_from_code(answer.error_code) {
                let what = format!("leader epochs of topic {}, partition {}", topic.name, answer.partition);
                return Err(Fault::Refused { place, what, code });
            }
            ends.insert(answer.partition, Offset::try_from(answer.end_offset).ok());
        }
    }
    Ok(epochs.iter().map(|(number, _)| ends.get(&number.cast_signed()).copied().flatten()).collect())
}
