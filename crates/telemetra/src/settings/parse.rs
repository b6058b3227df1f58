//! Text to values: durations, sizes, numbers within bounds, one word of several.
//!
//! Each function returns the value, or (what is wrong, what to do).

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

/// What is wrong, and what to do about it.
pub type Wrong = (String, String);

/// Reads `10 seconds`, `1 minute`, `10s`, `500ms`, `2 hours`; whole numbers of a unit, in whole milliseconds.
///
/// # Errors
/// When it reads otherwise, or lies outside `bounds_ms`.
pub fn duration_ms(text: &str, bounds_ms: RangeInclusive<i64>) -> Result<i64, Wrong> {
    let next = || "write a number and a unit, such as 500ms, 10 seconds, 1 minute or 2 hours".to_owned();
    let Some((number, unit)) = number_and_unit(text) else {
        return Err((format!("`{text}` is not a duration"), next()));
    };
    let unit_ms: i64 = match unit.to_ascii_lowercase().as_str() {
        "ms" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "" => {
            return Err((format!("`{text}` has no unit"), format!("write `{text} seconds` or `{text} ms`")));
        }
        unit => return Err((format!("`{unit}` is not a unit of time"), next())),
    };
    let ms = i64::try_from(number).ok().and_then(|number| number.checked_mul(unit_ms));
    match ms {
        Some(ms) if bounds_ms.contains(&ms) => Ok(ms),
        _ => Err((
            format!("`{text}` is outside the bounds"),
            format!("choose from {} to {}", show_ms(*bounds_ms.start()), show_ms(*bounds_ms.end())),
        )),
    }
}

/// A duration as people write it: `90s` stays `90 seconds`, `60000` ms is `1 minute`.
pub fn show_ms(ms: i64) -> String {
    let (count, unit) = match ms {
        0 => (0, "second"),
        ms if ms % 3_600_000 == 0 => (ms / 3_600_000, "hour"),
        ms if ms % 60_000 == 0 => (ms / 60_000, "minute"),
        ms if ms % 1_000 == 0 => (ms / 1_000, "second"),
        ms => return format!("{ms} ms"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// Reads `512 MB`, `1GiB`, `64 KB`; powers of 1,024 whichever way the unit is written.
///
/// # Errors
/// When it reads otherwise, or lies outside `bounds`.
pub fn size_bytes(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, Wrong> {
    let wrong =
        || (format!("`{text}` is not a size"), "write a number and a unit, such as 512 MB".to_owned());
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(wrong()),
    };
    match number.checked_mul(1 << shift) {
        Some(bytes) if bounds.contains(&bytes) => Ok(bytes),
        _ => Err((
            format!("`{text}` is outside the bounds"),
            format!("choose from {} MB to {} MB", bounds.start() >> 20, bounds.end() >> 20),
        )),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim()))
}

/// Reads a number within `bounds`; digits may be grouped by `_` or `,`.
///
/// # Errors
/// When it is no such number.
pub fn number<T: FromStr + PartialOrd + Display>(text: &str, bounds: RangeInclusive<T>) -> Result<T, Wrong> {
    let plain: String = text.trim().chars().filter(|c| !matches!(c, '_' | ',')).collect();
    let next = format!("choose from {} to {}", bounds.start(), bounds.end());
    match plain.parse::<T>() {
        Ok(value) if bounds.contains(&value) => Ok(value),
        Ok(_) => Err((format!("`{text}` is outside the bounds"), next)),
        Err(_) => Err((format!("`{text}` is not a number of this kind"), next)),
    }
}

/// One word of several, whatever its case.
///
/// # Errors
/// When it is none of them.
pub fn word<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        (format!("`{text}` is none of its words"), format!("choose {}", names.join(" or ")))
    })
}

/// As [`duration_ms`], for callers that wait.
///
/// # Errors
/// As [`duration_ms`].
pub fn duration(text: &str, bounds_ms: RangeInclusive<i64>) -> Result<Duration, Wrong> {
    let ms = duration_ms(text, bounds_ms)?;
    Ok(Duration::from_millis(u64::try_from(ms).expect("bounds of a pause are not negative")))
}

/// The name of `names` that `wrong` most likely meant, if any is near.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = 1 + wrong.len() / 6;
    names
        .map(|name| (distance(wrong, name), name))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_and_the_old_jobs_write_them() {
        let check = |text: &str, ms: Option<i64>| {
            assert_eq!(duration_ms(text, 0..=86_400_000).ok(), ms, "{text}");
        };
        check("10 seconds", Some(10_000));
        check("1 minute", Some(60_000));
        check("10s", Some(10_000));
        check("500ms", Some(500));
        check("2 hours", Some(7_200_000));
        check(" 3  Minutes ", Some(180_000));
        check("0 seconds", Some(0));
        check("10", None);
        check("-1s", None);
        check("1.5s", None);
        check("ten seconds", None);
        check("1 fortnight", None);
        check("2 days", None);
        check("99999999999999999999s", None);
        check("9223372036854775807h", None);
        check("", None);
    }

    #[test]
    fn shown_durations_read_back() {
        for ms in [0, 1, 500, 1_000, 1_500, 60_000, 90_000, 3_600_000, 7_200_000] {
            assert_eq!(duration_ms(&show_ms(ms), 0..=86_400_000), Ok(ms));
        }
    }

    #[test]
    fn sizes_and_numbers_have_bounds() {
        assert_eq!(size_bytes("512 MB", 0..=u64::MAX), Ok(512 << 20));
        assert_eq!(size_bytes("1GiB", 0..=u64::MAX), Ok(1 << 30));
        assert!(size_bytes("12", 0..=u64::MAX).is_err());
        assert!(size_bytes("12 MB", 0..=1).is_err());
        assert_eq!(number("1_000", 1..=5_000), Ok(1_000));
        assert!(number("0", 1..=5).is_err());
        assert!(number("NaN", 0.1..=5.0).is_err());
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let names = ["window_duration", "slide_duration", "store"];
        assert_eq!(nearest("windw_duration", names.into_iter()), Some("window_duration"));
        assert_eq!(nearest("kitchen", names.into_iter()), None);
    }
}
