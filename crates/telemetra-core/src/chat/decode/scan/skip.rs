//! The extent of JSON tokens, by the grammar of RFC 8259.
//!
//! Every function takes the place where something begins and returns the place after it, or `None` if it is
//! not that, or if it takes a second look to tell.

use super::keys::eight;

/// Nesting below a field's value that is followed; well under [`crate::limits::JSON_DEPTH_MAX`].
const DEPTH_MAX: usize = 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bits of the bytes that end a run of plain text in a string: quote, backslash, control characters. The
/// lowest bit that is set is right, higher ones can be wrong (Anderson, "Bit Twiddling Hacks", haszero and
/// hasless).
#[inline(always)]
fn stops(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zeros(word ^ (ONES * b'"' as u64));
    let backslash = zeros(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// The first quote, backslash or control character from `at` on.
#[inline(always)]
pub(super) fn text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = eight(bytes, at) {
        let stops = stops(word);
        if stops != 0 {
            return Some(at + (stops.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).map(|offset| at + offset)
}

/// The end of a string without a backslash.
#[inline(always)]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let end = text_end(bytes, at + 1)?;
    (bytes[end] == b'"').then_some(end + 1)
}

/// The end of white space, if any.
#[inline(always)]
pub(super) fn skip_white(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The end of any value, `depth` levels below a field's.
#[inline(always)]
pub(super) fn skip_value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => {
            let end = text_end(bytes, at + 1)?;
            if bytes[end] == b'"' { Some(end + 1) } else { skip_escaped(bytes, end) }
        }
        b't' | b'f' => {
            // Which of the two it is nobody can foresee: no branch asks.
            let is_true = bytes[at..].starts_with(b"true");
            let is_false = bytes[at..].starts_with(b"false");
            (is_true | is_false).then_some(at + 4 + usize::from(is_false))
        }
        b'n' => bytes[at..].starts_with(b"null").then_some(at + 4),
        b'[' => skip_array(bytes, at, depth),
        b'{' => skip_object(bytes, at, depth),
        _ => skip_number(bytes, at),
    }
}

/// The end of a string whose first stop is at `at`. Escapes of code points are left to a second look, since
/// half of a surrogate pair is a fault.
#[cold]
fn skip_escaped(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' if matches!(bytes.get(at + 1)?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                at = text_end(bytes, at + 2)?;
            }
            _ => return None,
        }
    }
}

#[inline(never)]
fn skip_array(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let mut at = skip_white(bytes, at + 1);
    if *bytes.get(at)? == b']' {
        return Some(at + 1);
    }
    loop {
        at = skip_white(bytes, skip_inner(bytes, at, depth)?);
        match bytes.get(at)? {
            b',' => at = skip_white(bytes, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

#[inline(never)]
fn skip_object(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let mut at = skip_white(bytes, at + 1);
    if *bytes.get(at)? == b'}' {
        return Some(at + 1);
    }
    loop {
        at = skip_white(bytes, string_end(bytes, at)?);
        if *bytes.get(at)? != b':' {
            return None;
        }
        at = skip_white(bytes, skip_inner(bytes, skip_white(bytes, at + 1), depth)?);
        match bytes.get(at)? {
            b',' => at = skip_white(bytes, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

#[inline(always)]
fn skip_inner(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        _ if depth < DEPTH_MAX => skip_value(bytes, at, depth + 1),
        _ => None,
    }
}

fn skip_number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let count = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(at + count)
    };
    let first = if bytes[at] == b'-' { at + 1 } else { at };
    let mut end = if *bytes.get(first)? == b'0' { first + 1 } else { digits(first)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}
