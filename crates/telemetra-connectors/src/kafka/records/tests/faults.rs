//! Bytes that are no records: each is refused by the right name, after what was good before it.

use std::io::Read;

use super::*;

/// A good batch, `bytes`, and a good batch: the first is read, then the fault is told.
fn check(bytes: &[u8], expected: &RecordsFault) {
    for packing in [Packing::None, Packing::Snappy] {
        let good = encoded(&[record(1, Some(b"good"))], packing);
        let behind = encoded(&[record(50, Some(b"behind"))], packing);
        let got = read(&[&good, bytes, &behind].concat(), &[], ALL);
        assert_eq!(got.texts(), [(1, "good")]);
        assert_eq!((got.next, got.needs, got.fault.as_ref()), (Some(2), None, Some(expected)));
    }
}

fn malformed(what: &'static str) -> RecordsFault {
    RecordsFault::Malformed { base_offset: 5, what }
}

/// A good batch at offset 5 but for some bytes; its checksum is right.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = sealed(5, 0, 0, 1, &by_hand(0, b"value"));
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut batch);
    batch
}

/// A batch at offset 5 of one record.
fn payload(bytes: &[u8]) -> Vec<u8> {
    sealed(5, 0, 0, 1, bytes)
}

#[test]
fn headers() {
    check(&patched(16, &[0]), &RecordsFault::Magic { base_offset: 5, magic: 0 });
    check(&patched(16, &[1]), &RecordsFault::Magic { base_offset: 5, magic: 1 });
    check(&patched(16, &[0xff]), &RecordsFault::Magic { base_offset: 5, magic: -1 });
    check(&patched(8, &48_i32.to_be_bytes()), &malformed("it is shorter than its header"));
    check(&patched(8, &(-1_i32).to_be_bytes()), &malformed("it is shorter than its header"));
    check(&patched(8, &[0x7f]), &RecordsFault::TooLarge { base_offset: 5, form: "as it was sent" });
    check(&patched(23, &[0xff]), &malformed("its last offset lies before its first"));
    check(&patched(57, &[0xff]), &malformed("its number of records is negative"));
    check(&patched(22, &[5]), &RecordsFault::Compression { base_offset: 5, codec: 5 });
    check(&patched(22, &[7]), &RecordsFault::Compression { base_offset: 5, codec: 7 });
    let negative = RecordsFault::Malformed { base_offset: -1, what: "its offset is negative" };
    check(&patched(0, &[0xff; 8]), &negative);
    let what = "its offsets go beyond what an offset can be";
    check(&patched(0, &i64::MAX.to_be_bytes()), &RecordsFault::Malformed { base_offset: i64::MAX, what });
    let back = RecordsFault::Malformed { base_offset: 1, what: "offsets go back" };
    check(&patched(0, &1_i64.to_be_bytes()), &back);
    let (stored, found) = (u32::from_be_bytes([1, 2, 3, 4]), crc32c::crc32c(&patched(8, &[])[21..]));
    let mut wrong = patched(8, &[]);
    wrong[17..21].copy_from_slice(&[1, 2, 3, 4]);
    check(&wrong, &RecordsFault::Checksum { base_offset: 5, stored, found });
}

#[test]
fn an_old_batch_shorter_than_a_header_is_told_by_its_magic() {
    let mut old = 5_i64.to_be_bytes().to_vec();
    old.extend(14_i32.to_be_bytes());
    old.extend([0; 14]);
    let fault = read(&old, &[], ALL).fault.unwrap();
    assert_eq!(fault, RecordsFault::Magic { base_offset: 5, magic: 0 });
    assert!(fault.to_string().starts_with("batch at offset 5: message format 0, written before Kafka 0.11,"));
}

#[test]
fn records() {
    let cut = malformed("a record goes beyond what holds it");
    let end = malformed("a record does not end where its length says");
    check(&payload(b""), &cut);
    check(&payload(&by_hand(0, b"value")[..10]), &cut);
    // Length, attributes, time, offset, key, value, headers; a number's bytes are twice its value, or odd below zero.
    check(&payload(&[1]), &malformed("a record's length is negative"));
    check(&payload(&[0x80; 6]), &malformed("an integer is too long"));
    check(&payload(&[2, 0]), &cut);
    check(
        &payload(&[32, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 0]),
        &malformed("an integer is too long"),
    );
    check(&payload(&[12, 0, 0, 0, 3, 1, 0]), &malformed("the length of a key or value is negative"));
    check(&payload(&[12, 0, 0, 0, 1, 3, 0]), &malformed("the length of a key or value is negative"));
    check(&payload(&[12, 0, 0, 0, 8, 1, 0]), &cut);
    check(&payload(&[12, 0, 0, 0, 1, 8, 0]), &cut);
    check(&payload(&[10, 0, 0, 0, 1, 1]), &cut);
    check(&payload(&[12, 0, 0, 0, 1, 1, 1]), &end);
    check(&payload(&[12, 0, 0, 0, 1, 1, 2]), &end);
    check(&payload(&[14, 0, 0, 0, 1, 1, 0, 0]), &end);
    check(&payload(&[14, 0, 0, 0, 1, 1, 1, 0]), &end);
    check(&payload(&[by_hand(0, b"x"), vec![0]].concat()), &malformed("bytes follow its last record"));
    let offsets = malformed("the offsets of its records do not ascend within its own");
    check(&payload(&by_hand(1, b"x")), &offsets);
    check(&payload(&[12, 0, 0, 1, 1, 1, 0]), &offsets);
    check(&sealed(5, 1, 0, 2, &[by_hand(1, b"x"), by_hand(1, b"y")].concat()), &offsets);
    check(&sealed(5, 1, 0, 2, &[by_hand(1, b"x"), by_hand(0, b"y")].concat()), &offsets);
    check(&sealed(5, 1, 0, 3, &[by_hand(0, b"x"), by_hand(1, b"y")].concat()), &cut);
}

#[test]
fn control_batches() {
    check(&sealed(5, 0, 0x34, 1, b""), &malformed("its control record is compressed"));
    check(&sealed(5, 0, 0x30, 1, b""), &malformed("a record goes beyond what holds it"));
    let short = malformed("the key of its control record is too short");
    check(&sealed(5, 0, 0x30, 1, &by_hand(0, b"a control record without a key")), &short);
    // Without a record it is passed over, as is what compaction leaves of any batch.
    for attributes in [0x30, 0, 1, 2, 3, 4] {
        let got = read(&sealed(5, 3, attributes, 0, b""), &[], ALL);
        assert_eq!((got.records.len(), got.next, got.fault), (0, Some(9), None));
    }
}

#[test]
fn packed_bytes() {
    let whole = by_hand(0, &[b'x'; 5_000]);
    for packing in &PACKINGS[1..] {
        let codec = packing.codec() as i16;
        let packed = packing.pack(&whole);
        assert_eq!(read(&sealed(5, 0, codec, 1, &packed), &[], ALL).records.len(), 1, "{packing:?}");
        for end in 0..packed.len() {
            let got = read(&sealed(5, 0, codec, 1, &packed[..end]), &[], ALL);
            let is_known = matches!(&got.fault, Some(RecordsFault::Malformed { base_offset: 5, .. }));
            // A frame without its end may still have given all.
            assert!(is_known || got.records == [(5, vec![b'x'; 5_000], false)], "{packing:?} {end}");
        }
        let noise = sealed(5, 0, codec, 1, b"\x82SNAPPY nothing of the kind");
        assert!(matches!(read(&noise, &[], ALL).fault, Some(RecordsFault::Malformed { .. })), "{packing:?}");
    }
}

/// A gigabyte where that is fast to pack, else a little more than the bound.
#[test]
fn a_batch_that_unpacks_to_too_much_is_refused_in_bounded_memory() {
    let too_large = RecordsFault::TooLarge { base_offset: 5, form: "unpacked" };
    let bomb = |packing| match packing {
        Packing::Zstd => zstd::stream::encode_all(std::io::repeat(b' ').take(1 << 30), 1).unwrap(),
        _ => packing.pack(&vec![b' '; BATCH_BYTES_MAX + 1]),
    };
    for packing in [Packing::Gzip, Packing::Snappy, Packing::SnappyFramed, Packing::Lz4Linked, Packing::Zstd]
    {
        let batch = sealed(5, 0, packing.codec() as i16, 1, &bomb(packing));
        let end = batch.len();
        let mut fetched = Fetched::new(batch, 0..end, Vec::new());
        let mut chunk = Chunk::default();
        assert_eq!(fetched.next_chunk(&ALL, &mut chunk), Err(too_large.clone()), "{packing:?}");
        assert!(chunk.bytes.capacity() <= 2 * BATCH_BYTES_MAX + (8 << 20), "{packing:?}");
        // And that much is not kept.
        let _ = fetched.next_chunk(&ALL, &mut chunk);
        assert!(chunk.bytes.capacity() <= KEPT_BYTES_MAX, "{packing:?}");
    }
}

#[test]
fn a_large_batch_within_the_bound_is_read() {
    let value = vec![b'x'; BATCH_BYTES_MAX - 100];
    for packing in [Packing::None, Packing::Gzip, Packing::SnappyFramed, Packing::Lz4, Packing::Zstd] {
        let batch = sealed(5, 0, packing.codec() as i16, 1, &packing.pack(&by_hand(0, &value)));
        let got = read(&batch, &[], ALL);
        assert_eq!((got.records.len(), got.next, got.fault), (1, Some(6), None), "{packing:?}");
    }
}
