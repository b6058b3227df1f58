//! Plain good records, fast: answers with the event, or "don't know".
//!
//! It judges nothing. It gives up on a backslash in a field it reads (but unescapes messages), on any `\u` in
//! one it skips, on deep nesting, a wrong type, a value out of bounds, and on everything that is
//! not JSON; `json` then decides. Invariant: what it accepts, `json` reads as the same event
//! ([`super::check_agreement`]).
//!
//! | file | owns |
//! |---|---|
//! | `keys` | which field comes next, predicted from the record before |
//! | `skip` | the extent of strings, numbers and values that nobody reads |
//! | `unescape` | messages with escapes |

mod keys;
mod skip;
mod unescape;

use keys::{Field, Prediction};
use skip::{skip_value, skip_white, string_end, text_end};

use crate::{
    chat::{
        Chat,
        event::{Body, ChatEvent, Emotes, VIEWER},
    },
    hash::hash64,
    limits, timestamp,
};

/// What one record tells of the next, and a buffer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    prediction: Prediction,
    unescaped: String,
    minute: timestamp::Minute,
}

/// What has been read of a record.
#[derive(Default)]
struct Found<'r> {
    time_ms: Option<i64>,
    stream_id: &'r str,
    channel: &'r str,
    user_id: &'r str,
    username: &'r str,
    sentiment: Option<i64>,
    emotes: &'r str,
    viewer_count: Option<u64>,
}

/// The event of a plain good record; `None` if it takes `json` to tell.
pub(super) fn scan<'r>(chat: &Chat, input: u8, text: &'r str, memory: &mut Memory) -> Option<ChatEvent<'r>> {
    let bytes = text.as_bytes();
    let mut found = Found::default();
    let mut at = 0;
    for slot in 0_usize.. {
        let Some((field, value_at)) = memory.prediction.next(slot, bytes, at)? else { break };
        if field.is_read(input) {
            // The last of equal keys wins, here as there.
            at = found.read(chat, field, text, value_at, memory)?;
        } else {
            at = skip_value(bytes, value_at, 0)?;
        }
    }
    found.event(chat, input)
}

impl<'r> Found<'r> {
    /// Reads the value of `field` that begins at `at`, and returns where it ends.
    #[inline(always)]
    fn read(
        &mut self,
        chat: &Chat,
        field: Field,
        text: &'r str,
        at: usize,
        memory: &mut Memory,
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let end;
        match field {
            Field::Timestamp => {
                let time_ms;
                (time_ms, end) = time(bytes, at, &mut memory.minute)?;
                self.time_ms = Some(time_ms);
            }
            Field::StreamId => (self.stream_id, end) = plain(text, at)?,
            Field::Channel => (self.channel, end) = plain(text, at)?,
            Field::UserId => (self.user_id, end) = plain(text, at)?,
            Field::Username => (self.username, end) = plain(text, at)?,
            Field::Message => {
                let score;
                (score, end) = sentiment(chat, text, at, &mut memory.unescaped)?;
                self.sentiment = Some(score);
            }
            Field::Emotes => {
                end = emotes_end(bytes, at)?;
                self.emotes = if bytes[at] == b'[' { text.get(at + 1..end - 1)? } else { "" };
            }
            Field::ViewerCount => {
                let count;
                (count, end) = integer(bytes, at)?;
                self.viewer_count = Some(count);
            }
            Field::Other => end = skip_value(bytes, at, 0)?,
        }
        Some(end)
    }

    #[inline(always)]
    fn event(self, chat: &Chat, input: u8) -> Option<ChatEvent<'r>> {
        let time_ms = self.time_ms?;
        let stream = if self.stream_id.is_empty() { self.channel } else { self.stream_id };
        let fits = stream.len() <= chat.stream_chars_max || stream.chars().count() <= chat.stream_chars_max;
        if stream.is_empty() || !fits {
            return None;
        }
        let body = if input == VIEWER {
            Body::Viewer { count: self.viewer_count? }
        } else {
            let user = if self.user_id.is_empty() { self.username } else { self.user_id };
            if user.is_empty() || user.len() > limits::USER_BYTES_MAX {
                return None;
            }
            Body::Chat {
                chatter: hash64(user.as_bytes()),
                sentiment: self.sentiment?,
                emotes: Emotes::Plain(self.emotes),
            }
        };
        Some(ChatEvent { time_ms, stream, body })
    }
}

/// The string without escapes at `at`, and where its token ends.
#[inline(always)]
fn plain(text: &str, at: usize) -> Option<(&str, usize)> {
    let end = string_end(text.as_bytes(), at)?;
    Some((text.get(at + 1..end - 1)?, end))
}

/// The instant at `at`, and where its token ends.
#[inline(always)]
fn time(bytes: &[u8], at: usize, minute: &mut timestamp::Minute) -> Option<(i64, usize)> {
    if *bytes.get(at)? == b'"' {
        // The usual form has 24 characters; one that parses holds neither quote nor backslash.
        if let Some((form, b'"')) = bytes
            .get(at + 1..at + 26)
            .and_then(|token| token.split_first_chunk::<24>())
            .map(|(form, rest)| (form, rest[0]))
            && let Some(time_ms) = minute.parse(form)
        {
            return Some((time_ms, at + 26));
        }
        let end = string_end(bytes, at)?;
        return Some((timestamp::parse_bytes(&bytes[at + 1..end - 1]).ok()?, end));
    }
    let (time_ms, end) = integer(bytes, at)?;
    Some((timestamp::check_range(i64::try_from(time_ms).ok()?).ok()?, end))
}

/// A small integer that is not negative, and where it ends; what follows is for the caller to judge.
#[inline(always)]
fn integer(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let digits = bytes[at..].iter().take(19).take_while(|byte| byte.is_ascii_digit()).count();
    let is_plain = (1..=18).contains(&digits) && (digits == 1 || bytes[at] != b'0');
    let token = &bytes[at..at + digits];
    is_plain.then(|| (token.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')), at + digits))
}

/// The score of the message that begins at `at`, and where its token ends.
#[inline(always)]
fn sentiment(chat: &Chat, text: &str, at: usize, unescaped: &mut String) -> Option<(i64, usize)> {
    let bytes = text.as_bytes();
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let stop = text_end(bytes, at + 1)?;
    if bytes[stop] == b'"' {
        return Some((chat.sentiment.score_part(text, at + 1, stop), stop + 1));
    }
    let end = unescape::unescape(text, at + 1, unescaped)?;
    Some((chat.sentiment.score(unescaped), end))
}

/// Where the emotes end that begin at `at`: `null` or an array of plain strings within the limits.
#[inline(always)]
fn emotes_end(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'[' {
        return bytes[at..].starts_with(b"null").then_some(at + 4);
    }
    let mut at = skip_white(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    for _ in 0..limits::EMOTES_PER_MESSAGE_MAX {
        let end = string_end(bytes, at)?;
        if end - at - 2 > limits::EMOTE_BYTES_MAX {
            return None;
        }
        at = skip_white(bytes, end);
        match bytes.get(at)? {
            b',' => at = skip_white(bytes, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
    None
}
