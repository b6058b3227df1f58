//! Kafka topics, read by ranges of offsets: no consumer group, no callback. A split says which offsets, the bytes come
//! back.
//!
//! ```text
//! cluster ── who leads a partition? ── connection ── one request, one response
//! reader  ── fetch ── a response's bytes ── records ── chunk
//! ```
//! | part | question it answers |
//! |---|---|
//! | `admin` | how topics are made |
//! | `cluster` | which brokers there are, and which of them leads which partition |
//! | `connection` | how a request goes out and its response comes in |
//! | `epochs` | where the leadership of a partition ended |
//! | `fault` | what went wrong, by what is to be done |
//! | `fetch` | where the records lie in a response |
//! | `group` | how lag tools learn what we have read |
//! | `leave` | how soon a wait ends once somebody wants to leave |
//! | `offsets` | where partitions begin and end |
//! | `policy` | whether a topic is compacted |
//! | `produce` | records of ours to topics, each once |
//! | `reader` | the records of a range, asked for ahead |
//! | `records` | which records lie in the bytes that a broker sent |
//! | `security` | how a broker and we prove to each other who we are |
//! | `source` | topics as the input of a job: where it stands, what halts it |
//! | `start_at` | where a new job begins |
//!
//! Only what no transaction can still give up is read (`read_committed`).

mod admin;
mod cluster;
mod connection;
mod epochs;
mod fault;
mod fetch;
mod group;
mod leave;
mod offsets;
mod policy;
mod produce;
mod reader;
pub mod records;
mod security;
mod source;
mod start_at;

pub use self::{
    admin::{NewTopic, create_topics},
    cluster::{Cluster, Leader, Topic, Traffic},
    connection::Address,
    fault::Fault,
    fetch::Answer,
    group::commit_group,
    offsets::Which,
    produce::{Codec, Producer},
    reader::Reader,
    security::{Login, Mechanism, Security, Tls},
    source::{KafkaInput, KafkaOptions, KafkaSource, Report, Reporter, Skip},
    start_at::{Start, StartAt, StartOffset},
};
