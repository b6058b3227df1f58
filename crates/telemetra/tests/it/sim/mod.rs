//! The engine in a simulated world: a log that arrives on a virtual clock, a store that fails as real ones do.
//!
//! | file | owns |
//! |---|---|
//! | `input` | what arrives when: histories, live flow, files |
//! | `product` | how events become records of a product, and what its rows must hold |
//! | `chat` | the chat pipeline as such a product |
//! | `drive` | a job run instance by instance, with crashes and faults, and checked afterwards |
//! | `stamps` | wrong, future and late stamps |
//! | `backlog` | histories of unequal partitions: bounded panes and replay, nothing late |
//! | `live` | live flow: empty, refused, slow, silent, hung and ended partitions |
//! | `folders` | files that come late as a whole |
//! | `closing` | drain, flush, gaps, changed meaning, a second instance |
//! | `slow` | a store too slow for large batches |
//! | `properties` | any split and any crash give the same rows |
//! | `fuzz` | seeded random worlds with all faults |
//! | `golden` | the same inputs as the executable model of the rules, the same rows |
//!
//! Times are seconds where a name does not say otherwise; the world begins at [`input::NOW_S`].

#![allow(
    clippy::print_stdout,
    reason = "a run prints its numbers; the test harness shows them when asked or when it fails"
)]

mod backlog;
mod chat;
mod closing;
mod drive;
mod folders;
mod fuzz;
mod golden;
mod input;
mod live;
mod product;
mod properties;
mod slow;
mod stamps;
