//! Reads a topic from its first to its last stable offset and does nothing but count: what Kafka alone costs.
//!
//! `cargo run --release -p telemetra-connectors --example kafka_read -- HOST PORT TOPIC`
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::{error::Error, fs, time::Instant};

use telemetra_connectors::kafka::{Address, Cluster, Which};
use telemetra_engine::source::{Chunk, RangeReader};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, name] = &arguments[..] else { return Err("HOST PORT TOPIC".into()) };
    let cluster = Cluster::new(vec![Address { host: host.clone(), port: port.parse()? }]);
    let topic =
        cluster.topics(std::slice::from_ref(name))?.pop().flatten().ok_or("there is no such topic")?;
    let begins = cluster.offsets(&topic, Which::Earliest)?;
    let ends = cluster.offsets(&topic, Which::LastStable)?;
    let (begun, mut chunk) = (Instant::now(), Chunk::default());
    let (mut records, mut bytes) = (0_u64, 0_u64);
    for (partition, (begin, end)) in (0..).zip(begins.into_iter().zip(ends)) {
        let range = begin.unwrap_or(0)..end.unwrap_or(0);
        let mut reader = cluster.read(topic.clone(), partition, range);
        while reader.next_chunk(&mut chunk)? {
            records += chunk.records.len() as u64;
            bytes += chunk.records.iter().map(|span| u64::from(span.end - span.start)).sum::<u64>();
        }
    }
    let wall_s = begun.elapsed().as_secs_f64();
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("a name in brackets")?.1.split_whitespace().skip(11).take(2);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{records} records, {bytes} bytes, {wall_s:.2} s, {:.2} CPU-s, {peak}", ticks as f64 / 100.0);
    Ok(())
}
