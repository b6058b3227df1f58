//! Generated events to files, a pipe or Kafka: the caller of the pure generator in core.
//!
//! | file | owns |
//! |---|---|
//! | `files` | one folder's files: written under a hidden name, renamed in when complete |
//! | `feed` | both folders of chat fed from one generator, rotated by event time, paced by the clock or not |
//! | `shop` | a folder of CSV fed likewise, with the sums of what was written |
//! | `topics` | topics of Kafka fed from either generator |

pub mod feed;
pub mod files;
pub mod shop;
mod slots;
pub mod topics;
