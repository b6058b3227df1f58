//! `generate commerce`: CSV to a folder or stdout, JSON to Kafka, and at the end the sums that a run over it must come to.
//!
//! The sums hold for a run that reads the files in the order of their names, which is that of writing; of a topic in
//! any order of its partitions, since all records of one event are in one of them.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde_json::json;
use telemetra_core::{
    commerce::{Format, rows::EventType},
    generate::{CommerceGenerator, CommercePlan, CommerceSums},
};

use super::{Extent, When, paced, retention_note};
use crate::{
    cli::GenerateCommerceArgs,
    commands::run_loop::now_ms,
    exit::Exit,
    generate::{shop::ShopFeed, topics::ShopTopic},
    out::{self, grouped},
    settings::KafkaSettings,
    signals::Stop,
};

/// `generate commerce`.
///
/// # Errors
/// When a flag is at fault (exit code 2, returned), or output cannot be written.
pub fn generate(
    args: &GenerateCommerceArgs,
    kafka: Option<&KafkaSettings>,
    stop: &Stop,
) -> anyhow::Result<Exit> {
    let (plan, extent) = match plan(args, kafka.is_some(), now_ms()) {
        Ok(planned) => planned,
        Err(faults) => {
            faults.iter().for_each(|fault| out::note(&format!("error: {fault}")));
            return Ok(Exit::Settings);
        }
    };
    let sums = if let Some(kafka) = kafka {
        to_kafka(args, kafka, plan, extent, stop)?
    } else if args.output == "-" {
        match to_stdout(args, plan, extent, stop) {
            // Whoever read has seen enough, and nobody knows how much that was.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            other => other?,
        }
    } else {
        to_folder(args, plan, extent, stop)?
    };
    out::note(&told(&sums));
    if let Some(path) = &args.sums {
        fs::write(path, format!("{:#}\n", as_json(&sums)))
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    }
    Ok(Exit::Done)
}

fn plan(
    args: &GenerateCommerceArgs,
    to_kafka: bool,
    now_ms: i64,
) -> Result<(CommercePlan, Extent), Vec<String>> {
    let mut faults = Vec::new();
    let (start, duration) = (args.start.as_deref(), args.duration.as_deref());
    let ends_now_at = to_kafka.then_some(args.events_per_second);
    let when = When { start, duration, count: args.count, live: args.live, ends_now_at };
    let (start_ms, extent) = when.extent(now_ms, &mut faults);
    let plan = CommercePlan {
        seed: args.seed,
        events_per_second: args.events_per_second,
        start_ms,
        invalid_share: args.invalid,
        duplicate_share: args.duplicate,
        conflict_share: args.conflict,
        ..CommercePlan::default()
    };
    faults.extend(plan.check().err().unwrap_or_default());
    if faults.is_empty() { Ok((plan, extent)) } else { Err(faults) }
}

fn to_folder(
    args: &GenerateCommerceArgs,
    plan: CommercePlan,
    extent: Extent,
    stop: &Stop,
) -> anyhow::Result<CommerceSums> {
    let start_ms = plan.start_ms;
    let rotate_ms = i64::from(args.rotate) * 1_000;
    let mut feed = ShopFeed::new(Path::new(&args.output), plan, rotate_ms, args.compress)?;
    paced(args.live, start_ms, extent, stop, |until_ms| {
        feed.write_until(until_ms, extent.most)?;
        Ok(feed.next_ms() < extent.until_ms && feed.sums().records < extent.most)
    })?;
    feed.complete()?;
    Ok(*feed.sums())
}

fn to_kafka(
    args: &GenerateCommerceArgs,
    kafka: &KafkaSettings,
    plan: CommercePlan,
    extent: Extent,
    stop: &Stop,
) -> anyhow::Result<CommerceSums> {
    let start_ms = plan.start_ms;
    let mut topic = ShopTopic::new(kafka, &args.topics, plan)?;
    topic.notes().iter().chain(&retention_note(start_ms, now_ms())).for_each(|note| out::note(note));
    paced(args.live, start_ms, extent, stop, |until_ms| {
        topic.write_until(until_ms, extent.most)?;
        if args.live {
            topic.flush()?;
        }
        Ok(topic.next_ms() < extent.until_ms && topic.sums().records < extent.most)
    })?;
    topic.flush()?;
    Ok(*topic.sums())
}

fn to_stdout(
    args: &GenerateCommerceArgs,
    plan: CommercePlan,
    extent: Extent,
    stop: &Stop,
) -> io::Result<CommerceSums> {
    let start_ms = plan.start_ms;
    let mut generator = CommerceGenerator::new(plan).map_err(|faults| io::Error::other(faults.join("; ")))?;
    let mut to = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    writeln!(to, "{}", CommerceGenerator::HEAD)?;
    let mut line = Vec::new();
    paced(args.live, start_ms, extent, stop, |until_ms| {
        while generator.next_ms() < until_ms && generator.sums().records < extent.most {
            line.clear();
            generator.next(Format::Csv, &mut line);
            line.push(b'\n');
            to.write_all(&line)?;
        }
        if args.live {
            to.flush()?;
        }
        Ok(generator.next_ms() < extent.until_ms && generator.sums().records < extent.most)
    })?;
    to.flush()?;
    Ok(*generator.sums())
}

fn told(sums: &CommerceSums) -> String {
    format!(
        "{} records: accepted {}, duplicates {}, conflicts {}, invalid {}; prices {}.{:02}",
        grouped(sums.records),
        grouped(sums.accepted),
        grouped(sums.duplicates),
        grouped(sums.conflicts),
        grouped(sums.invalid),
        grouped(sums.cents / 100),
        sums.cents % 100
    )
}

fn as_json(sums: &CommerceSums) -> serde_json::Value {
    let by_event_type: serde_json::Map<_, _> = EventType::ALL
        .iter()
        .zip(sums.by_event_type)
        .map(|(event_type, count)| (event_type.as_str().to_owned(), count.into()))
        .collect();
    json!({
        "records": sums.records,
        "accepted": sums.accepted,
        "duplicates": sums.duplicates,
        "conflicts": sums.conflicts,
        "invalid": sums.invalid,
        "cents": sums.cents,
        "by_event_type": by_event_type,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, GeneratePipeline};

    fn args(flags: &str) -> GenerateCommerceArgs {
        let line = format!("telemetra generate commerce {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("a valid command line");
        match cli.command {
            Command::Generate { pipeline: GeneratePipeline::Commerce(args) } => args,
            other => panic!("not generate commerce: {other:?}"),
        }
    }

    #[test]
    fn all_faults_are_named_together() {
        let flags = "--start never --duration 10 --events-per-second 0 --invalid 0.7 --duplicate 0.7";
        let faults = plan(&args(flags), false, 0).expect_err("faults");
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn sums_are_told_and_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
        let flags = format!(
            "--duration 20s --events-per-second 50 --invalid 0.1 --duplicate 0.1 --conflict 0.1 --rotate 10 \
             --output {} --sums {}",
            path("raw"),
            path("sums.json")
        );
        assert_eq!(generate(&args(&flags), None, &Stop::default()).expect("written"), Exit::Done);
        assert_eq!(fs::read_dir(path("raw")).expect("a folder").count(), 2);
        let text = fs::read_to_string(path("sums.json")).expect("it is there");
        let sums: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let number = |name: &str| sums[name].as_u64().unwrap_or_else(|| panic!("{name} in {sums}"));
        assert_eq!(number("records"), 1_000);
        let parts = ["accepted", "duplicates", "conflicts", "invalid"].map(number);
        assert_eq!(parts.iter().sum::<u64>(), 1_000);
        assert!(parts.iter().all(|part| *part > 50), "{parts:?}");
        let types = sums["by_event_type"].as_object().expect("an object");
        assert_eq!(types.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), parts[0]);
    }

    #[test]
    fn prices_are_told_exactly() {
        let sums = CommerceSums { cents: 123_456_705, ..CommerceSums::default() };
        assert!(told(&sums).ends_with("prices 1,234,567.05"), "{}", told(&sums));
    }
}
