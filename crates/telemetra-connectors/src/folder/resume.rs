//! Taking up what an earlier run recorded: which pieces are needed again, and whether their files are there.
//!
//! Pieces below the replay offset need no file; they are only known by content and name. Those from it on
//! are read whole and compared with their fingerprints; one that is not found as it was is a gap.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use telemetra_engine::source::{Resume, Segment, SourceError};

use super::{
    entry::State,
    fingerprint::Fingerprint,
    index::{Budget, Indexed, Job, Refusal, index_all},
    intake::{Folder, Head},
    limits::MOVED_WATCHED_MAX,
    pass::Section,
    scan::{is_plain, shown},
    sequence::{Body, Missing, Piece, Sequence},
    stamp::Stamp,
};

/// A recorded segment and its partition.
#[derive(Clone, Copy)]
struct Recorded<'a> {
    partition: u32,
    segment: &'a Segment,
    fingerprint: Fingerprint,
    is_needed: bool,
}

/// Segments of one file's content, each continuing the one before.
type Chain<'a> = Vec<Recorded<'a>>;

impl Folder {
    /// Takes up the partitions of this folder.
    ///
    /// # Errors
    /// `Halt` if what was recorded contradicts itself, `Retry` if a file that is needed cannot be read now.
    pub(crate) fn resume(&mut self, positions: &[&Resume]) -> Result<(), SourceError> {
        let mut chains: BTreeMap<&str, Vec<Chain<'_>>> = BTreeMap::new();
        for position in positions {
            self.next_partition = self.next_partition.max(position.id.partition + 1);
            for recorded in check(position)? {
                self.contents.insert((recorded.segment.bytes.end, recorded.fingerprint));
                let of_file = chains.entry(&recorded.segment.file).or_default();
                let start = recorded.segment.bytes.start;
                let continues =
                    |chain: &&mut Chain<'_>| chain.last().is_some_and(|last| last.segment.bytes.end == start);
                match of_file.iter_mut().rev().find(continues) {
                    Some(chain) if start > 0 => chain.push(recorded),
                    _ => of_file.push(vec![recorded]),
                }
            }
        }
        let found = self.find(&chains)?;
        for position in positions {
            self.resume_sequence(position, &found)?;
        }
        self.sequences.entry(0).or_default();
        self.drop_emptied();
        let newest =
            positions.iter().flat_map(|position| position.segments.iter().rev().take(MOVED_WATCHED_MAX));
        self.see_moved(newest.map(|segment| &*segment.file));
        Ok(())
    }

    /// Indexes the files that are needed again, and notes what is known of every name.
    fn find<'a>(
        &mut self,
        chains: &BTreeMap<&'a str, Vec<Chain<'a>>>,
    ) -> Result<HashMap<&'a str, Indexed>, SourceError> {
        let mut found = HashMap::new();
        let mut wanted = Vec::new();
        for (&name, of_file) in chains {
            let name: Arc<str> = name.into();
            for chain in of_file {
                self.note(&name, chain);
            }
            if of_file.iter().flatten().any(|recorded| recorded.is_needed) {
                wanted.push(name);
            } else if let Some(last) = of_file.last().and_then(|chain| chain.last())
                && let Some(modified_ns) = last.segment.modified_ns
            {
                self.entries.trusted.insert(name, (last.segment.bytes.end, modified_ns));
            }
        }
        if !wanted.is_empty() {
            // A folder that is away is waited for: its files are not gone.
            std::fs::read_dir(&self.path).map_err(|error| {
                let what = format!("reading the folder {}", shown(&self.path));
                SourceError::Retry { what, source: Box::new(error) }
            })?;
        }
        // Newest content first: it is the one that most likely lies there.
        let depth = chains.values().map(Vec::len).max().unwrap_or(0);
        for back in 1..=depth {
            let at = |name: &Arc<str>| chains[&**name].len().checked_sub(back).map(|at| &chains[&**name][at]);
            wanted.retain(|name| at(name).is_some());
            let ends = |chain: &Chain<'_>| chain.iter().map(|recorded| recorded.segment.bytes.end).collect();
            let jobs = wanted
                .iter()
                .filter_map(|name| Some(Job { name: name.clone(), boundaries: ends(at(name)?) }));
            let jobs: Vec<Job> = jobs.collect();
            let budget = Budget { records: u64::MAX, bytes: u64::MAX };
            let outcomes =
                index_all(&self.path, self.format, &jobs, &budget, self.threads, &self.indexed_bytes);
            for (job, outcome) in jobs.iter().zip(outcomes) {
                let Some(chain) = at(&job.name) else { continue };
                let indexed = match outcome {
                    Ok(indexed) => indexed,
                    Err(refusal) => {
                        judge_refusal(&self.path.join(&*job.name), refusal)?;
                        continue;
                    }
                };
                let is_same = chain.last().is_some_and(|last| {
                    let end = last.segment.bytes.end;
                    indexed
                        .sections
                        .iter()
                        .any(|it| it.bytes.end == end && it.fingerprint == last.fingerprint)
                });
                if is_same {
                    self.note(&job.name, chain);
                    let end = indexed.sections.last().map(|last| last.bytes.end);
                    let has_grown = end > self.heads.get(&job.name).map(|head| head.end);
                    let state = if has_grown { State::Resumed } else { State::Taken };
                    self.entries.resume(job.name.clone(), indexed.stamp, state);
                    wanted.retain(|name| *name != job.name);
                    if let Some((&name, _)) = chains.get_key_value(&*job.name) {
                        found.insert(name, indexed);
                    }
                }
            }
        }
        Ok(found)
    }

    fn note(&mut self, name: &Arc<str>, chain: &Chain<'_>) {
        if let Some(last) = chain.last() {
            let (partition, end, fingerprint) = (last.partition, last.segment.bytes.end, last.fingerprint);
            let first_end = chain.first().map_or(end, |first| first.segment.bytes.end);
            self.heads.insert(name.clone(), Head { partition, first_end, end, fingerprint });
        }
    }

    fn resume_sequence(
        &mut self,
        position: &Resume,
        found: &HashMap<&str, Indexed>,
    ) -> Result<(), SourceError> {
        let mut pieces = Vec::new();
        let mut before: HashMap<&str, Fingerprint> = HashMap::new();
        for recorded in check(position)? {
            let segment = recorded.segment;
            let previous = before.insert(&segment.file, recorded.fingerprint);
            if recorded.is_needed {
                let previous = previous.filter(|_| segment.bytes.start > 0);
                pieces.push(piece(&recorded, previous, found.get(&*segment.file)));
            }
        }
        let last = position.segments.last();
        let end = last.map_or(0, |last| last.first_offset + last.records);
        if position.next > end {
            return Err(contradiction(position, "offsets were read that no file holds"));
        }
        let next_seq = last.map_or(0, |last| last.seq + 1);
        let sequence = Sequence::resumed(pieces, next_seq, end, position.replay, position.next);
        self.sequences.insert(position.id.partition, sequence);
        Ok(())
    }
}

/// A recorded segment as a piece, missing unless the index pass found it as it was.
fn piece(recorded: &Recorded<'_>, before: Option<Fingerprint>, indexed: Option<&Indexed>) -> Piece {
    let segment = recorded.segment;
    let section = indexed.and_then(|indexed| {
        let same = |section: &&Section| {
            section.bytes == segment.bytes
                && section.records == segment.records
                && section.fingerprint == recorded.fingerprint
        };
        Some((indexed, indexed.sections.iter().find(same)?))
    });
    let file: Arc<str> = segment.file.as_str().into();
    let body = Body {
        at: file.clone(),
        file,
        bytes: segment.bytes.clone(),
        line: segment.line,
        records: segment.records,
        fingerprint: recorded.fingerprint,
        before,
        points: section.map_or(Vec::new(), |(_, section)| section.points.clone()),
        is_compressed: section.is_some_and(|(indexed, _)| indexed.is_compressed),
        head: section.and_then(|(indexed, _)| indexed.head.clone()),
        fault: section.and_then(|(indexed, _)| indexed.fault.clone()),
        stamp: section.map_or(Stamp::NONE, |(indexed, _)| indexed.stamp),
        failed: AtomicBool::new(false),
    };
    let missing = section.is_none().then_some(Missing::AtStart);
    Piece { seq: segment.seq, first: segment.first_offset, missing, body: Arc::new(body) }
}

/// Judges why a recorded file was not indexed: it is no longer what it was, which makes a gap, or it may be
/// found so at another try.
fn judge_refusal(file: &Path, refusal: Refusal) -> Result<(), SourceError> {
    let what = || format!("reading {}", shown(file));
    match refusal {
        Refusal::Vanished | Refusal::Unfit(_) => Ok(()),
        // What is recorded of a file that is being appended to is still there.
        Refusal::Touched => {
            Err(SourceError::Retry { what: what(), source: "it was written to meanwhile".into() })
        }
        Refusal::Unreadable(error) => Err(SourceError::Retry { what: what(), source: Box::new(error) }),
    }
}

/// The segments of a position, which must follow each other without a hole.
fn check(position: &Resume) -> Result<Vec<Recorded<'_>>, SourceError> {
    let mut end = 0;
    let mut checked = Vec::with_capacity(position.segments.len());
    for segment in &position.segments {
        if segment.first_offset != end || segment.records == 0 {
            return Err(contradiction(position, "its recorded files do not follow each other"));
        }
        if !is_plain(&segment.file) {
            return Err(contradiction(position, "a recorded name leads out of the folder"));
        }
        end += segment.records;
        let Some(fingerprint) = Fingerprint::from_hex(&segment.fingerprint) else {
            return Err(contradiction(position, "a recorded fingerprint is none"));
        };
        let is_needed = end > position.replay;
        checked.push(Recorded { partition: position.id.partition, segment, fingerprint, is_needed });
    }
    Ok(checked)
}

fn contradiction(position: &Resume, what: &str) -> SourceError {
    let (id, next) = (position.id, position.next);
    SourceError::Halt(format!("the ledger contradicts itself at partition {id}, next offset {next}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_written_to_is_no_gap() {
        let check = |refusal, is_gap| {
            let judged = judge_refusal(Path::new("a"), refusal);
            assert!(judged.is_ok() == is_gap, "{judged:?}");
            assert!(is_gap || matches!(judged, Err(SourceError::Retry { .. })), "{judged:?}");
        };
        check(Refusal::Vanished, true);
        check(Refusal::Unfit("cut off".into()), true);
        check(Refusal::Touched, false);
        check(Refusal::Unreadable(std::io::ErrorKind::PermissionDenied.into()), false);
    }
}
