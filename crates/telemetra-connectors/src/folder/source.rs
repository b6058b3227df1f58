//! Folders as a [`Source`]: partitions, views, cuts and readers over [`Folder`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use telemetra_engine::{
    ids::{Offset, PartitionId},
    source::{Input, PartitionView, RangeReader, Resume, Segment, Source, SourceError},
};

use super::{
    cut::cut,
    drift::Drift,
    entry::{Entries, State},
    format::Format,
    intake::{Folder, unread},
    limits::{AHEAD_BYTES, AHEAD_RECORDS, LISTED_MAX},
    processed::Processed,
    reader::{FolderReader, Kept},
    report::{Newest, Report, Unmoved},
    scan,
    sequence::{Piece, Sequence},
    settle::{Arrival, Rule},
};

/// A folder and the input it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderInput {
    /// The input's name: the `input` column.
    pub name: &'static str,
    /// Where the folder is; `None` for an input that is not read. It keeps its number all the same.
    pub path: Option<PathBuf>,
}

/// In which order the files of a folder are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FolderOrder {
    /// One after the other, by name.
    #[default]
    Name,
    /// Merged by event time: each new file is a partition of its own.
    EventTime,
}

/// How folders are read.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// What the files hold.
    pub format: Format,
    /// How files arrive.
    pub arrival: Arrival,
    /// In which order they are read.
    pub order: FolderOrder,
    /// `--once`: files older than two seconds are settled at first sight, and files that come after the first
    /// poll are not taken in.
    pub once: bool,
    /// Records that are indexed ahead of reading. It must exceed what one batch may hold, or the end of what
    /// is indexed would be taken for the end of the input.
    pub ahead_records: u64,
    /// Decoded bytes after which no more is indexed ahead; as `ahead_records`.
    pub ahead_bytes: u64,
    /// Threads of an index pass.
    pub threads: usize,
    /// Where files go when all their records are committed and none is read again; `None` leaves them. Files
    /// that hold no record, or only known ones, go there too. It is made if need be.
    pub processed: Option<PathBuf>,
}

impl Default for FolderOptions {
    fn default() -> FolderOptions {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (arrival, order) = (Arrival::default(), FolderOrder::default());
        FolderOptions {
            format: Format::Lines,
            arrival,
            order,
            once: false,
            ahead_records: AHEAD_RECORDS,
            ahead_bytes: AHEAD_BYTES,
            threads,
            processed: None,
        }
    }
}

/// One or more folders of files of records.
pub struct FolderSource {
    inputs: Vec<Input>,
    /// By number of the input.
    pub(super) folders: Vec<Option<Folder>>,
    kept: Vec<Kept>,
    once: bool,
    reporter: Reporter,
}

/// Tells what was known after the last poll; may be asked from any thread.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    report: Arc<Mutex<Report>>,
    indexed_bytes: Arc<AtomicU64>,
}

impl Reporter {
    /// What was known after the last poll.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decoded bytes read by index passes so far; grows while a poll is under way.
    pub fn indexed_bytes(&self) -> u64 {
        self.indexed_bytes.load(Ordering::Relaxed)
    }
}

impl FolderSource {
    /// A source over folders, each an input; nothing is looked at yet.
    pub fn new(inputs: Vec<FolderInput>, options: FolderOptions) -> FolderSource {
        let reporter = Reporter::default();
        let FolderOptions { format, arrival, order, once, ahead_records, ahead_bytes, threads, processed } =
            options;
        let rule = Rule { arrival, trusts_age: once };
        let folder = |path: &PathBuf| Folder {
            path: path.clone(),
            rule,
            format,
            order,
            ahead_records: ahead_records.max(1),
            ahead_bytes: ahead_bytes.max(1),
            threads: threads.max(1),
            entries: Entries::default(),
            sequences: BTreeMap::from([(0, Sequence::default())]),
            next_partition: 1,
            heads: HashMap::new(),
            contents: HashSet::new(),
            last_head: None,
            duplicates: Newest::default(),
            processed: processed.clone().map(Processed::new),
            polled_ms: 0,
            empty_count: 0,
            faulty: Newest::default(),
            drift: Drift::default(),
            read_count: 0,
            indexed_bytes: reporter.indexed_bytes.clone(),
        };
        let folders: Vec<_> = inputs.iter().map(|input| input.path.as_ref().map(folder)).collect();
        let input = |input: FolderInput| {
            let place = input.path.map_or(String::new(), |path| path.display().to_string());
            Input { name: input.name, topic: None, place }
        };
        let kept = folders.iter().map(|_| Kept::default()).collect();
        let inputs = inputs.into_iter().map(input).collect();
        FolderSource { inputs, folders, kept, once, reporter }
    }

    /// Takes in no files but those seen so far: the input as it is now. Those not settled are still waited for.
    pub fn freeze(&mut self) {
        self.folders.iter_mut().flatten().for_each(|folder| folder.entries.is_frozen = true);
    }

    /// Files that are waited for until they have settled, `folder/name`.
    pub fn unsettled(&self) -> Vec<String> {
        self.reporter.report().unsettled
    }

    /// Files of an input that were seen, read or not.
    pub fn files(&self, input: &str) -> usize {
        let named = self.inputs.iter().position(|other| other.name == input);
        let folder = named.and_then(|number| self.folders.get(number)?.as_ref());
        folder.map_or(0, |folder| folder.entries.all.len())
    }

    /// A handle that tells what this source knows.
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    fn folder(&self, id: PartitionId) -> Option<(&Folder, &Sequence)> {
        let folder = self.folders.get(usize::from(id.input))?.as_ref()?;
        Some((folder, folder.sequences.get(&id.partition)?))
    }

    fn folder_mut(&mut self, id: PartitionId) -> Option<&mut Folder> {
        self.folders.get_mut(usize::from(id.input))?.as_mut()
    }

    fn report(&self) -> Report {
        let mut report = Report::default();
        for folder in self.folders.iter().flatten() {
            let shown = |name: &str| scan::shown(&folder.path.join(name));
            let refused = folder.entries.refused.iter();
            report.warnings.extend(refused.map(|(path, why)| format!("{path}: {why}")));
            report.files_refused += folder.entries.refused.len() as u64;
            for (name, entry) in &folder.entries.all {
                match &entry.state {
                    State::Resumed | State::Waiting(_) => report.unsettled.push(shown(name)),
                    State::Refused(cause) | State::Unreadable(cause) => {
                        report.files_refused += 1;
                        report.warnings.push(format!("{}: {cause}", shown(name)));
                    }
                    State::Ready => {
                        report.files_ahead += 1;
                        report.bytes_ahead += entry.stamp.size;
                    }
                    State::Taken | State::Empty | State::Duplicate(_) => {}
                }
            }
            for sequence in folder.sequences.values() {
                report.records_unread += sequence.end().saturating_sub(sequence.next);
                report.bytes_unread += unread(sequence).map(|piece| piece.body.length()).sum::<u64>();
            }
            report.duplicates.extend(folder.duplicates.kept.iter().cloned());
            report.duplicates_count += folder.duplicates.count;
            report.files_empty += folder.empty_count;
            report.files_faulty += folder.faulty.count;
            report.notices.extend(folder.faulty.kept.iter().cloned());
            report.files_drifted += folder.drift.count;
            report.notices.extend(folder.drift.notices.iter().cloned());
            report.files_read += folder.read_count;
            if let Some(processed) = &folder.processed {
                report.files_moved += processed.count;
                report.unmoved.extend(&processed.unmoved);
                report.warnings.extend(processed.grown());
            }
        }
        report.warnings.truncate(LISTED_MAX);
        report.unsettled.truncate(LISTED_MAX);
        report
    }
}

impl Source for FolderSource {
    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn resume(&mut self, positions: &[Resume]) -> Result<(), SourceError> {
        for (input, folder) in self.folders.iter_mut().enumerate() {
            let own: Vec<_> =
                positions.iter().filter(|position| usize::from(position.id.input) == input).collect();
            match folder {
                Some(folder) => folder.resume(&own)?,
                None if own.is_empty() => {}
                None => return Err(SourceError::Halt(not_named(self.inputs[input].name))),
            }
        }
        Ok(())
    }

    fn poll(&mut self, now_ms: i64) -> Result<Vec<PartitionView>, SourceError> {
        let polled = self.folders.iter_mut().flatten().try_for_each(|folder| folder.poll(now_ms));
        *self.reporter.report.lock().unwrap_or_else(PoisonError::into_inner) = self.report();
        polled?;
        if self.once {
            self.freeze();
        }
        let mut views = Vec::new();
        for (input, folder) in (0u8..).zip(&self.folders) {
            let Some(folder) = folder else { continue };
            for (&partition, sequence) in &folder.sequences {
                let end = folder.readable_end(sequence);
                let mut gaps = sequence.gaps();
                gaps.retain(|gap| gap.start < end);
                let (is_folder, is_file_of_folder) = (partition == 0, partition != 0);
                let id = PartitionId { input, partition };
                let rest = PartitionView::empty(id);
                views.push(PartitionView { end, gaps, is_folder, is_file_of_folder, ..rest });
            }
        }
        Ok(views)
    }

    fn cut(
        &mut self,
        partition: PartitionId,
        from: Offset,
        records: u64,
        bytes: u64,
        pieces: usize,
    ) -> Result<Vec<Range<Offset>>, SourceError> {
        let Some((folder, sequence)) = self.folder(partition) else { return Ok(Vec::new()) };
        let end = folder.readable_end(sequence);
        let ranges = cut(sequence.holding(&(from..end)), from, end, records, bytes, pieces);
        if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
            let range = first.start..last.end;
            if let Some(folder) = self.folder_mut(partition) {
                folder.sequences.entry(partition.partition).or_default().hand_out(range);
            }
        }
        Ok(ranges)
    }

    fn open(
        &self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Box<dyn RangeReader + '_>, SourceError> {
        let Some((folder, sequence)) = self.folder(partition).filter(|it| range.end <= it.1.end()) else {
            return Err(SourceError::Changed(format!(
                "partition {partition} does not reach offset {}",
                range.end
            )));
        };
        let kept = &self.kept[usize::from(partition.input)];
        Ok(Box::new(FolderReader::new(&folder.path, folder.format, kept, sequence.holding(&range), range)))
    }

    fn segments(&self, partition: PartitionId, range: Range<Offset>) -> Vec<Segment> {
        let Some((_, sequence)) = self.folder(partition) else { return Vec::new() };
        sequence.holding(&range).iter().map(Piece::segment).collect()
    }

    fn committed(&mut self, partition: PartitionId, replay: Offset, next: Offset) {
        let Some(folder) = self.folder_mut(partition) else { return };
        if let Some(sequence) = folder.sequences.get_mut(&partition.partition) {
            let names = sequence.committed(replay, next);
            let read = names.len() as u64;
            folder.read_count += read;
            folder.drop_emptied();
            folder.put_away(&folder.with_copies(names));
            // The last commit of a run has no poll after it.
            let mut report = self.reporter.report.lock().unwrap_or_else(PoisonError::into_inner);
            report.files_read += read;
            (report.files_moved, report.unmoved) = (0, Unmoved::default());
            for processed in self.folders.iter().flatten().filter_map(|folder| folder.processed.as_ref()) {
                report.files_moved += processed.count;
                report.unmoved.extend(&processed.unmoved);
            }
        }
    }
}

fn not_named(input: &str) -> String {
    format!(
        "the job has read {input} events before, and no folder of them is named now: name it again, or give this \
         run a store of its own"
    )
}
