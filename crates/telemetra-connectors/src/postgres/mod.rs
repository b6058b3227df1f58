//! The store on PostgreSQL, version 13 and newer.
//!
//! | file | owns |
//! |---|---|
//! | `address`, `secret` | where the server is, as users write it |
//! | `tls` | whose certificate is good enough |
//! | `connect`, `setup` | from an address to one server that will do, and a session set up there |
//! | `session` | one connection with a time limit on every call |
//! | `failure` | what an error means for a batch, by SQLSTATE |
//! | `migrate`, `migrations/` | the schema's version, and who moves it forward |
//! | `schema` | what the tables must look like |
//! | `columns` | what the tables do look like, held against `schema` |
//! | `quote` | names and texts inside of SQL |
//! | `foresee` | what a run would find |
//! | `adopt` | the tables of the old job |
//! | `roles` | least-privilege roles |
//! | `sink` | the engine's `Sink` |
//! | `link` | the sink's connection, and its sign of life |
//! | `flight` | statements that travel together |
//! | `take_over` | epoch, lease, and where a job stands, read under lock |
//! | `commit` | one batch, one transaction |
//! | `in_doubt` | what became of a COMMIT whose answer was lost |
//! | `positions`, `ranges`, `segments`, `refused` | what a batch adds to the ledger |
//! | `tables` | what the protocol asks of a pipeline's tables |
//! | `chat_rows` | `chat_summary_minute` and `moments` |
//! | `commerce_rows` | `user_events` and `rejected_events` |
//! | `quarantine` | refused records: exported, tried again |
//! | `values` | values on the wire |
//! | `snapshot` | the SQL that stores share, run on PostgreSQL |
//! | `reader` | a connection that cannot write, for `status`, `audit` and the page |

mod address;
mod adopt;
mod chat_rows;
mod columns;
mod commerce_rows;
mod commit;
mod connect;
mod failure;
#[cfg(test)]
mod fake;
mod flight;
mod foresee;
mod in_doubt;
mod link;
mod migrate;
mod positions;
mod quarantine;
mod quote;
mod ranges;
mod reader;
mod refused;
mod roles;
mod schema;
mod segments;
mod session;
mod setup;
mod sink;
mod snapshot;
mod tables;
mod take_over;
mod tls;
mod values;

use std::cell::Cell;

use telemetra_engine::source::Input;

use crate::ledger::Pipeline;

pub use crate::secret::Secret;

pub use self::{
    address::{Address, AddressFault, ChannelBinding, Host, PORT, Parts, SslMode, Target},
    foresee::foresee,
    migrate::{Migrated, migrate, zone_fault},
    quarantine::open_quarantine,
    reader::open_reader,
    roles::roles_sql,
    schema::SCHEMA_VERSION,
    sink::PostgresSink,
};

/// What a job is for good.
#[derive(Clone, Debug)]
struct Job {
    name: String,
    pipeline: Pipeline,
}

/// What an instance has once it took the job over.
#[derive(Clone, Debug)]
struct Held {
    epoch: u64,
    inputs: Vec<Input>,
    /// Batches that will ask which events are known before they write any: some lately held such.
    asking: Cell<u32>,
}
