//! The only place that knows engine, connectors and commands at once: builds sources, sinks and readers from
//! settings. Everything above takes what it returns.

mod check;
mod folders;
mod page;
mod topics;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicBool},
};

use telemetra_connectors::{
    StoreReader,
    postgres::{self, PostgresSink},
    sqlite::{self, SCHEMA_VERSION, SqliteSink},
};
use telemetra_core::{limits, logic::Logic};
use telemetra_engine::{
    audit::Report,
    committer::CommitMode,
    error::JobError,
    ids::AttemptId,
    limits::Rules,
    sink::{Sink, SinkError},
    source::Source,
    status::{JobStatus, PositionStatus},
    step::{Attempts, Job},
};

pub use check::check;

use crate::{
    commands::{
        after_commit::AfterCommit,
        meter::InputNow,
        offsets::OffsetRow,
        run::{Pipeline, RunOptions, Started},
        run_loop::{Ahead, Work, now_ms},
        status::JobNow,
    },
    http::data::PageData,
    quarantine::exporter::{Exporter, Opened},
    settings::{Place, Settings},
};

/// Takes the job over and brings it to where its last commit left it; called again after `Retry` and `Busy`.
///
/// # Errors
/// As the engine's.
pub fn start(settings: &Settings, options: &RunOptions) -> Result<Started, JobError> {
    start_leaving(settings, options, Arc::default())
}

/// The same; once `leave` is set, nobody waits long for an input that is away.
///
/// # Errors
/// As the engine's.
pub fn start_leaving(
    settings: &Settings,
    options: &RunOptions,
    leave: Arc<AtomicBool>,
) -> Result<Started, JobError> {
    match options.pipeline {
        Pipeline::Chat => start_chat(settings, options, leave),
        Pipeline::Commerce => start_commerce(settings, options, leave),
    }
}

fn start_chat(
    settings: &Settings,
    options: &RunOptions,
    leave: Arc<AtomicBool>,
) -> Result<Started, JobError> {
    if let Some(kafka) = &settings.kafka {
        let source = topics::source(settings, kafka, options, leave);
        let told = topics::told(source.reporter());
        return Ok(told.started(chat_job(settings, options, source)?));
    }
    let source = folders::chat_source(settings, options.once);
    let told = folders::told(source.reporter());
    Ok(told.started(chat_job(settings, options, source)?))
}

fn chat_job<S: Source + 'static>(
    settings: &Settings,
    options: &RunOptions,
    source: S,
) -> Result<Box<dyn Work>, JobError> {
    let (now_ms, job, window) = (now_ms(), settings.job_or("chat"), settings.chat.window);
    let rules = Rules {
        skip_gaps: options.skips_gaps(settings),
        ..settings.rules(options.once, options.accept_changed_meaning, now_ms)
    };
    match &settings.store.place {
        Place::Sqlite(path) => {
            // SQLite's columns hold texts of any length.
            let logic = settings.chat_logic(limits::STREAM_CHARS_MAX);
            begin(logic, rules, source, SqliteSink::open(path, &job, window)?, now_ms)
        }
        Place::Postgres(address) => {
            let sink = PostgresSink::open(address, &job, window)?;
            begin(settings.chat_logic(sink.stream_chars_max()), rules, source, sink, now_ms)
        }
    }
}

fn start_commerce(
    settings: &Settings,
    options: &RunOptions,
    leave: Arc<AtomicBool>,
) -> Result<Started, JobError> {
    let rules =
        Rules { skip_gaps: options.skips_gaps(settings), ..settings.commerce_rules(options.once, now_ms()) };
    if let Some(kafka) = &settings.kafka {
        let source = topics::source(settings, kafka, options, leave);
        let told = topics::told(source.reporter());
        return Ok(told.started(commerce_job(settings, rules, source)?));
    }
    let source = folders::shop_source(settings, options.once, rules.records_per_trigger);
    let told = folders::told(source.reporter());
    Ok(told.started(commerce_job(settings, rules, source)?))
}

fn commerce_job<S: Source + 'static>(
    settings: &Settings,
    rules: Rules,
    source: S,
) -> Result<Box<dyn Work>, JobError> {
    let (now_ms, commerce) = (rules.replay_now_ms, &settings.commerce);
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
    Ok(Box::new(AfterCommit::new(work, &commerce.log_dir, exporter)))
}

/// What an input tells beside its records.
struct Told {
    ahead: Box<dyn FnMut() -> Ahead>,
    input: Box<dyn FnMut() -> InputNow>,
}

impl Told {
    /// A job taken over that reads this input.
    fn started(self, work: Box<dyn Work>) -> Started {
        Started { work, ahead: self.ahead, input: self.input }
    }
}

/// Takes a job over.
fn begin<L: Logic, S: Source + 'static, K: Sink<L> + 'static>(
    logic: L,
    rules: Rules,
    source: S,
    sink: K,
    now_ms: i64,
) -> Result<Box<dyn Work>, JobError> {
    let mut job =
        Job::start(Arc::new(logic), rules, source, sink, CommitMode::Threaded, now_ms, random_attempts())?;
    Work::set_halted(&mut job, None)?;
    Ok(Box::new(job))
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

/// Ends a run to the end of the input whose topic is named and not there. One that the job has read is another matter,
/// which its start judges; and so are brokers that do not answer.
///
/// # Errors
/// Which topic does not exist.
pub fn demand_topics(settings: &Settings, pipeline: Pipeline) -> anyhow::Result<()> {
    let Some(kafka) = &settings.kafka else { return Ok(()) };
    let Some(missing) = topics::missing(kafka, pipeline) else { return Ok(()) };
    let jobs = open_reader(settings)
        .and_then(|mut reader| reader.jobs(Some(&settings.job_or(pipeline.name()))).map_err(told));
    let has_read = |position: &PositionStatus| position.topic.as_ref() == Some(&missing);
    if jobs.is_ok_and(|jobs| jobs.iter().flat_map(|job| &job.positions).any(has_read)) {
        return Ok(());
    }
    anyhow::bail!(
        "topic {missing} does not exist; nothing was read. Correct the name, or make the topic and run again"
    )
}

/// Where a pipeline's job stands in its topics, and why the brokers could not be asked, if so.
///
/// # Errors
/// When the store cannot be read, or no broker is named.
pub fn offsets(settings: &Settings, pipeline: Pipeline) -> anyhow::Result<(Vec<OffsetRow>, Option<String>)> {
    let Some(kafka) = &settings.kafka else {
        anyhow::bail!("no broker is named: give --kafka HOST:PORT or KAFKA_BOOTSTRAP_SERVERS")
    };
    let jobs = open_reader(settings)?.jobs(Some(&settings.job_or(pipeline.name()))).map_err(told)?;
    let positions = jobs.first().map_or(&[][..], |job| &job.positions);
    Ok(topics::offsets(kafka, pipeline, positions))
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
