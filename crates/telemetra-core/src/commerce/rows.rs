//! Candidates of a batch: records that kept every rule, with what a row needs and where they came from.
//!
//! Pages of text and numbers instead of one allocation a record. Whether a candidate becomes a row only the store
//! can say. The invariant: candidates are ordered by (partition, offset), however the batch was split.

use std::sync::Arc;

use crate::record::Origin;

/// What happened to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// Looked at.
    View,
    /// Put into the cart.
    AddToCart,
    /// Bought.
    Purchase,
}

impl EventType {
    /// All of them.
    pub const ALL: [EventType; 3] = [EventType::View, EventType::AddToCart, EventType::Purchase];

    /// The word in records and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::View => "view",
            EventType::AddToCart => "add_to_cart",
            EventType::Purchase => "purchase",
        }
    }

    /// The event type of exactly this word.
    pub fn of(word: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// What a row of `user_events` holds; text is trimmed and fits its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payload<'a> {
    /// Who.
    pub user_id: &'a str,
    /// Which product.
    pub product_id: &'a str,
    /// Its name.
    pub product_name: &'a str,
    /// Its category.
    pub category: &'a str,
    /// 1 to 9,999,999,999, hundredths.
    pub price_cents: i64,
    /// What happened.
    pub event_type: EventType,
    /// When, microseconds since the Unix epoch, 1970 to 2100.
    pub time_us: i64,
}

/// A record that kept every rule.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// 1 to 50 characters.
    pub event_id: &'a str,
    /// All else.
    pub payload: Payload<'a>,
    /// Where it was read, with its bytes.
    pub origin: Origin<'a>,
}

/// The candidates of one batch.
#[derive(Clone, Debug, Default)]
pub struct CommerceRows {
    /// Ordered by (partition, first offset); ranges of offsets do not overlap, none is empty.
    pages: Vec<Page>,
    /// Number of the first candidate of each page.
    firsts: Vec<usize>,
}

/// The candidates of one split.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pages: Vec<Page>,
}

/// Rows of a page. Pages stay below what a general allocator takes from the system anew each time.
const PAGE_ROWS: usize = 512;
/// Raw bytes of a page of more than one row.
const PAGE_RAW_BYTES: usize = 64 << 10;
/// Text that a page makes room for.
const PAGE_TEXT_BYTES: usize = 40 << 10;

/// Some candidates of one partition, one behind the other.
#[derive(Clone, Debug)]
struct Page {
    partition: (u8, u32),
    text: String,
    raw: Vec<u8>,
    files: Vec<Arc<str>>,
    rows: Vec<Row>,
}

/// Where a candidate's parts lie in its page.
#[derive(Clone, Debug)]
struct Row {
    offset: u64,
    price_cents: i64,
    time_us: i64,
    /// Physical line, 0 for none.
    line: u64,
    /// Where its bytes begin in the file.
    byte_from: u64,
    /// Length of those bytes, or [`NONE`].
    byte_count: u32,
    /// Number in `files`, or [`NONE`].
    file: u32,
    /// Where its raw bytes end; they begin where those of the row before end.
    raw_end: u32,
    /// Where its text begins, and where each of the five fields ends behind that.
    text: u32,
    ends: [u16; 5],
    event_type: EventType,
}

/// No file, no bytes of one.
const NONE: u32 = u32::MAX;

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a page is far smaller than 4 GiB")
}

impl Block {
    /// Adds a candidate; (partition, offset) ascends.
    ///
    /// # Panics
    /// If its text is longer than 64 KiB or its record longer than 4 GiB: fields fit their columns, and records are
    /// bounded by [`crate::limits::RECORD_BYTES_MAX`].
    pub fn push(&mut self, event_id: &str, payload: &Payload<'_>, origin: &Origin<'_>) {
        let last = self.pages.last_mut().filter(|page| page.has_room(origin));
        let page = match last {
            Some(page) => page,
            None => self.pages.push_mut(Page::new(origin.partition)),
        };
        page.push(event_id, payload, origin);
    }
}

impl Page {
    fn new(partition: (u8, u32)) -> Self {
        Self {
            partition,
            text: String::with_capacity(PAGE_TEXT_BYTES),
            raw: Vec::with_capacity(PAGE_RAW_BYTES),
            files: Vec::new(),
            rows: Vec::with_capacity(PAGE_ROWS),
        }
    }

    fn has_room(&self, origin: &Origin<'_>) -> bool {
        self.partition == origin.partition
            && self.rows.len() < PAGE_ROWS
            && self.raw.len() + origin.raw.len() <= PAGE_RAW_BYTES
    }

    fn push(&mut self, event_id: &str, payload: &Payload<'_>, origin: &Origin<'_>) {
        let text = self.text.len();
        let fields = [event_id, payload.user_id, payload.product_id, payload.product_name, payload.category];
        let ends = fields.map(|field| {
            self.text.push_str(field);
            u16::try_from(self.text.len() - text).expect("fields fit their columns")
        });
        self.raw.extend_from_slice(origin.raw);
        let bytes = origin.bytes.as_ref();
        let row = Row {
            offset: origin.offset,
            price_cents: payload.price_cents,
            time_us: payload.time_us,
            line: origin.line.unwrap_or(0),
            byte_from: bytes.map_or(0, |bytes| bytes.start),
            byte_count: bytes.map_or(NONE, |bytes| {
                u32::try_from(bytes.end - bytes.start).expect("records are far shorter than 4 GiB")
            }),
            file: origin.file.map_or(NONE, |file| self.file(file)),
            raw_end: small(self.raw.len()),
            text: small(text),
            ends,
            event_type: payload.event_type,
        };
        self.rows.push(row);
    }

    fn file(&mut self, file: &Arc<str>) -> u32 {
        // A split reads its files one after the other.
        if self.files.last() != Some(file) {
            self.files.push(Arc::clone(file));
        }
        small(self.files.len() - 1)
    }

    /// The candidate of a place in this page.
    fn get(&self, place: usize) -> Candidate<'_> {
        let row = &self.rows[place];
        let mut from = 0;
        let [event_id, user_id, product_id, product_name, category] = row.ends.map(|end| {
            let field = &self.text[row.text as usize + from..row.text as usize + usize::from(end)];
            from = usize::from(end);
            field
        });
        let raw_begin = place.checked_sub(1).map_or(0, |before| self.rows[before].raw_end);
        let (price_cents, event_type, time_us) = (row.price_cents, row.event_type, row.time_us);
        Candidate {
            event_id,
            payload: Payload {
                user_id,
                product_id,
                product_name,
                category,
                price_cents,
                event_type,
                time_us,
            },
            origin: Origin {
                partition: self.partition,
                offset: row.offset,
                file: self.files.get(row.file as usize),
                line: Some(row.line).filter(|&line| line > 0),
                bytes: (row.byte_count != NONE)
                    .then(|| row.byte_from..row.byte_from + u64::from(row.byte_count)),
                raw: &self.raw[raw_begin as usize..row.raw_end as usize],
            },
        }
    }

    fn begin(&self) -> Option<((u8, u32), u64)> {
        self.rows.first().map(|row| (self.partition, row.offset))
    }
}

impl CommerceRows {
    /// The candidates of the splits of a batch, in any order of the splits.
    pub fn new(blocks: Vec<Block>) -> Self {
        let mut pages: Vec<Page> = blocks.into_iter().flat_map(|block| block.pages).collect();
        pages.sort_by_key(Page::begin);
        let mut next = 0;
        let firsts = pages.iter().map(|page| {
            next += page.rows.len();
            next - page.rows.len()
        });
        let firsts = firsts.collect();
        Self { pages, firsts }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pages.iter().map(|page| page.rows.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The candidate of a number, from 0 in their order.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn get(&self, number: usize) -> Candidate<'_> {
        let page = self.firsts.partition_point(|&first| first <= number) - 1;
        self.pages[page].get(number - self.firsts[page])
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'_>> + Clone {
        self.pages.iter().flat_map(|page| (0..page.rows.len()).map(|place| page.get(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_any_number_of_candidates_of_any_size() {
        let payload = Payload {
            user_id: "u",
            product_id: "p",
            product_name: "n",
            category: "c",
            price_cents: 1,
            event_type: EventType::View,
            time_us: 0,
        };
        let raw = |number: u64| vec![number.to_le_bytes()[0]; if number % 700 == 3 { 300_000 } else { 90 }];
        let mut block = Block::default();
        for number in 0..2_000 {
            let partition = (0, if number < 1_000 { 0 } else { 1 });
            let raw = raw(number);
            let origin = Origin { partition, offset: number % 1_000, raw: &raw, ..Origin::default() };
            block.push(&number.to_string(), &payload, &origin);
        }
        let rows = CommerceRows::new(vec![block]);
        assert_eq!(rows.len(), 2_000);
        for (number, it) in (0..).zip(rows.iter()) {
            assert_eq!((it.event_id, it.origin.raw), (&*number.to_string(), &*raw(number)));
            let same = rows.get(usize::try_from(number).unwrap());
            assert_eq!((same.event_id, same.origin.offset), (it.event_id, number % 1_000));
            assert!(it.origin.file.is_none() && it.origin.bytes.is_none() && it.origin.line.is_none());
        }
    }

    #[test]
    fn candidates_come_back_as_they_went_in_ordered_by_offset() {
        let (a, b): (Arc<str>, Arc<str>) = ("a.csv".into(), "b.csv".into());
        let payload = Payload {
            user_id: "ü",
            product_id: "",
            product_name: "Crème",
            category: "Home",
            price_cents: 999,
            event_type: EventType::Purchase,
            time_us: 7,
        };
        let origin = |offset, file, raw| Origin {
            partition: (0, 0),
            offset,
            file: Some(file),
            line: Some(offset + 2),
            bytes: Some(offset * 9..offset * 9 + 3),
            raw,
        };
        let mut blocks = [Block::default(), Block::default()];
        blocks[0].push("late", &payload, &origin(5, &b, b"xyz"));
        blocks[1].push("one", &payload, &origin(0, &a, b"abc"));
        blocks[1].push("two", &payload, &origin(1, &b, b"def"));
        let rows = CommerceRows::new(blocks.into());
        let seen: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(number, it)| {
                assert_eq!(it.payload, payload);
                assert_eq!(rows.get(number).origin.offset, it.origin.offset);
                let origin = it.origin;
                format!(
                    "{} {:?} {:?} {:?} {:?}",
                    it.event_id, origin.file, origin.line, origin.bytes, origin.raw
                )
            })
            .collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            seen,
            [
                "one Some(\"a.csv\") Some(2) Some(0..3) [97, 98, 99]",
                "two Some(\"b.csv\") Some(3) Some(9..12) [100, 101, 102]",
                "late Some(\"b.csv\") Some(7) Some(45..48) [120, 121, 122]",
            ]
        );
    }
}
