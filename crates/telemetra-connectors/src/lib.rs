//! Sources and sinks: folders, Kafka, PostgreSQL, SQLite. Siblings never import each other, and none knows settings or
//! HTTP. `ledger` is beneath the stores: what both of them read alike. `tls` and `secret` are beneath all that have
//! servers to talk to.

pub mod folder;
pub mod kafka;
mod ledger;
pub mod postgres;
mod secret;
pub mod sqlite;
mod tls;

pub use self::{
    ledger::{ChatTables, CommerceTables, FileLedger, Quarantine, Rejected, Replayed, StoreReader, Wanted},
    secret::Secret,
    tls::{Identity, Roots},
};
