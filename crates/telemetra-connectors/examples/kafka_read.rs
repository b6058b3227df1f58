//! Reads a topic from its first to its last stable offset and does nothing but count: what Kafka alone costs.
//!
//! `cargo run --release -p telemetra-connectors --example kafka_read -- HOST PORT TOPIC`
//!
//! With `print` behind, it writes partition, offset, time, key and value of each record as
//! `kcat -f '%p %o %T %k %s\n'` does: what to compare when somebody doubts what was read.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    error::Error,
    fs,
    io::{BufWriter, Write},
    time::Instant,
};

use telemetra_connectors::kafka::{Address, Cluster, Security, Which};
use telemetra_engine::source::{Chunk, RangeReader};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (host, port, name, is_printed) = match &arguments[..] {
        [host, port, name] => (host, port, name, false),
        [host, port, name, print] if print == "print" => (host, port, name, true),
        _ => return Err("HOST PORT TOPIC [print]".into()),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let cluster =
        Cluster::new(vec![Address { host: host.clone(), port: port.parse()? }], Security::default());
    let topic =
        cluster.topics(std::slice::from_ref(name))?.pop().flatten().ok_or("there is no such topic")?;
    let begins = cluster.offsets(&topic, Which::Earliest)?;
    let ends = cluster.offsets(&topic, Which::LastStable)?;
    let (begun, mut chunk) = (Instant::now(), Chunk::default());
    let (mut records, mut bytes) = (0_u64, 0_u64);
    for (partition, (begin, end)) in (0..).zip(begins.into_iter().zip(ends)) {
        let range = begin.unwrap_or(0)..end.unwrap_or(0);
        let mut reader = cluster.read(topic.clone(), partition, range);
        if is_printed {
            reader = reader.with_marks();
        }
        while reader.next_chunk(&mut chunk)? {
            records += chunk.records.len() as u64;
            bytes += chunk.records.iter().map(|span| u64::from(span.end - span.start)).sum::<u64>();
            for (span, mark) in chunk.records.iter().zip(reader.marks()) {
                write!(out, "{partition} {} {} ", span.offset, mark.timestamp_ms)?;
                out.write_all(&chunk.bytes[mark.key.clone().unwrap_or(0..0)])?;
                out.write_all(b" ")?;
                out.write_all(chunk.record(span).bytes)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    drop(out);
    if is_printed {
        return Ok(());
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
