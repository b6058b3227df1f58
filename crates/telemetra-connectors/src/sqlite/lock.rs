//! One instance per job: an OS lock on a file beside the database.
//!
//! The lock ends with its holder's process, however that dies, so a restart never waits. It is a courtesy:
//! what makes results right is the epoch in the job row, which fences whoever got past a lock.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use telemetra_engine::sink::SinkError;

/// The lock of one job in one store, held until dropped.
#[derive(Debug)]
pub(super) struct JobLock {
    _file: File,
}

impl JobLock {
    /// Takes the lock file `<database>.<job>.lock` and writes our process id into it.
    ///
    /// # Errors
    /// [`SinkError::Busy`] with the holder's process id while another instance has it.
    pub(super) fn take(database: &Path, job: &str) -> Result<Self, SinkError> {
        let path = lock_path(database, job);
        let failed = |what: &str, error: std::io::Error| {
            SinkError::NotApplied(format!("{what} the lock file {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("opening", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may not have written its id yet.
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim() } else { "unknown" };
                return Err(SinkError::Busy(format!(
                    "job {job} in {} is run by process {holder}; stop it, or give this one another --job",
                    database.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed("locking", error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(|error| failed("writing", error))?;
        Ok(Self { _file: file })
    }

    /// Whether some instance holds the lock. It is asked without writing; an instance that starts in the same
    /// instant finds the job busy once and tries again.
    ///
    /// # Errors
    /// [`SinkError::NotApplied`] when the lock file cannot be looked at.
    pub(super) fn is_held(database: &Path, job: &str) -> Result<bool, SinkError> {
        let path = lock_path(database, job);
        let failed = |error: std::io::Error| {
            SinkError::NotApplied(format!("looking at the lock file {}: {error}", path.display()))
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Through links to the one file, so that two names of a store share a lock.
fn lock_path(database: &Path, job: &str) -> PathBuf {
    let real = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut path = real.into_os_string();
    path.push(format!(".{job}.lock"));
    path.into()
}
