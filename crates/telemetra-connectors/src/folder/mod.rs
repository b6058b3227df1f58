//! Folders of JSON Lines or CSV files, plain or compressed, as a source.
//!
//! | part | question it answers |
//! |---|---|
//! | `scan`, `settle`, `entry` | which files are there, and which may be read |
//! | `format`, `lines`, `csv`, `drift` | what a record is, what makes a file one record, and columns that nobody reads |
//! | `index`, `pass`, `decompress`, `fingerprint` | what a file holds, without looking at its records |
//! | `sequence`, `intake`, `take_in`, `resume` | in which order files are read, and what is known already |
//! | `cut`, `reader`, `records` | which offsets a range has, and the records in them |
//! | `processed` | where files go when they are done |
//! | `write` | how a file is put into a folder at once |
//!
//! The invariant: an offset that was handed out names the same record for good. It rests on pieces that never
//! change place once they were begun, and on fingerprints that are compared before a file is read again.

mod csv;
mod cut;
mod decompress;
mod drift;
mod entry;
mod fingerprint;
mod format;
mod index;
mod intake;
pub mod limits;
mod lines;
mod pass;
mod processed;
mod reader;
mod records;
mod report;
mod resume;
mod scan;
mod sequence;
mod settle;
mod source;
mod stamp;
mod take_in;
#[cfg(test)]
mod tests;
pub mod write;

pub use format::{CsvRules, Format};
pub use report::{Duplicate, Report, Unmoved};
pub use settle::Arrival;
pub use source::{FolderInput, FolderOptions, FolderOrder, FolderSource, Reporter};
