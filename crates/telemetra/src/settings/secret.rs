//! Texts that only their owner may read: from a file, or from the settings file if that is as private.
//!
//! Nothing here repeats what such a text holds.

use std::{
    fs::{File, Metadata},
    io::Read,
    path::Path,
};

use super::parse::Wrong;

/// Longest secret, bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads the secret that a file holds, without the line end after it.
///
/// # Errors
/// When it cannot be read, is empty, or can be read by others than its owner.
pub(super) fn read(path: &str) -> Result<String, Wrong> {
    let next = || "name a readable file that holds nothing else".to_owned();
    let wrong = |error: std::io::Error| (format!("`{path}` cannot be read: {error}"), next());
    let file = File::open(path).map_err(wrong)?;
    let found = file.metadata().map_err(wrong)?;
    refuse_if_shared(path, &found)?;
    if !found.is_file() || found.len() > SECRET_BYTES_MAX {
        return Err((format!("`{path}` is no file of at most {} KB", SECRET_BYTES_MAX >> 10), next()));
    }
    let mut text = String::new();
    // It may grow after it was looked at.
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err((format!("`{path}` is empty"), next())) } else { Ok(text) }
}

/// Refuses a settings file that holds a secret and can be read by others.
///
/// # Errors
/// As said.
pub(super) fn demand_private(path: &Path) -> Result<(), Wrong> {
    let shown = path.display().to_string();
    match path.metadata() {
        Ok(found) => refuse_if_shared(&shown, &found),
        Err(error) => Err((format!("`{shown}` cannot be looked at: {error}"), "name a readable file".into())),
    }
}

fn refuse_if_shared(path: &str, found: &Metadata) -> Result<(), Wrong> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let next = format!("`chmod 600 {path}`; for a secret of a container, mount it with mode 0400");
    Err((format!("`{path}` holds a secret and is open to others (mode {mode:03o})"), next))
}
