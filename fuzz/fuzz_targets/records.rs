//! Any bytes as a fetch response's record batches: never a panic or a hang, memory bounded, offsets ascend in range.
//!
//! The first four bytes choose the range and an aborted transaction; the others are read as they are, and once more
//! under right checksums, for else hardly any would come to the codecs. Good seeds: batches of each compression
//! behind four zero bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetra_connectors::kafka::records::{BATCH_BYTES_MAX, CHUNK_BYTES, Fetched};
use telemetra_engine::source::Chunk;

/// Writes magic and checksum of each batch as they should be.
fn seal(mut bytes: &mut [u8]) {
    while let Some(length) = bytes.get(8..12) {
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        let Ok(whole) = usize::try_from(length).map(|length| length + 12) else { return };
        if whole < 61 || whole > bytes.len() {
            return;
        }
        let (batch, rest) = bytes.split_at_mut(whole);
        batch[16] = 2;
        let sum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&sum.to_be_bytes());
        bytes = rest;
    }
}

fn read(bytes: Vec<u8>, (from, to, producer, first): (u8, u8, u8, u8)) {
    let range = u64::from(from)..if to == 0 { u64::MAX } else { u64::from(to) };
    let end = bytes.len();
    let mut fetched = Fetched::new(bytes, 0..end, vec![(i64::from(producer), i64::from(first))]);
    let mut chunk = Chunk::default();
    let mut next = range.start;
    let fault = loop {
        match fetched.next_chunk(&range, &mut chunk) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(fault) => break Some(fault),
        }
        assert!(!chunk.records.is_empty());
        for span in &chunk.records {
            assert!((next..range.end).contains(&span.offset));
            assert!(!chunk.record(span).bytes.is_empty());
            next = span.offset + 1;
        }
        assert!(chunk.bytes.capacity() <= 2 * (BATCH_BYTES_MAX + CHUNK_BYTES) + (8 << 20));
        assert!(fetched.next_offset().is_some_and(|behind| behind >= next && behind <= range.end));
    };
    if fetched.needs_bytes().is_some() {
        assert!(fault.is_none() && fetched.next_offset().is_none());
    }
    assert_eq!(fetched.next_chunk(&range, &mut chunk), fault.map_or(Ok(false), Err));
}

fuzz_target!(|data: &[u8]| {
    let Some((&[from, to, producer, first], bytes)) = data.split_first_chunk() else { return };
    let mut bytes = bytes.to_vec();
    read(bytes.clone(), (from, to, producer, first));
    seal(&mut bytes);
    read(bytes, (from, to, producer, first));
});
