//! Prices as PostgreSQL's `numeric` on the wire: digits to the base of 10,000, the first of a weight, no digit 0 at either
//! end (`src/backend/utils/adt/numeric.c`, `numeric_recv` and `numeric_send`).

use std::error::Error;

use tokio_postgres::types::{FromSql, Type, accepts, private::BytesMut};

use super::super::failure::Failure;

/// A price that was read, hundredths; `None` for one that is no candidate's: negative, no number, too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Price(pub(super) Option<i64>);

impl Price {
    /// Appends a price of two decimals, with its length before it.
    ///
    /// # Errors
    /// Halts on one that does not fit its column, 0 to 9,999,999,999 hundredths.
    pub(super) fn push(out: &mut BytesMut, cents: i64) -> Result<(), Failure> {
        let units = cents / 100;
        let digits = [units / 10_000 % 10_000, units % 10_000, cents % 100 * 100];
        if !(0..10_000_000_000).contains(&cents) {
            return Err(Failure::halt(format!("a price of {cents} hundredths does not fit its column")));
        }
        let from = digits.iter().position(|&digit| digit != 0).unwrap_or(digits.len());
        let to = digits.iter().rposition(|&digit| digit != 0).map_or(from, |last| last + 1);
        let digits = &digits[from..to];
        let count = i16::try_from(digits.len()).expect("at most three");
        let weight = if digits.is_empty() { 0 } else { 1 - i16::try_from(from).expect("at most two") };
        out.extend_from_slice(&(8 + 2 * i32::from(count)).to_be_bytes());
        // Positive, two decimals shown.
        for number in [count, weight, 0, 2] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for &digit in digits {
            let digit = i16::try_from(digit).expect("less than the base");
            out.extend_from_slice(&digit.to_be_bytes());
        }
        Ok(())
    }
}

impl<'a> FromSql<'a> for Price {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let (numbers, rest) = raw.as_chunks::<2>();
        let numbers = numbers.iter().map(|it| i16::from_be_bytes(*it));
        let [count, weight, sign, _scale] = *numbers.clone().take(4).collect::<Vec<_>>() else {
            return Err("a numeric without its four numbers".into());
        };
        let digits = numbers.skip(4);
        if !rest.is_empty() || digits.len() != usize::try_from(count)? {
            return Err("a numeric of another length than it says".into());
        }
        if sign != 0 {
            return Ok(Self(None));
        }
        let cents = (0..).zip(digits).map(|(place, digit)| match weight.checked_sub(place) {
            Some(1) => Some(i64::from(digit) * 1_000_000),
            Some(0) => Some(i64::from(digit) * 100),
            Some(-1) if digit % 100 == 0 => Some(i64::from(digit) / 100),
            _ => None,
        });
        Ok(Self(cents.sum()))
    }

    accepts!(NUMERIC);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(numbers: &[i16]) -> BytesMut {
        let mut out = BytesMut::new();
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        out
    }

    fn read(raw: &[u8]) -> Option<i64> {
        Price::from_sql(&Type::NUMERIC, raw).expect("a numeric").0
    }

    #[test]
    fn prices_are_digits_to_the_base_of_ten_thousand() {
        let check = |cents: i64, weight: i16, digits: &[i16]| {
            let mut out = BytesMut::new();
            Price::push(&mut out, cents).expect("it fits");
            let count = i16::try_from(digits.len()).expect("few");
            let length = (8 + 2 * i32::from(count)).to_be_bytes();
            assert_eq!(out[..4], length, "{cents}");
            assert_eq!(out[4..], wire(&[&[count, weight, 0, 2], digits].concat()), "{cents}");
            assert_eq!(read(&out[4..]), Some(cents));
        };
        check(1, -1, &[100]);
        check(50, -1, &[5_000]);
        check(100, 0, &[1]);
        check(123, 0, &[1, 2_300]);
        check(1_000_000, 1, &[1]);
        check(1_000_001, 1, &[1, 0, 100]);
        check(9_999_999_999, 1, &[9_999, 9_999, 9_900]);
        check(0, 0, &[]);
        let mut out = BytesMut::new();
        assert!(Price::push(&mut out, 10_000_000_000).is_err());
        assert!(Price::push(&mut out, -1).is_err());
    }

    #[test]
    fn what_is_no_price_is_like_none() {
        let check = |numbers: &[i16], expected: Option<i64>| assert_eq!(read(&wire(numbers)), expected);
        // Another number of decimals is another way to show the same price.
        check(&[2, 0, 0, 4, 9, 9_900], Some(999));
        check(&[1, 0, 0, 0, 9], Some(900));
        // Negative, NaN, infinity; a third decimal; ten billion.
        check(&[1, 0, 0x4000, 2, 9], None);
        check(&[0, 0, i16::MIN | 0x4000, 0], None);
        check(&[0, 0, i16::MIN | 0x5000, 0], None);
        check(&[2, 0, 0, 3, 9, 9_990], None);
        check(&[1, 2, 0, 0, 1], None);
        for raw in [&[0_u8; 7][..], &[0, 1, 0, 0, 0, 0, 0, 2], &[0, 0, 0, 0, 0, 0, 0, 2, 0]] {
            assert!(Price::from_sql(&Type::NUMERIC, raw).is_err());
        }
    }
}
