//! Snappy, bare or in the frame of Kafka's Java client.
//!
//! The frame, xerial's `SnappyOutputStream`, is the eight bytes below, two version numbers of four bytes, and blocks, each
//! behind its packed length; after one stream another may begin. Integers are big-endian.

use snap::raw::{Decoder, decompress_len};

use super::Refused;

/// What a framed stream begins with.
const MAGIC: &[u8] = b"\x82SNAPPY\0";
/// The same with the versions.
const HEADER_BYTES: usize = 16;
const WRONG: Refused = Refused::Malformed("its snappy bytes cannot be unpacked");

/// Appends what `packed` holds to `out`, which may reach `most` bytes.
///
/// # Errors
/// If it is more, or cannot be unpacked.
pub(super) fn append(
    decoder: &mut Decoder,
    packed: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if !packed.starts_with(MAGIC) {
        return block(decoder, packed, most, out);
    }
    let mut left = packed;
    while !left.is_empty() {
        if left.starts_with(MAGIC) {
            left = left.get(HEADER_BYTES..).ok_or(WRONG)?;
            continue;
        }
        let (length, rest) = left.split_first_chunk().ok_or(WRONG)?;
        let (packed, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(WRONG)?;
        block(decoder, packed, most, out)?;
        left = rest;
    }
    Ok(())
}

fn block(decoder: &mut Decoder, packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let length = decompress_len(packed).map_err(|_| WRONG)?;
    let held = out.len();
    if length > most - held {
        return Err(Refused::TooLarge);
    }
    // Three bytes of snappy give at most 64: a few that claim much do not take much.
    if length > packed.len().saturating_mul(22) {
        return Err(WRONG);
    }
    out.resize(held + length, 0);
    match decoder.decompress(packed, &mut out[held..]) {
        Ok(written) if written == length => Ok(()),
        _ => Err(WRONG),
    }
}
