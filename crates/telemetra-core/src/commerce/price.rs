//! Prices: a plain decimal to hundredths, never by way of a float.
//!
//! A sign, digits with at most one point among, before or behind them. No exponent, infinity, thousands comma.

/// One more than the largest price, hundredths: numeric(10,2).
const END_CENTS: i64 = 10_000_000_000;

/// Why a price was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PriceError {
    /// Not a plain decimal.
    Syntax,
    /// Zero or less, or 10^8 or more, once rounded.
    Range,
}

/// Parses a price to hundredths; more than two places round half away from zero, as PostgreSQL does.
#[inline]
pub(super) fn parse(text: &[u8]) -> Result<i64, PriceError> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = digits.split_at(len);
    let places = match rest {
        [] => rest,
        [b'.', places @ ..] => places,
        _ => return Err(PriceError::Syntax),
    };
    if whole.len() + places.len() == 0 || !places.iter().all(u8::is_ascii_digit) {
        return Err(PriceError::Syntax);
    }
    // What has grown beyond the range stays beyond it.
    let whole = whole.iter().fold(0, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(END_CENTS));
    let place = |at: usize| places.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    let cents = whole * 100 + place(0) * 10 + place(1) + i64::from(place(2) >= 5);
    if is_negative || !(1..END_CENTS).contains(&cents) { Err(PriceError::Range) } else { Ok(cents) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        PriceError::{Range, Syntax},
        *,
    };

    fn check(text: &str, expected: Result<i64, PriceError>) {
        assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn prices() {
        for (text, cents) in [
            ("9.99", 999),
            ("+5", 500),
            (".5", 50),
            ("5.", 500),
            ("1.005", 101),
            ("1.0049999999999999999999", 100),
            ("0.005", 1),
            ("0000000000000000000000000007.1", 710),
            ("99999999.99", 9_999_999_999),
            ("99999999.994999", 9_999_999_999),
        ] {
            check(text, Ok(cents));
        }
    }

    #[test]
    fn refused_prices() {
        for text in [
            "",
            ".",
            "+",
            "-",
            "+.",
            "1e2",
            "1E2",
            "NaN",
            "inf",
            "-Infinity",
            "1,000.00",
            "1 000",
            "1.2.3",
            "--1",
            "+-1",
            "0x10",
            "1_000",
            "$5",
            "5 ",
            "\u{661}",
            "1.\0",
            "five",
        ] {
            check(text, Err(Syntax));
        }
        for text in [
            "0",
            "-0",
            "0.004",
            "0.00",
            "-1",
            "-0.001",
            "99999999.995",
            "100000000",
            "1000000000000000000000000000000",
        ] {
            check(text, Err(Range));
        }
    }

    /// The same in 128 bits, from the text as a whole number of 10^-18.
    fn slow(sign: &str, whole: &str, places: &str) -> Result<i64, PriceError> {
        let number: i128 = format!("{whole}{places:0<18}").parse().expect("at most 37 digits");
        let unit = 10_i128.pow(16);
        let rounded = (number + unit / 2) / unit;
        let cents = if sign == "-" { -rounded } else { rounded };
        if cents <= 0 || cents >= 10_i128.pow(10) { Err(Range) } else { Ok(cents as i64) }
    }

    proptest! {
        #[test]
        fn as_in_128_bits(sign in "[+-]?", whole in "0{0,3}[0-9]{1,10}", places in "([0-9]{0,18}|00[0-9]{0,6}|99[45][0-9]{0,4})") {
            let point = if places.is_empty() { "" } else { "." };
            prop_assert_eq!(parse(format!("{sign}{whole}{point}{places}").as_bytes()), slow(&sign, &whole, &places));
        }

        #[test]
        fn any_text_is_judged(text in "[-+.0-9e ]{0,12}") {
            let is_plain = text.trim_start_matches(['+', '-']).len() + 1 >= text.len()
                && text.matches('.').count() <= 1
                && text.contains(|it: char| it.is_ascii_digit())
                && text.trim_start_matches(['+', '-']).chars().all(|it| it == '.' || it.is_ascii_digit());
            prop_assert_eq!(parse(text.as_bytes()) != Err(Syntax), is_plain);
        }
    }
}
