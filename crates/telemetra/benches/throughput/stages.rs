//! The stages over a folder that is there as a whole. Each is the real code, cut off behind the stage.

use std::{hint::black_box, ops::Range, path::Path};

use anyhow::{Context, ensure};
use telemetra::{
    commands::{
        meter::{InputNow, Meter as Progress},
        run::{Pipeline, RunOptions},
        run_loop::{Conduct, Ending, drive},
    },
    settings::Settings,
    signals::Stop,
    snapshot::Latest,
    wiring,
};
use telemetra_connectors::folder::{Arrival, FolderInput, FolderOptions, FolderSource, Format};
use telemetra_core::{
    chat::{Chat, event::CHAT},
    logic::Logic,
    record::Record,
    watermark::{PartitionClock, Watermark},
};
use telemetra_engine::{
    fold::{FoldRules, fold_split},
    ids::{Offset, PartitionId},
    limits::BATCH_RECORDS_MAX,
    source::{Chunk, Source},
    split::{Mode, Recent, Split},
};

use crate::cost::{Meter, Outcome};

/// Later than any generated event, milliseconds since the Unix epoch: 2050.
const PLANNED_AT_MS: i64 = 2_524_608_000_000;

/// Runs one stage over the files of `folder`.
pub(crate) fn run(stage: &str, folder: &Path, store: &str, workers: u64) -> anyhow::Result<Outcome> {
    let settings = settings(folder, store, &["--workers", &workers.to_string()])?;
    let chat = settings.chat_logic(usize::MAX);
    match stage {
        "index pass" => {
            let mut meter = Meter::default();
            let events = over_ranges(folder, Format::Lines, |pass| meter.time(pass), |_, _| Ok(()))?;
            meter.outcome(events)
        }
        "read + split" => read_all(folder, Format::Lines),
        "decode" => decode_all(&chat, folder, Format::Lines),
        "decode + fold" => {
            let mut meter = Meter::default();
            let events = over_ranges(
                folder,
                Format::Lines,
                |pass| pass(),
                |source, range| meter.time(|| fold(&chat, source, range)),
            )?;
            meter.outcome(events)
        }
        "folder to SQLite" | "folder to PostgreSQL" => to_store(&settings, Pipeline::Chat),
        other => anyhow::bail!("no stage is called {other}"),
    }
}

/// Settings as `run chat` has them, for files of `folder` and a store.
pub(crate) fn settings(folder: &Path, store: &str, flags: &[&str]) -> anyhow::Result<Settings> {
    let folder = folder.to_str().context("a plain path")?;
    settings_of(&[&["--arrival", "rename", "--chat-dir", folder], flags].concat(), store)
}

/// Settings as `run chat` has them, for an input that flags name and a store.
pub(crate) fn settings_of(flags: &[&str], store: &str) -> anyhow::Result<Settings> {
    use clap::Parser;
    use telemetra::{
        cli::{Cli, Command, RunPipeline},
        settings::{Layers, Purpose},
    };
    let line = [&["telemetra", "run", "chat", "--store", store], flags].concat();
    let Command::Run { pipeline: RunPipeline::Chat(args) } = Cli::try_parse_from(line)?.command else {
        anyhow::bail!("not a run");
    };
    let layers = Layers { flags: args.settings.0, ..Layers::default() };
    Ok(Settings::load(&layers, Purpose::Chat)?)
}

/// Polls and cuts the whole folder in batches of the engine's size; `poll` runs the index passes, `work` gets the
/// ranges. Returns how many records there were.
fn over_ranges(
    folder: &Path,
    format: Format,
    mut poll: impl FnMut(&mut dyn FnMut() -> anyhow::Result<Offset>) -> anyhow::Result<Offset>,
    mut work: impl FnMut(&FolderSource, Range<Offset>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let arrival = Arrival::Rename;
    let options = FolderOptions { format, arrival, once: true, threads: 1, ..FolderOptions::default() };
    let input = FolderInput { name: "chat", path: Some(folder.to_path_buf()) };
    let mut source = FolderSource::new(vec![input], options);
    source.resume(&[])?;
    let mut at = 0;
    loop {
        let end = poll(&mut || Ok(source.poll(0)?[0].end))?;
        if end == at {
            return Ok(at);
        }
        while at < end {
            let ranges = source.cut(PARTITION, at, BATCH_RECORDS_MAX, u64::MAX, 1)?;
            let range = ranges.last().cloned().context("something is unread")?;
            work(&source, range.clone())?;
            at = range.end;
            source.committed(PARTITION, at, at);
        }
    }
}

/// The folder's one partition.
const PARTITION: PartitionId = PartitionId { input: CHAT, partition: 0 };

/// Reads the whole folder and does `work` with each chunk; what the index passes cost is left out.
fn over_chunks(
    folder: &Path,
    format: Format,
    mut work: impl FnMut(&Chunk) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let (mut meter, mut chunk) = (Meter::default(), Chunk::default());
    let events = over_ranges(
        folder,
        format,
        |pass| pass(),
        |source, range| {
            meter.time(|| {
                let mut reader = source.open(PARTITION, range)?;
                while reader.next_chunk(&mut chunk)? {
                    work(&chunk)?;
                }
                Ok(())
            })
        },
    )?;
    meter.outcome(events)
}

/// Finds every record of the folder.
pub(crate) fn read_all(folder: &Path, format: Format) -> anyhow::Result<Outcome> {
    over_chunks(folder, format, |chunk| {
        black_box(&chunk.records);
        Ok(())
    })
}

/// Decodes and checks every record of the folder.
pub(crate) fn decode_all<L: Logic>(logic: &L, folder: &Path, format: Format) -> anyhow::Result<Outcome> {
    let mut scratch = L::Scratch::default();
    over_chunks(folder, format, |chunk| {
        let text = std::str::from_utf8(&chunk.bytes)?;
        for span in &chunk.records {
            let range = span.start as usize..span.end as usize;
            let record = Record { text: Some(&text[range]), ..chunk.record(span) };
            let is_good = logic.decode(PARTITION.input, black_box(record), &mut scratch).is_ok();
            ensure!(is_good, "a generated record was refused");
        }
        Ok(())
    })
}

fn fold(chat: &Chat, source: &FolderSource, range: Range<Offset>) -> anyhow::Result<()> {
    let split = Split {
        partition: PARTITION,
        from: range.start,
        to: range.end,
        planned_at_ms: PLANNED_AT_MS,
        watermark: Watermark::NONE,
        bytes_max: u64::MAX,
        horizon_ms: None,
        clock: PartitionClock::default(),
        recent: Recent::default(),
        mode: Mode::Judge,
    };
    let rules = FoldRules { window: chat.window, future_skew_ms: 60_000 };
    let folded = fold_split(chat, rules, source, &split)?;
    ensure!(folded.tally.counted == range.end - range.start, "a generated record was not counted");
    Ok(())
}

/// `run --once`, and for chat `--drain`.
pub(crate) fn to_store(settings: &Settings, pipeline: Pipeline) -> anyhow::Result<Outcome> {
    let mut meter = Meter::default();
    let drain = pipeline == Pipeline::Chat;
    let options = RunOptions { pipeline, once: true, drain, ..RunOptions::default() };
    let conduct = Conduct {
        settle_max: std::time::Duration::ZERO,
        once: true,
        drain,
        trigger: settings.flow.trigger,
        retry_delay: settings.flow.retry_delay,
    };
    let (counted, accepted) = meter.time(|| {
        let mut started = wiring::start(settings, &options)?;
        let (job, input) = (pipeline.name().into(), Box::new(InputNow::default));
        let mut progress = Progress::new(Latest::default(), job, pipeline, input);
        let work = &mut *started.work;
        let ending = drive(work, &conduct, &mut progress, &Stop::default(), &mut started.ahead);
        ensure!(ending == Ending::Done, "{ending:?}");
        let report = started.work.report();
        Ok((report.tally.counted, report.applied.accepted))
    })?;
    Ok(Outcome { accepted, ..meter.outcome(counted)? })
}
