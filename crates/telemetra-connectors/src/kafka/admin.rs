//! Topics made for what is written.

use std::{
    thread,
    time::{Duration, Instant},
};

use kafka_protocol::{
    error::ResponseError,
    messages::{CreateTopicsRequest, TopicName, create_topics_request::CreatableTopic},
    protocol::{StrBytes, VersionRange},
};

use super::{
    cluster::{Cluster, Topic},
    fault::Fault,
};

/// With the broker's own default of replicas (Kafka 2.4) up to the newest that was read for this.
const VERSIONS: VersionRange = VersionRange { min: 5, max: 7 };
/// How long a broker may take, milliseconds.
const TIMEOUT_MS: i32 = 20_000;
/// How long is waited until every partition has its leader.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A topic to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions, 1 or more.
    pub partitions: i32,
    /// Brokers that keep each partition; -1 for the cluster's default.
    pub replication: i16,
}

/// Makes those topics that are not there yet; returns all of them, in order, once every partition has a leader. One that
/// was there may have another number of partitions.
///
/// # Errors
/// `Refused` when a topic may not be made, `Away` when nobody answers or leaders are missing for a minute.
pub fn create_topics(cluster: &Cluster, wanted: &[NewTopic]) -> Result<Vec<Topic>, Fault> {
    let names: Vec<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let tried = look_and_make(cluster, wanted, &names);
        let fault = match tried {
            Ok(Some(topics)) => return Ok(topics),
            Ok(None) => Fault::away(&names.join(", "), "not every partition has a leader"),
            Err(fault) if fault.is_passing() => fault,
            Err(fault) => return Err(fault),
        };
        if Instant::now() >= until {
            return Err(fault);
        }
        thread::sleep(PAUSE);
    }
}

/// The topics if all of them are there and led; makes those that are not.
fn look_and_make(
    cluster: &Cluster,
    wanted: &[NewTopic],
    names: &[String],
) -> Result<Option<Vec<Topic>>, Fault> {
    let found = cluster.topics(names)?;
    let missing: Vec<&NewTopic> =
        wanted.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(wanted, _)| wanted).collect();
    if !missing.is_empty() {
        make(cluster, &missing)?;
        return Ok(None);
    }
    let found: Vec<Topic> = found.into_iter().flatten().collect();
    let is_led = |topic: &Topic| topic.partitions.iter().all(|leader| leader.broker.is_some());
    Ok(found.iter().all(is_led).then_some(found))
}

fn make(cluster: &Cluster, missing: &[&NewTopic]) -> Result<(), Fault> {
    let topic = |topic: &&NewTopic| {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.name.clone())))
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication)
    };
    let request = CreateTopicsRequest::default()
        .with_topics(missing.iter().map(topic).collect())
        .with_timeout_ms(TIMEOUT_MS);
    let (place, response) = cluster.with_controller(|connection| {
        Ok((connection.place().to_owned(), connection.call(&request, VERSIONS)?))
    })?;
    for answer in &response.topics {
        match ResponseError::try_from_code(answer.error_code) {
            // Somebody else was faster.
            None | Some(ResponseError::TopicAlreadyExists) => {}
            Some(code) => {
                let said =
                    answer.error_message.as_ref().map_or(String::new(), |said| format!(" ({})", &**said));
                let what = format!("to make topic {}{said}", &*answer.name.0);
                return Err(Fault::Refused { place, what, code });
            }
        }
    }
    Ok(())
}
