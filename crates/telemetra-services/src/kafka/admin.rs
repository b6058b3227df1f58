//! What an administrator does to a cluster, asked of whichever node answers, and done when it returns.
//!
//! A refusal that says "later" is asked again; any other fails the test.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use kafka_protocol::{
    ResponseError,
    error::ParseResponseErrorCode,
    messages::{
        AlterPartitionReassignmentsRequest, CreatePartitionsRequest, CreateTopicsRequest,
        DeleteRecordsRequest, DeleteTopicsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
        MetadataRequest, MetadataResponse, TopicName,
        alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
        create_partitions_request::CreatePartitionsTopic,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
        delete_topics_request::DeleteTopicState,
        elect_leaders_request::TopicPartitions,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponsePartition,
    },
    protocol::StrBytes,
};

use super::{
    Kafka, Listener, Node,
    protocol::{self, Question},
};
use crate::eventually;

/// How long a node may take for one request.
const TIMEOUT_MS: i32 = 30_000;

/// A code of an answer and what the broker says to it.
type Outcome = (i16, Option<StrBytes>);

impl Kafka {
    /// A name that no other topic of this process has.
    pub fn unique_topic(&self, base: &str) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("{base}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a topic, a replica of each partition on every node; returns when every partition has its leader.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// The same with settings of the topic's own: `segment.bytes`, `retention.ms`.
    pub fn create_topic_with(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        self.administer("a topic is made", 7, &request, |response| {
            response.topics.first().map(|topic| (topic.error_code, topic.error_message.clone()))
        });
        self.await_partitions(name, partitions);
    }

    /// Adds partitions to a topic until it has so many.
    pub fn add_partitions(&self, name: &str, partitions: i32) {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(partitions)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        self.administer("partitions are added", 3, &request, |response| {
            response.results.first().map(|topic| (topic.error_code, topic.error_message.clone()))
        });
        self.await_partitions(name, partitions);
    }

    fn await_partitions(&self, topic: &str, partitions: i32) {
        eventually("every partition has a leader", || {
            let is_led = |node| {
                let found = self.partitions_known_to(node, topic)?;
                let all = i32::try_from(found.len()).is_ok_and(|found| found == partitions);
                (all && found.iter().all(|partition| partition.leader_id.0 > 0)).then_some(())
            };
            self.living().try_for_each(is_led)
        });
    }

    /// Deletes a topic; returns when no node knows it any more.
    pub fn delete_topic(&self, name: &str) {
        let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
        let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        self.administer("a topic is deleted", 6, &request, |response| {
            response.responses.first().map(|topic| (topic.error_code, topic.error_message.clone()))
        });
        eventually("a topic is gone", || {
            self.living().try_for_each(|node| self.partitions_known_to(node, name)?.is_empty().then_some(()))
        });
    }

    /// Changes a setting of a topic. The nodes follow within moments, not before this returns.
    pub fn alter_topic_config(&self, topic: &str, name: &str, value: &str) {
        const TOPIC: i8 = 2;
        let config = AlterableConfig::default().with_name(text(name)).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        self.administer("a topic's setting is changed", 1, &request, |response| {
            response.responses.first().map(|topic| (topic.error_code, topic.error_message.clone()))
        });
    }

    /// Deletes the records of a partition that lie before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let records = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
        let records =
            DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![records]);
        let request = DeleteRecordsRequest::default().with_topics(vec![records]).with_timeout_ms(TIMEOUT_MS);
        eventually("records are deleted", || {
            let response = self.ask(self.leader(topic, partition)?, 2, &request)?;
            done("records are deleted", (response.topics.first()?.partitions.first()?.error_code, None))
        });
    }

    /// The node that leads a partition, as far as the nodes that run know; `None` if there is none.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<Node> {
        let found = self.living().find_map(|node| self.partition_known_to(node, topic, partition));
        Node::try_from(found?.leader_id.0).ok()
    }

    /// Makes a node lead a partition; returns when every node that runs knows it.
    pub fn move_leader(&self, topic: &str, partition: i32, to: Node) {
        let replicas = eventually("a partition is known", || {
            let found = self.living().find_map(|node| self.partition_known_to(node, topic, partition))?;
            Some(found.replica_nodes)
        });
        // The first replica is the one that ought to lead.
        let first = i32::from(to).into();
        let others = replicas.iter().copied().filter(|&replica| replica != first);
        let order = std::iter::once(first).chain(others).take(replicas.len()).collect();
        let moved =
            ReassignablePartition::default().with_partition_index(partition).with_replicas(Some(order));
        let moved = ReassignableTopic::default().with_name(topic_name(topic)).with_partitions(vec![moved]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(vec![moved])
            .with_timeout_ms(TIMEOUT_MS);
        self.administer("replicas are put in order", 0, &request, |response| {
            let moved = response.responses.first().and_then(|topic| topic.partitions.first());
            let (code, message) = (response.error_code, response.error_message.clone());
            if code == 0 {
                moved.map(|moved| (moved.error_code, moved.error_message.clone()))
            } else {
                Some((code, message))
            }
        });
        let elected =
            TopicPartitions::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
        let request = ElectLeadersRequest::default()
            .with_topic_partitions(Some(vec![elected]))
            .with_timeout_ms(TIMEOUT_MS);
        eventually("a leader moves", || {
            // Refused while the node is not yet in sync, or leads already: what counts is who leads.
            self.living().find_map(|node| self.ask(node, 2, &request))?;
            let leads = |node| {
                let found = self.partition_known_to(node, topic, partition)?;
                (found.leader_id == first).then_some(())
            };
            self.living().try_for_each(leads)
        });
    }

    /// Asks until a node has done it.
    fn administer<R: Question>(
        &self,
        what: &str,
        version: i16,
        request: &R,
        outcome: impl Fn(&R::Answer) -> Option<Outcome>,
    ) {
        eventually(what, || {
            let response = self.living().find_map(|node| self.ask(node, version, request))?;
            done(what, outcome(&response).expect("an answer speaks of what was asked"))
        });
    }

    /// The nodes whose processes are there.
    fn living(&self) -> impl Iterator<Item = Node> {
        self.nodes().filter(|&node| self.is_alive(node))
    }

    fn ask<R: Question>(&self, node: Node, version: i16, request: &R) -> Option<R::Answer> {
        let ports = self.ports.get(usize::from(node) - 1)?;
        protocol::ask(ports.told(Listener::Plain), version, request).ok()
    }

    fn metadata(&self, node: Node, topics: Vec<MetadataRequestTopic>) -> Option<MetadataResponse> {
        let request =
            MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false);
        let response = self.ask(node, 12, &request)?;
        (response.cluster_id.as_deref() == Some(self.cluster_id.as_str())).then_some(response)
    }

    /// Which nodes are up, as one of them says.
    pub(super) fn nodes_known_to(&self, node: Node) -> Option<BTreeSet<Node>> {
        let brokers = self.metadata(node, Vec::new())?.brokers;
        brokers.iter().map(|broker| Node::try_from(broker.node_id.0).ok()).collect()
    }

    /// A topic's partitions as a node knows them; none if it does not know the topic.
    fn partitions_known_to(&self, node: Node, topic: &str) -> Option<Vec<MetadataResponsePartition>> {
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let found = self.metadata(node, vec![asked])?.topics.pop()?;
        match found.error_code.err() {
            None | Some(ResponseError::UnknownTopicOrPartition) => Some(found.partitions),
            Some(_) => None,
        }
    }

    fn partition_known_to(
        &self,
        node: Node,
        topic: &str,
        partition: i32,
    ) -> Option<MetadataResponsePartition> {
        let mut found = self.partitions_known_to(node, topic)?.into_iter();
        found.find(|found| found.partition_index == partition)
    }
}

/// Nothing if it is to be asked again.
///
/// # Panics
/// If it is refused for good.
fn done(what: &str, (code, message): Outcome) -> Option<()> {
    match code.err() {
        None => Some(()),
        Some(error) if error.is_retriable() => None,
        Some(error) => panic!("{what}? {error:?}: {}", message.as_deref().unwrap_or_default()),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
