//! What a compressed batch holds, within a bound.
//!
//! Everything is unpacked behind what the buffer holds already, and a batch that would take more than
//! [`BATCH_BYTES_MAX`] is refused before much more was written. Checksums inside of the packed bytes are the
//! codec's business where it looks at them: the batch's own covers them all.

mod lz4;
mod snappy;

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use zstd::{
    stream::raw::{Decoder, InBuffer, Operation, OutBuffer},
    zstd_safe,
};

use super::{BATCH_BYTES_MAX, RecordsFault, header::Header};

/// Why packed bytes could not be unpacked.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    TooLarge,
    Malformed(&'static str),
}

/// Room made at least, when the size is not known before.
const STEP_BYTES: usize = 64 << 10;

/// What is kept from one batch to the next.
#[derive(Default)]
pub(super) struct Unpack {
    zstd: Option<Decoder<'static>>,
    snappy: snap::raw::Decoder,
}

impl Unpack {
    /// Appends the records of a batch to `out`.
    ///
    /// # Errors
    /// [`RecordsFault::Compression`], [`RecordsFault::TooLarge`], [`RecordsFault::Malformed`]; what was appended
    /// by then means nothing.
    pub(super) fn append(
        &mut self,
        header: &Header,
        packed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RecordsFault> {
        let base_offset = header.offsets.start as i64;
        let most = out.len() + BATCH_BYTES_MAX;
        let unpacked = match header.codec {
            0 => {
                out.extend_from_slice(packed);
                Ok(())
            }
            1 => gzip(packed, most, out),
            2 => snappy::append(&mut self.snappy, packed, most, out),
            3 => lz4::append(packed, most, out),
            4 => self.zstd(packed, most, out),
            codec => return Err(RecordsFault::Compression { base_offset, codec }),
        };
        unpacked.map_err(|refused| match refused {
            Refused::TooLarge => RecordsFault::TooLarge { base_offset, form: "unpacked" },
            Refused::Malformed(what) => RecordsFault::Malformed { base_offset, what },
        })
    }

    /// One or more frames. A window is at most 128 MiB, the largest that Kafka's levels have, and takes memory only as
    /// far as it is filled.
    fn zstd(&mut self, packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
        const WRONG: Refused = Refused::Malformed("its zstd bytes cannot be unpacked");
        let decoder = match &mut self.zstd {
            Some(decoder) => {
                decoder.reinit().map_err(|_| WRONG)?;
                decoder
            }
            none => none.insert(Decoder::new().map_err(|_| WRONG)?),
        };
        // Room for a whole frame lets it be unpacked in one go. What the frame says is believed up to the bound.
        let told = zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(0);
        let told = usize::try_from(told).unwrap_or(usize::MAX).min(BATCH_BYTES_MAX);
        out.reserve_exact(told.max(packed.len()));
        let mut input = InBuffer::around(packed);
        loop {
            if out.capacity() - out.len() < STEP_BYTES / 2 {
                // Doubled, but not far beyond the bound.
                out.reserve_exact(out.len().min(most - out.len()).max(STEP_BYTES));
            }
            let held = (out.len(), input.pos());
            let mut output = OutBuffer::around_pos(out, held.0);
            let hint = decoder.run(&mut input, &mut output).map_err(|_| WRONG)?;
            if out.len() > most {
                return Err(Refused::TooLarge);
            }
            let is_read = input.pos() == packed.len();
            if is_read && hint == 0 {
                return Ok(());
            }
            // Room was left and nothing came of what there is: the frame is cut off.
            if held == (out.len(), input.pos()) {
                return Err(WRONG);
            }
        }
    }
}

/// One or more members.
fn gzip(packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let room = (most + 1 - out.len()) as u64;
    let read = MultiGzDecoder::new(packed).take(room).read_to_end(out);
    read.map_err(|_| Refused::Malformed("its gzip bytes cannot be unpacked"))?;
    if out.len() > most { Err(Refused::TooLarge) } else { Ok(()) }
}
