//! Where a record of a CSV file ends, without looking at its fields (RFC 4180, section 2).
//!
//! A quote opens only at the beginning of a field, `""` inside stands for one quote, and what follows a closing
//! quote up to the comma, and quotes in the midst of a field, change nothing: the decoder names those. A record
//! ends at a newline outside quotes. An unclosed quote must not swallow the file, nor a stray one what stands before
//! the next: a quote that closes behind a newline, and not at the end of a field, shows that its opening was none.
//!
//! | of a record | it is |
//! |---|---|
//! | a quote is open after `bytes_max` bytes, or at the end | its first physical line alone |
//! | a quote is closed on a later line, and no `,`, CR, LF or end follows | the same |
//! | more than `bytes_max` bytes, no quote open there | cut; the next begins behind the next newline outside quotes |
//! | the same, and a quote opened behind the cut is unclosed in one of these ways | the next begins behind that quote's line |
//!
//! Invariant: what is decided does not depend on how the bytes arrive, and each byte is looked at a bounded
//! number of times, whatever the quotes. The index pass and the reader both take their records from here.

use memchr::{memchr, memchr_iter, memchr2};

use super::lines::is_blank;

/// What stands at the beginning of the bytes given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record.
    Record {
        /// Its bytes without the line end are `..end`.
        end: usize,
        /// Bytes behind which to go on.
        next: usize,
        /// Line ends among these.
        lines: u64,
        /// Only its beginning.
        truncated: bool,
    },
    /// No record: a blank line, or the rest of a record that was cut.
    Skip {
        /// As of a record.
        next: usize,
        /// As of a record.
        lines: u64,
    },
    /// Nothing can be said before more bytes are there.
    More,
}

/// Where the bytes given begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At a record.
    Record,
    /// In the rest of a record that was cut, outside quotes; `is_field` if a field begins.
    Rest { is_field: bool },
    /// In a line whose rest is skipped, quotes or not.
    Line,
}

/// Finds the records of consecutive bytes.
#[derive(Debug)]
pub(crate) struct Splitter {
    bytes_max: usize,
    place: Place,
    /// Bytes of the record that were looked at.
    at: usize,
    /// A quote is open there.
    is_inside: bool,
    /// The open quote was opened on an earlier line.
    is_multiline: bool,
    /// First newline of the record, if it lies inside quotes.
    newline: Option<usize>,
    followed: Followed,
}

/// How far an earlier record was followed in vain, a quote open. Whoever is inside quotes at a newline before it
/// would find the same, so the search goes on from here.
#[derive(Clone, Copy, Debug)]
struct Followed {
    at: usize,
    is_multiline: bool,
}

impl Splitter {
    /// Begins at a record; those of more than `bytes_max` bytes are cut.
    pub(crate) fn new(bytes_max: usize) -> Splitter {
        let followed = Followed { at: 0, is_multiline: false };
        let (place, newline) = (Place::Record, None);
        Splitter { bytes_max, place, at: 0, is_inside: false, is_multiline: false, newline, followed }
    }

    /// Whether the bytes behind the last step are where a record may begin.
    pub(crate) fn is_at_record(&self) -> bool {
        self.place == Place::Record
    }

    /// Judges `bytes`, which begin behind the last step; `is_end` if nothing follows them. At least
    /// `bytes_max` + 2 bytes are never too few.
    pub(crate) fn step(&mut self, bytes: &[u8], is_end: bool) -> Step {
        match self.place {
            Place::Record => self.record(bytes, is_end),
            Place::Rest { is_field } => self.rest(bytes, is_field, is_end),
            Place::Line => self.line(bytes, 0),
        }
    }

    fn record(&mut self, bytes: &[u8], is_end: bool) -> Step {
        // A quote is judged by the byte behind it, a line end of two bytes by both.
        let limit = bytes.len().min(self.bytes_max + 2);
        let is_whole = is_end || limit == self.bytes_max + 2;
        while self.at < limit {
            // A quote must be closed among the first `bytes_max` bytes, and one behind them is not the record's.
            let edge = if self.is_inside { limit.min(self.bytes_max) } else { limit };
            let rest = bytes.get(self.at..edge).unwrap_or_default();
            let Some(found) = memchr2(b'\n', b'"', rest).map(|place| self.at + place) else {
                self.at = self.at.max(edge);
                break;
            };
            if bytes[found] == b'\n' {
                if !self.is_inside {
                    return self.ended(bytes, found, found + 1);
                }
                self.newline.get_or_insert(found);
                let is_ahead = self.followed.at > found;
                (self.at, self.is_multiline) = match is_ahead {
                    true => (self.followed.at, self.followed.is_multiline),
                    false => (found + 1, true),
                };
            } else if self.is_inside {
                let Some(behind) = behind_quote(bytes, found, is_whole) else {
                    self.at = found;
                    return Step::More;
                };
                self.is_inside = behind == found + 2;
                if !self.is_inside && self.is_multiline && !ends_field(bytes, behind) {
                    self.at = found;
                    return self.unclosed(bytes);
                }
                self.at = behind;
            } else if found >= self.bytes_max {
                self.at = found;
                break;
            } else {
                self.is_inside = found == 0 || bytes[found - 1] == b',';
                self.is_multiline = false;
                self.at = found + 1;
            }
        }
        match (is_whole, self.is_inside) {
            (false, _) => Step::More,
            (true, true) => self.unclosed(bytes),
            (true, false) if bytes.len() <= self.bytes_max => self.ended(bytes, bytes.len(), bytes.len()),
            (true, false) => {
                let cut = self.bytes_max;
                let is_field = bytes[cut - 1] == b',';
                self.begin(Place::Rest { is_field }, cut);
                Step::Record { end: cut, next: cut, lines: count_lines(&bytes[..cut]), truncated: true }
            }
        }
    }

    /// A record that ends at `newline`, with the next one at `next`.
    #[inline]
    fn ended(&mut self, bytes: &[u8], newline: usize, next: usize) -> Step {
        let lines = match self.newline {
            Some(_) => count_lines(&bytes[..next]),
            None => (next - newline) as u64,
        };
        let end = without_return(bytes, newline, next);
        let truncated = end > self.bytes_max;
        let is_blank = self.newline.is_none() && !truncated && is_blank(&bytes[..end]);
        self.begin(Place::Record, next);
        match is_blank {
            true => Step::Skip { next, lines },
            false => Step::Record { end: end.min(self.bytes_max), next, lines, truncated },
        }
    }

    /// A record whose quote is not closed: its first line.
    fn unclosed(&mut self, bytes: &[u8]) -> Step {
        self.followed = Followed { at: self.at, is_multiline: self.is_multiline };
        let newline = self.newline.or_else(|| memchr(b'\n', bytes));
        let line = newline.unwrap_or(bytes.len());
        let next = newline.map_or(line, |newline| newline + 1);
        let end = without_return(bytes, line, next);
        if end <= self.bytes_max {
            self.begin(Place::Record, next);
            return Step::Record { end, next, lines: (next - line) as u64, truncated: false };
        }
        let cut = self.bytes_max;
        self.begin(Place::Line, cut);
        Step::Record { end: cut, next: cut, lines: 0, truncated: true }
    }

    fn rest(&mut self, bytes: &[u8], is_field: bool, is_end: bool) -> Step {
        let mut at = 0;
        loop {
            let Some(found) = memchr2(b'\n', b'"', &bytes[at..]).map(|place| at + place) else {
                let is_field = bytes.last().map_or(is_field, |&last| last == b',');
                self.begin(Place::Rest { is_field }, bytes.len());
                return if bytes.is_empty() { Step::More } else { skip(bytes, bytes.len()) };
            };
            if bytes[found] == b'\n' {
                self.begin(Place::Record, found + 1);
                return skip(bytes, found + 1);
            }
            let opens = if found == 0 { is_field } else { bytes[found - 1] == b',' };
            if !opens {
                at = found + 1;
                continue;
            }
            let held = &bytes[found..];
            let is_whole = is_end || held.len() >= self.bytes_max + 2;
            match closing(held, self.bytes_max, is_whole) {
                Closing::At(place) => at = found + place + 1,
                Closing::Unknown if found > 0 => {
                    self.begin(Place::Rest { is_field: true }, found);
                    return skip(bytes, found);
                }
                Closing::Unknown => return Step::More,
                Closing::Never => return self.line(bytes, found),
            }
        }
    }

    /// Skips to behind the first newline at or behind `from`.
    fn line(&mut self, bytes: &[u8], from: usize) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let next = memchr(b'\n', &bytes[from..]).map(|newline| from + newline + 1);
        self.begin(if next.is_some() { Place::Record } else { Place::Line }, next.unwrap_or(bytes.len()));
        skip(bytes, next.unwrap_or(bytes.len()))
    }

    /// Goes to `place`, `next` bytes on.
    #[inline]
    fn begin(&mut self, place: Place, next: usize) {
        (self.place, self.at, self.is_inside, self.newline) = (place, 0, false, None);
        self.followed.at = self.followed.at.saturating_sub(next);
    }
}

/// What follows a quote that was opened in the rest of a record.
enum Closing {
    /// The quote that closes it.
    At(usize),
    /// It stays open too long, or what closes it shows that it was none.
    Never,
    /// More bytes are needed.
    Unknown,
}

/// Where the quote that `bytes` begin with is closed, among the first `bytes_max` bytes.
fn closing(bytes: &[u8], bytes_max: usize, is_whole: bool) -> Closing {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'"', rest)).map(|place| at + place) {
        if found >= bytes_max {
            return Closing::Never;
        }
        match behind_quote(bytes, found, is_whole) {
            None => return Closing::Unknown,
            Some(behind) if behind == found + 1 => {
                let is_field = ends_field(bytes, behind) || memchr(b'\n', &bytes[..found]).is_none();
                return if is_field { Closing::At(found) } else { Closing::Never };
            }
            Some(behind) => at = behind,
        }
    }
    if is_whole || bytes.len() >= bytes_max { Closing::Never } else { Closing::Unknown }
}

/// The byte behind a quote inside quotes: one on if it closes, two if it is doubled; `None` if the next byte
/// must tell and is not there.
#[inline]
fn behind_quote(bytes: &[u8], quote: usize, is_whole: bool) -> Option<usize> {
    match bytes.get(quote + 1) {
        Some(b'"') => Some(quote + 2),
        Some(_) => Some(quote + 1),
        None => is_whole.then_some(quote + 1),
    }
}

/// Whether a field may end before `behind`; where nothing is, the bytes end.
#[inline]
fn ends_field(bytes: &[u8], behind: usize) -> bool {
    bytes.get(behind).is_none_or(|byte| matches!(byte, b',' | b'\r' | b'\n'))
}

/// The end of a line without the carriage return that belongs to its line end.
#[inline]
fn without_return(bytes: &[u8], newline: usize, next: usize) -> usize {
    newline - usize::from(next > newline && newline > 0 && bytes[newline - 1] == b'\r')
}

fn skip(bytes: &[u8], next: usize) -> Step {
    Step::Skip { next, lines: count_lines(&bytes[..next]) }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
pub(crate) mod tests;
