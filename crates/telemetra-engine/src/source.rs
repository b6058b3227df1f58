//! Where records come from.
//!
//! A source lists partitions, cuts ranges of them into splits and opens a range for reading. It translates
//! offsets to its own places and knows nothing of what a record means. Two implementations read for real
//! (folders, Kafka); `sim` has one in memory.

use std::{ops::Range, sync::Arc};

use telemetra_core::record::{Origin, Record};

use crate::ids::{Offset, PartitionId};

/// An input of the pipeline, as the tables name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The input's name: the `input` column.
    pub name: &'static str,
    /// Kafka topic; `None` for a folder.
    pub topic: Option<String>,
    /// What to print: the topic's name or the folder's path.
    pub place: String,
}

/// Which log a partition's offsets count in. Offsets of two logs say nothing of each other, also if both have one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMark {
    /// Another one once the log was made anew; `None` for sources whose logs have no such thing.
    pub id: Option<u128>,
    /// Under which leadership its end was seen: what a former one wrote can be lost when leaders change.
    pub epoch: Option<i32>,
}

/// What a source knows of one partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Which partition.
    pub id: PartitionId,
    /// Where a job begins that does not know the partition yet; the same in each view until it was committed.
    pub begin: Offset,
    /// Records before `begin` are there and are left out by wish, and none of them was written later than this,
    /// milliseconds: windows that hold them are incomplete. `None` if none is left out.
    pub left_out_ms: Option<i64>,
    /// The log that these offsets count in.
    pub mark: LogMark,
    /// First offset not yet available; everything below it can be read now, gaps excepted.
    pub end: Offset,
    /// Offset ranges below `end` that the source no longer holds, ascending.
    pub gaps: Vec<Range<Offset>>,
    /// One of the gaps that is there, and left out because somebody said so.
    pub unwanted: Option<Range<Offset>>,
    /// Whether it is a folder: without an event it still holds the watermark until it is idle, and its idle
    /// time-out follows from the event-time spans of its files.
    pub is_folder: bool,
    /// A file of a folder read in event-time order: when nothing of it is unread it holds nobody, its
    /// clock lives on in partition 0 of its input, and partition 0 holds nobody while it is unread.
    pub is_file_of_folder: bool,
}

impl PartitionView {
    /// A partition without records.
    pub fn empty(id: PartitionId) -> Self {
        Self {
            id,
            begin: 0,
            left_out_ms: None,
            mark: LogMark::default(),
            end: 0,
            gaps: Vec::new(),
            unwanted: None,
            is_folder: false,
            is_file_of_folder: false,
        }
    }
}

/// A piece of a partition that lies in one file; what the ledger records of it. Kafka has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Place in the partition's recorded sequence, from 0.
    pub seq: u32,
    /// File name inside the folder (lossless only for UTF-8 names; others are not read).
    pub file: String,
    /// First decoded byte, and first byte no longer part of it.
    pub bytes: Range<u64>,
    /// Physical line, from 1, at which it begins.
    pub line: u64,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Records in it.
    pub records: u64,
    /// Fingerprint of the file's decoded bytes `[0, bytes.end)`, hex.
    pub fingerprint: String,
    /// The file's first record, where that names the columns: its records cannot be read without.
    pub head: Option<Arc<[u8]>>,
    /// When the file was written last, nanoseconds since the Unix epoch, as of the last look; `None` if unknown.
    pub modified_ns: Option<i64>,
    /// Smallest and largest event time folded from it so far, milliseconds; late events do not count.
    pub span_ms: Option<(i64, i64)>,
}

/// Where a partition stood when the job last committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Which partition.
    pub id: PartitionId,
    /// First offset that will be read again.
    pub replay: Offset,
    /// First offset that was not yet read.
    pub next: Offset,
    /// The log that these offsets count in.
    pub mark: LogMark,
    /// All segments recorded for it, by `seq`.
    pub segments: Vec<Segment>,
}

/// Where records come from.
pub trait Source: Send + Sync {
    /// The inputs, in the order of their numbers.
    fn inputs(&self) -> &[Input];

    /// Takes up recorded sequences and positions; called once, before the first `poll`, also for a new job
    /// (then with an empty list).
    ///
    /// # Errors
    /// [`SourceError::Halt`] if what is there contradicts what was recorded.
    fn resume(&mut self, positions: &[Resume]) -> Result<(), SourceError>;

    /// Looks for new partitions and records. `now_ms` is the wall clock.
    ///
    /// # Errors
    /// [`SourceError::Retry`] while the source is away.
    fn poll(&mut self, now_ms: i64) -> Result<Vec<PartitionView>, SourceError>;

    /// Cuts `from..` of a partition into consecutive ranges, at most `pieces` of about equal size, that hold
    /// exactly `records` records if so many are available, but stop at the first record boundary at or after
    /// `bytes` bytes. Never empty if something is available and `records > 0`. Offsets, not only records, are
    /// what Kafka counts.
    ///
    /// # Errors
    /// As `poll`.
    fn cut(
        &mut self,
        partition: PartitionId,
        from: Offset,
        records: u64,
        bytes: u64,
        pieces: usize,
    ) -> Result<Vec<Range<Offset>>, SourceError>;

    /// Opens a range for reading; called from worker threads.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if it is no longer what was cut.
    fn open(
        &self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Box<dyn RangeReader + '_>, SourceError>;

    /// The recorded segments that hold `range`, ascending; empty for Kafka. `span_ms` is left `None`.
    fn segments(&self, partition: PartitionId, range: Range<Offset>) -> Vec<Segment>;

    /// The command that records gaps and goes on, if there is one.
    fn gap_command(&self) -> Option<String> {
        None
    }

    /// Told after each commit known applied: nothing below `replay` will be read again.
    fn committed(&mut self, partition: PartitionId, replay: Offset, next: Offset);
}

/// Reads one range in order.
pub trait RangeReader {
    /// Replaces what `chunk` holds by the next records; `false` at the end of the range.
    ///
    /// # Errors
    /// As [`Source::open`].
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError>;
}

/// Some records of one range, from one file.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The bytes that hold the records.
    pub bytes: Vec<u8>,
    /// The records, ascending by offset. Offsets without a record are simply missing.
    pub records: Vec<Span>,
    /// File name inside the folder; `None` for Kafka.
    pub file: Option<Arc<str>>,
    /// `seq` of the segment the records lie in; 0 for Kafka.
    pub segment: u32,
    /// Decoded byte of the file at which `bytes` begins; 0 for Kafka.
    pub first_byte: u64,
    /// The file's first record, where that names the columns.
    pub head: Option<Arc<[u8]>>,
    /// Code of a fault of the whole file, whose beginning is the one record.
    pub fault: Option<Arc<str>>,
}

impl Chunk {
    /// One of its records, as it is decoded.
    pub fn record(&self, span: &Span) -> Record<'_> {
        Record {
            bytes: &self.bytes[span.start as usize..span.end as usize],
            text: None,
            truncated: span.truncated,
            head: self.head.as_deref(),
            fault: self.fault.as_deref(),
        }
    }

    /// Where one of its records was read.
    pub fn origin(&self, id: PartitionId, span: &Span) -> Origin<'_> {
        let bytes = self.first_byte + u64::from(span.start)..self.first_byte + u64::from(span.end);
        Origin {
            partition: (id.input, id.partition),
            offset: span.offset,
            file: self.file.as_ref(),
            line: (span.line > 0).then_some(span.line),
            bytes: self.file.is_some().then_some(bytes),
            raw: &self.bytes[span.start as usize..span.end as usize],
        }
    }
}

/// One record in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The record's offset.
    pub offset: Offset,
    /// Physical line, from 1, on which it starts; 0 for Kafka.
    pub line: u64,
    /// Its bytes in the chunk, `start..end`, without the line end.
    pub start: u32,
    /// See `start`.
    pub end: u32,
    /// It is longer than [`telemetra_core::limits::RECORD_BYTES_MAX`], the rest was skipped.
    pub truncated: bool,
}

/// Why a source could not do what it was asked, one variant per decision.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is away or busy: drop the batch, wait, try again.
    #[error("{what}: {source}")]
    Retry {
        /// What was tried, with the place.
        what: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was planned is no longer there as it was: drop the batch and plan anew.
    #[error("{0}")]
    Changed(String),
    /// A record read again is not what it was when it was committed.
    #[error("{0}")]
    Differs(String),
    /// Going on could lose or double records: stop, with the place and the way on.
    #[error("{0}")]
    Halt(String),
}
