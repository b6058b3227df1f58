//! What a folder has to say beside its records: files passed over, waited for, unreadable. Plain data.

use std::collections::VecDeque;

use super::limits::LISTED_MAX;

/// What is known of all folders of a source after a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that are waited for until they have settled, `folder/name`.
    pub unsettled: Vec<String>,
    /// Files and folders that are not read, and why.
    pub warnings: Vec<String>,
    /// Files that hold what another one held already; the newest of them.
    pub duplicates: Vec<Duplicate>,
    /// All files that were duplicates.
    pub duplicates_count: u64,
    /// Records that have offsets, from each partition's next offset on.
    pub records_unread: u64,
    /// Decoded bytes of those records' files, whole files counted.
    pub bytes_unread: u64,
    /// Files that are settled and not yet indexed.
    pub files_ahead: u64,
    /// Their stored bytes.
    pub bytes_ahead: u64,
    /// Files that are not read for what they are or hold, or that cannot be read now; each has a warning.
    pub files_refused: u64,
    /// Files found to hold no record since the start.
    pub files_empty: u64,
    /// Files with a fault that were taken in as one record since the start.
    pub files_faulty: u64,
    /// Files with columns that nobody reads, since the start.
    pub files_drifted: u64,
    /// What a person should know of files that are taken in: columns that nobody reads, and faults of whole files
    /// with what to do about them.
    pub notices: Vec<String>,
    /// Files read to their end since the start; one that grew and was read on counts once more.
    pub files_read: u64,
    /// Files moved away since the start, those that were there already included.
    pub files_moved: u64,
    /// Files that are done and could not be moved away; tried again by the next poll.
    pub unmoved: Unmoved,
}

/// Files of which nothing is to be read any more, and which lie where they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmoved {
    /// How many.
    pub count: u64,
    /// Why, each cause once; without a file if one could be moved but perhaps not for good.
    pub causes: Vec<String>,
}

impl Unmoved {
    /// Adds `count` files with their cause.
    pub(crate) fn push(&mut self, count: u64, cause: String) {
        self.count += count;
        if self.causes.len() < LISTED_MAX && !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    /// Adds those of another folder.
    pub(crate) fn extend(&mut self, other: &Unmoved) {
        self.count += other.count;
        other.causes.iter().for_each(|cause| self.push(0, cause.clone()));
    }
}

/// A file that was not read because its content is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// `folder/name`.
    pub file: String,
    /// Decoded size in bytes.
    pub bytes: u64,
}

/// A list that keeps its newest entries and counts all.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    /// The newest entries, oldest first.
    pub(crate) kept: VecDeque<T>,
    /// How many there were.
    pub(crate) count: u64,
}

impl<T> Default for Newest<T> {
    fn default() -> Newest<T> {
        Newest { kept: VecDeque::new(), count: 0 }
    }
}

impl<T> Newest<T> {
    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: T) {
        if self.kept.len() == LISTED_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(entry);
        self.count += 1;
    }
}
