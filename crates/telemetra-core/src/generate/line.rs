//! JSON text: numbers, stamps and names, appended to a line without allocating.

use jiff::Timestamp;

use super::{
    random::scramble,
    words::{NAME_FIRST, NAME_SECOND},
};

const DAY_MS: i64 = 86_400_000;

/// Appends text.
#[inline]
pub(super) fn text(line: &mut Vec<u8>, text: &str) {
    line.extend_from_slice(text.as_bytes());
}

/// Appends a decimal number.
#[inline]
pub(super) fn number(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// Appends a stream's id: `stream_0007`.
#[inline]
pub(super) fn stream(line: &mut Vec<u8>, stream: u32) {
    text(line, "stream_");
    for bound in [10, 100, 1_000] {
        if stream < bound {
            line.push(b'0');
        }
    }
    number(line, stream.into());
}

/// Appends the name of a user, the same for the same number.
#[inline]
pub(super) fn username(line: &mut Vec<u8>, user: u32) {
    let bits = scramble(user.into());
    text(line, NAME_FIRST[(bits % 32) as usize]);
    text(line, NAME_SECOND[(bits >> 8) as usize % 32]);
    number(line, u64::from(user) % 100);
}

/// Writes stamps in RFC 3339 with milliseconds; remembers the day.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    day: i64,
    date: [u8; 10],
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self { day: 0, date: *b"1970-01-01" }
    }

    /// Appends `2025-01-01T00:00:00.047Z`.
    #[inline]
    pub(super) fn write(&mut self, line: &mut Vec<u8>, time_ms: i64) {
        let day = time_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.turn(day);
        }
        let ms = time_ms.rem_euclid(DAY_MS) as u32;
        let mut clock = *b"T00:00:00.000Z";
        let two = |value: u32| [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        clock[1..3].copy_from_slice(&two(ms / 3_600_000));
        clock[4..6].copy_from_slice(&two(ms / 60_000 % 60));
        clock[7..9].copy_from_slice(&two(ms / 1_000 % 60));
        clock[10] = b'0' + (ms / 100 % 10) as u8;
        clock[11..13].copy_from_slice(&two(ms % 100));
        line.extend_from_slice(&self.date);
        line.extend_from_slice(&clock);
    }

    #[cold]
    fn turn(&mut self, day: i64) {
        let instant = Timestamp::from_second(day * (DAY_MS / 1_000)).unwrap_or(Timestamp::UNIX_EPOCH);
        let date = instant.strftime("%Y-%m-%d").to_string();
        self.date = date.as_bytes().try_into().unwrap_or(*b"1970-01-01");
        self.day = day;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        let mut stamp = Stamp::new();
        let mut check = |time_ms, expected: &str| {
            let mut line = Vec::new();
            stamp.write(&mut line, time_ms);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_735_689_600_047, "2025-01-01T00:00:00.047Z");
        check(1_709_251_199_999, "2024-02-29T23:59:59.999Z");
        check(1_709_251_200_000, "2024-03-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn numbers_and_names() {
        let check = |write: &dyn Fn(&mut Vec<u8>), expected: &str| {
            let mut line = Vec::new();
            write(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        };
        check(&|line| number(line, 0), "0");
        check(&|line| number(line, u64::MAX), "18446744073709551615");
        check(&|line| stream(line, 7), "stream_0007");
        check(&|line| stream(line, 123), "stream_0123");
        check(&|line| stream(line, 45_678), "stream_45678");
    }
}
