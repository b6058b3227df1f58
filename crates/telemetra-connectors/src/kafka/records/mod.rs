//! Record batches as a broker sent them: bytes in, records out.
//!
//! Knows nothing of connections, partitions or what a record means, and does no I/O.
//!
//! | part | question it answers |
//! |---|---|
//! | `header` | where a batch begins and ends, and whether its bytes are those that were written |
//! | `aborted` | which batches belong to transactions that were given up |
//! | `unpack` | what a compressed batch holds, within a bound |
//! | `walk` | where the records of a batch lie |
//! | `fault` | why bytes are no records |
//!
//! The format is that of <https://kafka.apache.org/documentation/#messageformat>, "Record Batch" (magic 2), and
//! of `org.apache.kafka.common.record.DefaultRecordBatch`; aborted transactions are left out as its
//! `CompletedFetch` does.
//!
//! The invariant: offsets handed out ascend, each once, and each record is what its checksum covers. Outside the
//! checksum lie a batch's base offset, its length and the leader's epoch. A wrong length shows as a wrong checksum
//! or as a batch cut off; the epoch is not looked at; a wrong base offset shows only where offsets would not ascend,
//! for holes between batches are allowed.

mod aborted;
mod fault;
mod header;
#[cfg(test)]
mod tests;
mod unpack;
mod walk;

use std::ops::Range;

use telemetra_engine::{ids::Offset, source::Chunk};

use self::{
    aborted::Aborted,
    header::{Extent, Header},
    unpack::Unpack,
    walk::Walked,
};
pub use fault::RecordsFault;

/// Longest batch that is read, bytes, as it was sent and unpacked: brokers take 1 MiB packed unless they are told
/// otherwise, this is 64 times that. A batch of a megabyte can unpack to a gigabyte, and each reading thread
/// holds one.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Unpacked bytes after which a chunk is handed over: enough to forget the cost of a chunk, little enough to stay in
/// the processor's cache until it is decoded.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Records of one chunk of unpacked batches (32 MiB of places); a batch that holds more is unpacked again for the rest.
pub const CHUNK_RECORDS_MAX: usize = 1 << 20;
/// Capacity of a buffer that is kept for the next use; what one large batch needed is given back.
pub const KEPT_BYTES_MAX: usize = 16 << 20;

/// What the batches of a response say of themselves; their checksums were not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Offsets from the first batch's beginning to the last one's end.
    pub offsets: Range<Offset>,
    /// Whole batches.
    pub batches: u32,
    /// Their bytes, as they were sent.
    pub bytes: usize,
}

/// What a record has beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When it was written, milliseconds since the Unix epoch, by the producer's or the broker's clock as the topic
    /// has it; -1 if unknown.
    pub timestamp_ms: i64,
    /// Where its key lies in the chunk's bytes; `None` for null.
    pub key: Option<Range<usize>>,
}

/// The records of one fetch response of one partition.
pub struct Fetched {
    bytes: Vec<u8>,
    /// Where the next batch begins.
    at: usize,
    /// Where the last whole batch ends, or what is no batch begins.
    end: usize,
    needs: Option<usize>,
    stretch: Option<Stretch>,
    /// One for each record of the last chunk, if somebody wants them.
    marks: Option<Vec<Mark>>,
    /// No batch is compressed, so that records are handed over where they lie.
    is_plain: bool,
    aborted: Aborted,
    unpack: Unpack,
    /// First offset that a batch may hold: behind the last one.
    floor: Offset,
    next: Option<Offset>,
    /// Found behind records that were handed over first.
    fault: Option<RecordsFault>,
    /// See [`Self::reading`].
    reading: Option<Range<Offset>>,
}

impl Fetched {
    /// Takes a response over. `bytes[records]` are record batches as the broker sent them, the last may be cut off.
    /// `aborted` are the response's aborted transactions: producer id and first offset, in any order.
    ///
    /// # Panics
    /// If `records` is not a range of `bytes`.
    pub fn new(bytes: Vec<u8>, records: Range<usize>, aborted: Vec<(i64, i64)>) -> Self {
        let (mut end, mut needs, mut is_plain) = (records.start, None, true);
        let (mut last, mut batches) = (end, 0);
        while end < records.end {
            match Extent::of(&bytes[end..records.end]) {
                Ok(Extent::Whole { bytes, is_compressed }) => {
                    (last, batches) = (end, batches + 1);
                    end += bytes;
                    is_plain &= !is_compressed;
                }
                Ok(Extent::Cut { bytes }) => {
                    needs = (end == records.start).then_some(bytes);
                    break;
                }
                // The walk comes to the same place and says so.
                Err(_) => end = records.end,
            }
        }
        let offsets = |at: usize| Some(Header::of(&bytes[at..end]).ok()?.offsets);
        let stretch = offsets(records.start).zip(offsets(last)).map(|(first, last)| Stretch {
            offsets: first.start..last.end,
            batches,
            bytes: end - records.start,
        });
        Self {
            at: records.start,
            end,
            needs,
            stretch,
            marks: None,
            is_plain,
            aborted: Aborted::new(aborted),
            unpack: Unpack::default(),
            floor: 0,
            next: None,
            fault: None,
            reading: None,
            bytes,
        }
    }

    /// Keeps key and time of the records of the last chunk, for [`Self::marks`].
    pub fn keep_marks(&mut self, mut marks: Vec<Mark>) {
        marks.clear();
        self.marks = Some(marks);
    }

    /// Key and time of each record of the last chunk, in its order; empty if they are not kept.
    pub fn marks(&self) -> &[Mark] {
        self.marks.as_deref().unwrap_or_default()
    }

    /// How far the whole batches reach; `None` if there is none, or one that contradicts the format.
    pub fn stretch(&self) -> Option<&Stretch> {
        self.stretch.as_ref()
    }

    /// Replaces what `chunk` holds by the next records with offsets in `range`, the same one for all calls; `false`
    /// when no whole batch is left. Null and blank values are left out.
    ///
    /// A response without compressed batches is handed over as it is: its buffer becomes the chunk's, and the chunk's
    /// is kept for the next response. Otherwise batches are unpacked, about [`CHUNK_BYTES`] a time but at least one.
    ///
    /// # Errors
    /// What the first batch is that cannot be read; all records before it were handed over by then.
    pub fn next_chunk(&mut self, range: &Range<Offset>, chunk: &mut Chunk) -> Result<bool, RecordsFault> {
        *chunk = Chunk {
            bytes: std::mem::take(&mut chunk.bytes),
            records: std::mem::take(&mut chunk.records),
            ..Chunk::default()
        };
        chunk.records.clear();
        if let Some(marks) = &mut self.marks {
            marks.clear();
        }
        if !self.is_plain {
            recycle(&mut chunk.bytes);
        }
        if self.fault.is_none() {
            self.fault = self.fill(range, chunk).err();
        }
        if chunk.records.is_empty() {
            return self.fault.clone().map_or(Ok(false), Err);
        }
        if self.is_plain {
            std::mem::swap(&mut self.bytes, &mut chunk.bytes);
            (self.at, self.end) = (0, 0);
        }
        Ok(true)
    }

    /// First offset behind the last batch that was read, holes and records left out included, at most the range's
    /// end; `None` if none was read yet. It may lie below the range, if the broker sent nothing that belongs to it.
    pub fn next_offset(&self) -> Option<Offset> {
        self.next
    }

    /// The offsets that the batch read last says it has, also if it cannot be read; `None` if it does not even say that.
    pub fn reading(&self) -> Option<&Range<Offset>> {
        self.reading.as_ref()
    }

    /// Whether a whole batch is left to be read.
    pub fn has_batch(&self) -> bool {
        self.at < self.end
    }

    /// Bytes that the first batch takes, if not even that was sent whole: the next fetch must ask for as many.
    pub fn needs_bytes(&self) -> Option<usize> {
        self.needs
    }

    /// Gives a buffer back for the next response; what it holds means nothing. It keeps its length, so that it need
    /// not be filled with zeros to take as much again.
    pub fn into_buffer(self) -> Vec<u8> {
        if self.bytes.capacity() > KEPT_BYTES_MAX { Vec::new() } else { self.bytes }
    }

    /// Adds batches to `chunk` until it has enough; its records are good even if a later batch has a fault.
    fn fill(&mut self, range: &Range<Offset>, chunk: &mut Chunk) -> Result<(), RecordsFault> {
        while self.at < self.end && (self.is_plain || chunk.bytes.len() < CHUNK_BYTES) {
            let held = (chunk.bytes.len(), chunk.records.len());
            let read = self.batch(range, chunk);
            if read.is_err() {
                chunk.records.truncate(held.1);
                if let Some(marks) = &mut self.marks {
                    marks.truncate(held.1);
                }
            }
            if !self.is_plain && chunk.records.len() == held.1 {
                chunk.bytes.truncate(held.0);
            }
            if read? == Walked::Full {
                break;
            }
        }
        Ok(())
    }

    /// Reads one batch, of which `chunk` gets the records that are in `range`.
    fn batch(&mut self, range: &Range<Offset>, chunk: &mut Chunk) -> Result<Walked, RecordsFault> {
        let batch = &self.bytes[self.at..self.end];
        self.reading = None;
        let header = Header::of(batch)?;
        self.reading = Some(header.offsets.clone());
        if header.offsets.start >= range.end {
            self.next = Some(range.end);
            self.at = self.end;
            return Ok(Walked::All);
        }
        let batch = &batch[..header.bytes];
        header.check(batch)?;
        let malformed = |what| RecordsFault::Malformed { base_offset: header.offsets.start as i64, what };
        if header.offsets.start < self.floor {
            return Err(malformed("offsets go back"));
        }
        let is_wanted = self.aborted.admits(&header, &batch[header::BYTES..]).map_err(malformed)?;
        let from = range.start.max(self.next.unwrap_or(0));
        let mut walked = Walked::All;
        if is_wanted && header.records > 0 && header.offsets.end > from {
            let room = if self.is_plain { usize::MAX } else { CHUNK_RECORDS_MAX };
            let room = room.saturating_sub(chunk.records.len());
            let found = walk::Found { spans: &mut chunk.records, marks: self.marks.as_mut() };
            walked = if self.is_plain {
                let place = self.at + header::BYTES..self.at + header.bytes;
                walk::walk(&self.bytes, place, &header, from..range.end, room, found)
            } else {
                let held = chunk.bytes.len();
                self.unpack.append(&header, &batch[header::BYTES..], &mut chunk.bytes)?;
                let place = held..chunk.bytes.len();
                walk::walk(&chunk.bytes, place, &header, from..range.end, room, found)
            }
            .map_err(malformed)?;
        }
        if walked == Walked::Full {
            // The rest is read by the next call, from the offset behind the last one that was taken.
            self.next = self.next.max(chunk.records.last().map(|span| span.offset + 1));
        } else {
            self.next = Some(header.offsets.end.min(range.end));
            self.floor = header.offsets.end;
            self.at += header.bytes;
        }
        Ok(walked)
    }
}

/// Empties a buffer, and gives its memory back if that is much.
fn recycle(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}
