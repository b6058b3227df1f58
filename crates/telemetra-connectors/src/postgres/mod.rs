//! The store on PostgreSQL, version 13 and newer.
//!
//! | file | owns |
//! |---|---|
//! | `address`, `secret` | where the server is, as users write it |
//! | `tls` | whose certificate is good enough |
//! | `connect`, `setup` | from an address to one server that will do, and a session set up there |
//! | `session` | one connection with a time limit on every call |
//! | `failure` | what an error means for a batch, by SQLSTATE |
//! | `migrate`, `migrations/` | the schema |
//! | `adopt` | the tables of the old job |
//! | `roles` | least-privilege roles |
//! | `take_over` | epoch, lease, and where a job stands, read under lock |
//! | `commit` | one batch, one transaction |
//! | `ledger_rows` | positions, ranges, segments, gaps, refused and late records |
//! | `chat_rows` | `chat_summary_minute` and `moments` |
//! | `reader` | a connection that cannot write, for `status`, `audit` and the page |

mod address;
mod connect;
mod failure;
#[cfg(test)]
mod fake;
mod secret;
mod session;
mod setup;
mod tls;

pub use self::{
    address::{Address, AddressFault, ChannelBinding, Host, PORT, Parts, SslMode, Target},
    secret::Secret,
};
