//! `make bench`: events per CPU-second and peak memory, stage by stage (docs/performance.md).
//!
//! The input is made once. Each stage runs in a process of its own, this program with the stage's name, so that
//! CPU time and peak memory are that stage's alone. CPU time is telemetra's user and system time on all threads:
//! the machine may be busy with other things. Compare figures of the same minute only, beside `read + split`.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `BENCH_EVENTS` | chat events in the folder | 5000000 |
//! | `BENCH_ROWS` | shop events in a folder; 0 leaves them out | 5000000 |
//! | `BENCH_TOPIC_EVENTS` | chat events in each topic; 0 leaves topics out | 2000000 |
//! | `BENCH_WORKERS` | threads of the stages that write to a store | 1 |
//! | `BENCH_ROUNDS` | times that each stage runs; the table shows the median | 3 |
//! | `BENCH_LIVE_SECONDS` | how long each live stage runs; 0 leaves them out, moments need 130 | 160 |
//! | `BENCH_STAGES` | comma-separated beginnings of the stages to run | all |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its table, and what it is about")]

mod cost;
mod input;
mod live;
mod rhythm;
mod shop;
mod stages;
mod store;
mod table;
mod topics;
mod watch;

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use cost::Outcome;
use store::Servers;
use table::{print_head, print_stage, tell_run};
use telemetra::commands::run_loop::now_ms;
use watch::Watch;

/// Files of the folder.
const FILES: u64 = 250;

/// Stages over the folder, in the order of the data's way; each but the first holds those before it.
const STAGES: [&str; 6] =
    ["index pass", "read + split", "decode", "decode + fold", "folder to SQLite", "folder to PostgreSQL"];

/// What a run is told.
struct Options {
    events: u64,
    rows: u64,
    topic_events: u64,
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
            rows: number("BENCH_ROWS", 5_000_000)?,
            topic_events: number("BENCH_TOPIC_EVENTS", 2_000_000)?,
            workers: number("BENCH_WORKERS", 1)?.max(1),
            rounds: number("BENCH_ROUNDS", 3)?.max(1),
            live_seconds: number("BENCH_LIVE_SECONDS", 160)?,
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
    if let [_, stage, place, store] = &arguments[..] {
        println!("{}", serde_json::to_string(&stage_of(stage, place, store, &options)?)?);
        return Ok(());
    }
    // Beside the build, where there is room, and removed at the end whatever happens.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let servers = Servers::default();
    over_folder(&options, &servers, scratch.path())?;
    shop::over_rows(&options, &servers, scratch.path())?;
    for stage in live::STAGES {
        if options.live_seconds > 0 && options.wants(stage) {
            over_time(stage, &options, &servers, scratch.path())?;
        }
    }
    topics::over_topics(&options, &servers, scratch.path())?;
    topics::live::over_time(&options, &servers, scratch.path())
}

/// One stage, in a process of its own.
fn stage_of(stage: &str, place: &str, store: &str, options: &Options) -> anyhow::Result<Outcome> {
    let (folder, seconds, workers) = (Path::new(place), options.live_seconds, options.workers);
    match stage {
        _ if live::STAGES.contains(&stage) => live::run_folder(folder, store, seconds, workers),
        _ if topics::live::STAGES.contains(&stage) => {
            topics::live::run(stage, place, store, seconds, workers)
        }
        _ if topics::is_stage(stage) => topics::run(place, store, workers),
        _ if shop::STAGES.contains(&stage) => shop::run(stage, folder, store, workers),
        _ => stages::run(stage, folder, store, workers),
    }
}

/// The stages over a folder that is there as a whole.
fn over_folder(options: &Options, servers: &Servers, scratch: &Path) -> anyhow::Result<()> {
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
    print_head("event");
    let mut outcomes: Vec<Vec<Outcome>> = wanted.iter().map(|_| Vec::new()).collect();
    // Round by round, so that what disturbs the machine meets all stages alike.
    for round in 0..options.rounds {
        for (stage, outcomes) in wanted.iter().zip(&mut outcomes) {
            let store = servers.store(stage, &folder, round)?;
            outcomes.push(in_child(stage, folder.join("chat"), &store.address())?);
        }
    }
    for (stage, outcomes) in wanted.into_iter().zip(outcomes) {
        for outcome in &outcomes {
            ensure!(outcome.events == options.events, "{stage}: {} events", outcome.events);
        }
        print_stage(stage, &outcomes);
    }
    Ok(())
}

/// A stage that is fed while it runs, and watched from outside.
fn over_time(stage: &str, options: &Options, servers: &Servers, scratch: &Path) -> anyhow::Result<()> {
    let folder = scratch.join(stage.replace(' ', "-"));
    let store = servers.store(stage, &folder, 0)?;
    let feeder = live::Feeder::over_folder(&folder)?;
    let watch = Watch::start(store.address());
    let begun_ms = now_ms();
    let outcome = in_child(stage, folder.join("chat"), &store.address());
    let ended_ms = now_ms();
    feeder.stop()?;
    let seen = watch.stop();
    let (outcome, seen) = (outcome?, seen?);
    println!(
        "\n{stage}: {} streams, {} events/s offered, trigger 1 s, {} s, {} worker(s); the second half:",
        live::STREAMS,
        live::RATE,
        options.live_seconds,
        options.workers
    );
    rhythm::print(&outcome, &seen, begun_ms, ended_ms)?;
    println!(
        "  (in both: {} s that the watermark waits, and up to {} s until the feeder completes a file)",
        live::DELAY_MS / 1_000,
        live::FILE_MS / 1_000
    );
    Ok(())
}

/// Runs a stage in a process of its own.
fn in_child(stage: &str, place: impl AsRef<OsStr>, store: &str) -> anyhow::Result<Outcome> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.arg(stage).arg(place).arg(store).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{stage}: {}", output.status);
    let outcome: Outcome =
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {stage} printed"))?;
    tell_run(stage, &outcome);
    Ok(outcome)
}
