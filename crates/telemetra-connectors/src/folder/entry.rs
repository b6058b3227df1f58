//! The files of a folder by name, and how far each has come: waited for, ready, taken in or passed over.
//!
//! Looks at names and stamps only; contents are judged by `intake`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    ops::Range,
    path::Path,
    sync::Arc,
};

use super::{
    fingerprint::Fingerprint,
    limits::STATS_PER_POLL,
    scan,
    settle::{Rule, Waiting},
    stamp::Stamp,
};

/// What a file is known by: decoded size and fingerprint.
pub(crate) type Content = (u64, Fingerprint);

/// A file of the folder.
#[derive(Debug)]
pub(crate) struct Entry {
    /// How it looked last.
    pub(crate) stamp: Stamp,
    /// How far it has come.
    pub(crate) state: State,
    /// It was taken in before the freeze and touched after it: nothing more is taken from it.
    pub(crate) is_frozen: bool,
    /// Number of the look that saw it last.
    look: u64,
}

/// How far a file has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was verified at the start and has grown since it was recorded.
    Resumed,
    /// It may still be written.
    Waiting(Waiting),
    /// It may be indexed.
    Ready,
    /// It is in a sequence, or was read.
    Taken,
    /// It holds no record.
    Empty,
    /// Another file holds the same.
    Duplicate(Content),
    /// What it holds is not to be read, and why.
    Refused(String),
    /// It could not be read, and why; tried again by every look.
    Unreadable(String),
}

/// Names whose files are not what they were at the look before.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Touched since, with the stamps they had.
    pub(crate) changed: HashMap<Arc<str>, Stamp>,
    /// No longer there, with the stamps they had.
    pub(crate) gone: HashMap<Arc<str>, Stamp>,
}

impl Lost {
    /// Whether a file is not what it was.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.changed.contains_key(name) || self.gone.contains_key(name)
    }

    /// Whether nothing is lost.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

/// All files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// By name.
    pub(crate) all: BTreeMap<Arc<str>, Entry>,
    /// Names read to their ends by an earlier run, with their sizes and times of the last write, nanoseconds:
    /// one that still has both when it is first seen is taken to be the same.
    pub(crate) trusted: HashMap<Arc<str>, (u64, i64)>,
    /// No name is taken in any more.
    pub(crate) is_frozen: bool,
    /// What is passed over for what it is, as it can be printed, and why.
    pub(crate) refused: Vec<(String, &'static str)>,
    hidden: HashSet<u64>,
    looks: u64,
    turn: usize,
}

impl Entries {
    /// Adds a file that was verified at the start.
    pub(crate) fn resume(&mut self, name: Arc<str>, stamp: Stamp, state: State) {
        self.all.insert(name, Entry { stamp, state, is_frozen: false, look: 0 });
    }

    /// Looks at the folder: new names, and stamps of files that may have changed, `suspects` among them.
    ///
    /// # Errors
    /// What the file system says of the folder itself.
    pub(crate) fn look(
        &mut self,
        folder: &Path,
        rule: Rule,
        suspects: &HashSet<Arc<str>>,
        now_ms: i64,
    ) -> io::Result<Lost> {
        self.looks += 1;
        let mut lost = Lost::default();
        let mut arrived = HashSet::new();
        let names = if self.is_frozen {
            self.all.keys().map(|name| (name.to_string(), 0)).collect()
        } else {
            let listing = scan::list(folder)?;
            self.refused = listing.refused;
            arrived = std::mem::replace(&mut self.hidden, listing.hidden);
            listing.files
        };
        let due = self.due();
        for (at, (name, ino)) in names.iter().enumerate() {
            let is_due = due.as_ref().is_none_or(|due| due.turn.contains(&at)) || suspects.contains(&**name);
            if let Some(entry) = self.all.get_mut(&**name) {
                let is_new = due.as_ref().is_some_and(|due| entry.stamp.mtime_ns >= due.newer_ns);
                if matches!(entry.state, State::Taken | State::Duplicate(_)) && !is_due && !is_new {
                    entry.look = self.looks;
                    continue;
                }
            }
            // A file that vanishes between listing and look is gone, as if it had not been listed.
            if let Some(stamp) = stamp_of(folder, name) {
                self.see(name, stamp, rule, arrived.contains(ino), now_ms, &mut lost);
            }
        }
        self.trusted = HashMap::new();
        let look = self.looks;
        self.all.retain(|name, entry| {
            if entry.look != look {
                lost.gone.insert(name.clone(), entry.stamp);
            }
            entry.look == look
        });
        Ok(lost)
    }

    /// Takes note of one file's stamp.
    fn see(
        &mut self,
        name: &str,
        stamp: Stamp,
        rule: Rule,
        is_renamed_in: bool,
        now_ms: i64,
        lost: &mut Lost,
    ) {
        let first = || rule.first_seen(&stamp, is_renamed_in, now_ms).map_or(State::Ready, State::Waiting);
        let Some(entry) = self.all.get_mut(name) else {
            let is_same = self.trusted.get(name) == Some(&(stamp.size, stamp.mtime_ns));
            let state = if is_same { State::Taken } else { first() };
            self.all.insert(name.into(), Entry { stamp, state, is_frozen: false, look: self.looks });
            return;
        };
        entry.look = self.looks;
        if entry.stamp != stamp {
            entry.is_frozen |= self.is_frozen && matches!(entry.state, State::Taken | State::Duplicate(_));
            lost.changed.insert(name.into(), entry.stamp);
            entry.stamp = stamp;
            entry.state = first();
            return;
        }
        match entry.state {
            State::Resumed => entry.state = first(),
            State::Waiting(waiting) => {
                entry.state = waiting.seen_again(now_ms).map_or(State::Ready, State::Waiting);
            }
            State::Unreadable(_) => entry.state = State::Ready,
            State::Ready | State::Taken | State::Empty | State::Duplicate(_) | State::Refused(_) => {}
        }
    }

    /// Which of the files taken in are looked at; `None` means all.
    fn due(&mut self) -> Option<Due> {
        if self.all.len() <= 2 * STATS_PER_POLL {
            return None;
        }
        let mut times: Vec<_> = self.all.values().map(|entry| entry.stamp.mtime_ns).collect();
        let newest = times.len() - STATS_PER_POLL;
        let newer_ns = *times.select_nth_unstable(newest).1;
        let begin = if self.turn >= self.all.len() { 0 } else { self.turn };
        self.turn = begin + STATS_PER_POLL;
        Some(Due { newer_ns, turn: begin..self.turn })
    }
}

/// Of many files taken in, those that one look looks at.
struct Due {
    /// Files written at or after this time, nanoseconds since the Unix epoch.
    newer_ns: i64,
    /// Places in the listing whose turn it is.
    turn: Range<usize>,
}

/// The stamp of a regular file; `None` if there is none of this name any more.
fn stamp_of(folder: &Path, name: &str) -> Option<Stamp> {
    let data = fs::symlink_metadata(folder.join(name)).ok()?;
    data.is_file().then(|| Stamp::of(&data))
}
