//! A record of a CSV file to an event or every code of its refusal.
//!
//! The head says which field is which; quotes and the number of fields are judged before any rule of a field.

use super::{
    Commerce, Scratch,
    check::{self, Field, Fields},
    codes,
    columns::COUNT,
    event::CommerceEvent,
    split::{self, Span},
};
use crate::record::{Record, Reject};

/// Decodes one record; `head` is empty if the source has none, which names no column.
#[inline]
pub(super) fn decode<'r>(
    commerce: &Commerce,
    record: Record<'r>,
    scratch: &'r mut Scratch,
) -> Result<CommerceEvent<'r>, Reject> {
    let Scratch { header, buffer, minute } = scratch;
    let columns = header.learn(record.head.unwrap_or_default())?;
    let mut spans: [Span; COUNT] = Default::default();
    let fields = split::split(record.bytes, buffer, |field, span| {
        if let Some(column) = columns.of(field) {
            spans[column] = span;
        }
    })
    .map_err(|_| codes::QUOTING)?;
    if fields != columns.fields() {
        return Err(codes::FIELD_COUNT);
    }
    let text = match record.text {
        Some(text) => Some(text),
        None => str::from_utf8(record.bytes).ok(),
    };
    let fields = Fields {
        by_column: spans.map(|span| match text {
            Some(text) if !span.is_unescaped => Field::Text(&text[span.bytes]),
            _ => field(span.of(record.bytes, buffer)),
        }),
        may_hold_nul: memchr::memchr(0, record.bytes).is_some(),
    };
    check::check(&fields, &commerce.timezone, minute)
        .map_err(|reject| if fields.is_head() { codes::HEADER_REPEATED } else { reject })
}

fn field(bytes: &[u8]) -> Field<'_> {
    str::from_utf8(bytes).map_or(Field::Bytes(bytes), Field::Text)
}
