//! What people read: the only place that writes to stdout and stderr.
//!
//! A reader that has gone (`telemetra status | head -1`) is no failure: what is written to a closed pipe is
//! dropped. Names and texts from outside go through [`plain`], so that they cannot steer a terminal.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// Writes one line to stdout.
pub fn line(text: &str) {
    write(io::stdout().lock(), text);
}

/// Writes one line to stderr.
pub fn note(text: &str) {
    write(io::stderr().lock(), text);
}

fn write(mut to: impl Write, text: &str) {
    // Nobody is left to tell about a closed pipe.
    let _ = writeln!(to, "{}", text.trim_end_matches('\n')).and_then(|()| to.flush());
}

/// Text from outside without characters that steer a terminal or re-order a line, at most 256 characters.
pub fn plain(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 256;
    match text.char_indices().nth(CHARS_MAX) {
        None => whole(text),
        Some((end, _)) => Cow::Owned(format!("{}…", whole(&text[..end]))),
    }
}

/// As [`plain`], but never cut short: for the cause of a halt, which ends with the way on.
pub fn whole(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::new();
    for c in text.chars() {
        if is_steering(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

/// Control characters, line separators, and those that change the direction of writing.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// A number with its thousands apart: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Rows as aligned columns, the first row as heading; numbers are the caller's text.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(plain("gräf 🎉"), "gräf 🎉");
        assert_eq!(plain("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(plain("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(plain(&"x".repeat(300)).chars().count(), 257);
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        assert_eq!(table(&[row(&["a", "b"]), row(&["long", "c"])]), "a     b\nlong  c\n");
    }
}
