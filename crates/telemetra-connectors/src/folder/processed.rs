//! Where files go that are done: all their records are committed, or they hold none, or only known ones.
//!
//! Moving is housekeeping: what fails is told apart from what is not read and tried again by the next poll, and after
//! a restart what was not moved is moved. What was read is known by content and name as before, wherever its file lies.
//!
//! | in the folder for processed files there is | the file |
//! |---|---|
//! | nothing of that name | is renamed; on another file system copied, written out, renamed, then removed |
//! | a file with the same bytes | is removed, and counted as a duplicate |
//! | anything else | gets the next number: `a.csv`, `a.1.csv`, `a.2.csv` |
//!
//! A writer that still holds a file when it is moved writes on where nobody reads. So a file that settled without a
//! record, as one of which only the head is written yet, is moved only minutes after it was last written to. A file that changed since it
//! was indexed is not moved; one that grows within a minute after it was moved, or has grown by the next start, is
//! named as a warning (not where it was copied: the writer then holds what was removed). Put back under its old name
//! it is read on.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File, FileTimes, OpenOptions},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    decompress::{Decoder, fill},
    entry::State,
    fingerprint::Fingerprint,
    index::begins_with,
    intake::Folder,
    limits::{
        EMPTY_KEPT_MS, MOVE_FAILURES_MAX, MOVE_NUMBERS_MAX, MOVED_WATCHED_MAX, MOVED_WATCHED_MS, POINT_BYTES,
    },
    report::Unmoved,
    scan::shown,
    settle::Arrival,
    stamp::{self, Stamp},
};

/// The folder for processed files, and what was moved there.
#[derive(Debug)]
pub(crate) struct Processed {
    path: PathBuf,
    /// Files moved there.
    pub(crate) count: u64,
    /// What was not moved by the last poll, or since.
    pub(crate) unmoved: Unmoved,
    watched: VecDeque<Watched>,
}

/// A file that was moved.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    size: u64,
    until_ms: i64,
    has_grown: bool,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// It lies there now.
    To(PathBuf),
    /// It was there already and is removed.
    WasThere,
}

impl Processed {
    /// Files go to the folder `path`, which is made if need be.
    pub(crate) fn new(path: PathBuf) -> Processed {
        Processed { path, count: 0, unmoved: Unmoved::default(), watched: VecDeque::new() }
    }

    /// The folder, as it can be printed.
    pub(crate) fn shown(&self) -> String {
        shown(&self.path)
    }

    /// Files of which a part is not read, since it came after they were moved.
    pub(crate) fn grown(&self) -> impl Iterator<Item = String> {
        self.watched.iter().filter(|watched| watched.has_grown).map(|watched| {
            let path = shown(&watched.path);
            format!(
                "{path}: it grew after it was moved: put it back under its old name to have the rest read"
            )
        })
    }

    fn watch(&mut self, path: PathBuf, size: u64, now_ms: i64) {
        self.watched.retain(|watched| !watched.has_grown || watched.path != path);
        if self.watched.len() == MOVED_WATCHED_MAX {
            self.watched.pop_front();
        }
        let until_ms = now_ms.saturating_add(MOVED_WATCHED_MS);
        self.watched.push_back(Watched { path, size, until_ms, has_grown: false });
    }

    /// Looks again at what was moved a short time ago.
    fn look(&mut self, now_ms: i64) {
        self.watched.retain_mut(|watched| {
            // Who put it back took it from here.
            let Ok(data) = fs::symlink_metadata(&watched.path) else { return false };
            watched.has_grown |= data.len() > watched.size;
            watched.has_grown || watched.until_ms >= now_ms
        });
    }

    /// Notes that a file holds more than its first `end` decoded bytes, which were read before it was moved.
    fn see(&mut self, name: &str, end: u64, fingerprint: Fingerprint) {
        let path = self.path.join(name);
        let Ok(data) = fs::symlink_metadata(&path) else { return };
        // A compressed file is nearly always shorter than what it holds, so next to none is read here.
        if data.is_file()
            && data.len() > end
            && self.watched.len() < MOVED_WATCHED_MAX
            && holds_more(&path, end).unwrap_or(false)
            && begins_with(&path, end, fingerprint)
        {
            self.watched.push_back(Watched { path, size: end, until_ms: i64::MIN, has_grown: true });
        }
    }
}

impl Folder {
    /// Looks for files that grew where they were moved by an earlier run.
    pub(crate) fn see_moved<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let Some(processed) = &mut self.processed else { return };
        for name in names.collect::<HashSet<_>>() {
            if let Some(head) = self.heads.get(name) {
                processed.see(name, head.end, head.fingerprint);
            }
        }
    }

    /// Moves all files that are done.
    pub(crate) fn put_away_all(&mut self, now_ms: i64) {
        self.polled_ms = now_ms;
        let Some(processed) = &mut self.processed else { return };
        processed.look(now_ms);
        processed.unmoved = Unmoved::default();
        let names: Vec<_> = self.entries.all.keys().cloned().collect();
        self.put_away(&names);
    }

    /// Moves those of the named files that are done.
    pub(crate) fn put_away(&mut self, names: &[Arc<str>]) {
        let Some(mut processed) = self.processed.take() else { return };
        let done = self.done(names);
        if !done.is_empty() {
            let place = shown(&processed.path);
            match self.make(&processed) {
                Err(error) => processed.unmoved.push(done.len() as u64, format!("{place}: {error}")),
                Ok(()) => {
                    self.put_away_done(&mut processed, &done);
                    if let Err(error) = self.sync(&processed) {
                        processed.unmoved.push(0, format!("{place}: writing it out: {error}"));
                    }
                }
            }
        }
        self.processed = Some(processed);
    }

    /// Files of which nothing is to be read any more.
    fn done(&self, names: &[Arc<str>]) -> Vec<Arc<str>> {
        let pieces = || self.sequences.values().flat_map(|sequence| &sequence.pieces);
        let names_needed: HashSet<&str> = pieces().map(|piece| &*piece.body.at).collect();
        let contents_needed: HashSet<_> =
            pieces().map(|piece| (piece.body.bytes.end, piece.body.fingerprint)).collect();
        let is_done = |name: &&Arc<str>| {
            let Some(entry) = self.entries.all.get(&***name) else { return false };
            let is_read = match &entry.state {
                State::Taken => true,
                State::Empty => {
                    let kept_until_ms = entry.stamp.mtime_ms().saturating_add(EMPTY_KEPT_MS);
                    self.rule.arrival == Arrival::Rename || kept_until_ms <= self.polled_ms
                }
                // The one that was read first may yet turn out to be gone.
                State::Duplicate(content) => !contents_needed.contains(content),
                _ => false,
            };
            is_read && !entry.is_frozen && !names_needed.contains(&***name)
        };
        names.iter().filter(is_done).cloned().collect()
    }

    /// Makes the folder for processed files, which must be another than the one that is read.
    fn make(&self, processed: &Processed) -> io::Result<()> {
        fs::create_dir_all(&processed.path)?;
        let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
        if identity(&processed.path)? == identity(&self.path)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the folder that is read"));
        }
        Ok(())
    }

    /// What was moved stays so when the power goes.
    fn sync(&self, processed: &Processed) -> io::Result<()> {
        File::open(&processed.path)?.sync_all()?;
        File::open(&self.path)?.sync_all()
    }

    fn put_away_done(&mut self, processed: &mut Processed, done: &[Arc<str>]) {
        let mut failed = 0;
        for (number, name) in done.iter().enumerate() {
            let from = self.path.join(&**name);
            let Some(stamp) = self.entries.all.get(name).map(|entry| entry.stamp) else { continue };
            // What is no longer as it was read is for the next look to judge.
            if !fs::symlink_metadata(&from).is_ok_and(|data| Stamp::of(&data) == stamp) {
                continue;
            }
            match put_away(&from, name, &processed.path, |from, to| fs::rename(from, to)) {
                Ok(moved) => {
                    processed.count += 1;
                    match moved {
                        Moved::To(path) => processed.watch(path, stamp.size, self.polled_ms),
                        Moved::WasThere => self.list_again(name, stamp.size),
                    }
                    self.entries.all.remove(name);
                }
                Err(error) => {
                    processed.unmoved.push(1, format!("{}: {error}", shown(&from)));
                    failed += 1;
                    if failed == MOVE_FAILURES_MAX {
                        processed.unmoved.count += (done.len() - number - 1) as u64;
                        return;
                    }
                }
            }
        }
    }

    /// A file that was delivered once more under the name under which it was moved.
    fn list_again(&mut self, name: &Arc<str>, stored: u64) {
        let entry = self.entries.all.get(name);
        if entry.is_some_and(|entry| entry.state == State::Taken) {
            let bytes = self.heads.get(name).map_or(stored, |head| head.end);
            self.list_duplicate(name, bytes);
        }
    }
}

/// Moves a file to the folder `to`, as the table above says.
fn put_away(
    from: &Path,
    name: &str,
    to: &Path,
    rename: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<Moved> {
    for number in 0..MOVE_NUMBERS_MAX {
        let target = to.join(numbered(name, number));
        match fs::symlink_metadata(&target) {
            Ok(data) if data.is_file() && holds_the_same(from, &target)? => {
                fs::remove_file(from)?;
                return Ok(Moved::WasThere);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rename(from, &target) {
                    Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_over(from, &target)?,
                    renamed => renamed?,
                }
                return Ok(Moved::To(target));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "every number behind its name is taken"))
}

/// A name with a number before its last suffix.
fn numbered(name: &str, number: u32) -> String {
    match (number, name.rsplit_once('.')) {
        (0, _) => name.to_owned(),
        (_, Some((stem, suffix))) if !stem.is_empty() => format!("{stem}.{number}.{suffix}"),
        _ => format!("{name}.{number}"),
    }
}

/// Whether a file holds more than `end` decoded bytes.
fn holds_more(path: &Path, end: u64) -> io::Result<bool> {
    let (mut decoder, _) = Decoder::open(path)?;
    decoder.skip_to(end)?;
    Ok(fill(&mut decoder, &mut [0])? > 0)
}

fn holds_the_same(a: &Path, b: &Path) -> io::Result<bool> {
    let ((mut a, stamp_a), (mut b, stamp_b)) = (stamp::open(a)?, stamp::open(b)?);
    if stamp_a.size != stamp_b.size {
        return Ok(false);
    }
    let (mut from_a, mut from_b) = (vec![0; POINT_BYTES], vec![0; POINT_BYTES]);
    loop {
        let held = (fill(&mut a, &mut from_a)?, fill(&mut b, &mut from_b)?);
        if held.0 != held.1 || from_a[..held.0] != from_b[..held.1] {
            return Ok(false);
        }
        if held.0 == 0 {
            return Ok(true);
        }
    }
}

/// Moves a file to another file system: at every moment one of the two is there whole.
fn copy_over(from: &Path, to: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let hidden = folder.join(format!(".{}.part", name.to_string_lossy()));
    let (mut source, stamp) = stamp::open(from)?;
    // What an earlier try left.
    drop(fs::remove_file(&hidden));
    let mut copy = OpenOptions::new().write(true).create_new(true).open(&hidden)?;
    let copied = io::copy(&mut source.by_ref().take(stamp.size), &mut copy)?;
    copy.set_permissions(source.metadata()?.permissions())?;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp.mtime_ns.unsigned_abs());
    copy.set_times(FileTimes::new().set_modified(modified))?;
    copy.sync_all()?;
    if copied != stamp.size || Stamp::of(&fs::symlink_metadata(from)?) != stamp {
        fs::remove_file(&hidden)?;
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changed while it was copied"));
    }
    fs::rename(&hidden, to)?;
    File::open(folder)?.sync_all()?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests;
