//! The store on PostgreSQL, version 13 and newer.
//!
//! | file | owns |
//! |---|---|
//! | `address` | where the server is, as users write it |
//! | `tls` | how the connection is protected |
//! | `session` | one connection with a time limit on every call |
//! | `failure` | what an error means for a batch, by SQLSTATE |
//! | `migrate`, `migrations/` | the schema's version, and who moves it forward |
//! | `schema` | what the tables must look like |
//! | `columns` | what the tables do look like, held against `schema` |
//! | `quote` | names and texts inside of SQL |
//! | `adopt` | the tables of the old job |
//! | `roles` | least-privilege roles |
//! | `take_over` | epoch, lease, and where a job stands, read under lock |
//! | `commit` | one batch, one transaction |
//! | `ledger_rows` | positions, ranges, segments, gaps, refused and late records |
//! | `chat_rows` | `chat_summary_minute` and `moments` |
//! | `reader` | a connection that cannot write, for `status`, `audit` and the page |

mod address;
mod adopt;
mod columns;
mod failure;
mod migrate;
mod quote;
mod roles;
mod schema;
mod session;

pub use self::{
    address::Address,
    migrate::{Migrated, ensure, migrate},
    roles::roles_sql,
    schema::SCHEMA_VERSION,
};
