//! What a record of a file is, and how records are counted without looking at them.
//!
//! A line ends in `\n` or `\r\n`; what stands after the last end is a line too. A line of nothing but white
//! space is no record. A byte order mark at byte 0 is no part of the first line. The counter here and the
//! reader must agree on every file: a property in `tests` holds them together.

use memchr::memchr_iter;

/// UTF-8 byte order mark.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether a line holds nothing but white space.
#[inline]
pub(crate) fn is_blank(line: &[u8]) -> bool {
    match line.first() {
        None => true,
        Some(&first) if first > b' ' => false,
        Some(_) => line.iter().all(|&byte| byte == b' ' || (b'\t'..=b'\r').contains(&byte)),
    }
}

/// Counts lines and records of consecutive bytes.
#[derive(Debug, Default)]
pub(crate) struct LineCounter {
    /// Lines that ended.
    pub(crate) lines: u64,
    /// Records in lines that ended.
    pub(crate) records: u64,
    /// The line that has not ended holds a record already.
    is_filled: bool,
}

impl LineCounter {
    /// Counts further bytes; returns the place after the last line end among them.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        let (mut lines, mut records) = (0, 0);
        let mut is_filled = self.is_filled;
        for end in memchr_iter(b'\n', bytes) {
            records += u64::from(is_filled || !is_blank(&bytes[start..end]));
            lines += 1;
            is_filled = false;
            start = end + 1;
        }
        self.lines += lines;
        self.records += records;
        self.is_filled = is_filled || !is_blank(&bytes[start..]);
        (lines > 0).then_some(start)
    }

    /// Counts what stands after the last line end as a record of its own and returns all records; the next
    /// bytes belong to the next section, whose records count from 0.
    pub(crate) fn end_section(&mut self) -> u64 {
        let records = self.records + u64::from(self.is_filled);
        self.records = 0;
        self.is_filled = false;
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_records_however_the_bytes_arrive() {
        let check = |text: &str, lines: u64, records: u64| {
            for size in 1..=text.len().max(1) {
                let mut counter = LineCounter::default();
                text.as_bytes().chunks(size).for_each(|bytes| {
                    counter.count(bytes);
                });
                assert_eq!(counter.lines, lines, "{text:?} by {size}");
                assert_eq!(counter.end_section(), records, "{text:?} by {size}");
            }
        };
        check("", 0, 0);
        check("\n", 1, 0);
        check("a", 0, 1);
        check("a\n", 1, 1);
        check("a\r\n\r\n \t\x0b\n b", 3, 2);
        check("a\n  ", 1, 1);
        check("\u{a0}\n", 1, 1);
    }
}
