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
use telemetra_connectors::folder::{Arrival, FolderInput, FolderOptions, FolderSource};
use telemetra_core::{
    chat::{
        Chat,
        decode::{Scratch, decode},
        event::CHAT,
    },
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
            let events = over_ranges(folder, |pass| meter.time(pass), |_, _| Ok(()))?;
            meter.outcome(events)
        }
        "read + split" => over_chunks(folder, |chunk| {
            black_box(&chunk.records);
            Ok(())
        }),
        "decode" => {
            let mut scratch = Scratch::default();
            over_chunks(folder, |chunk| decode_all(&chat, chunk, &mut scratch))
        }
        "decode + fold" => {
            let mut meter = Meter::default();
            let events = over_ranges(
                folder,
                |pass| pass(),
                |source, range| meter.time(|| fold(&chat, source, range)),
            )?;
            meter.outcome(events)
        }
        "folder to SQLite" | "folder to PostgreSQL" => to_store(&settings),
        other => anyhow::bail!("no stage is called {other}"),
    }
}

/// Settings as `run chat` has them, for files of `folder` and a store.
pub(crate) fn settings(folder: &Path, store: &str, flags: &[&str]) -> anyhow::Result<Settings> {
    use clap::Parser;
    use telemetra::{
        cli::{Cli, Command, RunPipeline},
        settings::{Layers, Purpose},
    };
    let folder = folder.to_str().context("a plain path")?;
    let mut line = vec!["telemetra", "run", "chat", "--arrival", "rename"];
    line.extend(["--chat-dir", folder, "--store", store]);
    line.extend(flags);
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
    mut poll: impl FnMut(&mut dyn FnMut() -> anyhow::Result<Offset>) -> anyhow::Result<Offset>,
    mut work: impl FnMut(&FolderSource, Range<Offset>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let options =
        FolderOptions { arrival: Arrival::Rename, once: true, threads: 1, ..FolderOptions::default() };
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
fn over_chunks(folder: &Path, mut work: impl FnMut(&Chunk) -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    let (mut meter, mut chunk) = (Meter::default(), Chunk::default());
    let events = over_ranges(
        folder,
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

fn decode_all(chat: &Chat, chunk: &Chunk, scratch: &mut Scratch) -> anyhow::Result<()> {
    let text = std::str::from_utf8(&chunk.bytes)?;
    for span in &chunk.records {
        let range = span.start as usize..span.end as usize;
        let record = Record { text: Some(&text[range]), ..chunk.record(span) };
        let is_good = decode(chat, CHAT, black_box(record), scratch).is_ok();
        ensure!(is_good, "a generated record was refused");
    }
    Ok(())
}

fn fold(chat: &Chat, source: &FolderSource, range: Range<Offset>) -> anyhow::Result<()> {
    let split = Split {
        partition: PARTITION,
        from: range.start,
        to: range.end,
        planned_at_ms: PLANNED_AT_MS,
        watermark: Watermark::NONE,
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

/// `run chat --once --drain`.
fn to_store(settings: &Settings) -> anyhow::Result<Outcome> {
    let mut meter = Meter::default();
    let options = RunOptions { once: true, drain: true, ..RunOptions::default() };
    let conduct = Conduct {
        settle_max: std::time::Duration::ZERO,
        once: true,
        drain: true,
        trigger: settings.flow.trigger,
        retry_delay: settings.flow.retry_delay,
    };
    let counted = meter.time(|| {
        let mut started = wiring::start(settings, &options)?;
        let mut progress =
            Progress::new(Latest::default(), "chat".into(), Pipeline::Chat, Box::new(InputNow::default));
        let work = &mut *started.work;
        let ending = drive(work, &conduct, &mut progress, &Stop::default(), &mut started.ahead);
        ensure!(ending == Ending::Done, "{ending:?}");
        Ok(started.work.report().tally.counted)
    })?;
    meter.outcome(counted)
}
