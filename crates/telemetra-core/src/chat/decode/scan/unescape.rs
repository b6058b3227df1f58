//! Messages with escapes: the text that a JSON string stands for (RFC 8259, section 7).

use super::skip::text_end;

/// Writes the text of the string whose first character is at `at` to `buffer`, and returns where its token
/// ends; `None` if it is not a string of Unicode text.
#[inline(never)]
pub(super) fn unescape(text: &str, mut at: usize, buffer: &mut String) -> Option<usize> {
    buffer.clear();
    let bytes = text.as_bytes();
    loop {
        let stop = text_end(bytes, at)?;
        buffer.push_str(text.get(at..stop)?);
        match bytes[stop] {
            b'"' => return Some(stop + 1),
            b'\\' => at = stop + 2,
            _ => return None,
        }
        let symbol = match bytes.get(stop + 1)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let (symbol, end) = code_point(bytes, at)?;
                at = end;
                symbol
            }
            byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
            _ => return None,
        };
        buffer.push(symbol);
    }
}

/// The character of the four hexadecimal digits at `at`, or of a surrogate pair that begins there, and where it
/// ends.
fn code_point(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = hex4(bytes, at)?;
    if let Some(symbol) = char::from_u32(unit) {
        return Some((symbol, at + 4));
    }
    if unit >= 0xdc00 || bytes.get(at + 4..at + 6)? != b"\\u" {
        return None;
    }
    let low = hex4(bytes, at + 6)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + low)?, at + 10))
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}
