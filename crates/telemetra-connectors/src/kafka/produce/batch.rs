//! Records of one partition on their way: bytes of a record batch, as `records` reads them. No I/O.
//!
//! The format is that of <https://kafka.apache.org/documentation/#messageformat>, "Record Batch" (magic 2).

use std::io::Write;

use super::Codec;

/// Bytes of a batch before its first record.
const HEADER: usize = 61;
/// Where the bytes begin that the checksum covers.
const COVERED_FROM: usize = 21;
/// Bytes before those that the length counts.
const BEFORE_LENGTH_ENDS: usize = 12;
const MAGIC: u8 = 2;

/// Who writes, and how many records it wrote to the partition before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base: i32,
}

/// Records that are not yet a batch.
#[derive(Debug, Default)]
pub(super) struct Open {
    records: Vec<u8>,
    count: i32,
    first_ms: i64,
    largest_ms: i64,
}

impl Open {
    /// Adds a record. `time_ms` is its stamp, milliseconds since the Unix epoch.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], time_ms: i64) {
        if self.count == 0 {
            (self.first_ms, self.largest_ms) = (time_ms, time_ms);
        }
        self.largest_ms = self.largest_ms.max(time_ms);
        let (delta_ms, delta) = (time_ms - self.first_ms, i64::from(self.count));
        // Attributes, stamp, offset, key, value, no headers.
        let length = 1 + size(delta_ms) + size(delta) + sized(key) + sized(value) + 1;
        varint(&mut self.records, length as i64);
        self.records.push(0);
        varint(&mut self.records, delta_ms);
        varint(&mut self.records, delta);
        for part in [key, value] {
            varint(&mut self.records, part.len() as i64);
            self.records.extend_from_slice(part);
        }
        self.records.push(0);
        self.count += 1;
    }

    /// Bytes so far, before compression.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Records so far.
    pub(super) fn count(&self) -> i32 {
        self.count
    }

    /// The batch, and nothing is left here.
    pub(super) fn close(&mut self, codec: Codec, sequence: Sequence) -> Vec<u8> {
        let mut batch = Vec::with_capacity(HEADER + self.records.len());
        batch.extend(0_i64.to_be_bytes());
        batch.extend(0_i32.to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.push(MAGIC);
        batch.extend(0_u32.to_be_bytes());
        batch.extend(codec.number().to_be_bytes());
        batch.extend((self.count - 1).to_be_bytes());
        batch.extend(self.first_ms.to_be_bytes());
        batch.extend(self.largest_ms.to_be_bytes());
        batch.extend(sequence.producer_id.to_be_bytes());
        batch.extend(sequence.producer_epoch.to_be_bytes());
        batch.extend(sequence.base.to_be_bytes());
        batch.extend(self.count.to_be_bytes());
        debug_assert_eq!(batch.len(), HEADER);
        pack(codec, &self.records, &mut batch);
        let length = (batch.len() - BEFORE_LENGTH_ENDS) as u32;
        batch[8..BEFORE_LENGTH_ENDS].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[COVERED_FROM..]);
        batch[17..COVERED_FROM].copy_from_slice(&checksum.to_be_bytes());
        self.records.clear();
        self.count = 0;
        batch
    }
}

fn pack(codec: Codec, records: &[u8], to: &mut Vec<u8>) {
    const MEMORY: &str = "memory takes all that is written";
    match codec {
        Codec::None => to.extend_from_slice(records),
        Codec::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
            packer.write_all(records).expect(MEMORY);
            packer.finish().expect(MEMORY);
        }
        Codec::Snappy => {
            let packed = snap::raw::Encoder::new().compress_vec(records);
            to.extend_from_slice(&packed.expect("a batch is far below 4 GiB"));
        }
        Codec::Lz4 => {
            let mut packer = lz4_flex::frame::FrameEncoder::new(to);
            packer.write_all(records).expect(MEMORY);
            packer.finish().expect(MEMORY);
        }
        Codec::Zstd => {
            let mut packer = zstd::Encoder::new(to, 0).expect("level 0 exists");
            packer.write_all(records).expect(MEMORY);
            packer.finish().expect(MEMORY);
        }
    }
}

/// Appends a number in zigzag, seven bits a byte.
fn varint(to: &mut Vec<u8>, number: i64) {
    let mut rest = zigzag(number);
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// Bytes that [`varint`] needs.
fn size(number: i64) -> usize {
    (64 - (zigzag(number) | 1).leading_zeros()).div_ceil(7) as usize
}

fn sized(part: &[u8]) -> usize {
    size(part.len() as i64) + part.len()
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use telemetra_engine::source::Chunk;

    use super::*;
    use crate::kafka::records::Fetched;

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    proptest! {
        #[test]
        fn what_is_written_is_read_with_every_codec(
            records in prop::collection::vec((".{0,20}", "[a-z]{1,300}", -5_000_i64..5_000), 1..50),
            base in 0..i32::MAX,
        ) {
            for codec in CODECS {
                let mut open = Open::default();
                for (key, value, ms) in &records {
                    open.push(key.as_bytes(), value.as_bytes(), 1_700_000_000_000 + ms);
                }
                let batch = open.close(codec, Sequence { producer_id: 7, producer_epoch: 1, base });
                prop_assert_eq!((open.len(), open.count()), (0, 0));
                let range = 0..batch.len();
                let mut fetched = Fetched::new(batch, range, Vec::new());
                let (mut chunk, mut found) = (Chunk::default(), Vec::new());
                while fetched.next_chunk(&(0..u64::MAX / 2), &mut chunk).expect("it can be read") {
                    for span in &chunk.records {
                        found.push((span.offset, String::from_utf8(chunk.record(span).bytes.to_vec()).expect("text")));
                    }
                }
                let expected: Vec<_> = (0..).zip(records.iter().map(|record| record.1.clone())).collect();
                prop_assert_eq!(found, expected, "{:?}", codec);
            }
        }

        #[test]
        fn a_number_takes_the_bytes_that_were_foreseen(number: i64) {
            let mut bytes = Vec::new();
            varint(&mut bytes, number);
            prop_assert_eq!(bytes.len(), size(number));
        }
    }
}
