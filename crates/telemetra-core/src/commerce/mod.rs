//! Commerce: what a shop event is, and when it becomes a row.
//!
//! | file | owns |
//! |---|---|
//! | `rows` | the candidates of a batch, in the order of their offsets |
//! | `classify` | which candidates are new, duplicates or conflicts |
//!
//! Events have no place in a window: rows are unique by `event_id`, the first stays.

pub mod classify;
pub mod rows;
