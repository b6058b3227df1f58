//! The codes under which decode refuses a record. They never change their meaning.

use std::borrow::Cow;

use crate::record::Reject;

const fn code(text: &'static str) -> Reject {
    Reject(Cow::Borrowed(text))
}

pub(super) const JSON_SYNTAX: Reject = code("json_syntax");
pub(super) const NOT_OBJECT: Reject = code("not_object");
pub(super) const DEPTH: Reject = code("limit:depth");
pub(super) const NUL_BYTE: Reject = code("nul_byte");

pub(super) const NO_TIMESTAMP: Reject = code("missing_field:timestamp");
pub(super) const TIMESTAMP_SYNTAX: Reject = code("timestamp_syntax");
pub(super) const TIMESTAMP_RANGE: Reject = code("timestamp_range");

pub(super) const NO_STREAM: Reject = code("missing_field:stream_id");
pub(super) const STREAM_TYPE: Reject = code("type:stream_id");
pub(super) const STREAM_TOO_LONG: Reject = code("too_long:stream_id");

pub(super) const NO_USER: Reject = code("missing_field:user_id");
pub(super) const USER_TYPE: Reject = code("type:user_id");
pub(super) const USER_LIMIT: Reject = code("limit:user_id");

pub(super) const NO_MESSAGE: Reject = code("missing_field:message");
pub(super) const MESSAGE_TYPE: Reject = code("type:message");

pub(super) const EMOTES_TYPE: Reject = code("type:emotes");
pub(super) const EMOTES_LIMIT: Reject = code("limit:emotes");

pub(super) const NO_VIEWER_COUNT: Reject = code("missing_field:viewer_count");
pub(super) const VIEWER_COUNT_TYPE: Reject = code("type:viewer_count");
pub(super) const VIEWER_COUNT_LIMIT: Reject = code("limit:viewer_count");
