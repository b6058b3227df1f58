//! One record as a source hands it over, and the code under which it can be refused.
//!
//! A record is bytes; where it came from (topic, partition, offset, file, line) is the engine's to know.

use std::{borrow::Cow, ops::Range, sync::Arc};

/// The bytes of one record, without its line end.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's bytes as they were read; at most [`crate::limits::RECORD_BYTES_MAX`].
    pub bytes: &'a [u8],
    /// The same bytes as text when the reader has already checked the whole chunk to be UTF-8.
    pub text: Option<&'a str>,
    /// The record was longer than [`crate::limits::RECORD_BYTES_MAX`] and `bytes` is only its beginning.
    pub truncated: bool,
    /// The first record of its file, where that names the columns (CSV).
    pub head: Option<&'a [u8]>,
    /// Code of a fault of the whole file: then `bytes` is the beginning of the file, which is this one record.
    pub fault: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// A whole record that stands for itself, checked to be UTF-8.
    pub fn of_text(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::of_bytes(text.as_bytes()) }
    }

    /// A whole record that stands for itself.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes, text: None, truncated: false, head: None, fault: None }
    }
}

/// Where a record was read, and its bytes.
#[derive(Clone, Debug, Default)]
pub struct Origin<'a> {
    /// Number of the input, and of the partition in it.
    pub partition: (u8, u32),
    /// The record's offset in its partition.
    pub offset: u64,
    /// File name inside the folder; `None` for Kafka.
    pub file: Option<&'a Arc<str>>,
    /// Physical line, from 1; `None` for Kafka.
    pub line: Option<u64>,
    /// Its decoded bytes in the file, the line end left out; `None` for Kafka.
    pub bytes: Option<Range<u64>>,
    /// The record.
    pub raw: &'a [u8],
}

/// Stable code of a refused record: `json_syntax`, `missing_field:timestamp`, `limit:emotes` and so on.
///
/// The codes are part of the `dead_letters` table and never change their meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reject(pub Cow<'static, str>);

impl Reject {
    /// A record stamped more than the allowed skew after the batch was planned.
    pub const FUTURE: Reject = Reject(Cow::Borrowed("future"));
    /// A record longer than [`crate::limits::RECORD_BYTES_MAX`].
    pub const RECORD_TOO_LONG: Reject = Reject(Cow::Borrowed("record_too_long"));
    /// A record that is not UTF-8.
    pub const UTF8: Reject = Reject(Cow::Borrowed("utf8"));
}
