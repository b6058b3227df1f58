//! Record to event or refusal.
//!
//! | file | owns |
//! |---|---|
//! | `scan` | plain good records, fast; answers with the event or "don't know" |
//! | `json` | everything else; alone judges and names refusals |
//! | `codes` | the codes of refusals |
//!
//! Whatever `scan` accepts, `json` reads as the same event ([`check_agreement`]). Lateness, skew and
//! everything that needs more than the one record are not judged here.
//!
//! Where a record is ambiguous: the last of two equal keys wins. Of two spellings of one field the first wins,
//! unless it is absent, null or empty; a wrong type in it is a refusal even if the second would do. `event_id`
//! and `badges` are not looked at. A lone surrogate escape anywhere in the record, keys and unknown fields
//! included, is no Unicode text and so `json_syntax`. A byte order mark before the record is skipped.

mod codes;
mod json;
#[cfg(test)]
mod properties;
mod scan;
#[cfg(test)]
mod tests;

use super::{
    Chat,
    event::{ChatEvent, VIEWER},
};
use crate::{
    limits,
    record::{Record, Reject},
};

/// Buffers re-used from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    memory: [scan::Memory; 2],
    stream: String,
    emotes: Vec<String>,
}

/// Decodes a chat event (`input` [`super::event::CHAT`]) or a viewer event ([`super::event::VIEWER`]).
///
/// # Errors
/// The code under which the record is refused: the first that applies to the record as a whole, then in the
/// order timestamp, stream, user, message, emotes, or timestamp, stream, viewer count.
pub fn decode<'r>(
    chat: &Chat,
    input: u8,
    record: Record<'r>,
    scratch: &'r mut Scratch,
) -> Result<ChatEvent<'r>, Reject> {
    if record.truncated || record.bytes.len() > limits::RECORD_BYTES_MAX {
        return Err(Reject::RECORD_TOO_LONG);
    }
    let text = match record.text {
        Some(text) => text,
        None => str::from_utf8(record.bytes).map_err(|_| Reject::UTF8)?,
    };
    if let Some(event) = scan::scan(chat, input, text, scratch.memory(input)) {
        return Ok(event);
    }
    json::decode(chat, input, text, scratch)
}

impl Scratch {
    /// What the scanner has learnt of the records of `input`.
    fn memory(&mut self, input: u8) -> &mut scan::Memory {
        &mut self.memory[usize::from(input == VIEWER)]
    }
}

/// Whether the scanner knows `text` by itself, after checking that serde_json reads the same event from it:
/// the property that holds the two together, for tests and for fuzzing.
///
/// # Errors
/// Both answers, if they differ.
#[doc(hidden)]
pub fn check_agreement(chat: &Chat, input: u8, text: &str, scratch: &mut Scratch) -> Result<bool, String> {
    let Some(scanned) = scan::scan(chat, input, text, scratch.memory(input)) else { return Ok(false) };
    let mut other = Scratch::default();
    match json::decode(chat, input, text, &mut other) {
        Ok(judged) if judged == scanned => Ok(true),
        judged => Err(format!("{text:?} of input {input}\nscanner: {scanned:?}\nserde_json: {judged:?}")),
    }
}
