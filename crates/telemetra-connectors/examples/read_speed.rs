//! How long the index pass and reading with splitting take, per record.
//!
//! `cargo run --release -p telemetra-connectors --example read_speed [MEGABYTES]` writes a folder of that
//! size (1,000 by default) under the system's temporary folder and removes it again.
#![allow(clippy::print_stdout, reason = "an example shows what it measures")]

use std::{error::Error, fs, io::Write, time::Instant};

use telemetra_connectors::folder::{Arrival, FolderInput, FolderOptions, FolderSource};
use telemetra_engine::source::{Chunk, Source};

const RECORD_BYTES: usize = 260;
const FILE_RECORDS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(1_000), |word| word.parse())?;
    let dir = tempfile::tempdir()?;
    for file in 0..(megabytes * 1_000_000 / (RECORD_BYTES * FILE_RECORDS)).max(1) {
        let mut out = std::io::BufWriter::new(fs::File::create(dir.path().join(format!("{file:06}.jsonl")))?);
        for record in 0..FILE_RECORDS {
            let head = format!("{{\"event\":\"{file:06}-{record:06}\",\"text\":\"");
            writeln!(out, "{head:x<width$}\"}}", width = RECORD_BYTES - 3)?;
        }
        out.flush()?;
    }
    for threads in [1, 2] {
        let options = FolderOptions {
            arrival: Arrival::Rename,
            ahead_records: u64::MAX,
            threads,
            ..Default::default()
        };
        let path = dir.path().to_path_buf();
        let mut source = FolderSource::new(vec![FolderInput { name: "chat", path: Some(path) }], options);
        source.resume(&[])?;
        let (mut at, mut index_s, mut read_s) = (0, 0.0, 0.0);
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        loop {
            let began = Instant::now();
            let views = source.poll(0)?;
            index_s += began.elapsed().as_secs_f64();
            let ranges = source.cut(views[0].id, at, u64::MAX, u64::MAX, 1)?;
            let Some(range) = ranges.last().cloned() else { break };
            let began = Instant::now();
            let mut reader = source.open(views[0].id, range.clone())?;
            while reader.next_chunk(&mut chunk)? {
                bytes += chunk.records.iter().map(|span| u64::from(span.end - span.start)).sum::<u64>();
            }
            drop(reader);
            read_s += began.elapsed().as_secs_f64();
            at = range.end;
            source.committed(views[0].id, at, at);
        }
        let ns = |seconds: f64| seconds * 1e9 / at as f64;
        println!(
            "{at} records, {bytes} bytes, {threads} index threads: index pass {:.0} ns a record, read and split {:.0} ns",
            ns(index_s),
            ns(read_s)
        );
    }
    Ok(())
}
