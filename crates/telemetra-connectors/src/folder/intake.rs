//! One folder: its files, the sequences they make, and what is known by content.
//!
//! A poll goes look → release what changed → index → take in → arrange; what is taken in is judged by `take_in`.
//! Invariant: every piece in a sequence comes from an index pass of this process that read the whole file, and its
//! content is in `contents`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use telemetra_engine::{ids::Offset, source::SourceError};

use super::{
    cut::bytes_behind,
    drift::Drift,
    entry::{Content, Entries, Lost, State},
    fingerprint::Fingerprint,
    format::Format,
    index::{Budget, Job, begins_with, index_all},
    processed::Processed,
    report::{Duplicate, Newest},
    scan::shown,
    sequence::{Body, Missing, Piece, Sequence},
    settle::Rule,
    source::FolderOrder,
};

/// How far the content under a name is known: what was added behind it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Partition that holds its last piece.
    pub(crate) partition: u32,
    /// Decoded bytes that were known first: the head of the file was judged by them.
    pub(crate) first_end: u64,
    /// Decoded bytes known.
    pub(crate) end: u64,
    /// Their fingerprint.
    pub(crate) fingerprint: Fingerprint,
}

/// One folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// When files may be read.
    pub(crate) rule: Rule,
    /// What its files hold.
    pub(crate) format: Format,
    /// Where new files go.
    pub(crate) order: FolderOrder,
    /// Records to index ahead of reading.
    pub(crate) ahead_records: u64,
    /// Decoded bytes that are enough ahead even if they hold fewer records.
    pub(crate) ahead_bytes: u64,
    /// Threads of an index pass.
    pub(crate) threads: usize,
    /// Its files.
    pub(crate) entries: Entries,
    /// Its partitions; 0 is always there.
    pub(crate) sequences: BTreeMap<u32, Sequence>,
    /// Number of the next partition.
    pub(crate) next_partition: u32,
    /// What is known of each name.
    pub(crate) heads: HashMap<Arc<str>, Head>,
    /// What is in a sequence, or was read.
    pub(crate) contents: HashSet<Content>,
    /// The head of the file taken in last.
    pub(crate) last_head: Option<Arc<[u8]>>,
    /// Files that held what another one held.
    pub(crate) duplicates: Newest<Duplicate>,
    /// Where files go that are done.
    pub(crate) processed: Option<Processed>,
    /// Time of the last poll, milliseconds since the Unix epoch.
    pub(crate) polled_ms: i64,
    /// Files found to hold no record.
    pub(crate) empty_count: u64,
    /// Files that were taken in as one record, and what to do about each.
    pub(crate) faulty: Newest<String>,
    /// Columns of its files that nobody reads.
    pub(crate) drift: Drift,
    /// Files of which no record will be read again; one that grew counts once more.
    pub(crate) read_count: u64,
    /// Decoded bytes indexed so far, by all passes.
    pub(crate) indexed_bytes: Arc<AtomicU64>,
}

impl Folder {
    /// Looks for files and takes in what may be read.
    ///
    /// # Errors
    /// `Retry` if the folder is away.
    pub(crate) fn poll(&mut self, now_ms: i64) -> Result<(), SourceError> {
        let failed = self
            .sequences
            .values()
            .flat_map(|sequence| &sequence.pieces)
            .filter(|piece| piece.body.has_failed());
        let suspects: HashSet<_> = failed.map(|piece| piece.body.at.clone()).collect();
        let lost = self.entries.look(&self.path, self.rule, &suspects, now_ms).map_err(|error| {
            let what = format!("reading the folder {}", shown(&self.path));
            SourceError::Retry { what, source: Box::new(error) }
        })?;
        self.sequences.values_mut().for_each(Sequence::unpin_failed);
        self.follow_renames(&lost);
        self.release(&lost, &suspects);
        // A file whose old content was read to its end is indexed twice: as grown, then as new.
        while self.index_ahead(now_ms) {}
        self.put_away_all(now_ms);
        Ok(())
    }

    /// Finds files in the midst of being read, or grown since, under a new name by their inodes.
    fn follow_renames(&mut self, lost: &Lost) {
        if lost.is_empty() {
            return;
        }
        let entries = self.entries.all.iter();
        let names: HashMap<_, _> =
            entries.map(|(name, entry)| ((entry.stamp.dev, entry.stamp.ino), name.clone())).collect();
        for (old, stamp) in lost.gone.iter().chain(&lost.changed) {
            let Some(name) =
                names.get(&(stamp.dev, stamp.ino)).filter(|name| !self.heads.contains_key(*name))
            else {
                continue;
            };
            let Some(head) = self.heads.get(old).copied() else { continue };
            // The inode of a file that was removed may have been given to a new one.
            if !begins_with(&self.path.join(&**name), head.end, head.fingerprint) {
                continue;
            }
            self.heads.remove(old);
            self.heads.insert(name.clone(), head);
            for piece in self.sequences.values_mut().flat_map(|sequence| &mut sequence.pieces) {
                if piece.body.at == *old {
                    piece.body = Arc::new(piece.body.renamed(name.clone()));
                }
            }
        }
    }

    /// Takes what changed or went out of the sequences where it may still be taken out.
    fn release(&mut self, lost: &Lost, suspects: &HashSet<Arc<str>>) {
        if lost.is_empty() && suspects.is_empty() {
            return;
        }
        let mut released = Vec::new();
        for sequence in self.sequences.values_mut() {
            released
                .extend(sequence.arrange(Vec::new(), |body| !lost.contains(&body.at) && !body.has_failed()));
            let next = sequence.next;
            let is_gone = |piece: &&mut Piece| piece.end() > next && lost.gone.contains_key(&piece.body.at);
            for piece in sequence.pieces.iter_mut().filter(is_gone) {
                piece.missing = Some(piece.missing.unwrap_or(Missing::Since));
            }
        }
        for body in released.iter().rev() {
            self.contents.remove(&(body.bytes.end, body.fingerprint));
            match (body.before, self.heads.get_mut(&body.at)) {
                (Some(fingerprint), Some(head)) => {
                    (head.end, head.fingerprint) = (body.bytes.start, fingerprint);
                }
                _ => drop(self.heads.remove(&body.at)),
            }
        }
        // What a reader stumbled over is looked at anew, and so is a copy of what was taken out.
        let contents = &self.contents;
        for (name, entry) in &mut self.entries.all {
            let is_due = match &entry.state {
                State::Taken => suspects.contains(name),
                State::Duplicate(content) => !released.is_empty() && !contents.contains(content),
                _ => false,
            };
            if is_due {
                entry.state = State::Ready;
            }
        }
        self.drop_emptied();
    }

    /// Indexes files in the order of their names as far ahead as is needed. Whether it must be called again.
    fn index_ahead(&mut self, now_ms: i64) -> bool {
        let budget = self.budget();
        let last = self.sequences[&0].pieces.last().map(|piece| piece.body.file.clone());
        // However much is ahead: what was begun and touched is not read on before it is known again.
        let is_begun =
            |name: &Arc<str>| self.sequences.values().filter_map(begun).any(|it| it.body.at == *name);
        let is_needed = |name: &Arc<str>| {
            budget.records > 0 || last.as_ref().is_some_and(|last| name < last) || is_begun(name)
        };
        let ready =
            self.entries.all.iter().filter(|(name, entry)| entry.state == State::Ready && is_needed(name));
        let jobs: Vec<_> = ready.map(|(name, _)| self.job(name)).collect();
        if jobs.is_empty() {
            return false;
        }
        // What precedes files already in the sequence by name is taken in however much there is.
        let budget = if budget.records > 0 { budget } else { Budget { records: u64::MAX, bytes: u64::MAX } };
        let outcomes = index_all(&self.path, self.format, &jobs, &budget, self.threads, &self.indexed_bytes);
        let outcomes_len = outcomes.len();
        let mut added = Vec::new();
        let mut again = false;
        for (job, outcome) in jobs.iter().zip(outcomes) {
            again |= self.take_in(&job.name, outcome, now_ms, &mut added);
        }
        let is_cut_short = outcomes_len < jobs.len();
        self.append(added);
        // Copies use up a pass without adding records: a poll must not end as if nothing were left.
        again || (is_cut_short && self.budget().records > 0)
    }

    /// A file with the ends of its known pieces as boundaries.
    fn job(&self, name: &Arc<str>) -> Job {
        let mut boundaries = Vec::new();
        if let Some(head) = self.heads.get(name) {
            let pieces = self.sequences.values().flat_map(|sequence| &sequence.pieces);
            let pieces: Vec<_> = pieces.filter(|piece| piece.body.at == *name).collect();
            let mut known = Some((head.end, head.fingerprint));
            while let Some((end, fingerprint)) = known.filter(|known| known.0 > 0) {
                boundaries.insert(0, end);
                let is_there = |body: &Body| body.bytes.end == end && body.fingerprint == fingerprint;
                let piece = pieces.iter().find(|piece| is_there(&piece.body));
                known = piece.and_then(|piece| Some((piece.body.bytes.start, piece.body.before?)));
            }
            if boundaries.first().is_some_and(|&first| first > head.first_end) {
                boundaries.insert(0, head.first_end);
            }
        }
        Job { name: name.clone(), boundaries }
    }

    /// What is still to be indexed until enough is known ahead of reading.
    fn budget(&self) -> Budget {
        if self.order == FolderOrder::EventTime {
            // Each file holds the watermark from the first batch on, so all must be known.
            return Budget { records: u64::MAX, bytes: u64::MAX };
        }
        let sequence = &self.sequences[&0];
        // What was handed out is not ahead: the next batch begins behind it.
        let next = sequence.pinned();
        let bytes = bytes_behind(sequence.holding(&(next..sequence.end())), next);
        let records = self.ahead_records.saturating_sub(sequence.end().saturating_sub(next));
        let bytes = self.ahead_bytes.saturating_sub(bytes);
        if bytes == 0 { Budget { records: 0, bytes } } else { Budget { records, bytes } }
    }

    /// Puts new pieces in their places.
    fn append(&mut self, added: Vec<(Option<u32>, Body)>) {
        let mut by_partition: BTreeMap<u32, Vec<Arc<Body>>> = BTreeMap::new();
        for (partition, body) in added {
            let known = partition.filter(|partition| self.sequences.contains_key(partition));
            let is_file =
                self.order == FolderOrder::EventTime && known.is_none_or(|partition| partition == 0);
            let partition = if is_file { self.next_partition } else { known.unwrap_or(0) };
            self.next_partition += u32::from(is_file);
            if let Some(head) = self.heads.get_mut(&body.at) {
                head.partition = partition;
            }
            by_partition.entry(partition).or_default().push(Arc::new(body));
        }
        for (partition, bodies) in by_partition {
            self.sequences.entry(partition).or_default().arrange(bodies, |_| true);
        }
    }

    /// First offset that cannot be read now: a file in the midst of being read that was touched is waited for.
    pub(crate) fn readable_end(&self, sequence: &Sequence) -> Offset {
        let pinned = sequence.pinned();
        let is_touched = |piece: &Piece| {
            let entry = self.entries.all.get(&piece.body.at);
            piece.missing.is_none() && entry.is_none_or(|entry| entry.stamp != piece.body.stamp)
        };
        match begun(sequence) {
            Some(piece) if is_touched(piece) => pinned,
            _ => sequence.end(),
        }
    }

    /// Forgets partitions of files of which nothing is left to read, now or again.
    pub(crate) fn drop_emptied(&mut self) {
        self.sequences.retain(|&partition, sequence| partition == 0 || !sequence.pieces.is_empty());
    }
}

/// The piece of which a part was handed out, and not all.
fn begun(sequence: &Sequence) -> Option<&Piece> {
    let pinned = sequence.pinned();
    sequence.holding(&(pinned..pinned.saturating_add(1))).first().filter(|piece| piece.first < pinned)
}

/// The pieces of which something is not committed.
pub(crate) fn unread(sequence: &Sequence) -> impl Iterator<Item = &Piece> {
    sequence.pieces.iter().filter(|piece| piece.end() > sequence.next)
}
