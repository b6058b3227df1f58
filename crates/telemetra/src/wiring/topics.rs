//! Topics as the input of a pipeline, and what they have to say beside their records.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use telemetra_connectors::kafka::{Cluster, Fault, KafkaInput, KafkaOptions, KafkaSource, Reporter, Which};
use telemetra_core::chat::event;
use telemetra_engine::{
    ids::{Offset, PARTITIONS_PER_GENERATION},
    status::PositionStatus,
};

use super::Told;
use crate::{
    commands::{
        meter::InputNow,
        offsets::OffsetRow,
        run::{Pipeline, Repair, RunOptions},
        run_loop::Ahead,
    },
    settings::{KafkaSettings, Settings, TopicName},
};

/// The topics of a pipeline as a source. Once `leave` is set, nobody waits long for a broker.
pub(super) fn source(
    settings: &Settings,
    kafka: &KafkaSettings,
    run: &RunOptions,
    leave: Arc<AtomicBool>,
) -> KafkaSource {
    let job = settings.job_or(run.pipeline.name());
    let (reset, skip) = match &run.repair {
        Some(Repair::Reset(to)) => (Some(to.clone()), None),
        Some(Repair::SkipGap(skip)) => (None, skip.clone()),
        None => (None, None),
    };
    let options = KafkaOptions {
        start_at: kafka.start_at.clone(),
        pipeline: run.pipeline.name(),
        once: run.once,
        reset,
        skip,
        group: Some(format!("telemetra-{job}")),
    };
    KafkaSource::new(cluster(kafka).leaving_by(leave), inputs(kafka, run.pipeline), options)
}

/// The cluster that settings name.
pub(super) fn cluster(kafka: &KafkaSettings) -> Cluster {
    Cluster::new(kafka.bootstrap.clone(), kafka.security.clone())
}

/// The topics by number of the input, which is also what records are decoded as.
pub(super) fn inputs(kafka: &KafkaSettings, pipeline: Pipeline) -> Vec<KafkaInput> {
    const { assert!(event::CHAT == 0 && event::VIEWER == 1) };
    let input = |name, topic: &Option<TopicName>| KafkaInput {
        name,
        topic: topic.as_ref().map(|topic| topic.name.clone()),
        is_named: topic.as_ref().is_some_and(|topic| topic.is_named),
    };
    match pipeline {
        Pipeline::Chat => vec![input("chat", &kafka.chat_topic), input("viewer", &kafka.viewer_topic)],
        Pipeline::Commerce => vec![input("commerce", &kafka.commerce_topic)],
    }
}

/// What topics have to say.
pub(super) fn told(reporter: Reporter) -> Told {
    let input = move || InputNow { warnings: reporter.report().warnings, ..InputNow::default() };
    Told { ahead: Box::new(|| Ahead::Nothing), input: Box::new(input) }
}

/// A topic that somebody named and that does not exist, as far as brokers answer.
pub(super) fn missing(kafka: &KafkaSettings, pipeline: Pipeline) -> Option<String> {
    let named = inputs(kafka, pipeline).into_iter().filter(|input| input.is_named);
    let names: Vec<String> = named.filter_map(|input| input.topic).collect();
    let found = cluster(kafka).topics(&names).ok()?;
    names.into_iter().zip(found).find(|(_, topic)| topic.is_none()).map(|(name, _)| name)
}

/// Where a job stands in its topics, and why the brokers could not be asked, if so.
pub(super) fn offsets(
    kafka: &KafkaSettings,
    pipeline: Pipeline,
    positions: &[PositionStatus],
) -> (Vec<OffsetRow>, Option<String>) {
    let topics: Vec<String> = inputs(kafka, pipeline).into_iter().filter_map(|input| input.topic).collect();
    let (now, away) = match of_brokers(&cluster(kafka), &topics) {
        Ok(now) => (now, None),
        Err(fault) => (BTreeMap::new(), Some(fault.to_string())),
    };
    let mut rows: BTreeMap<(String, u32, u32), OffsetRow> = BTreeMap::new();
    let mut newest: BTreeMap<&str, (u32, Option<u128>)> = BTreeMap::new();
    for position in positions {
        let Some(topic) = &position.topic else { continue };
        let (generation, partition) =
            (position.partition / PARTITIONS_PER_GENERATION, position.partition % PARTITIONS_PER_GENERATION);
        let newest = newest.entry(topic).or_default();
        *newest = (*newest).max((generation, position.log_id));
        let row = OffsetRow {
            topic: topic.clone(),
            partition,
            generation,
            replay: Some(position.replay),
            next: Some(position.next),
            earliest: None,
            end: None,
            waiting: 0,
        };
        rows.insert((topic.clone(), generation, partition), row);
    }
    for ((topic, partition), (id, earliest, end, waiting)) in now {
        let (known, read) = newest.get(&*topic).copied().unwrap_or_default();
        // One that was made anew is not the one that was read.
        let generation = known + u32::from(read.is_some_and(|read| read != id));
        let row = rows.entry((topic.clone(), generation, partition)).or_insert_with(|| OffsetRow {
            topic,
            partition,
            generation,
            replay: None,
            next: None,
            earliest: None,
            end: None,
            waiting: 0,
        });
        (row.earliest, row.end, row.waiting) = (earliest, end, waiting);
    }
    (rows.into_values().collect(), away)
}

/// The topic's id, the first offset, the end, and how many offsets behind it wait for a transaction.
type Held = (u128, Option<Offset>, Option<Offset>, u64);

fn of_brokers(cluster: &Cluster, names: &[String]) -> Result<BTreeMap<(String, u32), Held>, Fault> {
    let mut now = BTreeMap::new();
    for topic in cluster.topics(names)?.into_iter().flatten() {
        let firsts = cluster.offsets(&topic, Which::Earliest)?;
        let ends = cluster.offsets(&topic, Which::LastStable)?;
        let tops = cluster.offsets(&topic, Which::HighWatermark)?;
        for (number, ((first, end), top)) in (0..).zip(firsts.into_iter().zip(ends).zip(tops)) {
            let waiting = top.zip(end).map_or(0, |(top, end)| top.saturating_sub(end));
            now.insert((topic.name.clone(), number), (topic.id.as_u128(), first, end, waiting));
        }
    }
    Ok(now)
}
