//! What a store tells about its jobs to `status`, the page and the metrics: plain data.

use telemetra_core::watermark::{PartitionClock, Watermark};

use crate::{
    ids::Offset,
    sink::{Applied, Tally, Totals},
};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The job's name.
    pub job: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Hash (hex) of the settings under which its records were judged last.
    pub meaning: String,
    /// Why it stopped; `None` while it runs or after it ended well.
    pub halt_cause: Option<String>,
    /// Its latest instance's fencing number.
    pub epoch: u64,
    /// Its latest instance.
    pub holder: String,
    /// Number of the last committed batch, 0 before the first.
    pub last_batch: u64,
    /// Watermark committed by it.
    pub watermark: Watermark,
    /// Sum of counts over the open windows.
    pub open_count: i64,
    /// Sums that the law of counts relates.
    pub totals: Totals,
    /// Records read, late and refused, over all batches; the other numbers are in `totals`.
    pub records: RecordTotals,
    /// What only the store could tell of the events, over all batches; all 0 where rows have no id.
    pub applied: Applied,
    /// Rows that are final.
    pub final_rows: u64,
    /// Rows that are not.
    pub provisional_rows: u64,
    /// When it was created, milliseconds.
    pub created_at_ms: i64,
    /// When it last committed or changed its state, milliseconds.
    pub updated_at_ms: i64,
    /// Its partitions, by input and number.
    pub positions: Vec<PositionStatus>,
}

/// Records of a job over all batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordTotals {
    /// Records read.
    pub records: u64,
    /// Late events.
    pub late: u64,
    /// Refused records.
    pub dead: u64,
}

/// Where a job stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionStatus {
    /// Name of the input.
    pub input: String,
    /// Kafka topic; `None` for a folder.
    pub topic: Option<String>,
    /// Number of the partition.
    pub partition: u32,
    /// The log that its offsets count in; see [`crate::source::LogMark::id`].
    pub log_id: Option<u128>,
    /// First offset ever read.
    pub first: Offset,
    /// First offset that a restart reads again.
    pub replay: Offset,
    /// Next record to read.
    pub next: Offset,
    /// Its largest event time.
    pub clock: PartitionClock,
    /// Since when it has been at its head without growth, milliseconds.
    pub head_since_ms: Option<i64>,
}

/// One committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// Its number.
    pub batch_id: u64,
    /// Why there was a batch: [`crate::sink::BatchKind::as_str`].
    pub kind: String,
    /// Its clock reading, milliseconds.
    pub planned_at_ms: i64,
    /// When it was committed, milliseconds.
    pub committed_at_ms: i64,
    /// Watermark from then on.
    pub watermark: Watermark,
    /// What became of its records.
    pub tally: Tally,
    /// What only the store could tell of those counted.
    pub applied: Applied,
    /// Rows written.
    pub rows_written: u64,
    /// Rows made final, those included that were closed early.
    pub final_rows: u64,
}
