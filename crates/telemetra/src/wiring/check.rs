//! Looks at store, folders and a sample of each input, with the decoding of a run; leaves all of it as it was.

mod places;
mod topics;

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use telemetra_connectors::{
    folder::{FolderInput, FolderOptions, FolderOrder, FolderSource},
    postgres,
};
use telemetra_core::{
    limits,
    logic::{Event, Logic},
    record::Reject,
};
use telemetra_engine::{
    ids::{Offset, PartitionId},
    source::{Chunk, Source, Span},
};

use crate::{
    commands::{
        check::{CheckReport, Finding, RefusedSample, SampleReport},
        run::Pipeline,
        run_loop::now_ms,
    },
    settings::{Place, Settings},
};

/// How long files are waited for that still change.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// How often they are looked at.
const SETTLE_LOOK: Duration = Duration::from_millis(100);

/// Looks at store, folders and the first `sample` records of each input of a pipeline, and leaves them as they are.
///
/// # Errors
/// When it cannot look; what it finds is no error.
pub fn check(settings: &Settings, pipeline: Pipeline, sample: u64) -> anyhow::Result<CheckReport> {
    let findings = vec![
        // Whoever comes here has valid settings: all faults were named before.
        Finding { what: "settings".into(), found: "valid".into(), is_good: true },
        store(settings, pipeline),
    ];
    let mut report = CheckReport { findings, inputs: Vec::new() };
    match (pipeline, &settings.kafka) {
        (Pipeline::Chat, Some(kafka)) => {
            let logic = || settings.chat_logic(limits::STREAM_CHARS_MAX);
            topics::look(kafka, pipeline, logic, settings.chat.future_skew_ms, sample, &mut report)?;
        }
        (Pipeline::Commerce, Some(kafka)) => {
            topics::look(kafka, pipeline, || settings.commerce_logic(), 0, sample, &mut report)?;
        }
        (Pipeline::Chat, None) => {
            let options = super::folders::chat_options(settings, true);
            let logic = || settings.chat_logic(limits::STREAM_CHARS_MAX);
            look(
                super::folders::chat_inputs(settings),
                options,
                logic,
                settings.chat.future_skew_ms,
                sample,
                &mut report,
            )?;
        }
        (Pipeline::Commerce, None) => {
            let options = super::folders::shop_options(settings, true);
            let logic = || settings.commerce_logic();
            look(super::folders::shop_inputs(settings), options, logic, 0, sample, &mut report)?;
            report.findings.extend(places::check(&settings.commerce));
        }
    }
    Ok(report)
}

/// Looks at folders and the beginning of each, in name order, as `--once` would see it.
fn look<L: Logic>(
    folders: Vec<FolderInput>,
    options: FolderOptions,
    logic: impl Fn() -> L,
    future_skew_ms: i64,
    sample: u64,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let mut there = folders.clone();
    there.iter_mut().for_each(|input| input.path = input.path.take().filter(|path| path.is_dir()));
    let options = FolderOptions { order: FolderOrder::Name, ahead_records: sample, ..options };
    let mut source = FolderSource::new(there, options);
    settle(&mut source)?;
    for (number, FolderInput { name, path }) in (0..).zip(folders) {
        let Some(path) = path else { continue };
        report.findings.push(folder(&source, name, &path));
        if path.is_dir() {
            let id = PartitionId { input: number, partition: 0 };
            let mut sampled = Sampled::new(logic(), name, now_ms(), future_skew_ms);
            sampled.read(&mut source, id, 0, sample)?;
            report.inputs.push(sampled.finish());
        }
    }
    Ok(())
}

fn settle(source: &mut FolderSource) -> anyhow::Result<()> {
    source.resume(&[])?;
    let begun = Instant::now();
    loop {
        source.poll(now_ms())?;
        if source.unsettled().is_empty() || begun.elapsed() > SETTLE_MAX {
            return Ok(());
        }
        thread::sleep(SETTLE_LOOK);
    }
}

fn store(settings: &Settings, pipeline: Pipeline) -> Finding {
    let what = format!("store {}", settings.store);
    if let Place::Sqlite(path) = &settings.store.place
        && !path.exists()
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let is_good = folder.is_none_or(Path::is_dir);
        let found = if is_good { "not there yet; a run makes it" } else { "its folder does not exist" };
        return Finding { what, found: found.into(), is_good };
    }
    match open_store(settings, pipeline) {
        Ok((found, is_good)) => Finding { what, found, is_good },
        Err(error) => Finding { what, found: format!("{error:#}"), is_good: false },
    }
}

fn open_store(settings: &Settings, pipeline: Pipeline) -> anyhow::Result<(String, bool)> {
    if let Place::Postgres(address) = &settings.store.place
        && !postgres::foresee(address).map_err(super::told)?
    {
        return Ok(("no tables there yet; a run makes them".into(), true));
    }
    let job = settings.job_or(pipeline.name());
    let mut reader = super::open_reader(settings)?;
    let owner = reader.owner(pipeline.table()).map_err(super::told)?;
    let (owned, is_ours) = match &owner {
        None => ("no job has run here yet".to_owned(), true),
        Some(owner) if *owner == job => (format!("tables of job {job}"), true),
        Some(owner) => {
            (format!("tables of job {owner}, not of {job}: give --job {owner} or another --store"), false)
        }
    };
    let is_running = reader.is_running(&job).map_err(super::told)?;
    let running = if is_running { "; the job runs already, a second instance waits for it" } else { "" };
    Ok((format!("the tables are of this version; {owned}{running}"), is_ours))
}

fn folder(source: &FolderSource, name: &str, path: &Path) -> Finding {
    let what = format!("{name} folder {}", path.display());
    if !path.is_dir() {
        let found = if path.exists() { "it is not a folder" } else { "there is no such folder" };
        return Finding { what, found: found.into(), is_good: false };
    }
    let report = source.reporter().report();
    let lies_here = |file: &&String| Path::new(file).parent() == Some(path);
    let unsettled: Vec<_> = report.unsettled.iter().filter(lies_here).collect();
    let starts_here = |text: &&String| text.starts_with(&*path.to_string_lossy());
    let warnings: Vec<_> = report.warnings.iter().filter(starts_here).map(String::as_str).collect();
    let mut found = match source.files(name) {
        0 => "empty; a run waits for files".to_owned(),
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    if let Some(first) = unsettled.first() {
        found.push_str(&format!("; {} still changing, such as {first}", unsettled.len()));
    }
    if let Some(first) = warnings.first() {
        found.push_str(&format!("; {} not readable: {first}", warnings.len()));
    }
    if let Some(first) = report.notices.iter().find(starts_here) {
        found.push_str(&format!("; {first}"));
    }
    Finding { what, found, is_good: warnings.is_empty() }
}

/// What became of the records looked at so far.
struct Sampled<L: Logic> {
    logic: L,
    scratch: L::Scratch,
    latest_ms: i64,
    refused: BTreeMap<String, RefusedSample>,
    report: SampleReport,
}

impl<L: Logic> Sampled<L> {
    fn new(logic: L, input: &str, now_ms: i64, future_skew_ms: i64) -> Self {
        Self {
            logic,
            scratch: L::Scratch::default(),
            latest_ms: now_ms.saturating_add(future_skew_ms),
            refused: BTreeMap::new(),
            report: SampleReport { input: input.to_owned(), ..SampleReport::default() },
        }
    }

    fn read(
        &mut self,
        source: &mut dyn Source,
        id: PartitionId,
        from: Offset,
        sample: u64,
    ) -> anyhow::Result<()> {
        for range in source.cut(id, from, sample, u64::MAX, 1)? {
            let mut reader = source.open(id, range)?;
            let mut chunk = Chunk::default();
            while reader.next_chunk(&mut chunk)? {
                for span in &chunk.records {
                    self.take(id, &chunk, span);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, id: PartitionId, chunk: &Chunk, span: &Span) {
        let record = chunk.record(span);
        self.report.records += 1;
        let decoded = self.logic.decode(id.input, record, &mut self.scratch).map(|event| event.time_ms());
        match decoded {
            Ok(Some(time_ms)) if time_ms > self.latest_ms => self.refuse(&Reject::FUTURE, id, chunk, span),
            Ok(time_ms) => {
                self.report.accepted += 1;
                if let Some(time_ms) = time_ms {
                    let (from, to) = self.report.span_ms.unwrap_or((time_ms, time_ms));
                    self.report.span_ms = Some((from.min(time_ms), to.max(time_ms)));
                }
            }
            Err(reject) => self.refuse(&reject, id, chunk, span),
        }
    }

    fn refuse(&mut self, reject: &Reject, id: PartitionId, chunk: &Chunk, span: &Span) {
        let code = reject.0.as_ref();
        let refused = self.refused.entry(code.to_owned()).or_insert_with(|| {
            let first = match &chunk.file {
                Some(file) => format!("{file}:{}", span.line),
                None => format!("partition {}, offset {}", id.partition, span.offset),
            };
            RefusedSample { code: code.to_owned(), count: 0, first }
        });
        refused.count += 1;
    }

    /// Refusals most frequent first.
    fn finish(self) -> SampleReport {
        let mut refused: Vec<_> = self.refused.into_values().collect();
        refused.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        SampleReport { refused, ..self.report }
    }
}
