//! How long the index pass and reading with splitting take, per record.
//!
//! `cargo run --release -p telemetra-connectors --example read_speed [MEGABYTES [lines|csv|quoted]]` writes a
//! folder of that size (1,000 by default) under the system's temporary folder and removes it again. Lines are
//! 260 bytes long, CSV records 112; `quoted` has two fields in quotes in each, one of them with a newline.
#![allow(clippy::print_stdout, reason = "an example shows what it measures")]

use std::{error::Error, fs, io::Write, time::Instant};

use telemetra_connectors::folder::{Arrival, CsvRules, FolderInput, FolderOptions, FolderSource, Format};
use telemetra_engine::source::{Chunk, Source};

const LINE_BYTES: usize = 260;
const ROW_BYTES: usize = 112;
const FILE_RECORDS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(1_000), |word| word.parse())?;
    let kind = std::env::args().nth(2).unwrap_or_else(|| "lines".to_owned());
    let (format, record_bytes) = match &*kind {
        "lines" => (Format::Lines, LINE_BYTES),
        _ => (Format::Csv(CsvRules { check_head: |_| Ok(()), other_columns: |_| Vec::new() }), ROW_BYTES),
    };
    let dir = tempfile::tempdir()?;
    for file in 0..(megabytes * 1_000_000 / (record_bytes * FILE_RECORDS)).max(1) {
        let mut out = std::io::BufWriter::new(fs::File::create(dir.path().join(format!("{file:06}")))?);
        if kind != "lines" {
            writeln!(out, "event_id,user_id,product_id,product_name,category,price,event_type,timestamp")?;
        }
        for record in 0..FILE_RECORDS {
            let (head, tail) = match &*kind {
                "lines" => (format!("{{\"event\":\"{file:06}-{record:06}\",\"text\":\""), "\"}"),
                "csv" => (format!("{file:06}-{record:06},u1,p1,x"), ",Toys,9.99,view,2025-03-01 10:00:00"),
                _ => (
                    format!("{file:06}-{record:06},u1,p1,\"x"),
                    "\",\"To\nys\",9.99,view,2025-03-01 10:00:00",
                ),
            };
            writeln!(out, "{head:x<width$}{tail}", width = record_bytes - 1 - tail.len())?;
        }
        out.flush()?;
    }
    for threads in [1, 2] {
        let options = FolderOptions {
            format,
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
