//! What each command does, given valid settings.

pub mod after_commit;
pub mod audit;
mod away;
pub mod check;
pub mod demo;
pub mod generate;
pub mod meter;
mod metrics_log;
pub mod migrate;
pub mod offsets;
pub mod once;
pub mod quarantine;
pub mod run;
pub mod run_loop;
pub mod status;
mod take_over;
