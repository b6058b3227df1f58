//! Commerce: what a shop event is, and when it becomes a row.
//!
//! | file | owns |
//! |---|---|
//! | `columns` | the eight columns, and where a file's head puts them |
//! | `split` | a record of CSV to its fields |
//! | `csv`, `json` | a record to its fields by column |
//! | `check` | the rules, and the codes of those that a record breaks |
//! | `price`, `time` | text to hundredths, text to an instant |
//! | `event` | what a decoded event holds |
//! | `codes` | the codes of records refused as a whole |
//! | `rows` | the candidates of a batch, in the order of their offsets |
//! | `classify` | which candidates are new, duplicates or conflicts |
//!
//! Events have no place in a window: rows are unique by `event_id`, the first stays.
//!
//! Every code of a refusal. They are part of `rejected_events` and never change their meaning; of those of fields all
//! that apply are listed, in column order, joined by `|`. Of a record as a whole one alone is given.
//!
//! | code | given to | when | by |
//! |---|---|---|---|
//! | `encoding_utf16` | a file | a UTF-16 byte order mark, or more than 10 % NUL bytes | the folder |
//! | `line_ends` | a file | lines end with CR alone | the folder |
//! | `header_missing:NAME`, `header_duplicate:NAME`, `header_quoting` | a file | its head does not name each column once; all of them in column order | [`check_head`] |
//! | `record_too_long` | a record | more than 1 MiB | here |
//! | `quoting` | a record | a quote where none may be, text behind a closing quote, no closing quote | here |
//! | `field_count` | a record | more or fewer fields than the head has | here |
//! | `header_repeated` | a record | a head again: each field is a column's name | here |
//! | `json_syntax`, `not_object`, `limit:depth`, `utf8` | a record (JSON) | not an object in UTF-8, at most 32 deep | here |
//! | `missing_field:NAME` | a field | empty after trimming; in JSON also absent or null | here |
//! | `type:NAME` | a field (JSON) | not a string; the price neither string nor number | here |
//! | `too_long:NAME` | a field | more characters than its column holds | here |
//! | `price_syntax`, `price_range` | a field | no plain decimal; not in 0.01 to 99999999.99 once rounded | here |
//! | `event_type` | a field | not exactly `view`, `add_to_cart` or `purchase` | here |
//! | `timestamp_syntax`, `timestamp_range` | a field | no date and time of the calendar; outside 1970-2100 | here |
//! | `tz_gap`, `tz_ambiguous` | a field | a local time that a clock change leaves out, or brings twice | here |
//! | `nul_byte`, `utf8` | a field | its bytes; then no other rule of this field is looked at. Listed once | here |
//! | `duplicate_conflict` | a record | another row has its event_id | the store, by [`classify`] |

mod check;
pub mod classify;
mod codes;
mod columns;
mod csv;
pub mod event;
mod json;
mod price;
pub mod rows;
mod split;
mod time;

#[cfg(test)]
mod tests;

pub use self::{
    columns::{NAMES, check_head, other_columns},
    time::Zone,
};
use self::{
    event::CommerceEvent,
    rows::{Block, CommerceRows},
};
use crate::{
    limits,
    logic::{EmitRequest, Emitted, Logic, MergeError, OpenCheck, WindowCount},
    record::{Origin, Record, Reject},
    watermark::Watermark,
};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// RFC 4180, columns named by the first record of the file.
    Csv,
    /// One JSON object a record.
    Json,
}

/// What the commerce pipeline is told: all of it changes meaning.
#[derive(Clone, Debug)]
pub struct Commerce {
    /// How records are written.
    pub format: Format,
    /// The time zone of stamps without an offset.
    pub timezone: Zone,
}

/// Buffers that decoding re-uses from record to record. They belong to one [`Commerce`].
#[derive(Debug, Default)]
pub struct Scratch {
    header: columns::Header,
    /// Text of fields that are not written as they read.
    buffer: Vec<u8>,
    minute: time::Minute,
}

impl Commerce {
    /// Decodes one record.
    ///
    /// # Errors
    /// Every code under which it is refused, joined by `|`; see the table above.
    #[inline]
    pub fn decode<'r>(
        &self,
        record: Record<'r>,
        scratch: &'r mut Scratch,
    ) -> Result<CommerceEvent<'r>, Reject> {
        if let Some(fault) = record.fault {
            return Err(Reject(fault.to_owned().into()));
        }
        if record.truncated || record.bytes.len() > limits::RECORD_BYTES_MAX {
            return Err(Reject::RECORD_TOO_LONG);
        }
        match self.format {
            Format::Csv => csv::decode(self, record, scratch),
            Format::Json => json::decode(self, record, scratch),
        }
    }
}

impl Logic for Commerce {
    type Event<'r> = CommerceEvent<'r>;
    type Scratch = Scratch;
    type Partial = Block;
    type Open = ();
    type Overlay = CommerceRows;
    type Rows = CommerceRows;
    type Ask = ();
    type Answer = ();

    #[inline]
    fn decode<'r>(
        &self,
        _input: u8,
        record: Record<'r>,
        scratch: &'r mut Scratch,
    ) -> Result<CommerceEvent<'r>, Reject> {
        Commerce::decode(self, record, scratch)
    }

    fn begin(&self) -> Block {
        Block::default()
    }

    #[inline]
    fn fold(&self, partial: &mut Block, _pane: i64, event: &CommerceEvent<'_>, origin: &Origin<'_>) {
        partial.push(event.event_id, &event.payload, origin);
    }

    fn open(&self, _closed_early: Vec<WindowCount>) {}

    fn merge(&self, (): &(), partials: Vec<Block>) -> Result<CommerceRows, MergeError> {
        Ok(CommerceRows::new(partials))
    }

    fn ask(&self, (): &(), _overlay: &CommerceRows, _request: &EmitRequest) {}

    /// Hands the candidates over. What becomes of them only the store can say, so none is counted here.
    fn emit(
        &self,
        (): &(),
        overlay: &mut CommerceRows,
        (): (),
        _request: &EmitRequest,
    ) -> Emitted<CommerceRows> {
        Emitted {
            rows: std::mem::take(overlay),
            final_count: 0,
            left_out: 0,
            open: OpenCheck::default(),
            final_rows: 0,
            provisional_rows: 0,
            open_windows: 0,
        }
    }

    fn absorb(&self, (): &mut (), _overlay: CommerceRows, _watermark: Watermark) {}

    fn check(&self, (): &(), _watermark: Watermark, _largest_ms: Option<i64>) -> OpenCheck {
        OpenCheck::default()
    }

    fn open_windows(&self, (): &(), _watermark: Watermark) -> Vec<WindowCount> {
        Vec::new()
    }
}
