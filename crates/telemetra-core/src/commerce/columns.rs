//! The eight columns, and where a file's head puts them.
//!
//! Owns the names, their order and their widths; values are `check`'s. Columns stand in any order, others beside them
//! are ignored. The invariant: a mapping is only made of a head that names each column once.

use super::split;
use crate::record::Reject;

/// How many there are.
pub(super) const COUNT: usize = 8;

/// The columns in the order in which their faults are listed.
pub const NAMES: [&str; COUNT] =
    ["event_id", "user_id", "product_id", "product_name", "category", "price", "event_type", "timestamp"];

/// Places in [`NAMES`].
pub(super) const EVENT_ID: usize = 0;
pub(super) const USER_ID: usize = 1;
pub(super) const PRODUCT_ID: usize = 2;
pub(super) const PRODUCT_NAME: usize = 3;
pub(super) const CATEGORY: usize = 4;
pub(super) const PRICE: usize = 5;
pub(super) const EVENT_TYPE: usize = 6;
pub(super) const TIMESTAMP: usize = 7;

/// Characters that a column holds; what is not stored as text has no width.
pub(super) const CHARS_MAX: [usize; COUNT] = [50, 50, 50, 255, 100, usize::MAX, 20, usize::MAX];

/// Passes a file whose first record names each column once; for a look at a file before it is read.
///
/// # Errors
/// The codes `header_missing:NAME` and `header_duplicate:NAME` in column order, joined by `|`; or `header_quoting`.
pub fn check_head(head: &[u8]) -> Result<(), String> {
    map(head).map(drop)
}

/// Names in a file's first record that are none of [`NAMES`], in its order; bytes that are no text are replaced. A field
/// without a name is left out.
pub fn other_columns(head: &[u8]) -> Vec<String> {
    let mut buffer = Vec::new();
    let Ok(parts) = split::spans(head, &mut buffer) else { return Vec::new() };
    let names = parts.iter().map(|span| span.of(head, &buffer));
    let names = names.map(|name| String::from_utf8_lossy(split::trim(name)).into_owned());
    names.filter(|name| !name.is_empty() && !NAMES.contains(&name.as_str())).collect()
}

/// Stands for a field that no column is made of.
const IGNORED: u8 = u8::MAX;

/// The column of each field.
fn map(head: &[u8]) -> Result<Vec<u8>, String> {
    let (mut fields, mut buffer, mut seen) = (Vec::new(), Vec::new(), [0_u32; COUNT]);
    let parts = split::spans(head, &mut buffer).map_err(|_| "header_quoting".to_owned())?;
    for span in parts {
        let name = split::trim(span.of(head, &buffer));
        let column = NAMES.iter().position(|known| known.as_bytes() == name);
        if let Some(column) = column {
            seen[column] += 1;
        }
        fields.push(column.map_or(IGNORED, |column| column as u8));
    }
    let faults: Vec<_> = NAMES
        .iter()
        .zip(seen)
        .filter(|(_, times)| *times != 1)
        .map(|(name, times)| format!("header_{}:{name}", if times == 0 { "missing" } else { "duplicate" }))
        .collect();
    if faults.is_empty() { Ok(fields) } else { Err(faults.join("|")) }
}

/// The head that was read last, and what it says.
#[derive(Debug)]
pub(super) struct Header {
    head: Vec<u8>,
    columns: Result<Vec<u8>, String>,
}

impl Default for Header {
    fn default() -> Self {
        Self { head: Vec::new(), columns: map(b"") }
    }
}

impl Header {
    /// How the fields of a file with this head map to columns.
    #[inline]
    pub(super) fn learn(&mut self, head: &[u8]) -> Result<Columns<'_>, Reject> {
        if self.head != head {
            self.head.clear();
            self.head.extend_from_slice(head);
            self.columns = map(head);
        }
        match &self.columns {
            Ok(columns) => Ok(Columns(columns)),
            Err(codes) => Err(Reject(codes.clone().into())),
        }
    }
}

/// The column of each field of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a>(&'a [u8]);

impl Columns<'_> {
    /// The column of field number `field`; `None` for one that is ignored or that the head does not have.
    #[inline]
    pub(super) fn of(self, field: usize) -> Option<usize> {
        self.0.get(field).copied().map(usize::from).filter(|&column| column < COUNT)
    }

    /// Fields that a record must have.
    #[inline]
    pub(super) fn fields(self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expected: Result<(), &str>) {
        assert_eq!(check_head(head.as_bytes()), expected.map_err(Into::into), "{head:?}");
    }

    #[test]
    fn heads() {
        let all = NAMES.join(",");
        check(&all, Ok(()));
        check(&format!("{all}\r"), Ok(()));
        check(
            "timestamp, price ,\"event_id\",event_type,x,category,product_name,product_id,user_id,x,,",
            Ok(()),
        );
        let others = other_columns(format!("{all}, x ,,\"y \"\"z\"\"\",Price\r").as_bytes());
        assert_eq!(others, ["x", "y \"z\"", "Price"]);
        assert_eq!(other_columns(all.as_bytes()), [""; 0]);
        check(&all.replace("price", "Price"), Err("header_missing:price"));
        check(
            &all.replace("price,", "").replace("event_id,", ""),
            Err("header_missing:event_id|header_missing:price"),
        );
        check(&format!("{all}, price"), Err("header_duplicate:price"));
        check(&all.replace("user_id", "timestamp"), Err("header_missing:user_id|header_duplicate:timestamp"));
        check(&format!("{all},\"x"), Err("header_quoting"));
        let nothing: Vec<_> = NAMES.iter().map(|name| format!("header_missing:{name}")).collect();
        check("", Err(&nothing.join("|")));
    }

    #[test]
    fn a_head_is_learnt_anew_when_it_changes() {
        let mut header = Header::default();
        assert!(header.learn(b"").is_err());
        let columns =
            header.learn(b"x,timestamp,price,event_id,event_type,category,product_name,product_id,user_id");
        let columns = columns.unwrap();
        assert_eq!(
            (columns.of(0), columns.of(1), columns.of(8), columns.of(9)),
            (None, Some(7), Some(1), None)
        );
        assert_eq!(columns.fields(), 9);
        assert!(header.learn(b"x").is_err());
        assert_eq!(header.learn(NAMES.join(",").as_bytes()).unwrap().of(0), Some(0));
    }
}
