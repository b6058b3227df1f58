//! LZ4 frames, unpacked block by block into place.
//!
//! A frame is magic, flags, block size, optional sizes and a header checksum, then blocks behind their lengths (the
//! highest bit: stored as it is), a length of 0, and an optional checksum
//! (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>). The crate's own reader of frames takes two
//! buffers a batch, copies once more and does not see a frame that is cut off between blocks; its blocks are used
//! here. Checksums of header, blocks and content are stepped over: the batch's covers the same bytes, and Kafka's
//! client before 0.10 wrote the first one wrong.

use lz4_flex::block::{decompress_into, decompress_into_with_dict};

use super::Refused;

const MAGIC: u32 = 0x184D_2204;
/// Skippable frames have 16 magics, this one to `…5F`.
const SKIPPABLE: u32 = 0x184D_2A50;
/// How far a block may look back into those before it.
const WINDOW_BYTES: usize = 64 << 10;
/// A block gives at most so many bytes for each of its own.
const RATIO_MAX: usize = 255;
const WRONG: Refused = Refused::Malformed("its lz4 bytes cannot be unpacked");

/// Appends what `packed` holds to `out`, which may reach `most` bytes.
///
/// # Errors
/// If it is more, or cannot be unpacked.
pub(super) fn append(packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let mut left = packed;
    while !left.is_empty() {
        let magic = number(&mut left)?;
        if magic & !0xf == SKIPPABLE {
            let length = number(&mut left)?;
            take(&mut left, length as usize)?;
        } else if magic == MAGIC {
            frame(&mut left, most, out)?;
        } else {
            return Err(WRONG);
        }
    }
    Ok(())
}

/// One frame behind its magic.
fn frame(left: &mut &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let &[flags, size] = take(left, 2)? else { return Err(WRONG) };
    let is_version_1 = flags >> 6 == 1;
    let (is_linked, has_block_checksums) = (flags & 0x20 == 0, flags & 0x10 != 0);
    let (has_size, has_checksum, has_dictionary) = (flags & 8 != 0, flags & 4 != 0, flags & 1 != 0);
    // 4 to 7 mean 64 KiB, 256 KiB, 1 MiB and 4 MiB.
    let block_bytes_max = match size >> 4 & 7 {
        code @ 4..=7 => 1 << (8 + 2 * code),
        _ => return Err(WRONG),
    };
    if !is_version_1 || has_dictionary {
        return Err(WRONG);
    }
    take(left, if has_size { 8 } else { 0 } + 1)?;
    let begin = out.len();
    loop {
        let length = number(left)?;
        if length == 0 {
            break;
        }
        let packed = take(left, (length & 0x7fff_ffff) as usize)?;
        let held = out.len();
        if length >> 31 == 1 {
            if packed.len() > block_bytes_max {
                return Err(WRONG);
            }
            out.extend_from_slice(packed);
        } else {
            let dictionary = if is_linked { begin.max(held.saturating_sub(WINDOW_BYTES)) } else { held };
            block(packed, dictionary, block_bytes_max, out)?;
        }
        if out.len() > most {
            return Err(Refused::TooLarge);
        }
        if has_block_checksums {
            take(left, 4)?;
        }
    }
    take(left, if has_checksum { 4 } else { 0 })?;
    Ok(())
}

/// Appends one compressed block, which may refer to `out[dictionary..]`.
fn block(packed: &[u8], dictionary: usize, bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let held = out.len();
    let room = packed.len().saturating_mul(RATIO_MAX).min(bytes_max);
    out.resize(held + room, 0);
    let (before, room) = out.split_at_mut(held);
    let written = match &before[dictionary..] {
        [] => decompress_into(packed, room),
        dictionary => decompress_into_with_dict(packed, room, dictionary),
    };
    out.truncate(held + written.map_err(|_| WRONG)?);
    Ok(())
}

/// Splits `count` bytes off.
fn take<'a>(left: &mut &'a [u8], count: usize) -> Result<&'a [u8], Refused> {
    left.split_off(..count).ok_or(WRONG)
}

/// Splits a little-endian number off.
fn number(left: &mut &[u8]) -> Result<u32, Refused> {
    let &[a, b, c, d] = take(left, 4)? else { return Err(WRONG) };
    Ok(u32::from_le_bytes([a, b, c, d]))
}
