//! Records that must be refused, with the codes that DESIGN §6 gives each.
//!
//! A value of `x51` stands for so many letters. Stamps out of range are so in every time zone. No record spans lines.

use super::write::Fields;
use crate::{commerce::Format, generate::random::Random};

/// Values in place of good ones, by column.
type Change = (usize, &'static [u8]);

/// What is wrong with fields, in both formats: codes and values.
const FIELDS: [(&str, &[Change]); 36] = [
    ("missing_field:event_id", &[(0, b"")]),
    ("missing_field:user_id", &[(1, b"")]),
    ("missing_field:product_id", &[(2, b"  ")]),
    ("missing_field:product_name", &[(3, b"\t")]),
    ("missing_field:category", &[(4, b"")]),
    ("missing_field:price", &[(5, b"")]),
    ("missing_field:event_type", &[(6, b"")]),
    ("missing_field:timestamp", &[(7, b" ")]),
    ("too_long:event_id", &[(0, b"x51")]),
    ("too_long:product_name", &[(3, b"x256")]),
    ("too_long:category", &[(4, b"x101")]),
    ("event_type", &[(6, b"Purchase")]),
    ("event_type", &[(6, b"refund")]),
    ("too_long:event_type|event_type", &[(6, b"remove_from_wish_list")]),
    ("price_syntax", &[(5, b"NaN")]),
    ("price_syntax", &[(5, b"Infinity")]),
    ("price_syntax", &[(5, b"1e3")]),
    ("price_syntax", &[(5, b"$19.99")]),
    ("price_syntax", &[(5, b"1,299.00")]),
    ("price_range", &[(5, b"0")]),
    ("price_range", &[(5, b"-5.00")]),
    ("price_range", &[(5, b"0.004")]),
    ("price_range", &[(5, b"99999999.995")]),
    ("timestamp_syntax", &[(7, b"yesterday")]),
    ("timestamp_syntax", &[(7, b"2025-02-30 10:00:00")]),
    ("timestamp_syntax", &[(7, b"2025-01-01 10:00:60")]),
    ("timestamp_syntax", &[(7, b"01/02/2025 10:00")]),
    ("timestamp_range", &[(7, b"1901-01-01 00:00:00")]),
    ("timestamp_range", &[(7, b"2150-01-01T00:00:00Z")]),
    ("nul_byte", &[(3, b"nul\0here")]),
    ("missing_field:user_id|missing_field:price", &[(1, b""), (5, b"")]),
    ("price_syntax|timestamp_syntax", &[(5, b"free"), (7, b"soon")]),
    ("missing_field:category|price_range|event_type", &[(4, b""), (5, b"0.00"), (6, b"VIEW")]),
    ("too_long:user_id|price_syntax", &[(1, b"x60"), (5, b"nan")]),
    ("utf8", &[(3, b"caf\xe9")]),
    ("utf8", &[(4, b"\xff\xfe")]),
];

/// Spoils the record that begins at a place of a line and ends with it.
type Spoil = fn(&mut Vec<u8>, usize);

/// What is wrong with a whole line of CSV.
const CSV: [(&str, Spoil); 5] = [
    ("field_count", |line, _| line.extend_from_slice(b",surplus")),
    ("field_count", |line, from| {
        // Before the first name that may be quoted.
        let comma = line[from..].iter().position(|byte| *byte == b',').unwrap_or(0);
        line.truncate(from + comma);
    }),
    ("quoting", |line, from| line.insert(from + 3, b'"')),
    ("quoting", |line, from| {
        line.splice(from..from, *b"\"closed\"");
    }),
    ("header_repeated", |line, from| {
        line.truncate(from);
        line.extend_from_slice(super::CommerceGenerator::HEAD.as_bytes());
    }),
];

/// What is wrong with a whole JSON record.
const JSON: [(&str, Spoil); 6] = [
    ("json_syntax", |line, from| line.truncate(from + 60)),
    ("json_syntax", |line, _| line.extend_from_slice(b"{}")),
    ("not_object", |line, from| {
        line.insert(from, b'[');
        line.push(b']');
    }),
    ("not_object", |line, from| {
        line.truncate(from);
        line.extend_from_slice(b"\"view\"");
    }),
    ("type:user_id", |line, _| replace_end(line, br#","user_id":42}"#)),
    ("type:price", |line, _| replace_end(line, br#","price":[9.99]}"#)),
];

fn replace_end(line: &mut Vec<u8>, end: &[u8]) {
    line.pop();
    line.extend_from_slice(end);
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Fields(&'static str, &'static [Change]),
    Line(&'static str, Spoil),
}

impl Fault {
    pub(super) fn pick(format: Format, random: &mut Random) -> Fault {
        let lines: &[(&str, Spoil)] = match format {
            Format::Csv => &CSV,
            Format::Json => &JSON,
        };
        let at = random.below((FIELDS.len() + lines.len()) as u32) as usize;
        match FIELDS.get(at) {
            Some((codes, changes)) => Fault::Fields(codes, changes),
            None => Fault::Line(lines[at - FIELDS.len()].0, lines[at - FIELDS.len()].1),
        }
    }

    /// The codes that the record must get.
    pub(super) fn codes(self) -> &'static str {
        match self {
            Fault::Fields(codes, _) | Fault::Line(codes, _) => codes,
        }
    }

    /// Appends the record of `fields` with this fault.
    pub(super) fn write(self, fields: &mut Fields, format: Format, line: &mut Vec<u8>) {
        let from = line.len();
        match self {
            Fault::Fields(_, changes) => {
                fields.is_broken = true;
                for (column, value) in changes {
                    put(&mut fields.texts[*column], value);
                }
                fields.write(format, line);
            }
            Fault::Line(_, spoil) => {
                fields.write(format, line);
                spoil(line, from);
            }
        }
    }
}

fn put(text: &mut Vec<u8>, value: &[u8]) {
    text.clear();
    let letters = value.strip_prefix(b"x").and_then(|len| str::from_utf8(len).ok()?.parse().ok());
    match letters {
        Some(letters) => text.resize(letters, b'x'),
        None => text.extend_from_slice(value),
    }
}
