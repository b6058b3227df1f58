//! What lies in a folder: which names are files to read, and which are passed over.
//!
//! Knows nothing of contents or of what was there before.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::DirEntryExt},
    path::Path,
};

/// One listing of a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Names of regular files to read, with their inodes; in no order.
    pub(crate) files: Vec<(String, u64)>,
    /// Inodes of files under names that are passed over: one renamed out of them has arrived whole.
    pub(crate) hidden: HashSet<u64>,
    /// Names that are not UTF-8, for display.
    pub(crate) not_utf8: Vec<String>,
}

/// Whether a file of this name is passed over: hidden, or still being written.
pub(crate) fn is_ignored(name: &[u8]) -> bool {
    let ends = |end: &[u8]| name.ends_with(end);
    matches!(name.first(), None | Some(b'.' | b'_')) || ends(b".tmp") || ends(b".part") || ends(b"._COPYING_")
}

/// Whether a recorded name is that of an entry of the folder itself.
pub(crate) fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Lists a folder. Sub-folders, symbolic links, FIFOs, sockets and devices are left out.
///
/// # Errors
/// What the file system says of the folder itself.
pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Answered from the listing itself on the usual file systems; one that vanished meanwhile is skipped.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let name = entry.file_name();
        if is_ignored(name.as_bytes()) {
            listing.hidden.insert(entry.ino());
            continue;
        }
        match name.into_string() {
            Ok(name) => listing.files.push((name, entry.ino())),
            Err(name) => listing.not_utf8.push(shown(&name)),
        }
    }
    Ok(listing)
}

/// A name as it can be printed without harm to a terminal.
fn shown(name: &OsStr) -> String {
    name.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_passed_over() {
        let check = |name: &str, expected: bool| assert_eq!(is_ignored(name.as_bytes()), expected, "{name}");
        check("a.jsonl", false);
        check("a.tmp.jsonl", false);
        check(".a", true);
        check("_SUCCESS", true);
        check("a.tmp", true);
        check("a.part", true);
        check("a.jsonl._COPYING_", true);
        check("apart", false);
    }

    #[test]
    fn only_regular_files_are_listed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("a"), "x").expect("written");
        fs::write(dir.path().join("b.tmp"), "x").expect("written");
        fs::write(dir.path().join(OsStr::from_bytes(b"\xff.jsonl")), "x").expect("written");
        fs::create_dir(dir.path().join("sub")).expect("made");
        std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("link")).expect("linked");
        let listing = list(dir.path()).expect("listed");
        assert_eq!(listing.files.iter().map(|file| file.0.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(listing.hidden.len(), 1);
        assert_eq!(listing.not_utf8, ["\u{fffd}.jsonl"]);
    }
}
