//! Kafka topics, read by ranges of offsets.
//!
//! | part | question it answers |
//! |---|---|
//! | `records` | which records lie in the bytes that a broker sent |

mod cluster;
mod connection;
mod fault;
mod fetch;
mod offsets;
mod reader;
pub mod records;
