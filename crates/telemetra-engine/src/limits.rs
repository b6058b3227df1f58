//! Every bound of the engine, by name, and the settings that the user may change.

use telemetra_core::window::WindowSpec;

/// Records in a batch when the user sets no cap.
pub const BATCH_RECORDS_MAX: u64 = 500_000;
/// A batch that takes the store too long is planned again with half its records, but not with fewer than this.
pub const TOO_LARGE_RECORDS_MIN: u64 = 1_000;
/// Batches applied until the smaller cap is doubled.
pub const BATCHES_TO_GROW: u32 = 10;
/// Bytes of records in a batch, for products that keep none of them.
pub const BATCH_BYTES_MAX: u64 = 256 << 20;
/// The horizon of a batch over several partitions grows while batches hold fewer than half of this.
pub const BATCH_RECORDS_TARGET: u64 = 50_000;
/// Raw bytes of refused and late records kept by one split; a split ends early when it has more.
pub const REFUSED_BYTES_MAX: usize = 8 << 20;
/// Bytes of records that a reader hands over at once, about.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Files of a folder whose event-time spans set its idle time-out.
pub const SPANS_KEPT: usize = 10;
/// Events at the beginning of a file that are looked at when it seems to be mostly late.
pub const PEEK_EVENTS: u64 = 1_000;
/// Longest idle time-out of a folder, milliseconds.
pub const FOLDER_IDLE_MS_MAX: i64 = 24 * 3_600_000;

/// What the user decides about the way of the data; durations in milliseconds.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Length and slide of the windows.
    pub window: WindowSpec,
    /// How far the watermark stays behind the slowest partition.
    pub delay_ms: i64,
    /// How far after `planned_at` an event may be stamped.
    pub future_skew_ms: i64,
    /// How long a partition stays at its head without growth before it holds nobody.
    pub idle_timeout_ms: i64,
    /// Records in a batch, summed over partitions; `None` means [`BATCH_RECORDS_MAX`].
    pub records_per_trigger: Option<u64>,
    /// Bytes of records in a batch, summed over partitions; about, since a source ends a range where it can. A product
    /// that keeps the bytes of its records until they are committed holds those of two batches.
    pub batch_bytes_max: u64,
    /// Provisional rows written by one batch.
    pub provisional_rows_max: usize,
    /// Records between replay and next offsets beyond which only who holds the watermark is read.
    pub replay_records_max: u64,
    /// `--once`: read on whatever the replay length is.
    pub read_on: bool,
    /// The wall clock as the instance started, milliseconds. Replay carries it and never asks it.
    pub replay_now_ms: i64,
    /// Worker threads.
    pub workers: usize,
    /// Hash (hex) of all that changes meaning; kept in the job row.
    pub meaning: String,
    /// Go on with another meaning by closing every open window early.
    pub accept_changed_meaning: bool,
    /// Let the events of a file that are mostly late go to the late events, instead of halting.
    pub keep_late_files: bool,
    /// Record offsets that the source no longer holds and go on, instead of halting.
    pub skip_gaps: bool,
}
