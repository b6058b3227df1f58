//! RFC 3339 and Unix-millisecond timestamps, 1970 to 2100.
//!
//! Owns the shape of a timestamp and the calendar behind it; it does not know where the text stood. The shape
//! is `YYYY-MM-DD`, one of `T`, `t` or a space, `HH:MM:SS`, an optional fraction of one to nine digits, and an
//! optional `Z`, `z` or `+HH:MM`; without an offset it is UTC. Anything else is refused, also what general
//! parsers let pass: a leap second, 24:00, basic format, a zone in brackets. The tests hold every accepted
//! text against `jiff`.

/// The first instant that is out of range: 2101-01-01T00:00:00Z, milliseconds since the Unix epoch.
pub const END_MS: i64 = 4_133_980_800_000;

/// Why a timestamp was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It has not the shape of a timestamp, or names no instant of the calendar.
    #[error("not an RFC 3339 timestamp")]
    Syntax,
    /// The instant lies outside 1970-2100.
    #[error("timestamp outside 1970-2100")]
    Range,
}

/// Parses an RFC 3339 timestamp to milliseconds since the Unix epoch; finer digits are cut off.
///
/// # Errors
/// [`TimestampError::Syntax`] or [`TimestampError::Range`].
pub fn parse(text: &str) -> Result<i64, TimestampError> {
    parse_bytes(text.as_bytes())
}

/// [`parse`] for bytes that need not be text; what is accepted is ASCII without quotes and backslashes.
pub(crate) fn parse_bytes(text: &[u8]) -> Result<i64, TimestampError> {
    let civil = Civil::parse(text).ok_or(TimestampError::Syntax)?;
    let offset_s = civil.offset_s.unwrap_or(0);
    check_range((civil.seconds - offset_s) * 1_000 + i64::from(civil.nanos / 1_000_000))
}

/// What a text of a timestamp's shape says, before a time zone makes it an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    /// Seconds from the Unix epoch to date and time read as UTC; years 0 to 9999.
    pub(crate) seconds: i64,
    /// The fraction, nanoseconds.
    pub(crate) nanos: u32,
    /// Seconds by which local time is ahead of UTC; `None` if the text does not say.
    pub(crate) offset_s: Option<i64>,
}

impl Civil {
    /// Reads a text of the shape above; `None` if it has another or names no instant of the calendar.
    pub(crate) fn parse(text: &[u8]) -> Option<Civil> {
        let (civil, rest) = text.split_first_chunk::<19>()?;
        let seconds = civil_seconds(civil)?;
        let (nanos, zone) = fraction(rest)?;
        let offset_s = if zone.is_empty() { None } else { Some(offset_seconds(zone)?) };
        Some(Civil { seconds, nanos, offset_s })
    }
}

/// The last minute that was read: stamps of one stream of events mostly share it.
#[derive(Debug)]
pub(crate) struct Minute {
    /// `YYYY-MM-DDTHH:MM` of a minute within the range, or bytes that no text holds.
    text: [u8; 16],
    start_ms: i64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { text: [0xff; 16], start_ms: 0 }
    }
}

impl Minute {
    /// Parses the form `YYYY-MM-DDTHH:MM:SS.mmmZ`; `None` if the text is not of this form or not good.
    #[inline]
    pub(crate) fn parse(&mut self, text: &[u8; 24]) -> Option<i64> {
        let (minute, rest) = text.split_first_chunk::<16>()?;
        if *minute != self.text {
            self.learn(text)?;
        }
        // `:SS.mmmZ` with its digits, which differ from the zero digit by at most 9.
        let rest = u64::from_le_bytes(*rest.first_chunk()?);
        let digits = rest ^ u64::from_le_bytes(*b":00.000Z");
        let too_large =
            digits.wrapping_add(u64::from_le_bytes([0, 0x76, 0x76, 0, 0x76, 0x76, 0x76, 0])) | digits;
        let marks = u64::from_le_bytes([0xff, 0x80, 0x80, 0xff, 0x80, 0x80, 0x80, 0xff]);
        let [_, s1, s2, _, m1, m2, m3, _] = digits.to_le_bytes().map(i64::from);
        let seconds = s1 * 10 + s2;
        (too_large & marks == 0 && seconds < 60)
            .then_some(self.start_ms + seconds * 1_000 + m1 * 100 + m2 * 10 + m3)
    }

    #[inline(never)]
    fn learn(&mut self, text: &[u8; 24]) -> Option<()> {
        let mut start = *b"0000-00-00T00:00:00Z";
        start[..16].copy_from_slice(&text[..16]);
        self.start_ms = parse_bytes(&start).ok()?;
        self.text.copy_from_slice(&text[..16]);
        Some(())
    }
}

/// Passes an instant of 1970 to 2100, milliseconds since the Unix epoch.
///
/// # Errors
/// [`TimestampError::Range`] outside of these years.
#[inline]
pub fn check_range(time_ms: i64) -> Result<i64, TimestampError> {
    if (0..END_MS).contains(&time_ms) { Ok(time_ms) } else { Err(TimestampError::Range) }
}

/// Seconds from the Unix epoch to `YYYY-MM-DDTHH:MM:SS` read as UTC; `None` if it is no such instant.
#[inline]
fn civil_seconds(text: &[u8; 19]) -> Option<i64> {
    let digit = |at: usize| u32::from(text[at].wrapping_sub(b'0'));
    let mut are_digits = true;
    for at in [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18] {
        are_digits &= text[at].wrapping_sub(b'0') <= 9;
    }
    let are_marks = (text[4] == b'-') & (text[7] == b'-') & (text[13] == b':') & (text[16] == b':');
    if !(are_digits & are_marks & matches!(text[10], b'T' | b't' | b' ')) {
        return None;
    }
    let two = |at: usize| digit(at) * 10 + digit(at + 1);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let is_instant = (1..=12).contains(&month)
        && day >= 1
        && (day <= 28 || day <= days_in_month(year, month))
        && (hour < 24) & (minute < 60) & (second < 60);
    is_instant
        .then(|| days_since_epoch(year, month, day) * 86_400 + i64::from(hour * 3_600 + minute * 60 + second))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March, so that the leap
/// day is the last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
#[inline]
fn days_since_epoch(year: u32, month: u32, day: u32) -> i64 {
    // 400 years more keep the year 0 unsigned.
    let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    i64::from(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year) - 719_468 - 146_097
}

/// Nanoseconds of the fraction with which `text` begins, 0 without one, and what follows it.
pub(crate) fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&len) {
        return None;
    }
    let (digits, rest) = digits.split_at(len);
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some((number * 10_u32.pow(9 - len as u32), rest))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|d| d.is_ascii_digit()) =>
        {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            let seconds = hours * 3_600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
