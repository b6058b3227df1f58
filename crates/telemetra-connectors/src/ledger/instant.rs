//! Instants as text, for stores without a type of their own for them.
//!
//! Instants have ONE form, `YYYY-MM-DDTHH:MM:SS.mmmZ`, so that they sort as text and a key has one spelling.

const DAY_MS: i64 = 86_400_000;
/// First and last instant with a four-digit year, milliseconds.
pub(crate) const YEARS_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// An instant of `ms` milliseconds since the Unix epoch; clamped to the years 0 to 9999.
pub(crate) fn instant(ms: i64) -> String {
    let mut text = String::with_capacity(24);
    push_instant(&mut text, ms);
    text
}

/// Appends [`instant`] to `out`.
pub(crate) fn push_instant(out: &mut String, ms: i64) {
    let ms = ms.clamp(*YEARS_MS.start(), *YEARS_MS.end());
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let rest = ms.rem_euclid(DAY_MS);
    push_digits(out, year, 4);
    out.push('-');
    push_digits(out, month, 2);
    out.push('-');
    push_digits(out, day, 2);
    out.push('T');
    push_digits(out, rest / 3_600_000, 2);
    out.push(':');
    push_digits(out, rest / 60_000 % 60, 2);
    out.push(':');
    push_digits(out, rest / 1_000 % 60, 2);
    out.push('.');
    push_digits(out, rest % 1_000, 3);
    out.push('Z');
}

/// Appends an instant of `us` microseconds since the Unix epoch, `YYYY-MM-DDTHH:MM:SS.ffffffZ`: the form of event times
/// that are kept to the microsecond.
pub(crate) fn push_instant_us(out: &mut String, us: i64) {
    push_instant(out, us.div_euclid(1_000));
    out.pop();
    push_digits(out, us.rem_euclid(1_000), 3);
    out.push('Z');
}

fn push_digits(out: &mut String, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + u8::try_from(digit).expect("a decimal digit of a number not negative")));
    }
}

/// Milliseconds of an instant in our form; `None` for any other text.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let days = days(number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
    let ms = days * DAY_MS + seconds * 1_000 + number(20..23)?;
    // One spelling: what does not come out the same was not in our form.
    (instant(ms) == text).then_some(ms)
}

/// Year, month and day of a day since the Unix epoch (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

/// Day since the Unix epoch (the same paper, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_have_one_form() {
        let check = |ms: i64, text: &str| {
            assert_eq!(instant(ms), text);
            assert_eq!(parse_instant(text), Some(ms));
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(-50_000, "1969-12-31T23:59:10.000Z");
        check(1_735_689_610_000, "2025-01-01T00:00:10.000Z");
        check(1_709_164_800_250, "2024-02-29T00:00:00.250Z");
        check(4_102_444_799_999, "2099-12-31T23:59:59.999Z");
        let refuse = |text: &str| assert_eq!(parse_instant(text), None, "{text}");
        refuse("2025-01-01T00:00:10Z");
        refuse("2025-02-30T00:00:00.000Z");
        refuse("2025-01-01 00:00:10.000Z");
        refuse("+025-01-01T00:00:10.000Z");
        refuse("");
    }

    proptest! {
        #[test]
        fn instants_round_trip_and_sort(a in YEARS_MS, b in YEARS_MS) {
            let (text_a, text_b) = (instant(a), instant(b));
            prop_assert_eq!(parse_instant(&text_a), Some(a));
            prop_assert_eq!(text_a.cmp(&text_b), a.cmp(&b));
        }
    }
}
