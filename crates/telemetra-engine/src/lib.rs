//! The data's way: plan, read, decode, fold, merge, emit, commit, over the traits [`source::Source`] and
//! [`sink::Sink`].
//!
//! The engine knows partitions, offsets, event time and batches. It knows no client library, no HTTP and no
//! product: what a record means is the [`telemetra_core::logic::Logic`] it is given.

pub mod advance;
pub mod audit;
pub mod batch;
pub mod committer;
pub mod error;
pub mod fold;
pub mod gaps;
pub mod ids;
pub mod late_files;
pub mod limits;
pub mod peek;
pub mod plan;
pub mod progress;
pub mod report;
pub mod restore;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod sink;
pub mod size;
pub mod source;
pub mod split;
pub mod status;
pub mod step;
pub mod workers;
