//! A JSON record to an event or every code of its refusal.
//!
//! Fields are strings, the price also a number, of which the digits are read as they stand: no float on the way.
//! Absent, null and blank are the same. The last of two equal keys wins; unknown ones are ignored.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Commerce, Scratch,
    check::{self, Field, Fields},
    codes,
    columns::{COUNT, NAMES, PRICE},
    event::CommerceEvent,
};
use crate::{
    json,
    record::{Record, Reject},
};

/// Decodes one record.
pub(super) fn decode<'r>(
    commerce: &Commerce,
    record: Record<'r>,
    scratch: &'r mut Scratch,
) -> Result<CommerceEvent<'r>, Reject> {
    let text = match record.text {
        Some(text) => text,
        None => str::from_utf8(record.bytes).map_err(|_| Reject::UTF8)?,
    };
    let tokens: Tokens<'r> = json::object(text).map_err(|fault| match fault {
        json::Fault::Syntax => codes::JSON_SYNTAX,
        json::Fault::NotObject => codes::NOT_OBJECT,
        json::Fault::Depth => codes::DEPTH,
    })?;
    let Scratch { buffer, minute, .. } = scratch;
    buffer.clear();
    let mut places = [None; COUNT];
    for (token, place) in tokens.0.iter().zip(&mut places) {
        if let Some(Cow::Owned(text)) = token.filter(|token| token.starts_with('"')).and_then(json::unescape)
        {
            *place = Some((buffer.len(), buffer.len() + text.len()));
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    let unescaped = str::from_utf8(buffer).expect("whole texts were put there");
    let mut by_column = [Field::Text(""); COUNT];
    for (column, field) in by_column.iter_mut().enumerate() {
        *field = match (tokens.0[column], places[column]) {
            (_, Some((from, to))) => Field::Text(&unescaped[from..to]),
            (None, _) => Field::Text(""),
            (Some(token), _) => field_of(token, column),
        };
    }
    // Only an escape can stand for NUL.
    let fields = Fields { by_column, may_hold_nul: !unescaped.is_empty() };
    check::check(&fields, &commerce.timezone, minute)
}

/// The field of a token without escapes.
fn field_of(token: &str, column: usize) -> Field<'_> {
    match token.as_bytes() {
        [b'"', .., b'"'] => Field::Text(&token[1..token.len() - 1]),
        [b'-' | b'0'..=b'9', ..] if column == PRICE => Field::Text(token),
        _ => Field::WrongType,
    }
}

/// Raw tokens by column; `None` if absent or null.
struct Tokens<'a>([Option<&'a str>; COUNT]);

impl<'de> Deserialize<'de> for Tokens<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TokensVisitor)
    }
}

struct TokensVisitor;

impl<'de> Visitor<'de> for TokensVisitor {
    type Value = Tokens<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tokens = Tokens([None; COUNT]);
        while let Some(Key(column)) = map.next_key()? {
            let raw = map.next_value::<&RawValue>()?.get();
            if let Some(column) = column {
                tokens.0[column] = (raw != "null").then_some(raw);
            }
        }
        Ok(tokens)
    }
}

/// The column that a key names once unescaped.
struct Key(Option<usize>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(Key(NAMES.iter().position(|known| *known == key)))
    }
}
