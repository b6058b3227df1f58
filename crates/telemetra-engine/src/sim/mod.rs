//! A world in memory to try the engine in: a log that arrives on a virtual clock, and a store that fails the
//! way real ones do.
//!
//! | file | owns |
//! |---|---|
//! | `dice` | chance from a seed |
//! | `log` | one partition: records, holes, hung transactions, files, what is lost, by instant |
//! | `source` | [`source::MemSource`]: the trait `Source` over such logs |
//! | `faults` | what happens to a commit: refused, too large, reply lost, applied late, crash |
//! | `store` | the tables, and one transaction over them |
//! | `rules` | what a commit must fulfil to be written |
//! | `sink` | [`sink::MemSink`]: the trait `Sink` over such a store |
//! | `audit` | whether the whole store balances |
//! | `reference` | rows computed again, naively, from the recorded batch ranges |
//! | `sums` | a small second [`telemetra_core::logic::Logic`] |
//!
//! Log and store outlive an instance of a job: after a crash a new instance is made over the same ones.
//! Nothing here reads a clock or starts a thread, so a seed gives the same run each time. It is test code:
//! no product appears in it, and nothing of it is in a release.

pub mod audit;
pub mod dice;
pub mod faults;
#[cfg(test)]
mod hand;
pub mod log;
pub mod reference;
mod rules;
pub mod sink;
pub mod source;
pub mod store;
pub mod sums;
