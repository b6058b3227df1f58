//! What an index pass found of a file, judged by what is known: new, grown, a copy, or another content under a known
//! name.
//!
//! Does not look at files and puts nothing into a sequence. Invariant: a content is taken in once, under the name that
//! had it first, unless that one is gone before its records were read.

use std::sync::{Arc, atomic::AtomicBool};

use super::{
    entry::{Content, State},
    format::Format,
    index::{Indexed, Refusal},
    intake::{Folder, Head},
    pass::Section,
    report::Duplicate,
    scan::{escaped, shown},
    sequence::{Body, Missing, Piece},
    settle::Waiting,
};

impl Folder {
    /// Judges what an index pass found of a file. Whether the file must be indexed once more.
    pub(crate) fn take_in(
        &mut self,
        name: &Arc<str>,
        outcome: Result<Indexed, Refusal>,
        now_ms: i64,
        added: &mut Vec<(Option<u32>, Body)>,
    ) -> bool {
        let Some(entry) = self.entries.all.get_mut(name) else { return false };
        let waiting = || State::Waiting(Waiting::since(now_ms));
        let indexed = match outcome {
            Ok(indexed) => indexed,
            Err(refusal) => {
                entry.state = match refusal {
                    Refusal::Vanished | Refusal::Touched => waiting(),
                    Refusal::Unreadable(error) => State::Unreadable(error.to_string()),
                    Refusal::Unfit(cause) => State::Refused(cause),
                };
                if let State::Refused(_) = self.entries.all[name].state {
                    self.other_content(name);
                }
                return false;
            }
        };
        if indexed.stamp != entry.stamp {
            (entry.stamp, entry.state) = (indexed.stamp, waiting());
            return false;
        }
        let is_frozen = entry.is_frozen;
        let Some(head) = self.heads.get(name).copied() else {
            let state = self.take_new(name, indexed, added);
            self.set(name, state);
            return false;
        };
        let known =
            |section: &Section| section.bytes.end == head.end && section.fingerprint == head.fingerprint;
        if !indexed.sections.iter().any(known) {
            return self.other_content(name);
        }
        self.refresh(name, name, &indexed);
        let grown =
            indexed.sections.iter().any(|section| section.bytes.start == head.end && section.records > 0);
        if grown && !is_frozen && indexed.fault.is_some() {
            // What made it one record may be mended: it is looked at as a whole, as any other new content.
            return self.other_content(name);
        }
        let state =
            if grown && !is_frozen { self.take_grown(name, head, indexed, added) } else { State::Taken };
        self.set(name, state);
        false
    }

    fn set(&mut self, name: &str, state: State) {
        if let Some(entry) = self.entries.all.get_mut(name) {
            entry.state = state;
        }
    }

    /// Takes in a file under a name that is not known.
    fn take_new(
        &mut self,
        name: &Arc<str>,
        mut indexed: Indexed,
        added: &mut Vec<(Option<u32>, Body)>,
    ) -> State {
        let Some(last) = indexed.sections.last().filter(|section| section.records > 0) else {
            self.empty_count += 1;
            return State::Empty;
        };
        let content = (last.bytes.end, last.fingerprint);
        if self.contents.contains(&content) {
            return self.take_copy(name, content, &indexed);
        }
        self.contents.insert(content);
        self.note_fault(name, &indexed);
        self.note_drift(name, &indexed);
        let (first_end, end) = (content.0, content.0);
        self.heads.insert(name.clone(), Head { partition: 0, first_end, end, fingerprint: content.1 });
        let section = indexed.sections.pop().expect("it was looked at above");
        self.share_head(&mut indexed);
        added.push((None, Body::new(name, &indexed, section, None)));
        State::Taken
    }

    /// Takes in what was added to a file.
    fn take_grown(
        &mut self,
        name: &Arc<str>,
        head: Head,
        mut indexed: Indexed,
        added: &mut Vec<(Option<u32>, Body)>,
    ) -> State {
        let section = indexed.sections.pop().expect("a file that has grown has a section behind its head");
        let content = (section.bytes.end, section.fingerprint);
        self.heads.insert(name.clone(), Head { end: content.0, fingerprint: content.1, ..head });
        if !self.contents.insert(content) {
            self.list_duplicate(name, content.0);
            return State::Duplicate(content);
        }
        self.share_head(&mut indexed);
        added.push((Some(head.partition), Body::new(name, &indexed, section, Some(head.fingerprint))));
        State::Taken
    }

    /// Takes note of a file that is one refused record, and of what to do about it.
    fn note_fault(&mut self, name: &str, indexed: &Indexed) {
        let Some(code) = &indexed.fault else { return };
        let folder = &self.path;
        let file = shown(&folder.join(name));
        let next = match &self.processed {
            Some(to) => format!("the whole file goes to {}: mend it there and put it back into", to.shown()),
            None => "mend it in".into(),
        };
        let (code, folder) = (escaped(code), shown(folder));
        self.faulty.push(format!(
            "{file}: none of its records were read, it is one refused record ({code}); {next} {folder}"
        ));
    }

    /// Takes note of columns that nobody reads.
    fn note_drift(&mut self, name: &str, indexed: &Indexed) {
        if let (Format::Csv(rules), None, Some(head)) = (self.format, &indexed.fault, &indexed.head) {
            let columns = (rules.other_columns)(head);
            self.drift.note(&shown(&self.path.join(name)), &columns);
        }
    }

    /// Files of the same columns share one copy of their head.
    fn share_head(&mut self, indexed: &mut Indexed) {
        match (&self.last_head, &mut indexed.head) {
            (Some(last), Some(head)) if last == head => *head = last.clone(),
            (_, head) => self.last_head = head.clone(),
        }
    }

    /// A file that holds what is known: a copy, or a file in the midst of being read that was renamed.
    fn take_copy(&mut self, name: &Arc<str>, content: Content, indexed: &Indexed) -> State {
        let missing = |piece: &&Piece| {
            piece.missing.is_some() && (piece.body.bytes.end, piece.body.fingerprint) == content
        };
        let mut pieces = self.sequences.values().flat_map(|sequence| &sequence.pieces);
        if let Some(file) = pieces.find(missing).map(|piece| piece.body.at.clone()) {
            self.refresh(&file, name, indexed);
            if let Some(head) = self.heads.get(&file).copied() {
                self.heads.insert(name.clone(), head);
            }
            return State::Taken;
        }
        self.list_duplicate(name, content.0);
        State::Duplicate(content)
    }

    /// Counts a file that holds `bytes` decoded bytes which another one held.
    pub(crate) fn list_duplicate(&mut self, name: &str, bytes: u64) {
        let file = shown(&self.path.join(name));
        self.duplicates.push(Duplicate { file, bytes });
    }

    /// The names of files that were read, and those of all copies: they go where the one that was read goes.
    pub(crate) fn with_copies(&self, mut names: Vec<Arc<str>>) -> Vec<Arc<str>> {
        if !names.is_empty() {
            let copies = self.entries.all.iter().filter(|(_, it)| matches!(it.state, State::Duplicate(_)));
            names.extend(copies.map(|(name, _)| name.clone()));
        }
        names
    }

    /// Brings the pieces of the file named `old` up to an index pass that found them under the name `at`.
    fn refresh(&mut self, old: &str, at: &Arc<str>, indexed: &Indexed) {
        let pieces = self.sequences.values_mut().flat_map(|sequence| &mut sequence.pieces);
        for piece in pieces.filter(|piece| *piece.body.at == *old) {
            let body = &piece.body;
            let same = |section: &&Section| {
                section.bytes == body.bytes
                    && section.fingerprint == body.fingerprint
                    && section.records == body.records
            };
            if let Some(section) = indexed.sections.iter().find(same) {
                piece.missing = None;
                piece.body = Arc::new(Body {
                    at: at.clone(),
                    points: section.points.clone(),
                    is_compressed: indexed.is_compressed,
                    stamp: indexed.stamp,
                    failed: AtomicBool::new(false),
                    ..body.renamed(at.clone())
                });
            }
        }
    }

    /// A known name has other content: a new file if the old was read to its end. What was begun and not read to its
    /// end is missing: the engine stops there, or records the gap and goes on. Whether the file is to be indexed once
    /// more, as a new one.
    fn other_content(&mut self, name: &Arc<str>) -> bool {
        let mut is_in_doubt = false;
        for sequence in self.sequences.values_mut() {
            let (next, pinned) = (sequence.next, sequence.pinned());
            for piece in &mut sequence.pieces {
                if piece.end() <= next || piece.body.at != *name || piece.missing.is_some() {
                    continue;
                }
                // What was handed out whole and is not yet known to be committed: the next poll knows more.
                match piece.first < pinned && pinned < piece.end() {
                    true => piece.missing = Some(Missing::Since),
                    false => is_in_doubt = true,
                }
            }
        }
        if is_in_doubt || !matches!(self.entries.all[name].state, State::Ready) {
            return false;
        }
        self.heads.remove(name).is_some()
    }
}
