//! Which file it is and whether it was touched: the stamp; and how a file of a folder is opened.
//!
//! Only regular files are ever read: a symbolic link is not followed, and opening a FIFO does not hang.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Identity, size and times of a file. Equal stamps are taken to mean equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Device.
    pub(crate) dev: u64,
    /// Inode.
    pub(crate) ino: u64,
    /// Stored size in bytes.
    pub(crate) size: u64,
    /// Time of the last write, nanoseconds since the Unix epoch, saturating.
    pub(crate) mtime_ns: i64,
    /// Time of the last change of anything, names included, which nobody can set at will; likewise.
    pub(crate) ctime_ns: i64,
}

impl Stamp {
    /// The stamp of no file.
    pub(crate) const NONE: Stamp = Stamp { dev: 0, ino: 0, size: 0, mtime_ns: i64::MIN, ctime_ns: i64::MIN };

    /// Takes the stamp from what the file system says.
    pub(crate) fn of(data: &Metadata) -> Stamp {
        let ns = |seconds: i64, ns| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Stamp {
            dev: data.dev(),
            ino: data.ino(),
            size: data.size(),
            mtime_ns: ns(data.mtime(), data.mtime_nsec()),
            ctime_ns: ns(data.ctime(), data.ctime_nsec()),
        }
    }

    /// Time of the last write, milliseconds since the Unix epoch.
    pub(crate) fn mtime_ms(&self) -> i64 {
        self.mtime_ns.div_euclid(1_000_000)
    }
}

/// Opens a regular file for reading and takes its stamp.
///
/// # Errors
/// What the file system says; `InvalidInput` if it is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Stamp)> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, Stamp::of(&data)))
}
