//! What the data means: events, event time, windows and panes, the watermark, decoding, sentiment,
//! moments, and the fold and merge of aggregates.
//!
//! Everything here is a pure function of its arguments. There is no I/O, clock, thread, async, logging or
//! environment in this crate: time, randomness and offsets arrive as arguments. `tests/it/tidy.rs` checks it.

pub mod chat;
pub mod commerce;
pub mod generate;
pub mod hash;
mod json;
pub mod limits;
pub mod logic;
pub mod mutant;
pub mod names;
pub mod record;
pub mod timestamp;
pub mod watermark;
pub mod window;
