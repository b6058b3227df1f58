//! Timestamps: what is read, to which millisecond, and what is refused.

use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: Result<i64, TimestampError>) {
    assert_eq!(parse(text), expected, "{text:?}");
}

#[test]
fn accepted_forms() {
    const T: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z
    for (text, expected) in [
        ("2025-01-01T00:00:00Z", T),
        ("2025-01-01t00:00:00z", T),
        ("2025-01-01 00:00:00", T),
        ("2025-01-01T00:00:00.047Z", T + 47),
        ("2025-01-01T00:00:00.5", T + 500),
        ("2025-01-01T00:00:00.04", T + 40),
        ("2025-01-01T00:00:00.999999999Z", T + 999),
        ("2025-01-01T01:00:09.9999+01:00", T + 9_999),
        ("2024-12-31T20:15:00-03:45", T),
        ("2025-01-01T00:00:00-00:00", T),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2100-12-31T23:59:59.999Z", END_MS - 1),
    ] {
        check(text, Ok(expected));
    }
}

#[test]
fn refused_shapes() {
    for text in [
        "",
        "yesterday",
        "2025-01-01",
        "2025-01-01T00:00Z",
        "20250101T000000Z",
        "2025-01-01T00:00:60Z",
        "2025-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2025-04-31T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00.",
        "2025-01-01T00:00:00.0000000001Z",
        "2025-01-01T00:00:00,5Z",
        "2025-01-01T00:00:00+01",
        "2025-01-01T00:00:00+0100",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:60",
        "2025-01-01T00:00:00 Z",
        "2025-01-01T00:00:00Z[UTC]",
        "2025-01-01T00:00:00ZZ",
        " 2025-01-01T00:00:00Z",
        "2025-01-01T00:00:00Z ",
        "2025-01-01_00:00:00Z",
        "+002025-01-01T00:00:00Z",
        "2025-01-01T00:00:0\u{661}Z",
        "2025-01-01T00:00:00+0:000",
        "1735689600000",
    ] {
        check(text, Err(TimestampError::Syntax));
    }
}

#[test]
fn refused_instants() {
    for text in [
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "2101-01-01T00:00:00Z",
        "2100-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59Z",
    ] {
        check(text, Err(TimestampError::Range));
    }
    assert_eq!(check_range(-1), Err(TimestampError::Range));
    assert_eq!(check_range(END_MS), Err(TimestampError::Range));
    assert_eq!(check_range(i64::MIN), Err(TimestampError::Range));
    assert_eq!(check_range(END_MS - 1), Ok(END_MS - 1));
}

/// What `jiff` makes of a text that has our shape: it must be given an offset, and no leap second.
fn by_jiff(text: &str) -> Result<i64, TimestampError> {
    let has_offset = text.len() > 19 && text[19..].contains(['Z', 'z', '+', '-']);
    let text = if has_offset { text.to_owned() } else { format!("{text}Z") };
    if text[17..].starts_with("60") {
        return Err(TimestampError::Syntax);
    }
    let instant: jiff::Timestamp = text.parse().map_err(|_| TimestampError::Syntax)?;
    check_range(instant.as_nanosecond().div_euclid(1_000_000) as i64)
}

proptest! {
    #[test]
    fn reads_as_jiff_does(
        // Years for which jiff's own range plays no part.
        text in "(19[67][0-9]|20[0-9]{2}|21[01][0-9])-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]\
                 (\\.[0-9]{1,9})?(Z|z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])?"
    ) {
        prop_assert_eq!(parse(&text), by_jiff(&text));
    }

    #[test]
    fn every_instant_comes_back(time_ms in 0..END_MS, digits in 3..=9_usize) {
        let instant = jiff::Timestamp::from_millisecond(time_ms).expect("in jiff's range");
        prop_assert_eq!(parse(&format!("{instant:.digits$}")), Ok(time_ms));
    }

    #[test]
    fn any_text_is_judged(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_stamp_is_judged_as_jiff_does_or_refused(
        time_ms in 0..END_MS, at in 0..24_usize, byte in 0x20..0x7f_u8
    ) {
        let instant = jiff::Timestamp::from_millisecond(time_ms).expect("in jiff's range");
        let mut text = format!("{instant:.3}").into_bytes();
        text[at] = byte;
        let text = String::from_utf8(text).expect("ASCII");
        let read = parse(&text);
        if read != Err(TimestampError::Syntax) {
            prop_assert_eq!(read, by_jiff(&text));
        }
        let bytes = text.as_bytes().first_chunk().expect("24 bytes");
        prop_assert_eq!(Minute::default().parse(bytes).is_some(), read.is_ok() && text.ends_with('Z'));
    }
}
