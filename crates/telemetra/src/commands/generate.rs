//! `generate chat`: to a folder, stdout or Kafka, as fast as it goes or at the pace of the clock.
//!
//! How much is written and at what pace is said here for `generate commerce` too.

pub mod commerce;

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use telemetra_core::generate::{ChatGenerator, ChatPlan, Input};

use super::run_loop::now_ms;
use crate::{
    cli::{GenerateArgs, StdoutKind},
    exit::Exit,
    generate::{feed::Feed, topics::ChatTopics},
    out,
    settings::{KafkaSettings, parse},
    signals::Stop,
};

/// Written when neither `--duration` nor `--count` says how much.
const DEFAULT_COUNT: u64 = 10_000;
const DURATION_MS_MAX: i64 = 366 * 86_400_000;
/// How long brokers keep records unless they are told otherwise, milliseconds.
const RETENTION_MS: i64 = 7 * 86_400_000;
/// How often a live generator writes what is due.
const LIVE_TICK: Duration = Duration::from_millis(200);
/// Event time written between two looks at the signals.
const SLICE_MS: i64 = 1_000;

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    /// Events are written before this, milliseconds; `i64::MAX` for no end.
    until_ms: i64,
    /// Most chat events, or shop events.
    most: u64,
}

/// `generate chat`.
///
/// # Errors
/// When a flag is at fault (exit code 2, returned), or output cannot be written.
pub fn generate(args: &GenerateArgs, kafka: Option<&KafkaSettings>, stop: &Stop) -> anyhow::Result<Exit> {
    let (plan, extent) = match plan(args, kafka.is_some(), now_ms()) {
        Ok(planned) => planned,
        Err(faults) => {
            faults.iter().for_each(|fault| out::note(&format!("error: {fault}")));
            return Ok(Exit::Settings);
        }
    };
    if let Some(kafka) = kafka {
        return to_kafka(args, kafka, plan, extent, stop);
    }
    if args.output == "-" {
        return match to_stdout(args, plan, extent, stop) {
            // Whoever read has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            other => other.map(|()| Exit::Done).map_err(Into::into),
        };
    }
    let folder = Path::new(&args.output);
    let start_ms = plan.start_ms;
    let mut feed = Feed::new(folder, plan, i64::from(args.rotate) * 1_000, args.compress)?;
    paced(args.live, start_ms, extent, stop, |until_ms| {
        feed.write_until(until_ms, extent.most)?;
        Ok(feed.next_ms() < extent.until_ms && feed.chat_events() < extent.most)
    })?;
    feed.complete()?;
    out::note(&format!("{} chat events in {}", out::grouped(feed.chat_events()), folder.display()));
    Ok(Exit::Done)
}

/// When the first event happens and how much is written, as flags say it.
#[derive(Clone, Copy, Debug)]
struct When<'a> {
    start: Option<&'a str>,
    duration: Option<&'a str>,
    count: Option<u64>,
    live: bool,
    /// Unless a start is named the last event happens about now: then this is how many come a second.
    ends_now_at: Option<f64>,
}

impl When<'_> {
    /// Start, milliseconds, and extent; adds what is wrong to `faults`.
    fn extent(&self, now_ms: i64, faults: &mut Vec<String>) -> (i64, Extent) {
        let duration_ms = self.duration.map(|text| parse::duration_ms(text, 1..=DURATION_MS_MAX));
        let duration_ms = duration_ms.transpose().unwrap_or_else(|(what, next)| {
            faults.push(format!("--duration: {what}; {next}"));
            None
        });
        let start_ms = self.start_ms(now_ms, duration_ms, faults);
        let open_ended = self.live || duration_ms.is_some();
        let extent = Extent {
            until_ms: duration_ms.map_or(i64::MAX, |ms| start_ms.saturating_add(ms)),
            most: self.count.unwrap_or(if open_ended { u64::MAX } else { DEFAULT_COUNT }),
        };
        (start_ms, extent)
    }

    fn start_ms(&self, now_ms: i64, duration_ms: Option<i64>, faults: &mut Vec<String>) -> i64 {
        match (self.start, self.ends_now_at) {
            (None, _) if self.live => now_ms,
            (None, None) => ChatPlan::default().start_ms,
            (None, Some(rate)) => {
                let count = self.count.unwrap_or(DEFAULT_COUNT);
                let length_ms = duration_ms.unwrap_or_else(|| (count as f64 * 1_000.0 / rate) as i64);
                now_ms.saturating_sub(length_ms).max(0)
            }
            (Some(text), _) => text.parse::<Timestamp>().map_or_else(
                |_| {
                    faults.push(format!("--start: `{text}` is not an instant, write 2025-01-01T00:00:00Z"));
                    0
                },
                Timestamp::as_millisecond,
            ),
        }
    }
}

fn plan(args: &GenerateArgs, to_kafka: bool, now_ms: i64) -> Result<(ChatPlan, Extent), Vec<String>> {
    let mut faults = Vec::new();
    let (start, duration) = (args.start.as_deref(), args.duration.as_deref());
    let ends_now_at = to_kafka.then_some(args.rate);
    let when = When { start, duration, count: args.count, live: args.live, ends_now_at };
    let (start_ms, extent) = when.extent(now_ms, &mut faults);
    let plan = ChatPlan {
        seed: args.seed,
        streams: args.streams,
        users: args.users,
        rate_per_second: args.rate,
        start_ms,
        out_of_order_share: args.out_of_order,
        late_share: args.late,
        broken_share: args.broken,
        ..ChatPlan::default()
    };
    faults.extend(plan.check().err().unwrap_or_default());
    if faults.is_empty() { Ok((plan, extent)) } else { Err(faults) }
}

/// Calls `write` with the instant up to which events are due until it says that nothing is left.
fn paced(
    live: bool,
    start_ms: i64,
    extent: Extent,
    stop: &Stop,
    mut write: impl FnMut(i64) -> io::Result<bool>,
) -> io::Result<()> {
    if live {
        while write(now_ms().min(extent.until_ms))? && !stop.wait(LIVE_TICK) {}
        return Ok(());
    }
    // Without a clock: in slices, so that a signal is heard.
    let mut until_ms = start_ms;
    loop {
        until_ms = until_ms.saturating_add(SLICE_MS).min(extent.until_ms);
        if !write(until_ms)? || stop.is_asked() {
            return Ok(());
        }
    }
}

fn to_kafka(
    args: &GenerateArgs,
    kafka: &KafkaSettings,
    plan: ChatPlan,
    extent: Extent,
    stop: &Stop,
) -> anyhow::Result<Exit> {
    let start_ms = plan.start_ms;
    let mut topics = ChatTopics::new(kafka, &args.topics, plan)?;
    topics.notes().iter().chain(&retention_note(start_ms, now_ms())).for_each(|note| out::note(note));
    paced(args.live, start_ms, extent, stop, |until_ms| {
        topics.write_until(until_ms, extent.most)?;
        if args.live {
            topics.flush()?;
        }
        Ok(topics.next_ms() < extent.until_ms && topics.chat_events() < extent.most)
    })?;
    topics.flush()?;
    let names: Vec<&str> =
        [&kafka.chat_topic, &kafka.viewer_topic].into_iter().flatten().map(|it| it.name.as_str()).collect();
    out::note(&format!(
        "{} chat events to Kafka, {}",
        out::grouped(topics.chat_events()),
        names.join(" and ")
    ));
    Ok(Exit::Done)
}

/// Brokers remove what is stamped long ago, a week unless they are told otherwise, however lately it was written.
fn retention_note(start_ms: i64, now_ms: i64) -> Option<String> {
    let is_old = now_ms.saturating_sub(start_ms) > RETENTION_MS;
    is_old.then(|| {
        "the events are stamped more than a week ago: brokers may remove them within minutes, by retention.ms of the \
         topic; --start and --live choose another time"
            .to_owned()
    })
}

fn to_stdout(args: &GenerateArgs, plan: ChatPlan, extent: Extent, stop: &Stop) -> io::Result<()> {
    let wanted = match args.kind {
        StdoutKind::Chat => Input::Chat,
        StdoutKind::Viewer => Input::Viewer,
    };
    let start_ms = plan.start_ms;
    let mut generator = ChatGenerator::new(plan).map_err(|faults| io::Error::other(faults.join("; ")))?;
    let mut to = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let (mut line, mut count) = (Vec::new(), 0);
    paced(args.live, start_ms, extent, stop, |until_ms| {
        while generator.next_ms() < until_ms && count < extent.most {
            line.clear();
            let item = generator.next(&mut line);
            if item.input == wanted {
                line.push(b'\n');
                to.write_all(&line)?;
                count += 1;
            }
        }
        if args.live {
            to.flush()?;
        }
        Ok(generator.next_ms() < extent.until_ms && count < extent.most)
    })?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, GeneratePipeline};

    fn args(flags: &str) -> GenerateArgs {
        let line = format!("telemetra generate chat {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("a valid command line");
        match cli.command {
            Command::Generate { pipeline: GeneratePipeline::Chat(args) } => args,
            other => panic!("not generate: {other:?}"),
        }
    }

    #[test]
    fn how_much_is_written() {
        let check = |flags: &str, until_ms: i64, most: u64| {
            let (_, extent) = plan(&args(flags), false, 1_000).expect("a valid plan");
            assert_eq!(extent, Extent { until_ms, most }, "{flags}");
        };
        check("--start 1970-01-01T00:00:01Z", i64::MAX, DEFAULT_COUNT);
        check("--count 5", i64::MAX, 5);
        check("--start 1970-01-01T00:00:01Z --duration 10s", 11_000, u64::MAX);
        check("--live", i64::MAX, u64::MAX);
        check("--live --duration 2s", 3_000, u64::MAX);
    }

    #[test]
    fn all_faults_are_named_together() {
        let faults =
            plan(&args("--start never --duration 10 --rate 0 --late 2"), false, 0).expect_err("faults");
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn to_kafka_the_last_event_happens_now() {
        let check = |flags: &str, start_ms: i64| {
            let (plan, _) = plan(&args(flags), true, 1_000_000_000).expect("a valid plan");
            assert_eq!(plan.start_ms, start_ms, "{flags}");
        };
        check("--count 500 --rate 100", 999_995_000);
        check("--duration 1m", 999_940_000);
        check("--live --duration 1m", 1_000_000_000);
        check("--duration 1m --start 1970-01-01T00:00:01Z", 1_000);
        check("--duration 30d", 0);
    }

    #[test]
    fn what_a_broker_would_soon_remove_is_noted() {
        assert_eq!(retention_note(RETENTION_MS, 2 * RETENTION_MS), None);
        assert!(retention_note(RETENTION_MS - 1, 2 * RETENTION_MS).is_some());
    }

    #[test]
    fn kafka_stands_for_folder_and_files() {
        let parse = |flags: &str| {
            let line = format!("telemetra generate chat {flags}");
            Cli::try_parse_from(line.split_whitespace()).is_ok()
        };
        for good in ["--kafka k", "--kafka k --partitions 9 --replication 3 --codec zstd", "--output x"] {
            assert!(parse(good), "{good}");
        }
        for bad in
            ["--kafka k --output x", "--partitions 9", "--kafka k --compress gz", "--kafka k --partitions 0"]
        {
            assert!(!parse(bad), "{bad}");
        }
    }

    #[test]
    fn a_duration_to_a_folder_is_written_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_str().expect("a plain path");
        let args = args(&format!("--duration 3s --rate 100 --rotate 1 --output {path}"));
        assert_eq!(generate(&args, None, &Stop::default()).expect("written"), Exit::Done);
        let files = |name: &str| std::fs::read_dir(folder.path().join(name)).expect("a folder").count();
        assert_eq!(files("chat"), 3);
        assert!(files("viewer") > 0);
    }
}
