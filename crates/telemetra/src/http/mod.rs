//! The page at a loopback port: what a job shows of itself, for one person on this machine.
//!
//! | file | owns |
//! |---|---|
//! | `data` | the shapes of what is queried from the store |
//! | `on_demand` | a reader that is opened when it is first asked |
//! | `serve` | a thread of its own with the only async runtime, sockets and their limits |
//! | `routes` | requests to answers |
//! | `guard` | who may ask what, and the headers of each answer |
//! | `jobs` | whose snapshots are shown |
//! | `live` | the server-sent events |
//! | `page.*` | the page; nothing is fetched from elsewhere |
//!
//! It never holds up a run: it reads the latest snapshot and its own connection to the store.

pub mod data;
mod guard;
pub mod jobs;
mod live;
pub mod on_demand;
mod routes;
mod serve;

pub use serve::{Page, bind, bind_from, start};
