//! `make bench`: events per CPU-second and peak memory, stage by stage (docs/performance.md).
//!
//! The input is made once. Each stage runs in a process of its own, this program with the stage's name, so that
//! CPU time and peak memory are that stage's alone. CPU time is telemetra's user and system time on all threads:
//! the machine may be busy with other things. Compare figures of the same minute only, beside `read + split`.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `BENCH_EVENTS` | chat events in the folder | 5000000 |
//! | `BENCH_WORKERS` | threads of `folder to SQLite` and of the live stage | 1 |
//! | `BENCH_ROUNDS` | times that each stage runs; the table shows the median | 3 |
//! | `BENCH_LIVE_SECONDS` | how long the live stage runs; 0 leaves it out | 35 |
//! | `BENCH_STAGES` | comma-separated beginnings of the stages to run | all |
#![allow(clippy::print_stdout, reason = "it prints its table")]

mod cost;
mod input;
mod live;
mod stages;

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use cost::Outcome;

/// Files of the folder.
const FILES: u64 = 250;

/// Stages over the folder, in the order of the data's way; each but the first holds those before it.
const STAGES: [&str; 5] = ["index pass", "read + split", "decode", "decode + fold", "folder to SQLite"];

/// What a run is told.
struct Options {
    events: u64,
    workers: u64,
    rounds: u64,
    live_seconds: u64,
    stages: String,
}

impl Options {
    fn from_env() -> anyhow::Result<Options> {
        let number = |name: &str, default: u64| match env::var(name) {
            Ok(text) => text.replace('_', "").parse().with_context(|| format!("{name}={text}")),
            Err(_) => Ok(default),
        };
        Ok(Options {
            events: number("BENCH_EVENTS", 5_000_000)?.max(FILES),
            workers: number("BENCH_WORKERS", 1)?.max(1),
            rounds: number("BENCH_ROUNDS", 3)?.max(1),
            live_seconds: number("BENCH_LIVE_SECONDS", 35)?,
            stages: env::var("BENCH_STAGES").unwrap_or_default(),
        })
    }

    fn wants(&self, stage: &str) -> bool {
        self.stages.split(',').any(|wanted| stage.starts_with(wanted.trim()))
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::from_env()?;
    let arguments: Vec<String> = env::args().collect();
    if let [_, stage, folder] = &arguments[..] {
        let outcome = match &**stage {
            live::STAGE => live::run(Path::new(folder), options.live_seconds, options.workers)?,
            stage => stages::run(stage, Path::new(folder), options.workers)?,
        };
        println!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    // Beside the build, where there is room, and removed at the end whatever happens.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    over_folder(&options, scratch.path())?;
    if options.live_seconds > 0 && options.wants(live::STAGE) {
        over_time(&options, scratch.path())?;
    }
    Ok(())
}

/// The stages over a folder that is there as a whole.
fn over_folder(options: &Options, scratch: &Path) -> anyhow::Result<()> {
    let wanted: Vec<&str> = STAGES.into_iter().filter(|stage| options.wants(stage)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let folder = scratch.join("history");
    let bytes = input::write(&folder, options.events, FILES)?;
    println!(
        "{} events of {} bytes on average, {} streams, {} users; {} worker(s), median of {}",
        options.events,
        bytes / options.events,
        input::STREAMS,
        input::USERS,
        options.workers,
        options.rounds
    );
    println!("{:<20} {:>16} {:>10} {:>8} {:>9}", "stage", "events/CPU-s", "ns/event", "wall s", "peak MB");
    let mut outcomes: Vec<Vec<Outcome>> = wanted.iter().map(|_| Vec::new()).collect();
    // Round by round, so that what disturbs the machine meets all stages alike.
    for _ in 0..options.rounds {
        for (stage, outcomes) in wanted.iter().zip(&mut outcomes) {
            outcomes.push(in_child(stage, &folder.join("chat"))?);
        }
    }
    for (stage, mut outcomes) in wanted.into_iter().zip(outcomes) {
        for outcome in &outcomes {
            ensure!(outcome.events == options.events, "{stage}: {} events", outcome.events);
        }
        outcomes.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        let outcome = &outcomes[outcomes.len() / 2];
        let peak_kb = outcomes.iter().map(|outcome| outcome.peak_kb).max().unwrap_or(0);
        println!(
            "{stage:<20} {:>16.0} {:>10.0} {:>8.2} {:>9.1}",
            outcome.events as f64 / outcome.cpu_s,
            outcome.cpu_s * 1e9 / outcome.events as f64,
            outcome.wall_s,
            peak_kb as f64 / 1024.0
        );
    }
    Ok(())
}

/// The stage that is fed while it runs.
fn over_time(options: &Options, scratch: &Path) -> anyhow::Result<()> {
    let folder = scratch.join("live");
    let feeder = live::Feeder::start(&folder)?;
    let outcome = in_child(live::STAGE, &folder.join("chat"));
    feeder.stop()?;
    let outcome = outcome?;
    let rhythm = outcome.rhythm.context("the live stage tells its rhythm")?;
    println!(
        "\n{}: {} streams, {} events/s offered, trigger 1 s, {} s, {} worker(s)",
        live::STAGE,
        live::STREAMS,
        live::RATE,
        options.live_seconds,
        options.workers
    );
    println!(
        "events/s {:.0}, batch interval {:.0} ms, CPU {:.0} ms a batch ({:.0} % of a core), rows written a \
         second: {:.0} provisional + {:.0} final, open windows {}, peak {:.1} MB",
        rhythm.events_per_s,
        rhythm.interval_ms,
        rhythm.cpu_share * rhythm.interval_ms,
        rhythm.cpu_share * 100.0,
        rhythm.provisional_rows_per_s,
        rhythm.final_rows_per_s,
        rhythm.open_windows,
        outcome.peak_kb as f64 / 1024.0
    );
    Ok(())
}

/// Runs a stage in a process of its own.
fn in_child(stage: &str, folder: &Path) -> anyhow::Result<Outcome> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.arg(stage).arg(folder).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{stage}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {stage} printed"))
}
