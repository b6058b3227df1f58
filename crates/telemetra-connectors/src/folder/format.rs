//! What the files of a folder hold, and what is judged of a file as a whole.
//!
//! Knows where records begin, not what they mean: whether a head names the right columns is the caller's to say.

use std::sync::Arc;

use memchr::{memchr, memchr_iter};

use super::{limits::HEAD_BYTES_MAX, lines::BOM};

/// What the files of a folder hold.
#[derive(Clone, Copy, Debug, Default)]
pub enum Format {
    /// A record a line.
    #[default]
    Lines,
    /// RFC 4180, comma separated; the first record of each file names its columns.
    Csv(CsvRules),
}

/// What the caller knows of CSV files.
#[derive(Clone, Copy, Debug)]
pub struct CsvRules {
    /// Judges the first record of a file, without its line end.
    ///
    /// # Errors
    /// A code: the whole file is then one record under this code.
    pub check_head: fn(&[u8]) -> Result<(), String>,
    /// Names the columns of a head that nobody reads, in its order.
    pub other_columns: fn(&[u8]) -> Vec<String>,
}

/// Code of a file in UTF-16.
const ENCODING_UTF16: &str = "encoding_utf16";
/// Code of a file whose lines end in carriage returns alone.
const LINE_ENDS: &str = "line_ends";
/// Code of a file whose first record is no head for its length.
const RECORD_TOO_LONG: &str = "record_too_long";

impl CsvRules {
    /// Judges the head of a file; `is_cut` if there is more of it, `is_line` if a newline ended it.
    pub(crate) fn judge(self, head: &[u8], is_cut: bool, is_line: bool) -> Result<(), Arc<str>> {
        let has_return = memchr(b'\r', head).is_some_and(|place| place + 1 < head.len());
        if !is_line && has_return {
            return Err(LINE_ENDS.into());
        }
        if is_cut || head.len() > HEAD_BYTES_MAX {
            return Err(RECORD_TOO_LONG.into());
        }
        (self.check_head)(head).map_err(Arc::from)
    }
}

/// The code of a file whose first bytes are in UTF-16: a byte order mark, or NUL bytes beside ASCII characters.
pub(crate) fn encoding_fault(block: &[u8]) -> Option<&'static str> {
    let has_mark = block.starts_with(b"\xff\xfe") || block.starts_with(b"\xfe\xff");
    (has_mark || memchr_iter(0, block).count() > block.len() / 10).then_some(ENCODING_UTF16)
}

/// The beginning of a file without a byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}
