//! Measures the commerce pipeline on one thread: nanoseconds a row, for rows of about 112 bytes.
//!
//! `cargo run --release -p telemetra-core --example commerce_speed`. Compare figures of the same minute only; machines
//! vary more than the code does.
#![allow(clippy::print_stdout)]

use std::{hint::black_box, time::Instant};

use telemetra_core::{
    commerce::{Commerce, Format, Scratch, Zone},
    generate::{CommerceGenerator, CommercePlan},
    logic::Logic,
    record::{Origin, Record},
};

/// Little enough to stay in the cache, as chunks of a file do; enough that branches are not learnt by heart.
const ROWS: usize = 4_000;
const ROUNDS: usize = 500;

fn rows(format: Format, plan: CommercePlan) -> Vec<Vec<u8>> {
    let mut generator = CommerceGenerator::new(plan).expect("a good plan");
    let row = |_| {
        let mut line = Vec::new();
        generator.next(format, &mut line);
        line
    };
    (0..ROWS).map(row).collect()
}

/// Prints the best of many rounds over all rows.
fn measure(name: &str, mut round: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .min()
        .expect("at least one round");
    let ns = best.as_nanos() as f64 / ROWS as f64;
    println!("{name:<44} {ns:7.1} ns/row {:6.2} M rows/s", 1_000.0 / ns);
}

/// Measures parse and check, and the same with the fold.
fn measure_all(name: &str, format: Format, zone: &str, rows: &[Vec<u8>], is_text_known: bool) {
    let commerce = Commerce { format, timezone: Zone::named(zone).expect("a zone of the database") };
    let mut scratch = Scratch::default();
    let chunk = rows.join(&b'\n');
    let records: Vec<Record<'_>> = chunk
        .split(|byte| *byte == b'\n')
        .map(|bytes| Record {
            head: Some(CommerceGenerator::HEAD.as_bytes()),
            text: str::from_utf8(bytes).ok().filter(|_| is_text_known),
            ..Record::of_bytes(bytes)
        })
        .collect();
    measure(name, || {
        for record in &records {
            black_box(commerce.decode(*record, &mut scratch).is_ok());
        }
    });
    if is_text_known {
        measure("  with the fold", || {
            let mut partial = commerce.begin();
            for (offset, record) in (0..).zip(&records) {
                if let Ok(event) = commerce.decode(*record, &mut scratch) {
                    let origin = Origin { offset, raw: record.bytes, ..Origin::default() };
                    commerce.fold(&mut partial, 0, &event, &origin);
                }
            }
            black_box(&partial);
        });
    }
}

fn main() {
    let good = CommercePlan::default();
    let dirty = CommercePlan { invalid_share: 0.03, duplicate_share: 0.02, ..good.clone() };
    let csv = rows(Format::Csv, good.clone());
    println!("{} bytes a row", csv.iter().map(Vec::len).sum::<usize>() / ROWS);
    measure_all("CSV", Format::Csv, "UTC", &csv, true);
    measure_all("CSV, not known to be UTF-8", Format::Csv, "UTC", &csv, false);
    measure_all("CSV, Europe/Berlin", Format::Csv, "Europe/Berlin", &csv, true);
    measure_all("CSV, 3 % invalid", Format::Csv, "UTC", &rows(Format::Csv, dirty), true);
    let quoted: Vec<_> = csv.iter().map(|row| quote(row)).collect();
    measure_all("CSV, every field quoted", Format::Csv, "UTC", &quoted, true);
    measure_all("JSON", Format::Json, "UTC", &rows(Format::Json, good), true);
}

/// The same row with quotes around each field; rows that have some already stay as they are.
fn quote(row: &[u8]) -> Vec<u8> {
    if row.contains(&b'"') {
        return row.to_vec();
    }
    [b"\"", &row.split(|byte| *byte == b',').collect::<Vec<_>>().join(&b"\",\""[..])[..], b"\""].concat()
}
