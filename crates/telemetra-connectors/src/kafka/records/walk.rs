//! Where the records of a batch lie.
//!
//! A record is its length, attributes, time, offset above the batch's, key, value and headers; integers are
//! zigzag varints, a length of -1 is null (<https://kafka.apache.org/documentation/#record>). Nothing is copied, and
//! headers are only stepped over. Any bytes may come.

use std::ops::Range;

use telemetra_core::limits::RECORD_BYTES_MAX;
use telemetra_engine::{ids::Offset, source::Span};

use super::header::Header;

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end of the batch or of the range.
    All,
    /// There was no room for more records.
    Full,
}

/// Adds the records of one batch whose offsets lie in `wanted` to `spans`, at most `room`. The batch's records are
/// `bytes[place]`; the spans count from the beginning of `bytes`.
///
/// # Errors
/// What contradicts the format.
pub(super) fn walk(
    bytes: &[u8],
    place: Range<usize>,
    header: &Header,
    wanted: Range<Offset>,
    room: usize,
    spans: &mut Vec<Span>,
) -> Result<Walked, &'static str> {
    if u32::try_from(place.end).is_err() {
        return Err("it lies beyond the first 4 GiB of what was sent");
    }
    let most = spans.len().saturating_add(room);
    let mut next = header.offsets.start;
    let mut left = Cursor { bytes: &bytes[..place.end], at: place.start };
    for _ in 0..header.records {
        let record = left.record()?;
        let offset = header.offsets.start.wrapping_add(record.delta as i64 as u64);
        if !(next..header.offsets.end).contains(&offset) {
            return Err("the offsets of its records do not ascend within its own");
        }
        next = offset + 1;
        if offset >= wanted.end {
            return Ok(Walked::All);
        }
        let value = &bytes[record.value.clone()];
        if offset < wanted.start || is_blank(value) {
            continue;
        }
        if spans.len() >= most {
            return Ok(Walked::Full);
        }
        let truncated = value.len() > RECORD_BYTES_MAX;
        let start = record.value.start as u32;
        let end = start + value.len().min(RECORD_BYTES_MAX) as u32;
        spans.push(Span { offset, line: 0, start, end, truncated });
    }
    if left.at < place.end {
        return Err("bytes follow its last record");
    }
    Ok(Walked::All)
}

/// Type of the control record that a control batch begins with: the second half of its key, a version and the type.
///
/// # Errors
/// What contradicts the format.
pub(super) fn control_type(records: &[u8]) -> Result<i16, &'static str> {
    let record = Cursor { bytes: records, at: 0 }.record()?;
    match records[record.key] {
        [_, _, high, low, ..] => Ok(i16::from_be_bytes([high, low])),
        _ => Err("the key of its control record is too short"),
    }
}

/// Whether a value is nothing but white space, as lines of files are blank.
#[inline]
fn is_blank(value: &[u8]) -> bool {
    match value.first() {
        None => true,
        Some(&first) if first > b' ' => false,
        Some(_) => value.iter().all(|&byte| byte == b' ' || (b'\t'..=b'\r').contains(&byte)),
    }
}

/// What is looked at of a record.
struct Found {
    delta: i32,
    /// Empty if it is null.
    key: Range<usize>,
    /// Empty if it is null.
    value: Range<usize>,
}

const CUT: &str = "a record goes beyond what holds it";

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Steps over one record.
    #[inline]
    fn record(&mut self) -> Result<Found, &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "a record's length is negative")?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        let mut inner = Cursor { bytes: &self.bytes[..end], at: self.at };
        inner.byte()?;
        inner.skip_varlong()?;
        let delta = inner.varint()?;
        let key = inner.nullable()?;
        let value = inner.nullable()?;
        let headers = inner.varint()?;
        if headers < 0 || (headers == 0) != (inner.at == end) {
            return Err("a record does not end where its length says");
        }
        self.at = end;
        Ok(Found { delta, key, value })
    }

    /// Steps over a length and as many bytes.
    #[inline]
    fn nullable(&mut self) -> Result<Range<usize>, &'static str> {
        let length = match self.varint()? {
            -1 => 0,
            length => usize::try_from(length).map_err(|_| "the length of a key or value is negative")?,
        };
        let start = self.at;
        self.at = start.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        Ok(start..self.at)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    /// A 32-bit integer of at most five bytes.
    #[inline]
    fn varint(&mut self) -> Result<i32, &'static str> {
        let mut bits = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            bits |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1) as i32 ^ -((bits & 1) as i32));
            }
        }
        Err("an integer is too long")
    }

    /// Steps over a 64-bit integer of at most ten bytes.
    #[inline]
    fn skip_varlong(&mut self) -> Result<(), &'static str> {
        for _ in 0..10 {
            if self.byte()? < 0x80 {
                return Ok(());
            }
        }
        Err("an integer is too long")
    }
}
