//! The splitter against one that holds everything and knows nothing of chunks.

use proptest::{collection::vec, prelude::*};

use super::*;

/// A record: line on which it starts, first byte, bytes, whether it was cut.
pub(crate) type Found = (u64, usize, Vec<u8>, bool);

/// Splits a whole text byte by byte, as the table of `csv` says.
pub(crate) fn naive(text: &[u8], bytes_max: usize) -> Vec<Found> {
    let (mut found, mut start, mut line) = (Vec::new(), 0, 1);
    while start < text.len() {
        let (end, next) = naive_record(&text[start..], bytes_max);
        let whole = &text[start..start + end];
        let is_cut = end > bytes_max;
        // Blank is one line of white space that is no longer than a record may be.
        if is_cut || !whole.iter().all(|byte| b" \t\n\r\x0b\x0c".contains(byte)) {
            found.push((line, start, whole[..end.min(bytes_max)].to_vec(), is_cut));
        }
        line += text[start..start + next].iter().filter(|&&byte| byte == b'\n').count() as u64;
        start += next;
    }
    found
}

/// End of the first record without its line end, and where to go on.
fn naive_record(text: &[u8], bytes_max: usize) -> (usize, usize) {
    let newline = |from: usize| text[from..].iter().position(|&byte| byte == b'\n').map(|at| from + at);
    let line = |newline: Option<usize>| match newline {
        Some(at) if at > 0 && text[at - 1] == b'\r' => (at - 1, at + 1),
        Some(at) => (at, at + 1),
        None => (text.len(), text.len()),
    };
    let (mut at, mut is_field, mut begin) = (0, true, 0);
    while at < text.len() {
        // The first quote behind the cut opens a search of its own.
        begin = if at >= bytes_max { at } else { begin };
        match text[at] {
            b'\n' => return line(Some(at)),
            b'"' if is_field => {
                let mut close = at + 1;
                loop {
                    let next = text[close.min(text.len())..].iter().position(|&byte| byte == b'"');
                    match next.map(|next| close + next) {
                        Some(quote) if quote < begin + bytes_max && text.get(quote + 1) == Some(&b'"') => {
                            close = quote + 2;
                        }
                        Some(quote) if quote < begin + bytes_max && is_proper(text, at, quote) => {
                            at = quote + 1;
                            break;
                        }
                        _ => return line(newline(if at >= bytes_max { at } else { 0 })),
                    }
                }
                is_field = false;
                continue;
            }
            byte => is_field = byte == b',',
        }
        at += 1;
    }
    line(None)
}

/// Whether the field of quotes from `open` to `close` may be one: on one line, or with the end of a field behind it.
fn is_proper(text: &[u8], open: usize, close: usize) -> bool {
    !text[open..close].contains(&b'\n') || text.get(close + 1).is_none_or(|byte| b",\r\n".contains(byte))
}

/// Splits a text that arrives in pieces of the given sizes, which are repeated.
pub(crate) fn split(text: &[u8], bytes_max: usize, sizes: &[usize]) -> Vec<Found> {
    let mut splitter = Splitter::new(bytes_max);
    let (mut found, mut start, mut held, mut line) = (Vec::new(), 0, 0, 1);
    for size in sizes.iter().cycle() {
        held = text.len().min(held + size);
        let is_end = held == text.len();
        loop {
            if start == held && is_end {
                return found;
            }
            match splitter.step(&text[start..held], is_end) {
                Step::Record { end, next, lines, truncated } => {
                    found.push((line, start, text[start..start + end].to_vec(), truncated));
                    (start, line) = (start + next, line + lines);
                }
                Step::Skip { next, lines } => (start, line) = (start + next, line + lines),
                Step::More => break,
            }
        }
        assert!(held - start < bytes_max + 2, "more than a record is held");
    }
    found
}

fn check(text: &str, expected: &[&str]) {
    for size in [1, 2, 3, 7, text.len() + 1] {
        let found = split(text.as_bytes(), 16, &[size]);
        let shown = |(line, _, bytes, cut): &Found| {
            let mark = if *cut { "…" } else { "" };
            format!("{line}:{}{mark}", String::from_utf8_lossy(bytes))
        };
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), expected, "{text:?} by {size}");
    }
}

#[test]
fn a_record_ends_at_a_newline_outside_quotes() {
    check("", &[]);
    check("a,b", &["1:a,b"]);
    check("a\r\n\r\n \t\nb\n", &["1:a", "4:b"]);
    check("a,\"x\ny\",b\nc\n", &["1:a,\"x\ny\",b", "3:c"]);
    check("\"x\r\n\ny\"\r\nc", &["1:\"x\r\n\ny\"", "4:c"]);
    check("\"a\"\"\n\"\"b\"\nc\n", &["1:\"a\"\"\n\"\"b\"", "3:c"]);
    check("\"\",\"\"\n\"\"\"\"\n", &["1:\"\",\"\"", "2:\"\"\"\""]);
    check("lone\rreturn\nb", &["1:lone\rreturn", "2:b"]);
}

#[test]
fn quotes_elsewhere_do_not_open() {
    check("a\"b\nc\n", &["1:a\"b", "2:c"]);
    check(" \"b\nc\n", &["1: \"b", "2:c"]);
    check("\"a\"b\"\nc\n", &["1:\"a\"b\"", "2:c"]);
    check("\"a\"b,\"c\nd\"\ne", &["1:\"a\"b,\"c\nd\"", "3:e"]);
}

#[test]
fn an_unclosed_quote_swallows_one_line() {
    check("a,\"b\nc\nd\n", &["1:a,\"b", "2:c", "3:d"]);
    check("a,\"b\n\nc", &["1:a,\"b", "3:c"]);
    check(
        "\"b\r\nc\n0123456789\n0123456789\n\"\n",
        &["1:\"b", "2:c", "3:0123456789", "4:0123456789", "5:\""],
    );
    // Closed by the sixteenth byte, and by the seventeenth.
    check("\"b\n456789abcdef\"\n", &["1:\"b\n456789abcdef\""]);
    check("\"b\n456789abcdefg\"\n", &["1:\"b", "2:456789abcdefg\""]);
    check("\"123456789abcdefghi\nx\n", &["1:\"123456789abcdef…", "2:x"]);
}

#[test]
fn a_quote_that_a_later_line_closes_as_no_field_may_end_is_unclosed() {
    check("a,\"b\nc,\"d\"\ne\n", &["1:a,\"b", "2:c,\"d\"", "3:e"]);
    check("\"a\r\nb\"c\nd\n", &["1:\"a", "2:b\"c", "3:d"]);
    check("\"a\nb\"\"\"c\nd", &["1:\"a", "2:b\"\"\"c", "3:d"]);
    // Two stray quotes, and what opens anew on the line that closes.
    check("\"a\n,\"b\nc,\"d\"", &["1:\"a", "2:,\"b", "3:c,\"d\""]);
    check("\"a\n,\"b\nc\"\nd", &["1:\"a", "2:,\"b\nc\"", "4:d"]);
    // Closed as a field ends, at a comma, a line end, the end.
    check("\"a\nb\",c\nd", &["1:\"a\nb\",c", "3:d"]);
    check("\"a\nb\"\r\nd", &["1:\"a\nb\"", "3:d"]);
    check("\"a\nb\"", &["1:\"a\nb\""]);
    // Text behind a closing quote on the line that opens is a fault of the record alone.
    check("\"a\nb\",\"c\"d\ne", &["1:\"a\nb\",\"c\"d", "3:e"]);
    // Behind the cut too.
    check("0123456789abcdefg,\"y\nx\"z\n", &["1:0123456789abcdef…", "2:x\"z"]);
}

#[test]
fn a_record_that_is_too_long_is_cut() {
    check("0123456789abcdef\r\nx\n", &["1:0123456789abcdef", "2:x"]);
    check("0123456789abcdefg\nx\n", &["1:0123456789abcdef…", "2:x"]);
    check("0123456789abcdefg,\"x\ny\"\nx\n", &["1:0123456789abcdef…", "3:x"]);
    check("0123456789abcde,\"x\ny\"\nx\n", &["1:0123456789abcde,…", "3:x"]);
    // A quote behind the cut that is not closed ends with its line.
    check("0123456789abcdefg,\"y\nx\nz\n", &["1:0123456789abcdef…", "2:x", "3:z"]);
    check("0123456789abcdefg,\"\n\",\"y\nx\nz\n", &["1:0123456789abcdef…", "3:x", "4:z"]);
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just("\n"),
        1 => Just("\r\n"),
        4 => Just("\""),
        2 => Just("\"\""),
        4 => Just(","),
        2 => Just(",\""),
        2 => Just("\",\""),
        1 => Just("a\",\n"),
        1 => Just("\"\na\"a"),
        1 => Just("\r"),
        1 => Just(" "),
        3 => Just("a"),
        2 => Just("abcdefghi"),
    ];
    vec(piece, 0..80).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_in_any_pieces(text in text(), bytes_max in 1usize..40, sizes in vec(1usize..50, 1..5)) {
        prop_assert_eq!(split(&text, bytes_max, &sizes), naive(&text, bytes_max));
    }

    /// Beginning anew at any record, outside the rest of one that was cut, finds the records behind it.
    #[test]
    fn any_record_is_a_place_to_begin(text in text(), bytes_max in 1usize..40, from in any::<prop::sample::Index>()) {
        let found = naive(&text, bytes_max);
        if !found.is_empty() {
            let from = from.index(found.len());
            let (line, begin) = (found[from].0, found[from].1);
            let behind = split(&text[begin..], bytes_max, &[5]);
            let behind: Vec<_> = behind.into_iter().map(|it| (it.0 + line - 1, it.1 + begin, it.2, it.3)).collect();
            prop_assert_eq!(&behind[..], &found[from..]);
        }
    }
}

#[test]
fn hostile_quotes_take_linear_time() {
    // Each line closes the quote of the one before and opens one that is never closed.
    let text = b"x\",\"y\n".repeat(400_000);
    let bytes_max = 1 << 20;
    // Followed anew from every line this would be some 10^11 bytes.
    assert_eq!(split(&text, bytes_max, &[1 << 18]).len(), 400_000);
    // The same, but every one of a megabyte is closed where no field may end.
    let text = [b"x\",\"y\n".repeat(150_000), b"a\"b\n".to_vec()].concat().repeat(3);
    assert_eq!(split(&text, bytes_max, &[1 << 18]).len(), 450_003);
}
