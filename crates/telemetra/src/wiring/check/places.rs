//! The folders that shop events move through: whether files can be moved out of the one and others made in the rest.
//!
//! Whether a folder can be written is tried, with a hidden file that is removed at once: permissions do not tell it of
//! a file system that is read only or full.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{commands::check::Finding, settings::CommerceSettings};

/// Looks at the folders beside the input, and at whether files can leave that.
pub(super) fn check(settings: &CommerceSettings) -> Vec<Finding> {
    let CommerceSettings { input_dir, processed_dir, error_dir, log_dir, .. } = settings;
    let mut findings = Vec::new();
    if input_dir.is_dir()
        && let Err(error) = try_file(input_dir)
    {
        let what = format!("moving files out of {}", input_dir.display());
        findings.push(Finding { what, found: error.to_string(), is_good: false });
    }
    for (name, path) in [("processed", processed_dir), ("error", error_dir), ("log", log_dir)] {
        let what = format!("{name} folder {}", path.display());
        let (found, is_good) = place(path, input_dir, name);
        findings.push(Finding { what, found, is_good });
    }
    findings
}

/// How a folder is, and whether that will do.
fn place(path: &Path, input: &Path, name: &str) -> (String, bool) {
    let there = existing(path);
    let (Ok(metadata), true) = (fs::metadata(&there), there.is_dir()) else {
        return (format!("{} is not a folder", there.display()), false);
    };
    if let Err(error) = try_file(&there) {
        return (format!("{} cannot be written: {error}", there.display()), false);
    }
    let input = fs::metadata(input);
    let is = |other: &fs::Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
    if there == *path && name != "log" && input.as_ref().is_ok_and(is) {
        return ("it is the folder that is read; give it a folder of its own".into(), false);
    }
    let mut found =
        if there == *path { "can be written" } else { "not there yet; a run makes it" }.to_owned();
    if name == "processed" && input.is_ok_and(|input| input.dev() != metadata.dev()) {
        found.push_str("; on another file system: files are copied, then removed");
    }
    (found, true)
}

/// The folder itself, or the nearest above it that is there.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().find(|above| above.symlink_metadata().is_ok());
    above.map_or_else(|| ".".into(), Path::to_owned)
}

/// Writes a file and removes it.
fn try_file(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".telemetra-check-{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(b"written by telemetra check").and_then(|()| file.sync_all());
    fs::remove_file(&path)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_written_or_made_or_is_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("in")).expect("made");
        fs::write(at("file"), "").expect("written");
        std::os::unix::fs::symlink(at("in"), at("link")).expect("linked");
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("linked");
        let check = |name: &str, words: &str, is_good: bool| {
            let found = place(&at(name), &at("in"), "processed");
            assert!(found.0.contains(words) && found.1 == is_good, "{name}: {found:?}");
        };
        check("out", "not there yet", true);
        check("out/of/here", "not there yet", true);
        check(".", "can be written", true);
        check("file", "is not a folder", false);
        check("file/below", "is not a folder", false);
        check("dangling", "is not a folder", false);
        check("in", "it is the folder that is read", false);
        check("link", "it is the folder that is read", false);
        assert_eq!(fs::read_dir(at("in")).expect("a folder").count(), 0, "nothing is left");
    }
}
