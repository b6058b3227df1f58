//! Topics of real brokers, read by the range reader.
//!
//! | file | question it answers |
//! |---|---|
//! | `cases` | what becomes of records and batches that are large, packed tight or damaged |
//! | `equality` | whether whole topics are read, record by record, as an independent client reads them |
//! | `produce` | what we write, read by others |
//! | `reader` | what a reader does when the partition changes under it, and what it asks for |
//! | `security` | who is let in, and what is said to who is not |

mod cases;
mod equality;
mod produce;
mod reader;
mod security;

use telemetra_connectors::kafka::{Address, Cluster, Reader, Security, Topic};
use telemetra_engine::source::{Chunk, RangeReader, SourceError};
use telemetra_services::kafka::{Kafka, Listener};

fn addresses(kafka: &Kafka, listener: Listener) -> Vec<Address> {
    let address = |it: &str| {
        let (host, port) = it.rsplit_once(':').expect("host:port");
        Address { host: host.to_owned(), port: port.parse().expect("a port") }
    };
    kafka.address(listener).split(',').map(address).collect()
}

fn cluster(kafka: &Kafka) -> Cluster {
    Cluster::new(addresses(kafka, Listener::Plain), Security::default())
}

/// The topic as it is now.
fn topic(cluster: &Cluster, name: &str) -> Topic {
    cluster.topics(&[name.to_owned()]).expect("a broker").pop().flatten().expect("the topic")
}

/// How many records a reader hands over to its end, and the next offset behind the last of them.
fn drain(reader: &mut Reader) -> Result<(usize, u64), SourceError> {
    let (mut count, mut next, mut chunk) = (0, 0, Chunk::default());
    while reader.next_chunk(&mut chunk)? {
        for span in &chunk.records {
            assert!(span.offset >= next);
            next = span.offset + 1;
        }
        count += chunk.records.len();
    }
    Ok((count, next))
}
