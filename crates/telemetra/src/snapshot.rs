//! What a running job shows of itself: plain numbers, published by the run loop after each step and read by
//! the terminal, the page and `--json`. Readers never touch the job.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// How a job stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "cause", rename_all = "snake_case")]
pub enum State {
    /// Before the first step: taking over, replaying.
    #[default]
    Starting,
    /// Reading.
    Running,
    /// All was read; waits for more.
    Waiting,
    /// Something is away; tried again by itself.
    Retrying(String),
    /// Another instance holds the job; taken over by itself once that one is gone.
    Standby(String),
    /// Stopped until somebody acts.
    Halted(String),
    /// Ended in order.
    Ended,
}

/// One moment of a job. Counts are those of this instance, since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// The job's name.
    pub job: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Since when something is away, milliseconds of the wall clock; `None` unless it retries.
    pub retrying_since_ms: Option<i64>,
    /// When this instance had taken the job over and replayed it, milliseconds of the wall clock.
    pub taken_over_at_ms: Option<i64>,
    /// Number of the last committed batch.
    pub batches: u64,
    /// Events a second over the last seconds.
    pub events_per_second: f64,
    /// Records read.
    pub records: u64,
    /// What became of them.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Records known and not yet read.
    pub lag_records: u64,
    /// Share of the input read, 0..=1, when its end is known (`--once`).
    pub progress: Option<f64>,
    /// When the last commit was known applied, milliseconds of the wall clock.
    pub committed_at_ms: Option<i64>,
    /// Memory of the process, bytes, where the system tells.
    pub rss_bytes: Option<u64>,
    /// Each partition.
    pub partitions: Vec<PartitionStatus>,
    /// Files and folders that are not read, and why.
    pub warnings: Vec<String>,
    /// Files that were read and stored, and lie where they were.
    pub unmoved: Unmoved,
    /// What should be known of files that are taken in, such as that one was refused as a whole; the newest.
    pub notices: Vec<String>,
    /// What was closed early at the start, and why; empty when nothing was.
    pub closed_early: String,
}

/// What became of the records, in the words of the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "pipeline", rename_all = "snake_case")]
pub enum Numbers {
    /// Windows.
    Chat(ChatNumbers),
    /// Unique rows.
    Commerce(CommerceNumbers),
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers::Chat(ChatNumbers::default())
    }
}

/// What chat came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatNumbers {
    /// Events counted.
    pub counted: u64,
    /// Late events.
    pub late: u64,
    /// Refused records.
    pub dead_letters: u64,
    /// Windows that counted events missed.
    pub window_misses: u64,
    /// Committed watermark, milliseconds of event time.
    pub watermark_ms: Option<i64>,
    /// Who holds the watermark.
    pub holder: Option<Holder>,
    /// Windows not yet final.
    pub open_windows: u64,
    /// Most panes open at once since the start, counted by time alone.
    pub open_panes_max: u64,
    /// Most records since the start that a restart would have read again.
    pub replay_records_max: u64,
    /// Windows that became final.
    pub final_windows: u64,
}

/// What shop events came to: records read = accepted + duplicates + conflicts + quarantined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommerceNumbers {
    /// Records that became rows.
    pub accepted: u64,
    /// Records whose row was there.
    pub duplicates: u64,
    /// Records whose id had another row.
    pub conflicts: u64,
    /// Records refused otherwise.
    pub quarantined: u64,
    /// The files they came in.
    pub files: Files,
}

/// Files since the start of this instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// Read to their end.
    pub read: u64,
    /// Not read, since their content is known.
    pub duplicates: u64,
    /// Without a record.
    pub empty: u64,
    /// Taken in as one refused record, since they cannot be read as records.
    pub faulty: u64,
    /// Read, with columns that nobody reads.
    pub drifted: u64,
}

/// Files that were read and stored and could not be moved away; the run tries again by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unmoved {
    /// How many.
    pub files: u64,
    /// Why, each cause once.
    pub causes: Vec<String>,
}

/// Who holds the watermark, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Input and partition: `chat/0`.
    pub name: String,
    /// Why: `slowest`, `no event yet`, `unread records` in words.
    pub reason: String,
}

/// Where one partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Input and partition: `chat/0`.
    pub name: String,
    /// Next record to read.
    pub next: u64,
    /// First offset not yet available.
    pub end: u64,
    /// Its position in time, milliseconds of event time.
    pub position_ms: Option<i64>,
    /// Nothing of what the last plan saw is unread.
    pub at_head: bool,
}

/// The latest [`Snapshot`], shared. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub struct Latest(Arc<Mutex<Arc<Snapshot>>>);

impl Latest {
    /// Replaces what readers see.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// What was published last.
    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_one_word_with_its_cause_beside_it() {
        let snapshot = Snapshot { state: State::Halted("why".into()), ..Snapshot::default() };
        let json = serde_json::to_value(&snapshot).expect("plain data");
        assert_eq!((json["state"].as_str(), json["cause"].as_str()), (Some("halted"), Some("why")));
        let json = serde_json::to_value(Snapshot::default()).expect("plain data");
        assert_eq!((json["state"].as_str(), json.get("cause")), (Some("starting"), None));
    }

    #[test]
    fn each_pipeline_shows_its_own_numbers() {
        let chat = serde_json::to_value(Snapshot::default()).expect("plain data");
        assert_eq!((&chat["pipeline"], &chat["late"]), (&"chat".into(), &0.into()));
        let numbers = Numbers::Commerce(CommerceNumbers { accepted: 3, ..CommerceNumbers::default() });
        let shop = Snapshot { numbers, ..Snapshot::default() };
        let shop = serde_json::to_value(&shop).expect("plain data");
        assert_eq!((&shop["pipeline"], &shop["accepted"]), (&"commerce".into(), &3.into()));
        assert_eq!((shop.get("late"), &shop["files"]["read"]), (None, &0.into()));
    }
}
