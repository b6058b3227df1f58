//! The only place that knows engine, connectors and commands at once: builds sources, sinks and readers from
//! settings. Everything above takes what it returns.

mod check;
mod page;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use telemetra_connectors::{
    StoreReader,
    folder::{self, CsvRules, FolderInput, FolderOptions, FolderSource, Format, Reporter},
    postgres::{self, PostgresSink},
    sqlite::{self, SCHEMA_VERSION, SqliteSink},
};
use telemetra_core::{
    chat::{Chat, event},
    commerce, limits,
    logic::Logic,
};
use telemetra_engine::{
    audit::Report,
    committer::CommitMode,
    error::JobError,
    ids::AttemptId,
    limits::{BATCH_RECORDS_MAX, Rules},
    sink::{Sink, SinkError},
    status::JobStatus,
    step::{Attempts, Job},
};

pub use check::check;

use crate::{
    commands::{
        after_commit::AfterCommit,
        meter::InputNow,
        run::{Pipeline, RunOptions, Started},
        run_loop::{Ahead, Work, now_ms},
        status::JobNow,
    },
    http::data::PageData,
    quarantine::exporter::{Exporter, Opened},
    settings::{Arrival, FolderOrder, Inputs, Place, Settings},
    snapshot::{Files, Unmoved},
};

/// Records indexed ahead beyond two batches.
const AHEAD_MARGIN_RECORDS: u64 = 10_000;

/// Takes the job over and brings it to where its last commit left it; called again after `Retry` and `Busy`.
///
/// # Errors
/// As the engine's.
pub fn start(settings: &Settings, options: &RunOptions) -> Result<Started, JobError> {
    match options.pipeline {
        Pipeline::Chat => start_chat(settings, options),
        Pipeline::Commerce => start_commerce(settings, options),
    }
}

fn start_chat(settings: &Settings, options: &RunOptions) -> Result<Started, JobError> {
    let source = FolderSource::new(folders(settings), folder_options(settings, options.once));
    let reporter = source.reporter();
    let work = match &settings.store.place {
        Place::Sqlite(path) => {
            let sink = SqliteSink::open(path, &settings.job_or("chat"), settings.chat.window)?;
            // SQLite's columns hold texts of any length.
            chat(settings, options, source, sink, limits::STREAM_CHARS_MAX)?
        }
        Place::Postgres(address) => {
            let sink = PostgresSink::open(address, &settings.job_or("chat"), settings.chat.window)?;
            let stream_chars_max = sink.stream_chars_max();
            chat(settings, options, source, sink, stream_chars_max)?
        }
    };
    Ok(started(work, reporter))
}

fn start_commerce(settings: &Settings, options: &RunOptions) -> Result<Started, JobError> {
    let now_ms = now_ms();
    let rules = settings.commerce_rules(options.once, now_ms);
    let commerce = &settings.commerce;
    let folder_options = FolderOptions {
        processed: Some(commerce.processed_dir.clone()),
        ahead_records: ahead_records(rules.records_per_trigger),
        ..shop_options(settings, options.once)
    };
    let source = FolderSource::new(shop_folder(settings), folder_options);
    let reporter = source.reporter();
    let (logic, job) = (settings.commerce_logic(), settings.job_or("commerce"));
    let work = match &settings.store.place {
        Place::Sqlite(path) => begin(logic, rules, source, SqliteSink::open_commerce(path, &job)?, now_ms)?,
        Place::Postgres(address) => {
            begin(logic, rules, source, PostgresSink::open_commerce(address, &job)?, now_ms)?
        }
    };
    let opened = settings.clone();
    let exporter = Exporter::start(commerce.error_dir.clone(), job, move || open_quarantine(&opened))
        .map_err(|error| JobError::Retry(format!("starting the thread that exports: {error}")))?;
    let work = Box::new(AfterCommit::new(work, &commerce.log_dir, exporter));
    Ok(started(work, reporter))
}

fn chat<K: Sink<Chat> + 'static>(
    settings: &Settings,
    options: &RunOptions,
    source: FolderSource,
    sink: K,
    stream_chars_max: usize,
) -> Result<Box<dyn Work>, JobError> {
    let now_ms = now_ms();
    let rules = settings.rules(options.once, options.accept_changed_meaning, now_ms);
    begin(settings.chat_logic(stream_chars_max), rules, source, sink, now_ms)
}

/// A job taken over, with what its folders have to say.
fn started(work: Box<dyn Work>, reporter: Reporter) -> Started {
    let of_all = reporter.clone();
    let ahead = move || {
        let report = reporter.report();
        let others = report.warnings.len().saturating_sub(1);
        match (report.unsettled.into_iter().next(), report.warnings.into_iter().next()) {
            (Some(file), _) => Ahead::Unsettled(file),
            (None, _) if report.files_ahead > 0 => Ahead::Coming,
            (None, Some(first)) if others == 0 => Ahead::Unreadable(first),
            (None, Some(first)) => Ahead::Unreadable(format!("{first}, and {others} more")),
            (None, None) => Ahead::Nothing,
        }
    };
    let input = move || {
        let report = of_all.report();
        let files = Files {
            read: report.files_read,
            duplicates: report.duplicates_count,
            empty: report.files_empty,
            faulty: report.files_faulty,
            drifted: report.files_drifted,
        };
        let unmoved = Unmoved { files: report.unmoved.count, causes: report.unmoved.causes };
        InputNow { warnings: report.warnings, unmoved, notices: report.notices, files }
    };
    Started { work, ahead: Box::new(ahead), input: Box::new(input) }
}

/// Takes a job over.
fn begin<L: Logic, K: Sink<L> + 'static>(
    logic: L,
    rules: Rules,
    source: FolderSource,
    sink: K,
    now_ms: i64,
) -> Result<Box<dyn Work>, JobError> {
    let mut job =
        Job::start(Arc::new(logic), rules, source, sink, CommitMode::Threaded, now_ms, random_attempts())?;
    Work::set_halted(&mut job, None)?;
    Ok(Box::new(job))
}

/// The folders by number of the input, which is also what records are decoded as: one that is not named keeps
/// its number.
fn folders(settings: &Settings) -> Vec<FolderInput> {
    const { assert!(event::CHAT == 0 && event::VIEWER == 1) };
    let Inputs { chat_dir, viewer_dir, .. } = &settings.inputs;
    let named = [("chat", chat_dir), ("viewer", viewer_dir)];
    named.map(|(name, path)| FolderInput { name, path: path.clone() }).into()
}

/// The folder of shop events.
fn shop_folder(settings: &Settings) -> Vec<FolderInput> {
    vec![FolderInput { name: "commerce", path: Some(settings.commerce.input_dir.clone()) }]
}

fn shop_options(settings: &Settings, once: bool) -> FolderOptions {
    let rules = CsvRules { check_head: commerce::check_head, other_columns: commerce::other_columns };
    let (format, order) = (Format::Csv(rules), folder::FolderOrder::Name);
    FolderOptions { format, order, ..folder_options(settings, once) }
}

fn folder_options(settings: &Settings, once: bool) -> FolderOptions {
    let inputs = &settings.inputs;
    FolderOptions {
        arrival: match inputs.arrival {
            Arrival::Settle => folder::Arrival::Settle,
            Arrival::Rename => folder::Arrival::Rename,
        },
        order: match inputs.order {
            FolderOrder::Name => folder::FolderOrder::Name,
            FolderOrder::EventTime => folder::FolderOrder::EventTime,
        },
        once,
        ahead_records: ahead_records(settings.flow.records_per_trigger),
        threads: settings.flow.workers,
        ..FolderOptions::default()
    }
}

/// One batch is in flight while the next one is planned: neither may see the end of what is indexed.
fn ahead_records(records_per_trigger: Option<u64>) -> u64 {
    let batch_records = records_per_trigger.unwrap_or(BATCH_RECORDS_MAX);
    batch_records.saturating_mul(2).saturating_add(AHEAD_MARGIN_RECORDS)
}

/// Ids that no other process will make: the standard library's hasher is seeded by the system.
fn random_attempts() -> Attempts {
    let mut count = 0_u64;
    Box::new(move || {
        count += 1;
        let half = || u128::from(RandomState::new().hash_one(count));
        AttemptId(half() << 64 | half())
    })
}

/// A reader of the store for the page; its own connection, read only.
///
/// # Errors
/// When the store cannot be opened.
pub fn page_data(settings: &Settings) -> anyhow::Result<Box<dyn PageData>> {
    Ok(Box::new(open_reader(settings)?))
}

/// Brings the tables to this version; returns what was done, one line each. `adopt_timezone` is the zone of the old
/// job's instants.
///
/// # Errors
/// When the store is newer than this build, cannot be written, or holds tables that cannot be adopted.
pub fn migrate(settings: &Settings, adopt_timezone: &str) -> anyhow::Result<Vec<String>> {
    let path = match &settings.store.place {
        Place::Sqlite(path) => path,
        Place::Postgres(address) => {
            return Ok(postgres::migrate(address, adopt_timezone).map_err(told)?.lines);
        }
    };
    match sqlite::migrate(path).map_err(told)? {
        SCHEMA_VERSION => Ok(Vec::new()),
        0 => Ok(vec![format!("made the tables, version {SCHEMA_VERSION}")]),
        before => Ok(vec![format!("brought the tables from version {before} to {SCHEMA_VERSION}")]),
    }
}

/// What is wrong with the zone for [`migrate`]; `None` if nothing is, or nobody needs it.
///
/// # Errors
/// When the store cannot be asked.
pub fn zone_fault(settings: &Settings, adopt_timezone: &str) -> anyhow::Result<Option<String>> {
    match &settings.store.place {
        Place::Sqlite(_) => Ok(None),
        Place::Postgres(address) => postgres::zone_fault(address, adopt_timezone).map_err(told),
    }
}

/// SQL that makes least-privilege roles for the store.
///
/// # Errors
/// SQLite has no roles.
pub fn roles_sql(settings: &Settings) -> anyhow::Result<String> {
    match &settings.store.place {
        Place::Sqlite(_) => anyhow::bail!("SQLite has no roles: name the PostgreSQL store with --store"),
        Place::Postgres(address) => Ok(postgres::roles_sql(address.schema_name(), address.database_name())),
    }
}

/// How the jobs stand, all of them or the one that settings name.
///
/// # Errors
/// When the store cannot be read, or has no job of that name.
pub fn status(settings: &Settings) -> anyhow::Result<Vec<JobNow>> {
    let mut reader = open_reader(settings)?;
    let jobs = reader.jobs(settings.job.as_deref()).map_err(told)?;
    demand_named(settings, jobs.len())?;
    let now =
        |status: JobStatus| Ok(JobNow { is_running: reader.is_running(&status.job).map_err(told)?, status });
    jobs.into_iter().map(now).collect()
}

/// The law, checked over all jobs, or the one that settings name.
///
/// # Errors
/// When the store cannot be read, or has no job of that name; an imbalance is no error.
pub fn audit(settings: &Settings) -> anyhow::Result<Vec<Report>> {
    let reports = open_reader(settings)?.audit(settings.job.as_deref()).map_err(told)?;
    demand_named(settings, reports.len())?;
    Ok(reports)
}

fn demand_named(settings: &Settings, found: usize) -> anyhow::Result<()> {
    match &settings.job {
        Some(job) if found == 0 => {
            anyhow::bail!("there is no job {job} in {}; `status` without --job lists them", settings.store)
        }
        _ => Ok(()),
    }
}

/// The store, opened for reading.
fn open_reader(settings: &Settings) -> anyhow::Result<StoreReader> {
    let opened = match &settings.store.place {
        Place::Sqlite(path) => sqlite::open_reader(path),
        Place::Postgres(address) => postgres::open_reader(address),
    };
    opened.map_err(told)
}

/// The store's refused records, for reading and for writing.
///
/// # Errors
/// When the store cannot be opened.
pub fn open_quarantine(settings: &Settings) -> anyhow::Result<Opened> {
    let quarantine = match &settings.store.place {
        Place::Sqlite(path) => sqlite::open_quarantine(path),
        Place::Postgres(address) => postgres::open_quarantine(address),
    };
    Ok((open_reader(settings)?, quarantine.map_err(told)?))
}

/// A store's error in the words of a command that does one thing and leaves: nobody asked it to write a batch.
fn told(error: SinkError) -> anyhow::Error {
    match error {
        SinkError::NotApplied(text) | SinkError::TooLarge(text) => {
            anyhow::anyhow!(
                "the store cannot be used now: {text}; nothing was changed; try again once that is mended"
            )
        }
        other => other.into(),
    }
}
