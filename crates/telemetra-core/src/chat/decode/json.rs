//! Any record, by `serde_json`: the one place that judges a record and names its refusal.
//!
//! `serde_json` checks the grammar and hands back each field's raw token, so that what a field's type is, and
//! what an integer, is decided here and not by a float on the way.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Scratch,
    codes::{self, JSON_SYNTAX, NUL_BYTE},
};
use crate::{
    chat::{
        Chat,
        event::{Body, ChatEvent, Emotes, VIEWER},
    },
    hash::hash64,
    json, limits,
    record::Reject,
    timestamp::{self, TimestampError},
};

/// Decodes the text of one record.
pub(super) fn decode<'r>(
    chat: &Chat,
    input: u8,
    text: &'r str,
    scratch: &'r mut Scratch,
) -> Result<ChatEvent<'r>, Reject> {
    let fields = fields(text)?;
    let time_ms = time_ms(fields.timestamp)?;
    let stream = stream_id(chat, &fields, &mut scratch.stream)?;
    let body = if input == VIEWER {
        Body::Viewer { count: viewer_count(fields.viewer_count)? }
    } else {
        let chatter = chatter(&fields)?;
        let sentiment = chat.sentiment.score(&message(fields.message)?);
        Body::Chat { chatter, sentiment, emotes: emotes(fields.emotes, &mut scratch.emotes)? }
    };
    Ok(ChatEvent { time_ms, stream, body })
}

/// Raw tokens of the known fields, the last of equal keys; `None` if absent or null.
#[derive(Default)]
struct Fields<'a> {
    timestamp: Option<&'a str>,
    stream_id: Option<&'a str>,
    channel: Option<&'a str>,
    user_id: Option<&'a str>,
    username: Option<&'a str>,
    message: Option<&'a str>,
    emotes: Option<&'a str>,
    viewer_count: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            "timestamp" => &mut self.timestamp,
            "stream_id" => &mut self.stream_id,
            "channel" => &mut self.channel,
            "user_id" => &mut self.user_id,
            "username" => &mut self.username,
            "message" => &mut self.message,
            "emotes" => &mut self.emotes,
            "viewer_count" => &mut self.viewer_count,
            _ => return None,
        })
    }
}

/// Splits an object into its known fields, after judging the record as a whole.
fn fields(text: &str) -> Result<Fields<'_>, Reject> {
    json::object(text).map_err(|fault| match fault {
        json::Fault::Syntax => JSON_SYNTAX,
        json::Fault::NotObject => codes::NOT_OBJECT,
        json::Fault::Depth => codes::DEPTH,
    })
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            let raw = map.next_value::<&RawValue>()?.get();
            if let Some(slot) = key.and_then(|key| fields.slot(key)) {
                *slot = (raw != "null").then_some(raw);
            }
        }
        Ok(fields)
    }
}

/// The known key as which a key reads once unescaped.
struct Key(Option<&'static str>);

const KEYS: [&str; 8] =
    ["timestamp", "stream_id", "channel", "user_id", "username", "message", "emotes", "viewer_count"];

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
        Ok(Key(KEYS.into_iter().find(|known| *known == key)))
    }
}

fn time_ms(raw: Option<&str>) -> Result<i64, Reject> {
    let raw = raw.ok_or(codes::NO_TIMESTAMP)?;
    let parsed = if let Some(digits) = integer(raw) {
        // More digits than 64 bits hold are out of range all the more.
        timestamp::check_range(digits.parse().unwrap_or(i64::MIN))
    } else if raw.starts_with('"') {
        timestamp::parse(&unescape(raw)?)
    } else {
        Err(TimestampError::Syntax)
    };
    parsed.map_err(|error| match error {
        TimestampError::Syntax => codes::TIMESTAMP_SYNTAX,
        TimestampError::Range => codes::TIMESTAMP_RANGE,
    })
}

fn stream_id<'a>(chat: &Chat, fields: &Fields<'a>, buffer: &'a mut String) -> Result<&'a str, Reject> {
    let raw = first_string([fields.stream_id, fields.channel], codes::NO_STREAM, codes::STREAM_TYPE)?;
    let stream = match unescape(raw)? {
        Cow::Borrowed(stream) => stream,
        Cow::Owned(stream) => {
            *buffer = stream;
            buffer
        }
    };
    if memchr::memchr(0, stream.as_bytes()).is_some() {
        Err(NUL_BYTE)
    } else if stream.len() > chat.stream_chars_max && stream.chars().count() > chat.stream_chars_max {
        Err(codes::STREAM_TOO_LONG)
    } else {
        Ok(stream)
    }
}

fn chatter(fields: &Fields<'_>) -> Result<u64, Reject> {
    let raw = first_string([fields.user_id, fields.username], codes::NO_USER, codes::USER_TYPE)?;
    let user = unescape(raw)?;
    if memchr::memchr(0, user.as_bytes()).is_some() {
        Err(NUL_BYTE)
    } else if user.len() > limits::USER_BYTES_MAX {
        Err(codes::USER_LIMIT)
    } else {
        Ok(hash64(user.as_bytes()))
    }
}

fn message<'a>(raw: Option<&'a str>) -> Result<Cow<'a, str>, Reject> {
    let raw = raw.ok_or(codes::NO_MESSAGE)?;
    if raw.starts_with('"') { unescape(raw) } else { Err(codes::MESSAGE_TYPE) }
}

fn emotes<'a>(raw: Option<&'a str>, buffer: &'a mut Vec<String>) -> Result<Emotes<'a>, Reject> {
    let Some(raw) = raw else { return Ok(Emotes::Plain("")) };
    *buffer = serde_json::from_str(raw).map_err(|_| codes::EMOTES_TYPE)?;
    let is_long = |name: &String| name.len() > limits::EMOTE_BYTES_MAX;
    if buffer.len() > limits::EMOTES_PER_MESSAGE_MAX || buffer.iter().any(is_long) {
        Err(codes::EMOTES_LIMIT)
    } else if buffer.iter().any(|name| name.contains('\0')) {
        Err(NUL_BYTE)
    } else {
        Ok(Emotes::List(buffer))
    }
}

fn viewer_count(raw: Option<&str>) -> Result<u64, Reject> {
    let raw = raw.ok_or(codes::NO_VIEWER_COUNT)?;
    match integer(raw) {
        Some("-0") => Ok(0),
        Some(digits) if !digits.starts_with('-') => match digits.parse() {
            Ok(count) if count <= limits::VIEWER_COUNT_MAX => Ok(count),
            _ => Err(codes::VIEWER_COUNT_LIMIT),
        },
        _ => Err(codes::VIEWER_COUNT_TYPE),
    }
}

/// The first spelling that is there and not the empty string; it must be a string.
fn first_string(spellings: [Option<&str>; 2], missing: Reject, wrong_type: Reject) -> Result<&str, Reject> {
    match spellings.into_iter().flatten().find(|raw| *raw != "\"\"") {
        Some(raw) if raw.starts_with('"') => Ok(raw),
        Some(_) => Err(wrong_type),
        None => Err(missing),
    }
}

/// The token of a JSON number without fraction and exponent.
fn integer(raw: &str) -> Option<&str> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(raw)
}

/// The text of a JSON string token.
fn unescape(raw: &str) -> Result<Cow<'_, str>, Reject> {
    json::unescape(raw).ok_or(JSON_SYNTAX)
}
