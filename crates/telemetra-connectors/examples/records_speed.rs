//! What reading a fetch response's records costs, by compression, batch and record.
//!
//! `cargo run --release -p telemetra-connectors --example records_speed [RECORDS [BATCH_BYTES]]` reads a million records
//! of 250 bytes (by default) in batches of 16 kB and responses of 4 MB, eight times. Figures are the least and the
//! median; allocations are those of one reading.
#![allow(clippy::print_stdout, reason = "an example shows what it measures")]

use std::{error::Error, hint::black_box, io::Write, time::Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use telemetra_connectors::kafka::records::Fetched;
use telemetra_engine::source::Chunk;

const RESPONSE_BYTES: usize = 4 << 20;
const RECORD_BYTES: usize = 250;
const ROUNDS: usize = 8;

const WORDS: [&str; 12] =
    ["chat", "love", "PogChamp", "that", "was", "close", "again", "KEKW", "what", "a", "play", "nice"];

/// A chat event of about the length that real ones have; few are alike.
fn value(at: u64) -> Bytes {
    let mut random = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed;
    let mut text = format!(
        "{{\"event_id\":\"{random:016x}\",\"timestamp\":\"2025-01-01T{:02}:{:02}:{:02}.{:03}Z\",\"stream_id\":\"stream_{:04}\",\
         \"user_id\":\"user_{}\",\"message\":\"",
        at / 3_600_000 % 24,
        at / 60_000 % 60,
        at / 1_000 % 60,
        at % 1_000,
        random % 20,
        random >> 45,
    );
    while text.len() < RECORD_BYTES - 10 {
        random = random.rotate_left(11).wrapping_mul(0x2545_f491_4f6c_dd1d);
        text.push_str(WORDS[(random >> 40) as usize % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(RECORD_BYTES - 2);
    text.push_str("\"}");
    text.into()
}

fn pack(raw: &[u8], out: &mut BytesMut, codec: Compression) -> Result<(), Box<dyn Error>> {
    let packed = match codec {
        Compression::None => raw.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(raw)?;
            encoder.finish()?
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(raw)?,
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(raw)?;
            encoder.finish()?
        }
        Compression::Zstd => zstd::stream::encode_all(raw, 3)?,
    };
    out.extend_from_slice(&packed);
    Ok(())
}

/// Responses that hold `records` records.
fn responses(records: u64, batch_bytes: usize, codec: Compression) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let batch_records = (batch_bytes / (RECORD_BYTES + 12)).max(1);
    let (mut responses, mut response) = (Vec::new(), BytesMut::new());
    let all: Vec<u64> = (0..records).collect();
    for offsets in all.chunks(batch_records) {
        let batch: Vec<_> = offsets.iter().map(|at| record(*at)).collect();
        let options = RecordEncodeOptions { version: 2, compression: codec };
        let compressor = |raw: &mut BytesMut, out: &mut BytesMut, codec| {
            pack(raw, out, codec).expect("memory takes all that is written");
            Ok(())
        };
        RecordBatchEncoder::encode_with_custom_compression(
            &mut response,
            &batch,
            &options,
            Some(compressor),
        )?;
        if response.len() >= RESPONSE_BYTES {
            responses.push(response.split().to_vec());
        }
    }
    responses.push(response.to_vec());
    Ok(responses)
}

fn record(at: u64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: at as i64,
        sequence: at as i32,
        timestamp: 1_735_689_600_000 + at as i64,
        key: Some(Bytes::from(format!("stream_{:04}", at % 20))),
        value: Some(value(at)),
        headers: indexmap::IndexMap::new(),
    }
}

/// Reads all responses; returns how many records there were, and nanoseconds. Copies are made outside the time.
fn read(responses: &[Vec<u8>], chunk: &mut Chunk) -> Result<(u64, u64), Box<dyn Error>> {
    let (mut records, mut ns, mut buffer) = (0, 0, Vec::with_capacity(RESPONSE_BYTES * 2));
    for response in responses {
        // A reader's receive buffer: it is written before it is walked.
        buffer.clear();
        buffer.extend_from_slice(response);
        let end = buffer.len();
        let began = Instant::now();
        let mut fetched = Fetched::new(buffer, 0..end, Vec::new());
        while fetched.next_chunk(&(0..u64::MAX), chunk)? {
            records += chunk.records.len() as u64;
            black_box(&chunk);
        }
        buffer = fetched.into_buffer();
        ns += began.elapsed().as_nanos() as u64;
    }
    Ok((records, ns))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let batch_bytes: usize = arguments.next().map_or(Ok(16_000), |word| word.parse())?;
    for codec in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let responses = responses(records, batch_bytes, codec)?;
        let bytes: usize = responses.iter().map(Vec::len).sum();
        let mut chunk = Chunk::default();
        // The first round makes the buffers.
        read(&responses, &mut chunk)?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let (found, ns) = read(&responses, &mut chunk)?;
            assert_eq!(found, records, "every record is read");
            times.push(ns as f64 / records as f64);
        }
        times.sort_by(f64::total_cmp);
        let allocated = allocation_counter::measure(|| {
            read(&responses, &mut chunk).expect("it was read before");
        });
        println!(
            "{codec:?}: {:.1} ns a record, median {:.1}; {} bytes of {RECORD_BYTES}; {} allocations in {} responses, {:.4} a record",
            times[0],
            times[times.len() / 2],
            bytes as u64 / records,
            allocated.count_total,
            responses.len(),
            allocated.count_total as f64 / records as f64,
        );
        if codec == Compression::None {
            let least = (0..ROUNDS).map(|_| {
                let began = Instant::now();
                for response in &responses {
                    black_box(crc32c::crc32c(response));
                }
                began.elapsed().as_nanos() as u64
            });
            println!("  of which the checksum {:.1}", least.min().unwrap_or(0) as f64 / records as f64);
        }
    }
    Ok(())
}
