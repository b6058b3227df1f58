//! Where the records of a batch lie.
//!
//! A record is its length, attributes, time, offset above the batch's, key, value and headers; integers are
//! zigzag varints, a length of -1 is null (<https://kafka.apache.org/documentation/#record>). Nothing is copied, and
//! headers are only stepped over. Any bytes may come.

use std::ops::Range;

use telemetra_core::limits::RECORD_BYTES_MAX;
use telemetra_engine::{ids::Offset, source::Span};

use super::{Mark, header::Header};

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end of the batch or of the range.
    All,
    /// There was no room for more records.
    Full,
}

/// Where records that were found go to.
pub(super) struct Found<'a> {
    pub(super) spans: &'a mut Vec<Span>,
    /// One for each span, if somebody wants them.
    pub(super) marks: Option<&'a mut Vec<Mark>>,
}

/// Adds the records of one batch whose offsets lie in `wanted` to `found`, at most `room`. The batch's records are
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
    mut found: Found<'_>,
) -> Result<Walked, &'static str> {
    if u32::try_from(place.end).is_err() {
        return Err("it lies beyond the first 4 GiB of what was sent");
    }
    let most = found.spans.len().saturating_add(room);
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
        let place = record.value.unwrap_or(0..0);
        let value = &bytes[place.clone()];
        if offset < wanted.start || is_blank(value) {
            continue;
        }
        if found.spans.len() >= most {
            return Ok(Walked::Full);
        }
        let truncated = value.len() > RECORD_BYTES_MAX;
        let start = place.start as u32;
        let end = start + value.len().min(RECORD_BYTES_MAX) as u32;
        found.spans.push(Span { offset, line: 0, start, end, truncated });
        if let Some(marks) = &mut found.marks {
            marks.push(Mark { timestamp_ms: header.timestamp_ms(record.time), key: record.key });
        }
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
    match records[record.key.unwrap_or(0..0)] {
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
struct Entry {
    /// Milliseconds above the batch's.
    time: i64,
    delta: i32,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

const CUT: &str = "a record goes beyond what holds it";

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Steps over one record.
    #[inline]
    fn record(&mut self) -> Result<Entry, &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "a record's length is negative")?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        let mut inner = Cursor { bytes: &self.bytes[..end], at: self.at };
        inner.byte()?;
        let time = inner.varlong()?;
        let delta = inner.varint()?;
        let key = inner.nullable()?;
        let value = inner.nullable()?;
        let headers = inner.varint()?;
        if headers < 0 || (headers == 0) != (inner.at == end) {
            return Err("a record does not end where its length says");
        }
        self.at = end;
        Ok(Entry { time, delta, key, value })
    }

    /// Steps over a length and as many bytes.
    #[inline]
    fn nullable(&mut self) -> Result<Option<Range<usize>>, &'static str> {
        let length = match self.varint()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| "the length of a key or value is negative")?,
        };
        let start = self.at;
        self.at = start.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        Ok(Some(start..self.at))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    /// A 32-bit integer of at most five bytes; nearly all take one or two.
    #[inline]
    fn varint(&mut self) -> Result<i32, &'static str> {
        let bits = match self.bytes.get(self.at..) {
            Some([low @ 0..0x80, ..]) => {
                self.at += 1;
                u32::from(*low)
            }
            Some([low, high @ 0..0x80, ..]) => {
                self.at += 2;
                u32::from(low & 0x7f) | u32::from(*high) << 7
            }
            _ => self.long_varint()?,
        };
        Ok((bits >> 1) as i32 ^ -((bits & 1) as i32))
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u32, &'static str> {
        let mut bits = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            bits |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(bits);
            }
        }
        Err("an integer is too long")
    }

    /// A 64-bit integer of at most ten bytes.
    #[inline]
    fn varlong(&mut self) -> Result<i64, &'static str> {
        let mut bits = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err("an integer is too long")
    }
}
