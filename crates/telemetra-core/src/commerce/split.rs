//! One record of CSV to its fields, after RFC 4180.
//!
//! Owns commas and quotes; what a field means it does not know, nor where a record ends in its file. A field that
//! begins with a quote ends with one, and a quote inside it is doubled; a quote anywhere else, text behind the closing
//! quote, or no closing quote is a fault of the record. White space before a quote is text too.

use std::ops::Range;

/// Where a field's text stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// In the buffer, with doubled quotes made one; else in the record.
    pub(super) is_unescaped: bool,
    /// The bytes.
    pub(super) bytes: Range<usize>,
}

impl Span {
    /// The field's text.
    #[inline]
    pub(super) fn of<'a>(&self, record: &'a [u8], buffer: &'a [u8]) -> &'a [u8] {
        if self.is_unescaped { &buffer[self.bytes.clone()] } else { &record[self.bytes.clone()] }
    }
}

/// A quote where none may be, or none where one must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoting;

/// All fields of a record, for heads.
pub(super) fn spans(record: &[u8], buffer: &mut Vec<u8>) -> Result<Vec<Span>, Quoting> {
    let mut spans = Vec::new();
    split(record, buffer, |field, span| {
        spans.truncate(field);
        spans.push(span);
    })?;
    Ok(spans)
}

/// Calls `each` with number and place of every field and returns how many there are; fields with doubled quotes
/// stand in `buffer`. A field may come twice, the second time for good.
#[inline]
pub(super) fn split(
    record: &[u8],
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(usize, Span),
) -> Result<usize, Quoting> {
    let (mut field, mut from) = (0, 0);
    for at in memchr::memchr2_iter(b',', b'"', record) {
        if record[at] == b'"' {
            return quoted(record, buffer, each);
        }
        each(field, Span { is_unescaped: false, bytes: from..at });
        (field, from) = (field + 1, at + 1);
    }
    let end = from + without_line_end(&record[from..]).len();
    each(field, Span { is_unescaped: false, bytes: from..end });
    Ok(field + 1)
}

/// What is left of the line end of a file with CR and LF is no text behind a closing quote.
fn without_line_end(record: &[u8]) -> &[u8] {
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// [`split`] for a record with a quote somewhere.
fn quoted(record: &[u8], buffer: &mut Vec<u8>, mut each: impl FnMut(usize, Span)) -> Result<usize, Quoting> {
    buffer.clear();
    let record = without_line_end(record);
    let (mut field, mut at) = (0, 0);
    loop {
        let (span, end) = match record.get(at) {
            Some(b'"') => quoted_field(record, at + 1, buffer)?,
            _ => {
                let end = memchr::memchr2(b',', b'"', &record[at..]).map_or(record.len(), |len| at + len);
                (Span { is_unescaped: false, bytes: at..end }, end)
            }
        };
        each(field, span);
        field += 1;
        match record.get(end) {
            None => return Ok(field),
            Some(b',') => at = end + 1,
            Some(_) => return Err(Quoting),
        }
    }
}

/// The field whose opening quote ends at `from`, and the place behind its closing quote.
fn quoted_field(record: &[u8], from: usize, buffer: &mut Vec<u8>) -> Result<(Span, usize), Quoting> {
    let start = buffer.len();
    let mut at = from;
    loop {
        let quote = at + memchr::memchr(b'"', &record[at..]).ok_or(Quoting)?;
        if record.get(quote + 1) == Some(&b'"') {
            buffer.extend_from_slice(&record[at..=quote]);
            at = quote + 2;
        } else if at == from {
            return Ok((Span { is_unescaped: false, bytes: from..quote }, quote + 1));
        } else {
            buffer.extend_from_slice(&record[at..quote]);
            return Ok((Span { is_unescaped: true, bytes: start..buffer.len() }, quote + 1));
        }
    }
}

/// A field without the space, tab, CR and LF around it.
#[inline]
pub(super) fn trim(text: &[u8]) -> &[u8] {
    &text[trimmed(text)]
}

/// Where a field's text begins and ends without the space, tab, CR and LF around it.
#[inline]
pub(super) fn trimmed(text: &[u8]) -> Range<usize> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    let start = text[..end].iter().position(|byte| !is_space(byte)).unwrap_or(0);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str, expected: Option<&[&str]>) {
        let mut buffer = vec![b'x'];
        let spans = spans(record.as_bytes(), &mut buffer);
        let fields = spans.map(|spans| {
            let text = |span: &Span| String::from_utf8(span.of(record.as_bytes(), &buffer).to_vec()).unwrap();
            spans.iter().map(text).collect::<Vec<_>>()
        });
        assert_eq!(
            fields.ok(),
            expected.map(|fields| fields.iter().map(|it| (*it).to_owned()).collect()),
            "{record:?}"
        );
    }

    #[test]
    fn fields() {
        check("", Some(&[""]));
        check("a,b", Some(&["a", "b"]));
        check(",", Some(&["", ""]));
        check("a b,\r c\r", Some(&["a b", "\r c"]));
        check("a\nb", Some(&["a\nb"]));
        check(r#"x,"b,c""#, Some(&["x", "b,c"]));
        check(r#""","""","a""b""""#, Some(&["", "\"", "a\"b\""]));
        check("\"two\r\nlines\",b\r", Some(&["two\r\nlines", "b"]));
        check("b,\"a\"\r", Some(&["b", "a"]));
    }

    #[test]
    fn faults_of_quoting() {
        for record in [
            "a\"",
            "a\"b\",c",
            "\"a\"b,c",
            "\"a\" ,b",
            " \"a\",b",
            "\"a",
            "a,\"b\"\"",
            "\"",
            "\"a\n",
            "\"a\"\r,b",
        ] {
            check(record, None);
        }
    }

    #[test]
    fn trimming() {
        for (text, expected) in
            [("", ""), (" \t\r\n", ""), ("a", "a"), ("\n a b\t\r", "a b"), ("\u{a0}a", "\u{a0}a")]
        {
            assert_eq!(trim(text.as_bytes()), expected.as_bytes());
        }
    }
}
