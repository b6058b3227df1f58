//! A file's decoded bytes in order: plain, gzip or Zstandard, told apart by magic bytes.
//!
//! Concatenated members and frames are one stream. Decoded bytes are trusted only after the index pass has
//! read a compressed file to its verified end.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::stamp::{self, Stamp};

/// Compressed bytes read at once.
const STORED_BYTES: usize = 64 << 10;

/// A file opened for its decoded bytes.
pub(crate) enum Decoder {
    /// Stored as it is.
    Plain(File),
    /// Gzip, one or more members.
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
    /// Zstandard, one or more frames.
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<File>>>),
}

impl Decoder {
    /// Opens a file at its first decoded byte.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn open(path: &Path) -> io::Result<(Decoder, Stamp)> {
        let (mut file, stamp) = stamp::open(path)?;
        let mut magic = [0; 4];
        let held = fill(&mut file, &mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        let decoder = match &magic[..held] {
            [0x1f, 0x8b, ..] => {
                Decoder::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(STORED_BYTES, file))))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let stored = BufReader::with_capacity(STORED_BYTES, file);
                Decoder::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(stored)?))
            }
            _ => Decoder::Plain(file),
        };
        Ok((decoder, stamp))
    }

    /// Whether going to a byte means decoding all before it.
    pub(crate) fn is_compressed(&self) -> bool {
        !matches!(self, Decoder::Plain(_))
    }

    /// Goes from the first decoded byte to `byte`.
    ///
    /// # Errors
    /// As reading.
    pub(crate) fn skip_to(&mut self, byte: u64) -> io::Result<()> {
        if let Decoder::Plain(file) = self {
            file.seek(SeekFrom::Start(byte))?;
            return Ok(());
        }
        let skipped = io::copy(&mut self.take(byte), &mut io::sink())?;
        if skipped < byte { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The stamp of the open file as it is now.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn stamp(&self) -> io::Result<Stamp> {
        let file = match self {
            Decoder::Plain(file) => file,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
        };
        Ok(Stamp::of(&file.metadata()?))
    }
}

impl Read for Decoder {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(file) => file.read(bytes),
            Decoder::Gzip(decoder) => decoder.read(bytes),
            Decoder::Zstd(decoder) => decoder.read(bytes),
        }
    }
}

/// Reads until `bytes` is full or nothing is left; returns how much was read.
///
/// # Errors
/// As reading.
pub(crate) fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut held = 0;
    while held < bytes.len() {
        match from.read(&mut bytes[held..]) {
            Ok(0) => break,
            Ok(more) => held += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// Whether an error says that compressed bytes are not what they should be, rather than that reading failed.
pub(crate) fn is_corrupt(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
