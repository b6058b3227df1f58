//! What lies in a folder: which names are files to read, and which are passed over.
//!
//! Knows nothing of contents or of what was there before.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::DirEntryExt},
    path::Path,
};

use super::limits::LISTED_MAX;

/// One listing of a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Names of regular files to read, with their inodes; in no order.
    pub(crate) files: Vec<(String, u64)>,
    /// Inodes of files under names that are passed over: one renamed out of them has arrived whole.
    pub(crate) hidden: HashSet<u64>,
    /// Names that are passed over for what they are, for display, and why; at most [`LISTED_MAX`].
    pub(crate) refused: Vec<(String, &'static str)>,
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

/// Lists a folder. Sub-folders are left out; symbolic links, FIFOs, sockets and devices are refused.
///
/// # Errors
/// What the file system says of the folder itself.
pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Answered from the listing itself on the usual file systems; one that vanished meanwhile is skipped.
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        if kind.is_file() && is_ignored(name.as_bytes()) {
            listing.hidden.insert(entry.ino());
            continue;
        }
        let why = match name.to_str() {
            _ if kind.is_dir() || is_ignored(name.as_bytes()) => continue,
            _ if kind.is_symlink() => "a symbolic link is not followed",
            _ if !kind.is_file() => "it is no regular file",
            None => "the name is not UTF-8",
            Some(name) => {
                listing.files.push((name.to_owned(), entry.ino()));
                continue;
            }
        };
        if listing.refused.len() < LISTED_MAX {
            listing.refused.push((shown(&folder.join(&name)), why));
        }
    }
    Ok(listing)
}

/// A path as it can be printed without harm to a terminal or a log: what cannot be seen is escaped.
pub(crate) fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// A text as [`shown`] shows a path.
pub(crate) fn escaped(text: &str) -> String {
    let is_harmful = |c: char| {
        // Zero-width and directional marks, line separators, the byte order mark.
        let is_unseen =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || is_unseen || c == '\u{feff}'
    };
    let mut shown = String::new();
    for c in text.chars() {
        if is_harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

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
        let mut refused: Vec<_> = listing.refused.iter().map(|refused| refused.1).collect();
        refused.sort_unstable();
        assert_eq!(refused, ["a symbolic link is not followed", "the name is not UTF-8"]);
    }

    #[test]
    fn names_are_printed_escaped() {
        let check = |name: &str, expected: &str| assert_eq!(shown(Path::new(name)), expected);
        check("data/Ä 'b'.csv", "data/Ä 'b'.csv");
        check("a\u{1b}[2J\n\t\u{202e}b", "a\\u{1b}[2J\\n\\t\\u{202e}b");
    }
}
