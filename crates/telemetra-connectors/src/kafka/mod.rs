//! Kafka topics, read by ranges of offsets.
//!
//! | part | question it answers |
//! |---|---|
//! | `records` | which records lie in the bytes that a broker sent |

pub mod records;
