//! Looks at topics and the beginning of each, as a new job would read it.

use telemetra_connectors::kafka::{KafkaOptions, KafkaSource, StartAt};
use telemetra_core::logic::Logic;
use telemetra_engine::source::{PartitionView, Source};

use super::{super::topics, Sampled};
use crate::{
    commands::{
        check::{CheckReport, Finding},
        run::Pipeline,
        run_loop::now_ms,
    },
    settings::KafkaSettings,
};

/// Asks the brokers for the topics of a pipeline and decodes the first records of each.
///
/// # Errors
/// When records that are there cannot be read.
pub(super) fn look<L: Logic>(
    kafka: &KafkaSettings,
    pipeline: Pipeline,
    logic: impl Fn() -> L,
    future_skew_ms: i64,
    sample: u64,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let (start_at, pipeline_name) = (StartAt::Earliest, pipeline.name());
    let options =
        KafkaOptions { start_at, once: true, reset: None, skip: None, pipeline: pipeline_name, group: None };
    let inputs = topics::inputs(kafka, pipeline);
    let mut source = KafkaSource::new(topics::cluster(kafka), inputs.clone(), options);
    let views = match source.poll(now_ms()) {
        Ok(views) => views,
        Err(error) => {
            report.findings.push(Finding {
                what: "brokers".into(),
                found: error.to_string(),
                is_good: false,
            });
            return Ok(());
        }
    };
    report.findings.push(Finding { what: "brokers".into(), found: "they answer".into(), is_good: true });
    for (number, input) in (0_u8..).zip(inputs) {
        let Some(topic) = input.topic else { continue };
        let own: Vec<&PartitionView> = views.iter().filter(|view| view.id.input == number).collect();
        let what = format!("{} topic {topic}", input.name);
        if own.is_empty() {
            let found = "there is no such topic; a run looks for it every 5 seconds".into();
            report.findings.push(Finding { what, found, is_good: !input.is_named });
            continue;
        }
        let records: u64 = own.iter().map(|view| view.end - view.begin).sum();
        let found = format!("{} partitions, {records} offsets", own.len());
        report.findings.push(Finding { what, found, is_good: true });
        let mut sampled = Sampled::new(logic(), input.name, now_ms(), future_skew_ms);
        // From each partition its share, so that one that is odd is seen.
        let share = sample.div_ceil(own.len() as u64);
        for view in own {
            sampled.read(&mut source, view.id, view.begin, share)?;
        }
        report.inputs.push(sampled.finish());
    }
    Ok(())
}
