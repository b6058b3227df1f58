//! The rules that a record must keep, and the codes of those it breaks.
//!
//! Knows neither CSV nor JSON: eight fields go in, an event or every code comes out. One pass makes both, so that what
//! is accepted and what is refused cannot drift apart. A field whose bytes are no text, or hold NUL, breaks that rule
//! alone; of the others in its column all are looked at.

use super::{
    columns::{
        CATEGORY, CHARS_MAX, COUNT, EVENT_ID, EVENT_TYPE, NAMES, PRICE, PRODUCT_ID, PRODUCT_NAME, TIMESTAMP,
        USER_ID,
    },
    event::CommerceEvent,
    price::{self, PriceError},
    rows::{EventType, Payload},
    split,
    time::{self, Minute, TimeError, Zone},
};
use crate::record::Reject;

/// What a record has for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'r> {
    /// Text, not yet trimmed; empty if there is none.
    Text(&'r str),
    /// Bytes that are not UTF-8.
    Bytes(&'r [u8]),
    /// A value of another type than the column has.
    WrongType,
}

/// The fields of a record by column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'r> {
    /// In the order of [`NAMES`].
    pub(super) by_column: [Field<'r>; COUNT],
    /// Whether a field may hold a NUL byte; a look at the whole record is cheaper than one at each field.
    pub(super) may_hold_nul: bool,
}

/// Rules that one field breaks, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Faults(u16);

impl Faults {
    const NONE: Faults = Faults(0);
    const MISSING: Faults = Faults(1 << 0);
    const TOO_LONG: Faults = Faults(1 << 1);
    const EVENT_TYPE: Faults = Faults(1 << 2);
    const PRICE_SYNTAX: Faults = Faults(1 << 3);
    const PRICE_RANGE: Faults = Faults(1 << 4);
    const TIMESTAMP_SYNTAX: Faults = Faults(1 << 5);
    const TIMESTAMP_RANGE: Faults = Faults(1 << 6);
    const TZ_GAP: Faults = Faults(1 << 7);
    const TZ_AMBIGUOUS: Faults = Faults(1 << 8);
    const NUL_BYTE: Faults = Faults(1 << 9);
    const UTF8: Faults = Faults(1 << 10);
    const TYPE: Faults = Faults(1 << 11);

    /// Code of each bit, and whether the column's name follows.
    const CODES: [(&str, bool); 12] = [
        ("missing_field", true),
        ("too_long", true),
        ("event_type", false),
        ("price_syntax", false),
        ("price_range", false),
        ("timestamp_syntax", false),
        ("timestamp_range", false),
        ("tz_gap", false),
        ("tz_ambiguous", false),
        ("nul_byte", false),
        ("utf8", false),
        ("type", true),
    ];

    fn and(self, other: Faults) -> Faults {
        Faults(self.0 | other.0)
    }
}

/// Makes an event of a record that keeps every rule.
///
/// # Errors
/// The codes of all rules that it breaks, in column order, joined by `|`.
pub(super) fn check<'r>(
    fields: &Fields<'r>,
    zone: &Zone,
    minute: &mut Minute,
) -> Result<CommerceEvent<'r>, Reject> {
    let event_id = fields.text(EVENT_ID);
    let user_id = fields.text(USER_ID);
    let product_id = fields.text(PRODUCT_ID);
    let product_name = fields.text(PRODUCT_NAME);
    let category = fields.text(CATEGORY);
    let price_cents = fields.price_cents();
    let event_type = fields.event_type();
    let time_us = fields.time_us(zone, minute);
    match (event_id, user_id, product_id, product_name, category, price_cents, event_type, time_us) {
        (
            Ok(event_id),
            Ok(user_id),
            Ok(product_id),
            Ok(product_name),
            Ok(category),
            Ok(price_cents),
            Ok(event_type),
            Ok(time_us),
        ) => {
            let payload =
                Payload { user_id, product_id, product_name, category, price_cents, event_type, time_us };
            Ok(CommerceEvent { event_id, payload })
        }
        _ => {
            let texts = [event_id, user_id, product_id, product_name, category].map(faults);
            let [a, b, c, d, e] = texts;
            Err(reject([a, b, c, d, e, faults(price_cents), faults(event_type), faults(time_us)]))
        }
    }
}

fn faults<T>(field: Result<T, Faults>) -> Faults {
    field.err().unwrap_or(Faults::NONE)
}

/// The codes of a record, a code without a name once.
#[cold]
fn reject(by_column: [Faults; COUNT]) -> Reject {
    let mut codes = String::new();
    let mut told = Faults::NONE;
    for (name, faults) in NAMES.iter().zip(by_column) {
        for (bit, (code, is_named)) in Faults::CODES.iter().enumerate() {
            let fault = Faults(1 << bit);
            if faults.0 & fault.0 == 0 || told.0 & fault.0 != 0 {
                continue;
            }
            if !codes.is_empty() {
                codes.push('|');
            }
            codes.push_str(code);
            if *is_named {
                codes.push(':');
                codes.push_str(name);
            } else {
                told = told.and(fault);
            }
        }
    }
    Reject(codes.into())
}

impl<'r> Fields<'r> {
    /// A field's trimmed text, which is not empty.
    #[inline]
    fn trimmed(&self, column: usize) -> Result<&'r str, Faults> {
        let text = match self.by_column[column] {
            Field::Text(text) => text,
            Field::Bytes(bytes) if memchr::memchr(0, bytes).is_some() => {
                return Err(Faults::NUL_BYTE.and(Faults::UTF8));
            }
            Field::Bytes(_) => return Err(Faults::UTF8),
            Field::WrongType => return Err(Faults::TYPE),
        };
        let text = &text[split::trimmed(text.as_bytes())];
        if text.is_empty() {
            Err(Faults::MISSING)
        } else if self.may_hold_nul && memchr::memchr(0, text.as_bytes()).is_some() {
            Err(Faults::NUL_BYTE)
        } else {
            Ok(text)
        }
    }

    /// A field's trimmed text, which its column holds.
    #[inline]
    fn text(&self, column: usize) -> Result<&'r str, Faults> {
        self.trimmed(column)
            .and_then(|text| if is_too_long(text, column) { Err(Faults::TOO_LONG) } else { Ok(text) })
    }

    #[inline]
    fn price_cents(&self) -> Result<i64, Faults> {
        price::parse(self.trimmed(PRICE)?.as_bytes()).map_err(|error| match error {
            PriceError::Syntax => Faults::PRICE_SYNTAX,
            PriceError::Range => Faults::PRICE_RANGE,
        })
    }

    #[inline]
    fn event_type(&self) -> Result<EventType, Faults> {
        let text = self.trimmed(EVENT_TYPE)?;
        EventType::of(text).ok_or_else(|| {
            let too_long = if is_too_long(text, EVENT_TYPE) { Faults::TOO_LONG } else { Faults::NONE };
            too_long.and(Faults::EVENT_TYPE)
        })
    }

    #[inline]
    fn time_us(&self, zone: &Zone, minute: &mut Minute) -> Result<i64, Faults> {
        time::instant_us(self.trimmed(TIMESTAMP)?.as_bytes(), zone, minute).map_err(|error| match error {
            TimeError::Syntax => Faults::TIMESTAMP_SYNTAX,
            TimeError::Range => Faults::TIMESTAMP_RANGE,
            TimeError::Gap => Faults::TZ_GAP,
            TimeError::Ambiguous => Faults::TZ_AMBIGUOUS,
        })
    }

    /// Whether every field is a column's name: the head of a file in the midst of another.
    #[cold]
    pub(super) fn is_head(&self) -> bool {
        self.by_column.iter().all(|field| match field {
            Field::Text(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(text);
                NAMES.contains(&&text[split::trimmed(text.as_bytes())])
            }
            _ => false,
        })
    }
}

/// Whether a text has more characters than its column holds.
#[inline]
fn is_too_long(text: &str, column: usize) -> bool {
    text.len() > CHARS_MAX[column] && text.chars().count() > CHARS_MAX[column]
}
