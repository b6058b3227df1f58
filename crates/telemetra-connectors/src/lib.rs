//! Sources and sinks: folders, Kafka, PostgreSQL, SQLite. Siblings never import each other, and none knows settings or
//! HTTP. `ledger` is beneath the stores: what both of them read alike.

pub mod folder;
pub mod kafka;
mod ledger;
pub mod postgres;
pub mod sqlite;

pub use self::ledger::{
    ChatTables, CommerceTables, FileLedger, Quarantine, Rejected, Replayed, StoreReader, Wanted,
};
