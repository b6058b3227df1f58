//! Where results go, and the ledger with them.
//!
//! One call of [`Sink::commit`] is one transaction: rows, positions, refusals, late events, gaps and the
//! ledger, or nothing. The protocol is RELIABILITY §1.3-1.5; DESIGN §7 is the promise.

use std::{ops::Range, sync::Arc};

use telemetra_core::{
    logic::{Logic, WindowCount},
    record::Origin,
    watermark::{PartitionClock, Watermark},
};

use crate::{
    ids::{AttemptId, Offset, PartitionId},
    source::{Input, LogMark, Segment},
};

/// Everything that one batch writes.
#[derive(Debug)]
pub struct Commit<R> {
    /// This batch; the one before has the number less by one.
    pub batch_id: u64,
    /// This try.
    pub attempt: AttemptId,
    /// Why there is a batch.
    pub kind: BatchKind,
    /// The batch's clock reading, milliseconds.
    pub planned_at_ms: i64,
    /// Watermark that the batch before committed; judged the records of this one.
    pub watermark_before: Watermark,
    /// Watermark from now on.
    pub watermark: Watermark,
    /// End of the last open window that starts at or before the largest event time; milliseconds.
    pub open_end_ms: Option<i64>,
    /// Digest over the open panes.
    pub open_digest: u64,
    /// Sum of counts over the open windows.
    pub open_count: i64,
    /// Sum of counts over the rows that become final in this batch, closed early included.
    pub final_count: i64,
    /// Counts that windows missed: partly late events, what closing early left out of a row, and windows that were left
    /// to their adopted rows.
    pub window_misses: i64,
    /// Event time before which windows may lack events that the job left out by wish at its start; `None` if it left
    /// out none. Milliseconds.
    pub start_ms: Option<i64>,
    /// Ranges read, one per partition that moved.
    pub ranges: Vec<RangeEntry>,
    /// Positions of all partitions that changed in any column, new ones included.
    pub positions: Vec<PositionEntry>,
    /// Segments that hold the ranges read, with their spans so far.
    pub segments: Vec<(PartitionId, Segment)>,
    /// Refused records.
    pub dead_letters: Vec<DeadLetter>,
    /// Late events.
    pub late_events: Vec<LateEvent>,
    /// Offsets that the source no longer held.
    pub gaps: Vec<Gap>,
    /// Result rows.
    pub rows: R,
    /// Make every row that is not final final and incomplete, as it stands.
    pub close_early: bool,
    /// Meaning hash from now on, when it changes.
    pub new_meaning: Option<String>,
}

/// Why there is a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// Records were read.
    Read,
    /// Nothing was read; the watermark advanced because all partitions are idle.
    Idle,
    /// Nothing was read; `--drain` closed every window.
    Drain,
    /// Nothing was read; the last batch before an exit writes what is still unwritten.
    Flush,
    /// Nothing was read; every open window was closed early.
    ClosedEarly,
    /// Nothing was read; a gap was recorded and passed.
    Gap,
    /// Nothing was read; where partitions begin was recorded, since it is not at their first offset.
    Begin,
}

impl BatchKind {
    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchKind::Read => "read",
            BatchKind::Idle => "idle",
            BatchKind::Drain => "drain",
            BatchKind::Flush => "flush",
            BatchKind::ClosedEarly => "closed_early",
            BatchKind::Gap => "gap",
            BatchKind::Begin => "begin",
        }
    }
}

/// One partition's share of a batch. `to - from == records + empty`, `records == counted + late + dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeEntry {
    /// Which partition.
    pub partition: PartitionId,
    /// First offset read.
    pub from: Offset,
    /// First offset not read.
    pub to: Offset,
    /// What became of the records.
    pub tally: Tally,
}

/// What became of the records of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records read.
    pub records: u64,
    /// Offsets without a record, and null or blank values.
    pub empty: u64,
    /// Events folded, also those that missed some of their windows.
    pub counted: u64,
    /// Of the counted, those that the law of counts sums (chat messages).
    pub in_windows: u64,
    /// Late events.
    pub late: u64,
    /// Refused records.
    pub dead: u64,
    /// Windows missed by counted events.
    pub window_misses: u64,
}

impl Tally {
    /// Adds another range's numbers.
    pub fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.empty += other.empty;
        self.counted += other.counted;
        self.in_windows += other.in_windows;
        self.late += other.late;
        self.dead += other.dead;
        self.window_misses += other.window_misses;
    }
}

/// A partition's position after a batch, with the one before as the compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionEntry {
    /// Next offset that must be stored now; `None` if the partition is new.
    pub expected_next: Option<Offset>,
    /// The position from now on.
    pub position: Position,
}

/// What is committed of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which partition.
    pub id: PartitionId,
    /// Next record to read.
    pub next: Offset,
    /// First offset that touched a pane still open.
    pub replay: Offset,
    /// Largest event time and an unconfirmed one beyond it.
    pub clock: PartitionClock,
    /// When it first was at its head after its largest event time last grew, milliseconds.
    pub head_since_ms: Option<i64>,
    /// The log that these offsets count in.
    pub mark: LogMark,
    /// It was begun behind records left out by wish, none written later than this, milliseconds; until its first event
    /// is read.
    pub begun_ms: Option<i64>,
}

/// Where a refused or late record came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// File name inside the folder; `None` for Kafka.
    pub file: Option<Arc<str>>,
    /// Physical line, from 1; `None` for Kafka.
    pub line: Option<u64>,
    /// Its decoded bytes in the file, the line end left out; `None` for Kafka.
    pub bytes: Option<Range<u64>>,
}

impl From<Origin<'_>> for Place {
    fn from(origin: Origin<'_>) -> Self {
        let (input, partition) = origin.partition;
        Self {
            partition: PartitionId { input, partition },
            offset: origin.offset,
            file: origin.file.cloned(),
            line: origin.line,
            bytes: origin.bytes,
        }
    }
}

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it came from.
    pub place: Place,
    /// Why it was refused.
    pub code: String,
    /// Its bytes.
    pub raw: Vec<u8>,
}

/// An event older than every open window that would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateEvent {
    /// Where it came from.
    pub place: Place,
    /// Its key (stream).
    pub key: String,
    /// Its event time, milliseconds.
    pub event_time_ms: i64,
    /// The watermark that judged it.
    pub watermark: Watermark,
    /// Its bytes.
    pub raw: Vec<u8>,
}

/// Offsets that the source no longer held when they were to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which partition.
    pub partition: PartitionId,
    /// The offsets.
    pub offsets: Range<Offset>,
    /// What is known of the cause.
    pub cause: String,
    /// Whether it lay below `next_offset`, in the replay range: then no sum changes.
    pub in_replay: bool,
}

/// What a sink holds of a job when an instance takes it over.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The new epoch: fences every instance before.
    pub epoch: u64,
    /// Number of the last committed batch, 0 before the first.
    pub last_batch: u64,
    /// Watermark committed by it.
    pub watermark: Watermark,
    /// See [`Commit::open_end_ms`].
    pub open_end_ms: Option<i64>,
    /// See [`Commit::open_digest`].
    pub open_digest: u64,
    /// See [`Commit::open_count`].
    pub open_count: i64,
    /// Meaning hash of the job; `None` for a new job.
    pub meaning: Option<String>,
    /// See [`Commit::start_ms`].
    pub start_ms: Option<i64>,
    /// Sums over all batches: events in windows, their misses, counts in final rows.
    pub totals: Totals,
    /// Positions of all partitions.
    pub positions: Vec<Position>,
    /// All recorded segments.
    pub segments: Vec<(PartitionId, Segment)>,
    /// Rows that are not final: key, start, committed count.
    pub open_rows: Vec<WindowCount>,
    /// Final rows whose window ends after the watermark: closed early ahead of it.
    pub closed_early: Vec<WindowCount>,
}

/// Sums that the law of counts relates: `final_count + open_count == panes × in_windows - window_misses`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events counted that the law sums.
    pub in_windows: i64,
    /// Windows they missed.
    pub window_misses: i64,
    /// Sum of counts over final rows.
    pub final_count: i64,
}

/// What became of a batch's counted events in a store whose rows are unique by an id; all 0 where no id is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that became rows.
    pub accepted: u64,
    /// Events whose row was there, as it is.
    pub duplicates: u64,
    /// Events whose id was there with another payload: in quarantine.
    pub conflicts: u64,
    /// Events that the store itself refused: in quarantine.
    pub refused: u64,
}

impl Applied {
    /// Adds another batch's numbers.
    pub fn add(&mut self, other: &Applied) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
    }
}

/// The store of results and ledger.
pub trait Sink<L: Logic>: Send {
    /// Takes the job over with a new epoch and reads, in the same transaction and under its lock, where it
    /// stands. Creates the job row of a new job.
    ///
    /// # Errors
    /// [`SinkError::Busy`] while another instance holds the job.
    fn take_over(&mut self, inputs: &[Input], meaning: &str) -> Result<Recovered, SinkError>;

    /// Writes one batch in one transaction; says what only the store could tell of its events.
    ///
    /// # Errors
    /// `NotApplied` and `TooLarge` when nothing was written, `InDoubt` when that is not known, `Fenced`, `Halt`.
    fn commit(&mut self, commit: &Commit<L::Rows>) -> Result<Applied, SinkError>;

    /// Says whether a try whose commit was in doubt was applied, `None` if not. Waits until that is known.
    ///
    /// # Errors
    /// `Fenced` if another instance has taken over, else as `commit`.
    fn was_applied(&mut self, batch_id: u64, attempt: AttemptId) -> Result<Option<Applied>, SinkError>;

    /// Offsets of the dead letters of a partition in `range`, ascending.
    ///
    /// # Errors
    /// As `take_over`.
    fn dead_offsets(
        &mut self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Vec<Offset>, SinkError>;

    /// Reads back what the pipeline asks for.
    ///
    /// # Errors
    /// As `take_over`.
    fn answer(&mut self, ask: &L::Ask) -> Result<L::Answer, SinkError>;

    /// Records why the job stopped, for `status`; `None` when it runs.
    ///
    /// # Errors
    /// As `take_over`.
    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), SinkError>;

    /// What the sink has noticed of its store by itself since it was last used. Asks nobody and does not wait: it is
    /// for a job that has nothing to write, which would not learn otherwise that its store is away.
    ///
    /// # Errors
    /// `NotApplied` while the store is away, `Fenced` once another instance has taken over.
    fn noticed(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why a sink could not do what it was asked, one variant per decision.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Another instance holds the job.
    #[error("another instance holds the job: {0}")]
    Busy(String),
    /// Nothing was written; the batch may be planned again at any size.
    #[error("nothing was written: {0}")]
    NotApplied(String),
    /// Nothing was written because it took the store too long: plan the batch again with half as many records.
    #[error("nothing was written, it took the store too long: {0}")]
    TooLarge(String),
    /// Whether it was written is not known.
    #[error("whether the batch was written is not known: {0}")]
    InDoubt(String),
    /// Another instance has taken the job over.
    #[error("another instance has taken the job over: {0}")]
    Fenced(String),
    /// Going on could make a wrong number: stop, with the cause and the way on.
    #[error("{0}")]
    Halt(String),
}
