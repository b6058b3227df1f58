//! One partition of the simulated source: what it will ever hold, and from when on.
//!
//! A log is fixed before the run; what can be seen of it follows from the instant alone, so that an instance
//! made after a crash sees what the one before saw. Offsets count from 0 and never move.
//!
//! ```text
//! offset      0 1 2 _ 4 5 6 7 8        _ a hole: an offset without a record
//! arrived     x x x x x x              hung at 4: the end is 4 until the transaction ends
//! lost        x x                      gaps 0..2 once retention has passed
//! ```

use std::ops::Range;

use telemetra_core::hash::hash64;

use crate::{
    ids::{Offset, PartitionId},
    source::{PartitionView, Segment},
};

/// A record, or a hole in its place.
#[derive(Clone, Debug)]
struct Item {
    bytes: Option<Box<[u8]>>,
    /// From this instant on it and all before it have arrived, milliseconds.
    arrived_at_ms: i64,
}

/// A transaction that holds the end of the log back for a while.
#[derive(Clone, Debug)]
struct Hung {
    offset: Offset,
    during_ms: Range<i64>,
}

/// A file of a folder.
#[derive(Clone, Debug)]
struct MemFile {
    name: String,
    settled_at_ms: i64,
    offsets: Range<Offset>,
    bytes: u64,
    fingerprint: String,
}

/// One partition's log.
#[derive(Clone, Debug)]
pub struct Log {
    id: PartitionId,
    items: Vec<Item>,
    hung: Vec<Hung>,
    lost: Vec<(i64, Range<Offset>)>,
    files: Option<Vec<MemFile>>,
    born_at_ms: i64,
    is_file_of_folder: bool,
}

impl Log {
    /// A log like Kafka's: records arrive one by one.
    pub fn stream(id: PartitionId) -> Self {
        Self {
            id,
            items: Vec::new(),
            hung: Vec::new(),
            lost: Vec::new(),
            files: None,
            born_at_ms: i64::MIN,
            is_file_of_folder: false,
        }
    }

    /// A folder: records arrive file by file.
    pub fn folder(id: PartitionId) -> Self {
        Self { files: Some(Vec::new()), ..Self::stream(id) }
    }

    /// Appends a record that arrives at `at_ms`, or with the one before it if that comes later.
    pub fn record(&mut self, at_ms: i64, bytes: &[u8]) -> &mut Self {
        self.push(at_ms, Some(bytes.into()))
    }

    /// Appends an offset without a record: a transaction marker, a compacted record, a null value.
    pub fn hole(&mut self, at_ms: i64) -> &mut Self {
        self.push(at_ms, None)
    }

    fn push(&mut self, at_ms: i64, bytes: Option<Box<[u8]>>) -> &mut Self {
        let before_ms = self.items.last().map_or(i64::MIN, |item| item.arrived_at_ms);
        self.items.push(Item { bytes, arrived_at_ms: at_ms.max(before_ms) });
        self
    }

    /// Appends a file that settles at `at_ms`; it can be read once all files before it have settled too. An
    /// empty one makes no segment.
    pub fn file(&mut self, at_ms: i64, name: &str, records: &[Vec<u8>]) -> &mut Self {
        let from = self.len();
        let mut content = Vec::new();
        for record in records {
            content.extend_from_slice(record);
            content.push(b'\n');
            self.push(at_ms, Some(record.as_slice().into()));
        }
        let file = MemFile {
            name: name.to_owned(),
            settled_at_ms: at_ms,
            offsets: from..self.len(),
            bytes: content.len() as u64,
            fingerprint: format!("{:016x}", hash64(&content)),
        };
        let files = self.files.get_or_insert_default();
        if !file.offsets.is_empty() {
            files.push(file);
        }
        self
    }

    /// Holds the end back at `offset` during these instants.
    pub fn hang(&mut self, offset: Offset, during_ms: Range<i64>) -> &mut Self {
        self.hung.push(Hung { offset, during_ms });
        self
    }

    /// Takes `offsets` away at `at_ms`: retention, or a file deleted.
    pub fn lose(&mut self, at_ms: i64, offsets: Range<Offset>) -> &mut Self {
        self.lost.push((at_ms, offsets));
        self
    }

    /// Lets the partition appear at `at_ms` only.
    pub fn born_at(&mut self, at_ms: i64) -> &mut Self {
        self.born_at_ms = at_ms;
        self
    }

    /// Makes it one file of a folder that is read in event-time order.
    pub fn file_of_folder(&mut self) -> &mut Self {
        self.is_file_of_folder = true;
        self
    }

    /// Which partition it is.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// Offsets it will ever have.
    pub fn len(&self) -> Offset {
        self.items.len() as Offset
    }

    /// Whether it will never hold anything.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The record at `offset`; `None` for a hole and beyond the end.
    pub fn get(&self, offset: Offset) -> Option<&[u8]> {
        self.items.get(usize::try_from(offset).ok()?)?.bytes.as_deref()
    }

    /// What a poll at `now_ms` sees; `None` before the partition is born.
    pub fn view(&self, now_ms: i64) -> Option<PartitionView> {
        (now_ms >= self.born_at_ms).then(|| {
            let end = self.end(now_ms);
            PartitionView {
                end,
                gaps: self.gaps(now_ms, end),
                is_folder: self.files.is_some(),
                is_file_of_folder: self.is_file_of_folder,
                ..PartitionView::empty(self.id)
            }
        })
    }

    /// First offset that cannot be read yet at `now_ms`.
    pub fn end(&self, now_ms: i64) -> Offset {
        if now_ms < self.born_at_ms {
            return 0;
        }
        if let Some(files) = &self.files {
            let settled = files.iter().take_while(|file| file.settled_at_ms <= now_ms).last();
            return settled.map_or(0, |file| file.offsets.end);
        }
        let arrived = self.items.partition_point(|item| item.arrived_at_ms <= now_ms) as Offset;
        let held = self.hung.iter().filter(|hung| hung.during_ms.contains(&now_ms)).map(|hung| hung.offset);
        held.fold(arrived, Offset::min)
    }

    /// What is lost below `end` at `now_ms`, ascending, ranges that touch joined.
    pub fn gaps(&self, now_ms: i64, end: Offset) -> Vec<Range<Offset>> {
        let gone = self.lost.iter().filter(|(at_ms, _)| *at_ms <= now_ms);
        let mut gone: Vec<_> = gone.map(|(_, range)| range.start..range.end.min(end)).collect();
        gone.retain(|range| range.start < range.end);
        gone.sort_unstable_by_key(|range| range.start);
        let mut gaps: Vec<Range<Offset>> = Vec::new();
        for range in gone {
            match gaps.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => gaps.push(range),
            }
        }
        gaps
    }

    /// The segments that hold `range`; none unless it is a folder.
    pub fn segments(&self, range: &Range<Offset>) -> Vec<Segment> {
        let files = self.files.iter().flatten().zip(0u32..);
        files
            .filter(|(file, _)| file.offsets.start < range.end && range.start < file.offsets.end)
            .map(|(file, seq)| Segment {
                seq,
                file: file.name.clone(),
                bytes: 0..file.bytes,
                line: 1,
                first_offset: file.offsets.start,
                records: file.offsets.end - file.offsets.start,
                fingerprint: file.fingerprint.clone(),
                head: None,
                modified_ns: None,
                span_ms: None,
            })
            .collect()
    }

    /// Name, segment number, first and end offset of the file that holds `offset`.
    pub(super) fn file_at(&self, offset: Offset) -> Option<(&str, u32, Range<Offset>)> {
        let mut files = self.files.iter().flatten().zip(0u32..);
        let (file, seq) = files.find(|(file, _)| file.offsets.contains(&offset))?;
        Some((&file.name, seq, file.offsets.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PartitionId = PartitionId { input: 0, partition: 0 };

    #[test]
    fn the_end_follows_arrival_and_is_held_back_by_a_hung_transaction() {
        let mut log = Log::stream(ID);
        log.record(10, b"a").hole(20).record(15, b"b").record(40, b"c").hang(1, 30..50).born_at(5);
        let check = |now_ms, end| assert_eq!(log.end(now_ms), end, "at {now_ms}");
        check(9, 0);
        check(10, 1);
        check(15, 1); // b waits for the hole before it
        check(20, 3);
        check(30, 1);
        check(49, 1);
        check(50, 4);
        assert_eq!((log.get(0), log.get(1), log.get(9)), (Some(&b"a"[..]), None, None));
        assert!(log.view(4).is_none(), "not born yet");
    }

    #[test]
    fn what_is_lost_shows_as_joined_gaps_below_the_end() {
        let mut log = Log::stream(ID);
        for at_ms in 0..10 {
            log.record(at_ms, b"x");
        }
        log.lose(5, 0..2).lose(6, 2..4).lose(6, 8..12);
        let check = |now_ms, gaps: &[(Offset, Offset)]| {
            let view = log.view(now_ms).expect("born from the first");
            let seen: Vec<_> = view.gaps.iter().map(|gap| (gap.start, gap.end)).collect();
            assert_eq!(seen, gaps, "at {now_ms}");
        };
        check(4, &[]);
        check(5, &[(0, 2)]);
        check(6, &[(0, 4)]);
        check(100, &[(0, 4), (8, 10)]);
    }

    #[test]
    fn a_folder_shows_whole_files_in_order() {
        let mut log = Log::folder(ID);
        let records = |n: usize| vec![b"row".to_vec(); n];
        log.file(10, "a", &records(3)).file(5, "b", &[]).file(30, "c", &records(2));
        assert_eq!([log.end(5), log.end(10), log.end(29), log.end(30)], [0, 3, 3, 5]);
        let segments = log.segments(&(2..4));
        let seen: Vec<_> = segments.iter().map(|s| (s.seq, &*s.file, s.first_offset, s.records)).collect();
        assert_eq!(seen, [(0, "a", 0, 3), (1, "c", 3, 2)]);
        assert_eq!(log.file_at(4), Some(("c", 1, 3..5)));
        assert!(log.view(0).is_some_and(|view| view.is_folder && view.end == 0));
    }
}
