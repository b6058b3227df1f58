//! JSON records: what `serde_json` reads of an object, and what its grammar alone does not tell.
//!
//! Owns whether a text is one object of Unicode text within the limit of depth; which fields it has is the
//! pipelines' to know. A lone surrogate escape anywhere, keys and unknown fields included, is no Unicode text.

use std::borrow::Cow;

use serde::de::Deserialize;
use serde_json::value::RawValue;

use crate::limits;

/// Why a text is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No JSON, or no Unicode text.
    Syntax,
    /// JSON, but no object.
    NotObject,
    /// Nested deeper than [`limits::JSON_DEPTH_MAX`].
    Depth,
}

/// Reads an object; a byte order mark before it is skipped.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_object = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
    let object = if is_object {
        serde_json::from_str(text).map(Some).map_err(|_| Fault::Syntax)?
    } else {
        serde_json::from_str::<&RawValue>(text).map_err(|_| Fault::Syntax)?;
        None
    };
    let shape = Shape::of(text);
    match object {
        _ if shape.has_lone_surrogate => Err(Fault::Syntax),
        None => Err(Fault::NotObject),
        Some(_) if shape.depth > limits::JSON_DEPTH_MAX => Err(Fault::Depth),
        Some(object) => Ok(object),
    }
}

/// The text of a JSON string token; `None` if it is not one.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_some() {
        serde_json::from_str(raw).map(Cow::Owned).ok()
    } else {
        Some(Cow::Borrowed(raw.strip_prefix('"')?.strip_suffix('"')?))
    }
}

/// What the grammar alone does not tell of a text that is JSON.
#[derive(Default)]
struct Shape {
    depth: usize,
    has_lone_surrogate: bool,
}

impl Shape {
    fn of(json: &str) -> Shape {
        let bytes = json.as_bytes();
        let mut shape = Shape::default();
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    shape.depth = shape.depth.max(depth);
                }
                b'}' | b']' => depth -= 1,
                b'"' => at = shape.string_end(bytes, at),
                _ => {}
            }
        }
        shape
    }

    /// The place after the string whose first byte is at `at`.
    fn string_end(&mut self, bytes: &[u8], mut at: usize) -> usize {
        loop {
            at += memchr::memchr2(b'"', b'\\', &bytes[at..]).expect("a string of valid JSON ends");
            let escape = &bytes[at..];
            at += match (Half::of(escape), escape) {
                (_, [b'"', ..]) => return at + 1,
                (Half::High, _) if Half::of(&escape[6..]) == Half::Low => 12,
                (Half::None, [_, b'u', ..]) => 6,
                (Half::None, _) => 2,
                (Half::High | Half::Low, _) => {
                    self.has_lone_surrogate = true;
                    6
                }
            };
        }
    }
}

/// Which half of a surrogate pair a `\uXXXX` escape stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
    None,
}

impl Half {
    fn of(escape: &[u8]) -> Half {
        match escape {
            [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', _, _, ..] => Half::High,
            [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', _, _, ..] => Half::Low,
            _ => Half::None,
        }
    }
}
