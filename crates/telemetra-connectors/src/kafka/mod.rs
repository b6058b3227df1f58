//! Kafka topics, read by ranges of offsets: no consumer group, no callback. A split says which offsets, the bytes come
//! back.
//!
//! ```text
//! cluster ── who leads a partition? ── connection ── one request, one response
//! reader  ── fetch ── a response's bytes ── records ── chunk
//! ```
//! | part | question it answers |
//! |---|---|
//! | `cluster` | which brokers there are, and which of them leads which partition |
//! | `connection` | how a request goes out and its response comes in |
//! | `fault` | what went wrong, by what is to be done |
//! | `fetch` | where the records lie in a response |
//! | `offsets` | where partitions begin and end |
//! | `reader` | the records of a range, whoever leads the partition meanwhile |
//! | `records` | which records lie in the bytes that a broker sent |
//!
//! Only what no transaction can still give up is read (`read_committed`).

mod cluster;
mod connection;
mod fault;
mod fetch;
mod offsets;
mod reader;
pub mod records;

pub use self::{
    cluster::{Cluster, Leader, Topic},
    connection::Address,
    fault::Fault,
    offsets::Which,
    reader::Reader,
};
