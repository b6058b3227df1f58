//! The codes of records refused as a whole. They never change their meaning; those of fields are in `check`.

use std::borrow::Cow;

use crate::record::Reject;

const fn code(text: &'static str) -> Reject {
    Reject(Cow::Borrowed(text))
}

pub(super) const QUOTING: Reject = code("quoting");
pub(super) const FIELD_COUNT: Reject = code("field_count");
pub(super) const HEADER_REPEATED: Reject = code("header_repeated");

pub(super) const JSON_SYNTAX: Reject = code("json_syntax");
pub(super) const NOT_OBJECT: Reject = code("not_object");
pub(super) const DEPTH: Reject = code("limit:depth");
