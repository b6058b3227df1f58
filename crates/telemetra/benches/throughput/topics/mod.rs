//! Chat from topics of a real broker that runs on the same machine, and kcat reading the same to nothing beside it.
//!
//! | file | owns |
//! |---|---|
//! | `fill` | the broker, and topics that are filled once |
//! | `kcat` | what another client costs that does nothing with what it reads |
//! | `live` | a job that is fed while it runs: from an event to its row, and what that costs |
//!
//! The broker is started here in the parent, so that a stage's CPU time is telemetra's alone.

mod fill;
mod kcat;
pub(crate) mod live;

use anyhow::{Context, ensure};
use fill::{Broker, KINDS, Kind};
use telemetra::{commands::run::Pipeline, settings::Settings};

use crate::{
    Options,
    cost::Outcome,
    in_child, stages,
    store::Servers,
    table::{print_head, print_stage},
};

/// What is done with a topic of each kind; kcat only with those of chat as it comes.
const TO: [&str; 3] = ["to SQLite", "to PostgreSQL", "by kcat to nothing"];

/// Whether a stage reads a topic that is there as a whole.
pub(crate) fn is_stage(stage: &str) -> bool {
    stage.starts_with("topic ")
}

/// Runs one stage over the topic at `place`.
pub(crate) fn run(place: &str, store: &str, workers: u64) -> anyhow::Result<Outcome> {
    stages::to_store(&settings(place, store, &["--workers", &workers.to_string()])?, Pipeline::Chat)
}

/// Settings as `run chat` has them, for a topic as `place` names it, behind its brokers and a slash.
fn settings(place: &str, store: &str, flags: &[&str]) -> anyhow::Result<Settings> {
    let (brokers, topic) = place.split_once('/').context("brokers and a topic")?;
    let topics = ["--kafka", brokers, "--chat-topic", topic, "--viewer-topic", "none"];
    stages::settings_of(&[&topics, flags].concat(), store)
}

/// Runs the stages that are wanted and prints their table.
pub(crate) fn over_topics(
    options: &Options,
    servers: &Servers,
    scratch: &std::path::Path,
) -> anyhow::Result<()> {
    let stages = |kind: &'static Kind| {
        let to = TO.into_iter().take(if kind.is_chat_as_it_comes() { 3 } else { 1 });
        to.map(move |to| (kind, format!("topic {} {to}", kind.name)))
    };
    let stages = KINDS.iter().flat_map(stages).filter(|(_, stage)| options.wants(stage));
    let stages: Vec<(&Kind, String)> = stages.collect();
    if options.topic_events == 0 || stages.is_empty() {
        return Ok(());
    }
    let broker = Broker::start();
    for kind in &KINDS {
        if stages.iter().any(|(wanted, _)| wanted.name == kind.name) {
            broker.fill(kind, options.topic_events)?;
        }
    }
    println!(
        "\n{} chat events in topics of one broker; {} worker(s), median of {}",
        options.topic_events, options.workers, options.rounds
    );
    let mut outcomes: Vec<Vec<Outcome>> = stages.iter().map(|_| Vec::new()).collect();
    // Round by round, so that what disturbs the machine meets all stages alike.
    for round in 0..options.rounds {
        for ((kind, stage), outcomes) in stages.iter().zip(&mut outcomes) {
            let events = kind.events(options.topic_events);
            if stage.ends_with("to nothing") {
                outcomes.push(kcat::read(stage, &broker, kind.name, events)?);
                continue;
            }
            let store = servers.store(stage, &scratch.join("topics"), round)?;
            let outcome = in_child(stage, broker.place(kind.name), &store.address())?;
            ensure!(outcome.events == events, "{stage}: {} events, not {events}", outcome.events);
            outcomes.push(outcome);
        }
    }
    print_head("event");
    for ((_, stage), outcomes) in stages.iter().zip(&outcomes) {
        print_stage(stage, outcomes);
    }
    Ok(())
}
