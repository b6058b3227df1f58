//! When an event happened: date and time of a record, with the zone of those that name none, to an instant.
//!
//! Owns the time zone and what its clock changes do to a local time; the shape is `timestamp`'s. A local time that a
//! clock change leaves out or brings twice is refused, not guessed.

use jiff::{
    Timestamp,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

use crate::timestamp::{self, Civil, END_MS};

const SECOND_US: i64 = 1_000_000;

/// The time zone of stamps without an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The zone of an IANA name, in any case, as the database of this build knows it; `None` if it knows none.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZoneDatabase::bundled().get(name).ok().map(Zone)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Seconds by which a clock that shows `civil_s` (read as UTC, since the Unix epoch) is ahead of UTC.
    fn offset_s(&self, civil_s: i64) -> Result<i64, TimeError> {
        if self.0 == TimeZone::UTC {
            return Ok(0);
        }
        let shown = Timestamp::from_second(civil_s).map_err(|_| TimeError::Range)?;
        match self.0.to_ambiguous_timestamp(Offset::UTC.to_datetime(shown)).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok(offset.seconds().into()),
            AmbiguousOffset::Gap { .. } => Err(TimeError::Gap),
            AmbiguousOffset::Fold { .. } => Err(TimeError::Ambiguous),
        }
    }
}

/// Why a timestamp was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeError {
    /// Another shape, or no instant of the calendar.
    Syntax,
    /// Outside 1970-2100.
    Range,
    /// The zone's clock never showed it.
    Gap,
    /// The zone's clock showed it twice.
    Ambiguous,
}

/// The last local minute that was read: stamps of one file mostly share it. It belongs to one zone.
#[derive(Debug)]
pub(super) struct Minute {
    /// `YYYY-MM-DD HH:MM` of a minute all of which has one offset, or bytes that no text holds.
    text: [u8; 16],
    /// Its first instant.
    start_us: i64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { text: [0xff; 16], start_us: 0 }
    }
}

/// The instant of `text`, microseconds since the Unix epoch; finer digits are cut off.
#[inline]
pub(super) fn instant_us(text: &[u8], zone: &Zone, minute: &mut Minute) -> Result<i64, TimeError> {
    if let Some(instant) = minute.instant_us(text) {
        return Ok(instant);
    }
    any_instant_us(text, zone, minute)
}

#[inline(never)]
fn any_instant_us(text: &[u8], zone: &Zone, minute: &mut Minute) -> Result<i64, TimeError> {
    let civil = Civil::parse(text).ok_or(TimeError::Syntax)?;
    // No zone is further from UTC than this, so what lies beyond is out of range in every zone.
    let margin_s = 2 * 86_400;
    if !(-margin_s..END_MS / 1_000 + margin_s).contains(&civil.seconds) {
        return Err(TimeError::Range);
    }
    let offset_s = match civil.offset_s {
        Some(offset_s) => offset_s,
        None => {
            let offset_s = zone.offset_s(civil.seconds)?;
            minute.learn(text, &civil, offset_s, zone);
            offset_s
        }
    };
    let instant_us = (civil.seconds - offset_s) * SECOND_US + i64::from(civil.nanos / 1_000);
    if is_in_range(instant_us) { Ok(instant_us) } else { Err(TimeError::Range) }
}

fn is_in_range(instant_us: i64) -> bool {
    (0..END_MS * 1_000).contains(&instant_us)
}

impl Minute {
    /// The instant of a text of this minute without an offset.
    #[inline]
    fn instant_us(&self, text: &[u8]) -> Option<i64> {
        let (minute, rest) = text.split_first_chunk::<16>()?;
        let ([colon, ten, one], rest) = rest.split_first_chunk::<3>()?;
        let (ten, one) = (ten.wrapping_sub(b'0'), one.wrapping_sub(b'0'));
        if *minute != self.text || *colon != b':' || ten > 5 || one > 9 {
            return None;
        }
        let (nanos, zone) = timestamp::fraction(rest)?;
        zone.is_empty()
            .then(|| self.start_us + i64::from(ten * 10 + one) * SECOND_US + i64::from(nanos / 1_000))
    }

    /// Remembers the minute of `text` if all of it has one offset and lies in range.
    fn learn(&mut self, text: &[u8], civil: &Civil, offset_s: i64, zone: &Zone) {
        let start_s = civil.seconds - civil.seconds.rem_euclid(60);
        let is_even = [start_s, start_s + 59].iter().all(|&at| zone.offset_s(at) == Ok(offset_s));
        let start_us = (start_s - offset_s) * SECOND_US;
        let last_us = start_us + 60 * SECOND_US - 1;
        if let Some(text) =
            text.first_chunk().filter(|_| is_even && is_in_range(start_us) && is_in_range(last_us))
        {
            *self = Self { text: *text, start_us };
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn check(zone: &str, text: &str, expected: Result<&str, TimeError>) {
        let zone = Zone::named(zone).unwrap();
        let expected = expected.map(|text| text.parse::<Timestamp>().unwrap().as_microsecond());
        let mut minute = Minute::default();
        for _ in 0..2 {
            assert_eq!(instant_us(text.as_bytes(), &zone, &mut minute), expected, "{text:?}");
        }
    }

    #[test]
    fn instants() {
        for (text, expected) in [
            ("2025-03-01 10:00:01", "2025-03-01T10:00:01Z"),
            ("2025-03-01t10:00:01.5", "2025-03-01T10:00:01.5Z"),
            ("2025-03-01T10:00:01.123456999Z", "2025-03-01T10:00:01.123456Z"),
            ("2025-03-01 10:00:00+02:00", "2025-03-01T08:00:00Z"),
            ("1970-01-01 00:00:00", "1970-01-01T00:00:00Z"),
            ("1969-12-31 23:00:00-01:00", "1970-01-01T00:00:00Z"),
            ("2100-12-31 23:59:59.999999999", "2100-12-31T23:59:59.999999Z"),
        ] {
            check("UTC", text, Ok(expected));
        }
        for text in [
            "epoch",
            "now",
            "infinity",
            "",
            "2025-03-01",
            "2025-03-01 10:00",
            "2025-03-01 10:00:60",
            "2025-02-30 10:00:00",
            "2025-03-01 10:00:01.",
            "2025-03-01 10:00:01.1234567890",
            "2025-03-01 10:00:01 UTC",
            "01/03/2025 10:00:00",
            "2025-03-01 10:00:0\u{661}",
        ] {
            check("UTC", text, Err(TimeError::Syntax));
        }
        for text in
            ["1969-12-31 23:59:59", "2101-01-01 00:00:00", "0000-01-01 00:00:00", "9999-12-31T23:59:59-23:59"]
        {
            check("UTC", text, Err(TimeError::Range));
        }
    }

    #[test]
    fn zones() {
        let check = |text, expected| check("Europe/berlin", text, expected);
        check("2025-01-01 00:30:00", Ok("2024-12-31T23:30:00Z"));
        check("2025-07-01 00:30:00", Ok("2025-06-30T22:30:00Z"));
        check("2025-07-01 00:30:00Z", Ok("2025-07-01T00:30:00Z"));
        check("2025-03-30 01:59:59.999", Ok("2025-03-30T00:59:59.999Z"));
        check("2025-03-30 02:00:00", Err(TimeError::Gap));
        check("2025-03-30 02:59:59.9", Err(TimeError::Gap));
        check("2025-03-30 03:00:00", Ok("2025-03-30T01:00:00Z"));
        check("2025-10-26 01:59:59", Ok("2025-10-25T23:59:59Z"));
        check("2025-10-26 02:00:00", Err(TimeError::Ambiguous));
        check("2025-10-26 02:30:00+01:00", Ok("2025-10-26T01:30:00Z"));
        check("2025-10-26 03:00:00", Ok("2025-10-26T02:00:00Z"));
        check("1970-01-01 00:59:59", Err(TimeError::Range));
        check("1970-01-01 01:00:00", Ok("1970-01-01T00:00:00Z"));
        check("2101-01-01 00:30:00", Ok("2100-12-31T23:30:00Z"));
    }

    #[test]
    fn names() {
        assert_eq!(Zone::named("utc").unwrap().name(), "UTC");
        assert_eq!(Zone::named("america/new_york").unwrap().name(), "America/New_York");
        assert_eq!(Zone::default().name(), "UTC");
        assert_eq!(Zone::named("Mars/Olympus"), None);
    }

    proptest! {
        #[test]
        fn as_jiff_does(
            // Monrovia's clock changed within a minute, Lord Howe's by half an hour.
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Africa/Monrovia", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            stamps in prop::collection::vec((0_i64..4, -7_200_i64..7_200, "(\\.[0-9]{1,9})?"), 1..20),
        ) {
            let zone = Zone::named(zone).expect("a zone of the database");
            let mut minute = Minute::default();
            for (around, second, fraction) in stamps {
                // Around changes of the clocks of these zones, UTC.
                let around = [63_593_070, 1_743_296_400, 1_743_865_200, 1_728_142_200][around as usize];
                let offset = zone.0.to_offset(Timestamp::from_second(around).expect("a time in range"));
                let shown = offset.to_datetime(Timestamp::from_second(around + second).expect("a time in range"));
                let text = format!("{}{fraction}", shown.strftime("%Y-%m-%d %H:%M:%S"));
                let read = instant_us(text.as_bytes(), &zone, &mut minute);
                let shown: DateTime = text.parse().expect("jiff reads it too");
                let expected = zone.0.to_ambiguous_timestamp(shown);
                match expected.offset() {
                    AmbiguousOffset::Unambiguous { .. } => {
                        let instant = expected.unambiguous().expect("it is");
                        prop_assert_eq!(read, Ok(instant.as_nanosecond().div_euclid(1_000) as i64), "{}", text);
                    }
                    AmbiguousOffset::Gap { .. } => prop_assert_eq!(read, Err(TimeError::Gap), "{}", text),
                    AmbiguousOffset::Fold { .. } => prop_assert_eq!(read, Err(TimeError::Ambiguous), "{}", text),
                }
            }
        }
    }
}
