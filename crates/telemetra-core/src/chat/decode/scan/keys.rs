//! Which field comes next.
//!
//! Records of one producer have the same keys in the same order with the same white space. What stood between
//! two values of the last record is compared as a whole with what follows the value at hand; only when it
//! differs is the key read by itself, and learnt. Equal bytes at the same place of the grammar are read alike, so
//! a prediction can be slow but not wrong.

use super::skip::{skip_white, string_end};
use crate::chat::event::VIEWER;

/// Values of an object whose keys are predicted.
const SLOTS: usize = 24;
/// Longest text between two values that is predicted, bytes.
const SEGMENT_BYTES_MAX: usize = 32;
/// Shortest such text; it is compared as two halves that overlap.
const SEGMENT_BYTES_MIN: usize = 8;

/// A field the scanner knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    Timestamp,
    StreamId,
    Channel,
    UserId,
    Username,
    Message,
    Emotes,
    ViewerCount,
    /// Nobody reads it.
    #[default]
    Other,
}

impl Field {
    fn of(key: &[u8]) -> Field {
        match key {
            b"timestamp" => Field::Timestamp,
            b"stream_id" => Field::StreamId,
            b"channel" => Field::Channel,
            b"user_id" => Field::UserId,
            b"username" => Field::Username,
            b"message" => Field::Message,
            b"emotes" => Field::Emotes,
            b"viewer_count" => Field::ViewerCount,
            _ => Field::Other,
        }
    }

    /// Whether events of `input` are made of it.
    #[inline(always)]
    pub(super) fn is_read(self, input: u8) -> bool {
        match self {
            Field::Timestamp | Field::StreamId | Field::Channel => true,
            Field::UserId | Field::Username | Field::Message | Field::Emotes => input != VIEWER,
            Field::ViewerCount => input == VIEWER,
            Field::Other => false,
        }
    }
}

/// The text before a value: for the first from the start of the record, for others from the end of the value
/// before.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// Length; 0 if nothing is known.
    len: usize,
    field: Field,
    /// The first and the last 16 bytes, or 8 if there are fewer than 16.
    head: u128,
    tail: u128,
}

impl Segment {
    fn of(text: &[u8], field: Field) -> Segment {
        let len = text.len();
        let (head, tail) = match len {
            16..=SEGMENT_BYTES_MAX => (sixteen(text, 0), sixteen(text, len - 16)),
            SEGMENT_BYTES_MIN..16 => (eight(text, 0).map(u128::from), eight(text, len - 8).map(u128::from)),
            _ => return Segment::default(),
        };
        let (Some(head), Some(tail)) = (head, tail) else { return Segment::default() };
        Segment { len, field, head, tail }
    }

    /// Whether this text stands at `at`.
    #[inline(always)]
    fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        if self.len >= 16 {
            sixteen(bytes, at) == Some(self.head) && sixteen(bytes, at + self.len - 16) == Some(self.tail)
        } else {
            self.len != 0
                && eight(bytes, at).map(u128::from) == Some(self.head)
                && eight(bytes, at + self.len - 8).map(u128::from) == Some(self.tail)
        }
    }
}

/// The segments of the record before.
#[derive(Debug, Default)]
pub(super) struct Prediction {
    segments: [Segment; SLOTS],
}

impl Prediction {
    /// The next field and where its value begins, `Some(None)` after a complete object, `None` if unsure.
    ///
    /// `at` is 0 for slot 0, else the end of the value in the slot before.
    #[inline(always)]
    pub(super) fn next(&mut self, slot: usize, bytes: &[u8], at: usize) -> Option<Option<(Field, usize)>> {
        if let Some(segment) = self.segments.get(slot)
            && segment.stands_at(bytes, at)
            // With more white space than before the value, the text must be learnt anew.
            && bytes.get(at + segment.len).is_some_and(|first| *first > b' ')
        {
            return Some(Some((segment.field, at + segment.len)));
        }
        self.read(slot, bytes, at)
    }

    #[inline(never)]
    fn read(&mut self, slot: usize, bytes: &[u8], from: usize) -> Option<Option<(Field, usize)>> {
        let at = skip_white(bytes, from);
        let mark = *bytes.get(at)?;
        if slot > 0 && mark == b'}' {
            return (skip_white(bytes, at + 1) == bytes.len()).then_some(None);
        }
        if mark != if slot == 0 { b'{' } else { b',' } {
            return None;
        }
        let key_at = skip_white(bytes, at + 1);
        let key_end = string_end(bytes, key_at)?;
        let colon_at = skip_white(bytes, key_end);
        if *bytes.get(colon_at)? != b':' {
            return None;
        }
        let value_at = skip_white(bytes, colon_at + 1);
        let field = Field::of(&bytes[key_at + 1..key_end - 1]);
        if let Some(segment) = self.segments.get_mut(slot) {
            *segment = Segment::of(&bytes[from..value_at], field);
        }
        Some(Some((field, value_at)))
    }
}

#[inline(always)]
fn sixteen(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..at + 16)?.first_chunk().map(|chunk| u128::from_le_bytes(*chunk))
}

#[inline(always)]
pub(super) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}
