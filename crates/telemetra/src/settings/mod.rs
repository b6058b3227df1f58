//! Settings: what the user decides, validated once, with the place each came from.
//!
//! | file | owns |
//! |---|---|
//! | `default.toml` | every default with unit and comment |
//! | `spec` | the table of names |
//! | `flags` | the table as command-line flags |
//! | `layers` | flag over environment over file over default; unknown names |
//! | `parse` | text to durations, sizes, numbers |
//! | `kafka` | whether Kafka is read, which brokers and topics, and how they are reached |
//! | `store` | which store, and how it is reached |
//! | `secret` | texts that only their owner may read |
//! | `validate` | values to [`Settings`], all faults together |
//! | `fault` | a wrong setting, its origin and the way on |
//!
//! Invariant: whoever holds a [`Settings`] need not check it again, and nobody else reads the environment.

pub mod fault;
pub mod flags;
mod kafka;
pub mod layers;
pub mod parse;
mod secret;
pub mod spec;
mod store;
#[cfg(test)]
mod tests;
mod validate;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use telemetra_connectors::postgres::Address;
use telemetra_core::{
    chat::{Chat, sentiment::Sentiment},
    commerce::{Commerce, Format, Zone},
    hash::hash64,
    limits,
    window::WindowSpec,
};
use telemetra_engine::limits::{BATCH_BYTES_MAX, Rules};

pub use fault::{Fault, Faults, Origin};
pub use kafka::{KafkaSettings, TopicName};
pub use layers::Layers;
pub use validate::{Purpose, validate};

/// Version of the rules by which records are decoded; part of the meaning.
pub const DECODER_VERSION: u32 = 1;
/// The same of shop events.
pub const COMMERCE_DECODER_VERSION: u32 = 1;
/// Shop events in a batch when the user sets no cap: two batches of whole rows are in memory at a time.
pub const COMMERCE_BATCH_RECORDS: u64 = 50_000;
/// Bytes of records in a batch of commerce, about: the bytes of each are kept until it is known what becomes of it.
pub const COMMERCE_BATCH_BYTES: u64 = 16 << 20;

/// All settings, valid.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where results go.
    pub store: Store,
    /// The job's name, when one was given.
    pub job: Option<String>,
    /// Where events come from.
    pub inputs: Inputs,
    /// What chat's numbers mean.
    pub chat: ChatSettings,
    /// Shop events: folders and zone.
    pub commerce: CommerceSettings,
    /// Kafka, if it is read or written instead of folders.
    pub kafka: Option<KafkaSettings>,
    /// How the data flows.
    pub flow: Flow,
    /// Address of the page; always loopback.
    pub http: Option<SocketAddr>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Lines for the start: settings that are accepted without effect.
    pub notes: Vec<String>,
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The place itself.
    pub place: Place,
    /// Who chose it.
    pub origin: Origin,
}

/// A store of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<Address>),
}

impl fmt::Display for Store {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(address) => write!(f, "{address}"),
        }
    }
}

/// Where events come from, and what is done with files out of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Folder of chat events.
    pub chat_dir: Option<PathBuf>,
    /// Folder of viewer events.
    pub viewer_dir: Option<PathBuf>,
    /// Order in which files are read.
    pub order: FolderOrder,
    /// A file most of whose events would be late.
    pub late_files: LateFiles,
    /// How files get into a folder.
    pub arrival: Arrival,
}

/// Order in which the files of a folder are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderOrder {
    /// By name, one after the other.
    Name,
    /// Merged by event time; each unfinished file holds the watermark.
    EventTime,
}

/// What is done with a file most of whose events would be late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateFiles {
    /// Stop and name both ways on.
    Halt,
    /// Read it; its late events go to `late_events`.
    Keep,
}

/// How files get into a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Written in place: read once size and time stay unchanged.
    Settle,
    /// Renamed in when complete: read at once.
    Rename,
}

/// What the numbers mean.
#[derive(Clone, Debug)]
pub struct ChatSettings {
    /// Length and slide of the windows.
    pub window: WindowSpec,
    /// How much later than others an event may come, milliseconds.
    pub delay_ms: i64,
    /// How far ahead of the clock an event may be stamped, milliseconds.
    pub future_skew_ms: i64,
    /// z-score above which a window is a moment.
    pub anomaly_threshold: f64,
    /// Scores messages, by the built-in lists or a lexicon.
    pub sentiment: Sentiment,
}

/// Shop events: folders and zone.
#[derive(Clone, Debug)]
pub struct CommerceSettings {
    /// Folder of CSV files.
    pub input_dir: PathBuf,
    /// Where files go once all of it is committed.
    pub processed_dir: PathBuf,
    /// Where refused records are exported to.
    pub error_dir: PathBuf,
    /// Folder of the metrics log.
    pub log_dir: PathBuf,
    /// Zone of events that name none.
    pub timezone: Zone,
}

/// How the data flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Pause once everything has been read.
    pub trigger: Duration,
    /// Records in one batch; `None` leaves it to the engine.
    pub records_per_trigger: Option<u64>,
    /// Silence after which a partition holds nobody up, milliseconds.
    pub idle_timeout_ms: i64,
    /// Rows of open windows that one batch writes.
    pub provisional_rows_max: usize,
    /// Records between replay and next offsets, bound.
    pub replay_records_max: u64,
    /// First pause before a failed step is tried again.
    pub retry_delay: Duration,
    /// Threads that read and fold.
    pub workers: usize,
    /// Memory that open windows may take, bytes.
    pub open_bytes_max: usize,
    /// Record offsets that the source no longer holds and go on, instead of halting.
    pub skip_gaps: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Filter as `tracing_subscriber`'s `Targets` reads it.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Settings {
    /// Lays the layers over each other and judges what comes out, for `purpose`.
    ///
    /// # Errors
    /// All faults together.
    pub fn load(layers: &Layers, purpose: Purpose) -> Result<Self, Faults> {
        validate(layers::overlay(layers), purpose)
    }

    /// The job's name.
    pub fn job_or(&self, pipeline: &str) -> String {
        self.job.clone().unwrap_or_else(|| pipeline.to_owned())
    }

    /// The pipeline's meaning. `stream_chars_max` is what the store's column holds, if that is less than ours.
    pub fn chat_logic(&self, stream_chars_max: usize) -> Chat {
        Chat {
            window: self.chat.window,
            sentiment: self.chat.sentiment.clone(),
            stream_chars_max: stream_chars_max.min(limits::STREAM_CHARS_MAX),
            anomaly_threshold: self.chat.anomaly_threshold,
            open_bytes_max: self.flow.open_bytes_max,
        }
    }

    /// The commerce pipeline's meaning: JSON from topics, CSV from folders.
    pub fn commerce_logic(&self) -> Commerce {
        let format = if self.kafka.is_some() { Format::Json } else { Format::Csv };
        Commerce { format, timezone: self.commerce.timezone.clone() }
    }

    /// The engine's rules for commerce, which has no windows: what is said of them is not asked.
    pub fn commerce_rules(&self, once: bool, started_at_ms: i64) -> Rules {
        let records = self.flow.records_per_trigger.unwrap_or(COMMERCE_BATCH_RECORDS);
        Rules {
            records_per_trigger: Some(records),
            meaning: self.commerce_meaning(),
            batch_bytes_max: COMMERCE_BATCH_BYTES,
            ..self.rules(once, true, started_at_ms)
        }
    }

    /// Hash (hex) of what decides how shop events are judged; the job row has that of the last run.
    pub fn commerce_meaning(&self) -> String {
        format!("{:016x}", hash64(self.commerce.meaning().as_bytes()))
    }

    /// The engine's rules. `once` reads on whatever the replay length is; `started_at_ms` is
    /// the wall clock as the instance started.
    pub fn rules(&self, once: bool, accept_changed_meaning: bool, started_at_ms: i64) -> Rules {
        Rules {
            window: self.chat.window,
            delay_ms: self.chat.delay_ms,
            future_skew_ms: self.chat.future_skew_ms,
            idle_timeout_ms: self.flow.idle_timeout_ms,
            records_per_trigger: self.flow.records_per_trigger,
            batch_bytes_max: BATCH_BYTES_MAX,
            provisional_rows_max: self.flow.provisional_rows_max,
            replay_records_max: self.flow.replay_records_max,
            read_on: once,
            workers: self.flow.workers,
            meaning: format!("{:016x}", hash64(self.chat.meaning().as_bytes())),
            accept_changed_meaning,
            skip_gaps: self.flow.skip_gaps,
            keep_late_files: self.inputs.late_files == LateFiles::Keep,
            replay_now_ms: started_at_ms,
        }
    }
}

impl CommerceSettings {
    /// As [`ChatSettings::meaning`]: a job whose zone changes goes on with the new one, since no record is read twice.
    pub fn meaning(&self) -> String {
        format!(
            "commerce zone={} record_bytes={} decoder={COMMERCE_DECODER_VERSION}",
            self.timezone.name(),
            limits::RECORD_BYTES_MAX
        )
    }
}

impl ChatSettings {
    /// A stable text of all that changes what rows mean; its hash is kept in the job row.
    ///
    /// A field that is added here changes the hash of every job: then raise [`DECODER_VERSION`] instead, if
    /// the meaning of existing rows changes, and leave the text alone if it does not. The anomaly threshold
    /// is left out, since it says nothing about open panes.
    pub fn meaning(&self) -> String {
        format!(
            "chat length_ms={} slide_ms={} delay_ms={} skew_ms={} sentiment={:016x} \
             record_bytes={} depth={} stream_chars={} user_bytes={} emote_bytes={} emotes={} pane_emotes={} \
             decoder={DECODER_VERSION}",
            self.window.length_ms(),
            self.window.slide_ms(),
            self.delay_ms,
            self.future_skew_ms,
            self.sentiment.meaning(),
            limits::RECORD_BYTES_MAX,
            limits::JSON_DEPTH_MAX,
            limits::STREAM_CHARS_MAX,
            limits::USER_BYTES_MAX,
            limits::EMOTE_BYTES_MAX,
            limits::EMOTES_PER_MESSAGE_MAX,
            limits::EMOTES_PER_PANE_MAX,
        )
    }
}
