//! Eight fields to a line of CSV or JSON, as our generators spell them and as others do.

use super::event::ShopEvent;
use crate::{
    commerce::{Format, NAMES},
    generate::line::{self, Stamp},
};

/// Places of fields that are looked at by name.
pub(super) const PRICE: usize = 5;
const TIMESTAMP: usize = 7;

/// The texts of a record's fields by column; buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) texts: [Vec<u8>; 8],
    /// All fields are quoted in CSV, the price is a string in JSON.
    is_quoted: bool,
    /// The price is no number, so in JSON it must be a string.
    pub(super) is_broken: bool,
}

impl Fields {
    /// Takes an event's fields, spelled as ever.
    pub(super) fn spell(&mut self, event: &ShopEvent, stamp: &mut Stamp) {
        (self.is_quoted, self.is_broken) = (false, false);
        self.texts.iter_mut().for_each(Vec::clear);
        let [id, user, product, name, category, price, event_type, time] = &mut self.texts;
        uuid(id, event.id);
        line::text(user, "user_");
        line::number(user, event.user.into());
        line::text(product, "prod_");
        line::number(product, event.product.number.into());
        line::text(name, event.product.name);
        line::text(category, event.product.category);
        line::number(price, event.cents / 100);
        price.extend_from_slice(&[
            b'.',
            b'0' + (event.cents / 10 % 10) as u8,
            b'0' + (event.cents % 10) as u8,
        ]);
        line::text(event_type, event.event_type.as_str());
        stamp.write(time, event.time_ms);
        time.truncate(19);
        time[10] = b' ';
    }

    /// Spells the same payload in one of four ways, the first as ever.
    pub(super) fn spell_otherwise(&mut self, way: u32) {
        match way {
            0 => {}
            1 => self.is_quoted = true,
            2 => {
                for text in &mut self.texts {
                    text.insert(0, b' ');
                    text.push(b'\t');
                }
                self.is_quoted = true;
            }
            _ => {
                self.texts[PRICE].insert(0, b'+');
                self.texts[PRICE].push(b'0');
                self.texts[TIMESTAMP][10] = b'T';
                line::text(&mut self.texts[TIMESTAMP], ".000000000");
                self.is_quoted = true;
            }
        }
    }

    /// Appends the record.
    pub(super) fn write(&self, format: Format, line: &mut Vec<u8>) {
        match format {
            Format::Csv => self.csv(line),
            Format::Json => self.json(line),
        }
    }

    fn csv(&self, line: &mut Vec<u8>) {
        for (at, text) in self.texts.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            if self.is_quoted || text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
                line.push(b'"');
                for byte in text {
                    line.push(*byte);
                    if *byte == b'"' {
                        line.push(b'"');
                    }
                }
                line.push(b'"');
            } else {
                line.extend_from_slice(text);
            }
        }
    }

    fn json(&self, line: &mut Vec<u8>) {
        for (at, (name, text)) in NAMES.iter().zip(&self.texts).enumerate() {
            line::text(line, if at == 0 { "{\"" } else { ",\"" });
            line::text(line, name);
            line::text(line, "\":");
            if at == PRICE && !self.is_quoted && !self.is_broken {
                line.extend_from_slice(text);
            } else {
                string(line, text);
            }
        }
        line.push(b'}');
    }
}

/// Appends a JSON string.
fn string(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => {
                line::text(line, "\\u00");
                hex(line, (*byte).into(), 2);
            }
            _ => line.push(*byte),
        }
    }
    line.push(b'"');
}

/// Appends a UUID's 36 characters.
fn uuid(line: &mut Vec<u8>, id: u128) {
    for (at, (shift, digits)) in [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)].into_iter().enumerate() {
        if at > 0 {
            line.push(b'-');
        }
        hex(line, id >> shift, digits);
    }
}

/// Appends the last `digits` hexadecimal digits.
fn hex(line: &mut Vec<u8>, number: u128, digits: u32) {
    for digit in (0..digits).rev() {
        line.push(b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15]);
    }
}
