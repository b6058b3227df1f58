//! Candidates of a batch: records that kept every rule, with what a row needs and where they came from.
//!
//! Blocks of text and numbers instead of one allocation a record. Whether a candidate becomes a row only the store
//! can say. The invariant: candidates are ordered by (partition, offset), however the batch was split.

use std::{ops::Range, sync::Arc};

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
    /// Ordered by (partition, first offset); ranges of offsets do not overlap.
    blocks: Vec<Block>,
}

/// The candidates of one split.
#[derive(Clone, Debug, Default)]
pub struct Block {
    text: String,
    raw: Vec<u8>,
    files: Vec<Arc<str>>,
    rows: Vec<Row>,
}

/// Where a candidate's parts lie in its block.
#[derive(Clone, Debug)]
struct Row {
    /// Where its text begins, and where each of the five fields ends behind that.
    text: usize,
    ends: [u16; 5],
    price_cents: i64,
    event_type: EventType,
    time_us: i64,
    raw: Range<usize>,
    partition: (u8, u32),
    offset: u64,
    /// Number in `files`, and physical line.
    place: Option<(u32, u64)>,
    bytes: Option<Range<u64>>,
}

impl Block {
    /// Adds a candidate; offsets ascend.
    ///
    /// # Panics
    /// If its text is longer than 64 KiB: fields fit their columns.
    pub fn push(&mut self, event_id: &str, payload: &Payload<'_>, origin: &Origin<'_>) {
        let text = self.text.len();
        let fields = [event_id, payload.user_id, payload.product_id, payload.product_name, payload.category];
        let ends = fields.map(|field| {
            self.text.push_str(field);
            u16::try_from(self.text.len() - text).expect("fields fit their columns")
        });
        let raw = self.raw.len();
        self.raw.extend_from_slice(origin.raw);
        let place = origin.file.map(|file| (self.file(file), origin.line.unwrap_or(0)));
        self.rows.push(Row {
            text,
            ends,
            price_cents: payload.price_cents,
            event_type: payload.event_type,
            time_us: payload.time_us,
            raw: raw..self.raw.len(),
            partition: origin.partition,
            offset: origin.offset,
            place,
            bytes: origin.bytes.clone(),
        });
    }

    fn file(&mut self, file: &Arc<str>) -> u32 {
        // A split reads its files one after the other.
        if self.files.last() != Some(file) {
            self.files.push(Arc::clone(file));
        }
        u32::try_from(self.files.len() - 1).expect("a block has fewer files than records")
    }

    fn get(&self, row: &Row) -> Candidate<'_> {
        let mut from = 0;
        let [event_id, user_id, product_id, product_name, category] = row.ends.map(|end| {
            let field = &self.text[row.text + from..row.text + usize::from(end)];
            from = usize::from(end);
            field
        });
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
                partition: row.partition,
                offset: row.offset,
                file: row.place.map(|(file, _)| &self.files[file as usize]),
                line: row.place.map(|(_, line)| line).filter(|&line| line > 0),
                bytes: row.bytes.clone(),
                raw: &self.raw[row.raw.clone()],
            },
        }
    }

    fn begin(&self) -> Option<((u8, u32), u64)> {
        self.rows.first().map(|row| (row.partition, row.offset))
    }
}

impl CommerceRows {
    /// The candidates of the splits of a batch, in any order of the splits.
    pub fn new(mut blocks: Vec<Block>) -> Self {
        blocks.retain(|block| !block.rows.is_empty());
        blocks.sort_by_key(Block::begin);
        Self { blocks }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.rows.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'_>> + Clone {
        self.blocks.iter().flat_map(|block| block.rows.iter().map(|row| block.get(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            .map(|it| {
                assert_eq!(it.payload, payload);
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
