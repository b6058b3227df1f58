//! Refused records outside the store: their export, the list for people, and the replay.
//!
//! The table is the truth; nothing here decides what is refused.

mod candidates;
pub mod export;
pub mod exporter;

pub use candidates::{Tried, candidates};
