//! How far a job has read, told to the brokers under a group's name: for tools that show lag, and for nobody else.
//!
//! We are no member of the group: offsets are committed as an administrator resets them. Positions come from the store
//! alone, never from here.

use std::collections::BTreeMap;

use kafka_protocol::{
    error::ResponseError,
    messages::{
        FindCoordinatorRequest, GroupId, OffsetCommitRequest, TopicName,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    },
    protocol::{StrBytes, VersionRange},
};
use telemetra_engine::ids::Offset;

use super::{cluster::Cluster, fault::Fault};

/// For several groups at once (Kafka 3.0), of which we ask for one.
const FIND: VersionRange = VersionRange { min: 4, max: 5 };
/// By the names of topics.
const COMMIT: VersionRange = VersionRange { min: 7, max: 8 };
/// Not a member.
const NO_GENERATION: i32 = -1;
const NO_EPOCH: i32 = -1;

/// Commits the next offsets of `group` by (topic, partition): one try, two requests.
///
/// # Errors
/// When it cannot be done now; nothing depends on it, so there is nothing to do about it but to say so.
pub fn commit_group(cluster: &Cluster, group: &str, offsets: &[(String, u32, Offset)]) -> Result<(), Fault> {
    if offsets.is_empty() {
        return Ok(());
    }
    let coordinator = coordinator(cluster, group)?;
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (topic, partition, next) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.cast_signed())
            .with_committed_offset(next.cast_signed())
            .with_committed_leader_epoch(NO_EPOCH);
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(NO_GENERATION)
        .with_topics(topics.into_iter().map(topic).collect());
    let (place, response) = cluster.with(coordinator, |connection| {
        Ok((connection.place().to_owned(), connection.call(&request, COMMIT)?))
    })?;
    let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code);
    match codes.filter_map(ResponseError::try_from_code).next() {
        None => Ok(()),
        Some(code) => Err(Fault::Refused { place, what: format!("offsets of group {group}"), code }),
    }
}

/// The broker that keeps the group's offsets.
fn coordinator(cluster: &Cluster, group: &str) -> Result<i32, Fault> {
    let request = FindCoordinatorRequest::default()
        .with_coordinator_keys(vec![StrBytes::from_string(group.to_owned())]);
    let (place, response) = cluster.ask_any(|connection| connection.call(&request, FIND))?;
    let answer = response.coordinators.first();
    let answer = answer.ok_or_else(|| Fault::away(&place, "the broker knows no coordinator"))?;
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(answer.node_id.0),
        Some(code) => Err(Fault::Refused { place, what: format!("the coordinator of group {group}"), code }),
    }
}
