//! Batches of a known make, of Kafka's own kind and of none, read back.

mod faults;
mod properties;
mod transactions;

use std::{io::Write, ops::Range};

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use telemetra_core::limits::RECORD_BYTES_MAX;

use super::*;

/// Ways in which clients pack records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Snappy,
    SnappyFramed,
    Lz4,
    /// Blocks that look back, of 4 MiB, all checksums and the size in the header.
    Lz4Linked,
    Zstd,
    /// The size in the header.
    ZstdSized,
    /// Several members, streams or frames one behind the other.
    GzipTwice,
    SnappyTwice,
    Lz4Twice,
    ZstdTwice,
}

const PACKINGS: [Packing; 12] = [
    Packing::None,
    Packing::Gzip,
    Packing::Snappy,
    Packing::SnappyFramed,
    Packing::Lz4,
    Packing::Lz4Linked,
    Packing::Zstd,
    Packing::ZstdSized,
    Packing::GzipTwice,
    Packing::SnappyTwice,
    Packing::Lz4Twice,
    Packing::ZstdTwice,
];

impl Packing {
    fn codec(self) -> Compression {
        match self {
            Packing::None => Compression::None,
            Packing::Gzip | Packing::GzipTwice => Compression::Gzip,
            Packing::Snappy | Packing::SnappyFramed | Packing::SnappyTwice => Compression::Snappy,
            Packing::Lz4 | Packing::Lz4Linked | Packing::Lz4Twice => Compression::Lz4,
            Packing::Zstd | Packing::ZstdSized | Packing::ZstdTwice => Compression::Zstd,
        }
    }

    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let lz4 = |info: lz4_flex::frame::FrameInfo| {
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let (first, second) = bytes.split_at(bytes.len() / 3);
        let twice = |packing: Packing| [packing.pack(first), packing.pack(second)].concat();
        match self {
            Packing::None => bytes.to_vec(),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            Packing::SnappyFramed => {
                let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
                for block in bytes.chunks(32 << 10) {
                    let packed = Packing::Snappy.pack(block);
                    out.extend((packed.len() as u32).to_be_bytes());
                    out.extend(packed);
                }
                out
            }
            Packing::Lz4 => lz4(lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB)),
            Packing::Lz4Linked => lz4(lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Linked)
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_checksums(true)
                .content_checksum(true)
                .content_size(Some(bytes.len() as u64))),
            Packing::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
            Packing::ZstdSized => zstd::bulk::compress(bytes, 1).unwrap(),
            Packing::GzipTwice => twice(Packing::Gzip),
            Packing::SnappyTwice => twice(Packing::SnappyFramed),
            Packing::Lz4Twice => twice(Packing::Lz4Linked),
            Packing::ZstdTwice => twice(Packing::Zstd),
        }
    }
}

/// A record as Kafka's crate writes it, in no transaction.
fn record(offset: Offset, value: Option<&[u8]>) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 7,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: offset as i64,
        // The encoder begins a new batch where offset and sequence do not go together.
        sequence: offset as i32,
        timestamp: 1_735_689_600_000 + offset as i64 * 977,
        key: None,
        value: value.map(Bytes::copy_from_slice),
        headers: indexmap::IndexMap::new(),
    }
}

/// One batch as Kafka's crate writes it.
fn encoded(records: &[Record], packing: Packing) -> Vec<u8> {
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: packing.codec() };
    let compressor = |raw: &mut BytesMut, out: &mut BytesMut, _| {
        out.extend_from_slice(&packing.pack(raw));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut out, records, &options, Some(compressor))
        .unwrap();
    out.to_vec()
}

/// One batch with any payload and the right checksum.
fn sealed(base: i64, last_delta: i32, attributes: i16, records: i32, payload: &[u8]) -> Vec<u8> {
    let mut batch = base.to_be_bytes().to_vec();
    batch.extend((49 + payload.len() as i32).to_be_bytes());
    batch.extend([0, 0, 0, 7, 2, 0, 0, 0, 0]);
    batch.extend(attributes.to_be_bytes());
    batch.extend(last_delta.to_be_bytes());
    batch.extend([0; 16]);
    batch.extend([0xff; 14]);
    batch.extend(records.to_be_bytes());
    batch.extend(payload);
    seal(&mut batch);
    batch
}

/// Writes the checksum that a batch's bytes have.
fn seal(batch: &mut [u8]) {
    let sum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&sum.to_be_bytes());
}

/// A record by hand: no key, no headers.
fn by_hand(delta: u64, value: &[u8]) -> Vec<u8> {
    fn varint(out: &mut Vec<u8>, value: i64) {
        let mut bits = (value << 1 ^ value >> 63) as u64;
        while bits >= 0x80 {
            out.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }
    let mut body = vec![0, 0];
    varint(&mut body, delta as i64);
    varint(&mut body, -1);
    varint(&mut body, value.len() as i64);
    body.extend(value);
    body.push(0);
    let mut out = Vec::new();
    varint(&mut out, body.len() as i64);
    out.extend(body);
    out
}

/// What came of a response.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    /// Offset, bytes, and whether there were more of them.
    records: Vec<(Offset, Vec<u8>, bool)>,
    next: Option<Offset>,
    needs: Option<usize>,
    fault: Option<RecordsFault>,
}

impl Got {
    fn texts(&self) -> Vec<(Offset, &str)> {
        self.records.iter().map(|(offset, bytes, _)| (*offset, str::from_utf8(bytes).unwrap())).collect()
    }
}

/// Reads a response to its end, behind bytes that are not its records.
fn read(records: &[u8], aborted: &[(i64, i64)], range: Range<Offset>) -> Got {
    let bytes = [b"head".as_slice(), records, b"tail"].concat();
    let mut fetched = Fetched::new(bytes, 4..4 + records.len(), aborted.to_vec());
    let mut chunk = Chunk { segment: 3, first_byte: 9, bytes: vec![1; 70], ..Chunk::default() };
    let mut got = Got { needs: fetched.needs_bytes(), ..Got::default() };
    let went_on = loop {
        match fetched.next_chunk(&range, &mut chunk) {
            Ok(true) => assert!(!chunk.records.is_empty()),
            other => break other,
        }
        assert_eq!((chunk.segment, chunk.first_byte, chunk.file.is_none()), (0, 0, true));
        got.records.extend(chunk.records.iter().map(|span| {
            assert_eq!(span.line, 0);
            (span.offset, chunk.record(span).bytes.to_vec(), span.truncated)
        }));
    };
    assert!(chunk.records.is_empty(), "after the last chunk it holds nothing");
    assert_eq!(fetched.next_chunk(&range, &mut chunk), went_on, "the end stays the end");
    assert!(got.records.is_sorted_by(|a, b| a.0 < b.0), "offsets ascend");
    assert!(got.records.iter().all(|(offset, ..)| range.contains(offset)));
    got.fault = went_on.err();
    got.next = fetched.next_offset();
    got
}

const ALL: Range<Offset> = 0..u64::MAX;

#[test]
fn every_packing_comes_back() {
    for packing in PACKINGS {
        let texts: Vec<_> =
            (0..2_000).map(|at| format!("{{\"at\":{at}}} {}", "x".repeat(at % 300))).collect();
        let mut bytes = Vec::new();
        for (first, texts) in texts.chunks(700).enumerate() {
            let records = texts.iter().enumerate().map(|(at, text)| {
                let mut record = record((first * 700 + at) as Offset, Some(text.as_bytes()));
                record.key = Some(Bytes::from_static(b"key"));
                record.headers.insert("h".into(), Some(Bytes::from_static(b"value")));
                record.headers.insert("null".into(), None);
                record
            });
            bytes.extend(encoded(&records.collect::<Vec<_>>(), packing));
        }
        let got = read(&bytes, &[], ALL);
        let expected: Vec<_> = texts.iter().enumerate().map(|(at, text)| (at as Offset, &**text)).collect();
        assert_eq!(got.texts(), expected, "{packing:?}");
        assert_eq!((got.next, got.needs, got.fault), (Some(2_000), None, None), "{packing:?}");
    }
}

#[test]
fn null_empty_and_blank_values_are_left_out() {
    let values: [Option<&[u8]>; 7] =
        [None, Some(b""), Some(b" \t\r\n\x0b\x0c"), Some(b"a"), Some(b" b"), Some(b"\0"), None];
    let records: Vec<_> = (40..).zip(values).map(|(offset, value)| record(offset, value)).collect();
    for packing in PACKINGS {
        let got = read(&encoded(&records, packing), &[], ALL);
        assert_eq!(got.texts(), [(43, "a"), (44, " b"), (45, "\0")], "{packing:?}");
        assert_eq!((got.next, got.fault), (Some(47), None), "{packing:?}");
    }
}

/// Draws three batches over offsets 10..13, 15..18 (16 is missing) and 20..24 (compaction took the last two):
///
/// ```text
/// 10 11 12 | . . | 15 . 17 | . . | 20 21 . . |
/// ```
fn with_holes(packing: Packing) -> Vec<u8> {
    let batch = |offsets: &[Offset]| {
        let texts = offsets.iter().map(|offset| record(*offset, Some(offset.to_string().as_bytes())));
        encoded(&texts.collect::<Vec<_>>(), packing)
    };
    let mut last = batch(&[20, 21]);
    last[23..27].copy_from_slice(&3_i32.to_be_bytes());
    seal(&mut last);
    [batch(&[10, 11, 12]), batch(&[15, 17]), last].concat()
}

#[test]
fn ranges_and_holes() {
    let check = |range: Range<Offset>, offsets: &[Offset], next| {
        for packing in [Packing::None, Packing::Lz4] {
            let got = read(&with_holes(packing), &[], range.clone());
            assert_eq!(got.records.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), offsets);
            assert_eq!((got.next, got.fault), (next, None));
        }
    };
    check(0..100, &[10, 11, 12, 15, 17, 20, 21], Some(24));
    check(11..21, &[11, 12, 15, 17, 20], Some(21));
    check(16..20, &[17], Some(20));
    check(16..19, &[17], Some(19));
    check(13..15, &[], Some(15));
    check(22..24, &[], Some(24));
    // What the broker sent lies below the range: no progress, and that can be seen.
    check(24..30, &[], Some(24));
    check(0..10, &[], Some(10));
    check(0..1, &[], Some(1));
    check(12..12, &[], Some(12));
}

#[test]
fn a_tail_cut_off_at_any_byte_is_left_for_the_next_fetch() {
    let bytes = with_holes(Packing::None);
    let ends: Vec<_> = (0..=bytes.len())
        .map(|end| {
            let got = read(&bytes[..end], &[], ALL);
            assert_eq!(got.fault, None);
            (got.next, got.records.len(), got.needs)
        })
        .collect();
    let first = Header::of(&bytes).unwrap().bytes;
    assert_eq!(ends[0], (None, 0, None));
    assert!(ends[1..12].iter().all(|end| *end == (None, 0, Some(header::BYTES))));
    assert!(ends[12..first].iter().all(|end| *end == (None, 0, Some(first))));
    let second = first + Header::of(&bytes[first..]).unwrap().bytes;
    assert!(ends[first..second].iter().all(|end| *end == (Some(13), 3, None)));
    assert!(ends[second..bytes.len()].iter().all(|end| *end == (Some(18), 5, None)));
    assert_eq!(ends[bytes.len()], (Some(24), 7, None));
}

#[test]
fn a_long_record_is_truncated_and_its_neighbours_are_whole() {
    let long = vec![b'x'; 10 << 20];
    let just = vec![b'y'; RECORD_BYTES_MAX];
    let blank = vec![b' '; RECORD_BYTES_MAX + 1];
    let values = [b"a".as_slice(), &long, b"b", &just, &blank, b"c"];
    let records: Vec<_> = (0..).zip(values).map(|(offset, value)| record(offset, Some(value))).collect();
    for packing in PACKINGS {
        let got = read(&encoded(&records, packing), &[], ALL);
        let found =
            got.records.iter().map(|(offset, bytes, truncated)| (*offset, bytes[0], bytes.len(), *truncated));
        let expected = [
            (0, b'a', 1, false),
            (1, b'x', RECORD_BYTES_MAX, true),
            (2, b'b', 1, false),
            (3, b'y', RECORD_BYTES_MAX, false),
            (5, b'c', 1, false),
        ];
        assert!(found.eq(expected), "{packing:?}");
        assert_eq!((got.next, got.fault), (Some(6), None), "{packing:?}");
    }
}

#[test]
fn a_batch_of_more_records_than_a_chunk_holds_comes_in_parts() {
    let count = CHUNK_RECORDS_MAX + 5;
    let mut payload = Vec::new();
    for at in 0..count as u64 {
        payload.extend(by_hand(at, b"x"));
    }
    let batch = sealed(7, count as i32 - 1, 4, count as i32, &Packing::Zstd.pack(&payload));
    let bytes = [batch.clone(), encoded(&[record(7 + count as u64, Some(b"y"))], Packing::Zstd)].concat();
    let end = bytes.len();
    let mut fetched = Fetched::new(bytes, 0..end, Vec::new());
    let (mut chunk, mut next, mut chunks) = (Chunk::default(), 7, 0);
    while fetched.next_chunk(&ALL, &mut chunk).unwrap() {
        assert!(chunk.records.len() <= CHUNK_RECORDS_MAX);
        for span in &chunk.records {
            assert_eq!(span.offset, next);
            next += 1;
        }
        chunks += 1;
        assert_eq!(fetched.next_offset(), Some(next));
    }
    assert_eq!((next, chunks), (7 + count as u64 + 1, 3));
}

#[test]
fn packed_batches_come_in_chunks_of_about_one_size() {
    let value = vec![b'x'; CHUNK_BYTES / 3];
    let batches = (0..10).map(|offset| encoded(&[record(offset, Some(&value))], Packing::Lz4));
    let bytes = batches.collect::<Vec<_>>().concat();
    let end = bytes.len();
    let mut fetched = Fetched::new(bytes, 0..end, Vec::new());
    let (mut chunk, mut counts) = (Chunk::default(), Vec::new());
    while fetched.next_chunk(&ALL, &mut chunk).unwrap() {
        counts.push(chunk.records.len());
    }
    assert_eq!(counts, [3, 3, 3, 1]);
}

#[test]
fn a_plain_response_is_handed_over_without_a_copy() {
    let bytes = with_holes(Packing::None);
    let (place, end) = (bytes.as_ptr(), bytes.len());
    let mut fetched = Fetched::new(bytes, 0..end, Vec::new());
    let mut chunk = Chunk { bytes: Vec::with_capacity(1_000), ..Chunk::default() };
    let old = chunk.bytes.as_ptr();
    assert_eq!(fetched.next_chunk(&ALL, &mut chunk), Ok(true));
    assert_eq!(chunk.bytes.as_ptr(), place);
    assert_eq!(fetched.next_chunk(&ALL, &mut Chunk::default()), Ok(false));
    let buffer = fetched.into_buffer();
    assert_eq!(buffer.as_ptr(), old);
}

#[test]
fn plain_and_packed_batches_mix() {
    let mut bytes = Vec::new();
    for (at, packing) in PACKINGS.into_iter().enumerate() {
        bytes.extend(encoded(&[record(at as Offset, Some(format!("{packing:?}").as_bytes()))], packing));
    }
    let got = read(&bytes, &[], ALL);
    let expected = PACKINGS.iter().enumerate().map(|(at, packing)| (at as Offset, format!("{packing:?}")));
    assert!(got.texts().into_iter().eq(expected.collect::<Vec<_>>().iter().map(|(at, text)| (*at, &**text))));
    assert_eq!((got.next, got.fault), (Some(PACKINGS.len() as Offset), None));
}
