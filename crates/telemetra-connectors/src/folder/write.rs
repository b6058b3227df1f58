//! How a file is put into a folder at once: under a name that readers pass over, then renamed.
//!
//! After [`AtomicFile::finish`] the file is there whole, also after a power cut; before it, readers do not see it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// How a file is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// As it is.
    #[default]
    Plain,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by Zstandard.
    Zstd,
}

impl Stored {
    /// What a name ends in by custom: nothing, `.gz` or `.zst`.
    pub fn suffix(self) -> &'static str {
        match self {
            Stored::Plain => "",
            Stored::Gzip => ".gz",
            Stored::Zstd => ".zst",
        }
    }
}

/// A file that appears under its name once it is finished; dropped before, it leaves nothing.
pub struct AtomicFile {
    folder: PathBuf,
    hidden: PathBuf,
    name: PathBuf,
    out: Option<Encoder>,
}

enum Encoder {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, BufWriter<File>>>),
}

impl AtomicFile {
    /// Begins a file `name` in `folder`, which must exist.
    ///
    /// # Errors
    /// What the file system says; `AlreadyExists` if another writer is at the same name.
    pub fn create(folder: &Path, name: &str, stored: Stored) -> io::Result<AtomicFile> {
        let hidden = folder.join(format!(".{name}.tmp"));
        let file = BufWriter::with_capacity(
            64 << 10,
            OpenOptions::new().write(true).create_new(true).open(&hidden)?,
        );
        let out = match stored {
            Stored::Plain => Encoder::Plain(file),
            Stored::Gzip => Encoder::Gzip(Box::new(GzEncoder::new(file, Compression::default()))),
            Stored::Zstd => Encoder::Zstd(Box::new(zstd::stream::write::Encoder::new(file, 0)?)),
        };
        Ok(AtomicFile { folder: folder.to_path_buf(), hidden, name: folder.join(name), out: Some(out) })
    }

    /// Writes all out to the disk and gives the file its name, replacing one that has it.
    ///
    /// # Errors
    /// What the file system says; the file is then not there.
    pub fn finish(mut self) -> io::Result<()> {
        let file = match self.out.take().ok_or(io::ErrorKind::BrokenPipe)? {
            Encoder::Plain(out) => out,
            Encoder::Gzip(out) => out.finish()?,
            Encoder::Zstd(out) => out.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&self.hidden, &self.name)?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.as_mut().ok_or(io::ErrorKind::BrokenPipe)? {
            Encoder::Plain(out) => out.write(bytes),
            Encoder::Gzip(out) => out.write(bytes),
            Encoder::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.out.as_mut().ok_or(io::ErrorKind::BrokenPipe)? {
            Encoder::Plain(out) => out.flush(),
            Encoder::Gzip(out) => out.flush(),
            Encoder::Zstd(out) => out.flush(),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name any more.
        drop(fs::remove_file(&self.hidden));
    }
}
