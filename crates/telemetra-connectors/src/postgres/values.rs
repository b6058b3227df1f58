//! Values as PostgreSQL's wire format has them, where the client library has none of its own for us.

use std::error::Error;

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};

use super::failure::Failure;

/// Milliseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
pub(super) const EPOCH_MS: i64 = 946_684_800_000;

/// An instant, milliseconds since the Unix epoch, as `timestamptz`: on the wire microseconds since 2000-01-01
/// (PostgreSQL documentation, "Date/Time Types"; `src/include/datatype/timestamp.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ms(pub(super) i64);

impl ToSql for Ms {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.saturating_sub(EPOCH_MS).saturating_mul(1_000).to_sql(ty, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Ms {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_sql(ty, raw)?;
        Ok(Self(micros.div_euclid(1_000).saturating_add(EPOCH_MS)))
    }

    accepts!(TIMESTAMPTZ);
}

/// A number for PostgreSQL, whose bigint ends at 2^63 - 1.
///
/// # Errors
/// Halts on a larger one.
pub(super) fn int(number: u64) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| Failure::halt(format!("{number} is too large for the store")))
}

/// An instant to the microsecond, since the Unix epoch, as `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Us(pub(super) i64);

impl Us {
    /// Microseconds since PostgreSQL's epoch.
    pub(super) fn on_the_wire(self) -> i64 {
        self.0.saturating_sub(EPOCH_MS * 1_000)
    }
}

impl ToSql for Us {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.on_the_wire().to_sql(ty, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Us {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_sql(ty, raw)?.saturating_add(EPOCH_MS * 1_000)))
    }

    accepts!(TIMESTAMPTZ);
}

/// An array of texts as PostgreSQL reads it from text: arrays cannot be nested in the arrays that `unnest` takes.
pub(super) fn push_text_array<'a>(out: &mut String, texts: impl Iterator<Item = &'a str>) {
    out.push('{');
    for (place, text) in texts.enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push('"');
        for char in text.chars() {
            if matches!(char, '"' | '\\') {
                out.push('\\');
            }
            out.push(char);
        }
        out.push('"');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_milliseconds() {
        let check = |ms: i64| {
            let mut out = BytesMut::new();
            Ms(ms).to_sql(&Type::TIMESTAMPTZ, &mut out).expect("an integer");
            assert_eq!(Ms::from_sql(&Type::TIMESTAMPTZ, &out).expect("an instant"), Ms(ms));
        };
        [0, -1, 1_735_689_610_123, EPOCH_MS, EPOCH_MS - 1].into_iter().for_each(check);
    }

    #[test]
    fn arrays_are_quoted() {
        let mut out = String::new();
        push_text_array(&mut out, ["a", "b\"c\\", "", "NULL"].into_iter());
        assert_eq!(out, r#"{"a","b\"c\\","","NULL"}"#);
    }
}
