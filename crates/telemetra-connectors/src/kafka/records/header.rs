//! The header of a record batch: where the batch ends, what it says of its records, and its checksum.
//!
//! ```text
//! at  0 base offset          i64    21 attributes         i16    51 producer epoch  i16
//!     8 bytes that follow    i32    23 last offset delta  i32    53 base sequence   i32
//!    12 leader epoch         i32    27 base timestamp     i64    57 records         i32
//!    16 magic                i8     35 largest timestamp  i64    61 the records, packed as one
//!    17 CRC-32C from 21 on   u32    43 producer id        i64
//! ```
//! Big-endian. From <https://kafka.apache.org/documentation/#recordbatch>. The length and the magic stand at the same
//! place in the older formats.

use std::ops::Range;

use telemetra_engine::ids::Offset;

use super::{BATCH_BYTES_MAX, RecordsFault};

/// Length of the header.
pub(super) const BYTES: usize = 61;
/// Base offset and length, which the length does not count.
const PREFIX_BYTES: usize = 12;
/// First byte that the checksum covers.
const CHECKED_FROM: usize = 21;

/// How far a batch goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes.
    Whole { bytes: usize, is_compressed: bool },
    /// More than there are; so many, as far as can be seen.
    Cut { bytes: usize },
}

impl Extent {
    /// Looks at the batch that `bytes` begin with.
    ///
    /// # Errors
    /// If it is none of magic 2, or of a length that it cannot have.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, RecordsFault> {
        if bytes.len() < PREFIX_BYTES {
            return Ok(Extent::Cut { bytes: BYTES });
        }
        let base_offset = i64::from_be_bytes(array(bytes, 0));
        if let Some(&magic) = bytes.get(16)
            && magic != 2
        {
            return Err(RecordsFault::Magic { base_offset, magic: magic as i8 });
        }
        let length = i32::from_be_bytes(array(bytes, 8));
        let whole = usize::try_from(length).map_or(0, |length| PREFIX_BYTES + length);
        if whole < BYTES {
            return Err(RecordsFault::Malformed { base_offset, what: "it is shorter than its header" });
        }
        if whole > BATCH_BYTES_MAX {
            return Err(RecordsFault::TooLarge { base_offset, form: "as it was sent" });
        }
        if whole > bytes.len() {
            return Ok(Extent::Cut { bytes: whole });
        }
        let is_compressed = bytes[CHECKED_FROM + 1] & 7 != 0;
        Ok(Extent::Whole { bytes: whole, is_compressed })
    }
}

/// What a batch says of its records.
#[derive(Debug)]
pub(super) struct Header {
    /// Bytes of the whole batch.
    pub(super) bytes: usize,
    /// Offsets that it stands for; not each must have a record.
    pub(super) offsets: Range<Offset>,
    /// Number of its compression, below 8.
    pub(super) codec: u8,
    pub(super) is_transactional: bool,
    /// It holds the mark that ends a transaction, and no records for readers.
    pub(super) is_control: bool,
    pub(super) producer_id: i64,
    /// The broker's clock counts, which stands in the largest timestamp, and not the producer's.
    has_append_time: bool,
    base_timestamp: i64,
    largest_timestamp: i64,
    /// Records in it; 0 in what compaction leaves of an empty batch.
    pub(super) records: u32,
}

impl Header {
    /// Reads the header of the whole batch that `bytes` begin with. Nothing in it is to be believed before
    /// [`Self::check`], but where it lies.
    ///
    /// # Errors
    /// As [`Extent::of`]; and if it contradicts itself.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, RecordsFault> {
        let base_offset = if bytes.len() < 8 { -1 } else { i64::from_be_bytes(array(bytes, 0)) };
        let malformed = |what| RecordsFault::Malformed { base_offset, what };
        let Extent::Whole { bytes: whole, .. } = Extent::of(bytes)? else {
            return Err(malformed("it is cut off"));
        };
        let base = Offset::try_from(base_offset).map_err(|_| malformed("its offset is negative"))?;
        let delta = u64::try_from(i32::from_be_bytes(array(bytes, 23)));
        let delta = delta.map_err(|_| malformed("its last offset lies before its first"))?;
        let end = base + delta + 1;
        if end > i64::MAX as u64 {
            return Err(malformed("its offsets go beyond what an offset can be"));
        }
        let records = u32::try_from(i32::from_be_bytes(array(bytes, 57)));
        let attributes = i16::from_be_bytes(array(bytes, 21));
        Ok(Self {
            bytes: whole,
            offsets: base..end,
            codec: (attributes & 7) as u8,
            is_transactional: attributes & 0x10 != 0,
            is_control: attributes & 0x20 != 0,
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            has_append_time: attributes & 8 != 0,
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            largest_timestamp: i64::from_be_bytes(array(bytes, 35)),
            records: records.map_err(|_| malformed("its number of records is negative"))?,
        })
    }

    /// When a record was written, from what it says itself, milliseconds since the Unix epoch.
    pub(super) fn timestamp_ms(&self, delta: i64) -> i64 {
        if self.has_append_time { self.largest_timestamp } else { self.base_timestamp.wrapping_add(delta) }
    }

    /// Compares the checksum with the bytes of the whole batch.
    ///
    /// # Errors
    /// [`RecordsFault::Checksum`].
    pub(super) fn check(&self, batch: &[u8]) -> Result<(), RecordsFault> {
        let stored = u32::from_be_bytes(array(batch, 17));
        let found = crc32c::crc32c(&batch[CHECKED_FROM..]);
        if stored == found {
            return Ok(());
        }
        Err(RecordsFault::Checksum { base_offset: self.offsets.start as i64, stored, found })
    }
}

/// `N` bytes from `at`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N")
}
