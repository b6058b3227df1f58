//! One record as a source hands it over, and the code under which it can be refused.
//!
//! A record is bytes; where it came from (topic, partition, offset, file, line) is the engine's to know.

use std::borrow::Cow;

/// The bytes of one record, without its line end.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's bytes as they were read; at most [`crate::limits::RECORD_BYTES_MAX`].
    pub bytes: &'a [u8],
    /// The same bytes as text when the reader has already checked the whole chunk to be UTF-8.
    pub text: Option<&'a str>,
    /// The record was longer than [`crate::limits::RECORD_BYTES_MAX`] and `bytes` is only its beginning.
    pub truncated: bool,
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
