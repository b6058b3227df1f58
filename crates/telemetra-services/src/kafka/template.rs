//! What all brokers of a version share and what takes seconds to make: kept beside the build, made by the first.
//!
//! A formatted folder's checkpoint (features, users by SCRAM), and for the newest version Java's archive of the classes
//! that a broker has loaded, with which it starts in a third of the time. An archive that does not suit is left out by
//! Java itself.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use xxhash_rust::xxh3::xxh3_64;

use super::{Kafka, Setup, USERS, Version, clients::Programs, settings};
use crate::{
    keeper::{command, finished},
    kept,
};

/// What `format` has written, for every node alike.
pub(super) const CHECKPOINT: &str = "bootstrap.checkpoint";
/// Java's archive of classes; there if it could be made.
pub(super) const CLASSES: &str = "classes.jsa";

/// The folder with both files.
pub(super) fn of(version: Version) -> Result<&'static Path, String> {
    static MADE: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let made = MADE[usize::from(version == Version::V4)].get_or_init(|| make(version));
    made.as_deref().map_err(Clone::clone)
}

fn make(version: Version) -> Result<PathBuf, String> {
    let programs = Programs::find(version)?;
    let java = fs::metadata(&programs.java).and_then(|java| java.modified());
    let meant = format!("{java:?} {programs:?} {USERS:?}");
    let kept = kept();
    let folder = kept.join(format!("kafka-{:016x}", xxh3_64(meant.as_bytes())));
    if folder.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&kept).expect("the target folder is ours");
    let ours = tempfile::tempdir_in(&kept).expect("a folder");
    let template = ours.path().join("template");
    fs::create_dir(&template).expect("the folder is ours");
    format(&programs, ours.path(), &template)?;
    if version == Version::V4 {
        let archive = format!("-XX:ArchiveClassesAtExit={}", template.join(CLASSES).display());
        let setup = Setup { is_secure: true, ..Setup::default() };
        Kafka::launch(&setup, &template, &[archive])?.stop(1);
    }
    // Whole or not at all; another process may have been faster, and its template is as good.
    fs::rename(template, &folder)
        .or_else(|error| if folder.exists() { Ok(()) } else { Err(error) })
        .expect("a rename");
    Ok(folder)
}

fn format(programs: &Programs, ours: &Path, template: &Path) -> Result<(), String> {
    let (setup, node) = (Setup::default(), 1);
    let properties = ours.join("properties");
    let text = settings::broker(&setup, node, &[settings::Ports::choose(&setup, node)], ours);
    fs::write(&properties, text).expect("the folder is ours");
    let mut format = command(&programs.java);
    format.args([OsString::from("-cp"), programs.class_path()?]);
    format.args(["kafka.tools.StorageTool", "format", "-t", &settings::random_id(), "-c"]).arg(properties);
    for user in USERS.iter().filter(|user| user.mechanism.starts_with("SCRAM")) {
        let credential = format!("{}=[name={},password={}]", user.mechanism, user.name, user.password);
        format.args(["--add-scram", &credential]);
    }
    finished(&mut format)?;
    let written = settings::data(ours, node).join(CHECKPOINT);
    fs::copy(&written, template.join(CHECKPOINT))
        .map_err(|error| format!("{}: {error}", written.display()))?;
    Ok(())
}
