//! Folders on a real file system: every case sets its own clock and file times, and waits for nothing.

#![allow(clippy::single_range_in_vec_init, reason = "one range of offsets is meant")]

mod arrival;
mod cases;
mod content;
mod csv_cases;
mod csv_property;
mod done;
mod property;
mod ranges;
mod restart;
mod unsafe_names;

use std::{
    fs::{self, File, FileTimes},
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use telemetra_engine::{
    ids::{Offset, PartitionId},
    source::{Chunk, PartitionView, Resume, Segment, Source, SourceError},
};

use super::*;

const P0: PartitionId = PartitionId { input: 0, partition: 0 };

/// A folder, a clock and a source that reads the folder.
struct Bench {
    dir: tempfile::TempDir,
    source: FolderSource,
    options: FolderOptions,
    now_ms: i64,
}

/// What a chunk says of a record: offset, file, line, text.
type Seen = (Offset, String, u64, String);

impl Bench {
    /// A source for which whatever is visible is settled.
    fn new() -> Bench {
        Bench::with(FolderOptions { arrival: Arrival::Rename, ..FolderOptions::default() })
    }

    fn with(options: FolderOptions) -> Bench {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bench =
            Bench { source: source_of(dir.path().into(), options.clone()), dir, options, now_ms: 1_000_000 };
        bench.source.resume(&[]).expect("nothing to resume");
        bench
    }

    /// A folder of CSV files, whose head must name the column `id`, and one for those that are done.
    fn csv() -> Bench {
        let check_head = |head: &[u8]| {
            let has_id = head.split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"id");
            has_id.then_some(()).ok_or_else(|| "header_missing".to_owned())
        };
        let format = Format::Csv(CsvRules { check_head, other_columns: |_| Vec::new() });
        let mut bench =
            Bench::with(FolderOptions { arrival: Arrival::Rename, format, ..FolderOptions::default() });
        bench.options.processed = Some(bench.path("done"));
        bench.restart(&[]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file; its time is the clock's.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
        self.touch(name, self.now_ms);
    }

    fn append(&self, name: &str, bytes: &str) {
        let mut file = File::options().append(true).open(self.path(name)).expect("opened");
        file.write_all(bytes.as_bytes()).expect("written");
        self.touch(name, self.now_ms);
    }

    fn touch(&self, name: &str, time_ms: i64) {
        let file = File::options().write(true).open(self.path(name)).expect("opened");
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms.unsigned_abs());
        file.set_times(FileTimes::new().set_modified(time)).expect("time set");
    }

    /// Polls a second later.
    fn poll(&mut self) -> Vec<PartitionView> {
        self.try_poll().expect("polled")
    }

    fn try_poll(&mut self) -> Result<Vec<PartitionView>, SourceError> {
        self.now_ms += 1_000;
        self.source.poll(self.now_ms)
    }

    fn end(&mut self) -> Offset {
        self.poll()[0].end
    }

    fn read(&self, id: PartitionId, from: Offset, to: Offset) -> Vec<Seen> {
        self.try_read(id, from, to).expect("read")
    }

    fn try_read(&self, id: PartitionId, from: Offset, to: Offset) -> Result<Vec<Seen>, SourceError> {
        let mut reader = self.source.open(id, from..to)?;
        let (mut chunk, mut seen) = (Chunk::default(), Vec::new());
        while reader.next_chunk(&mut chunk)? {
            assert!(!chunk.records.is_empty());
            let file = chunk.file.clone().expect("a file");
            for span in &chunk.records {
                let text = String::from_utf8_lossy(&chunk.bytes[span.start as usize..span.end as usize]);
                seen.push((span.offset, file.to_string(), span.line, text.into_owned()));
            }
        }
        Ok(seen)
    }

    /// The records of a range as `file:line bytes text`, with `head|` before it, `!code` and `…` behind it.
    fn shown(&self, from: Offset, to: Offset) -> Vec<String> {
        let mut reader = self.source.open(P0, from..to).expect("opened");
        let (mut chunk, mut seen) = (Chunk::default(), Vec::new());
        while reader.next_chunk(&mut chunk).expect("read") {
            for span in &chunk.records {
                let (record, origin) = (chunk.record(span), chunk.origin(P0, span));
                let head = record.head.map(|head| format!("{}|", String::from_utf8_lossy(head)));
                let fault = record.fault.map(|code| format!("!{code}"));
                let (file, bytes) = (origin.file.expect("a file"), origin.bytes.expect("bytes"));
                let text = String::from_utf8_lossy(&record.bytes[..record.bytes.len().min(30)]);
                seen.push(format!(
                    "{}{file}:{} {}..{} {text}{}{}",
                    head.unwrap_or_default(),
                    origin.line.unwrap_or(0),
                    bytes.start,
                    bytes.end,
                    fault.unwrap_or_default(),
                    if record.truncated { "…" } else { "" },
                ));
            }
        }
        seen
    }

    /// All records from `from` on, as [`Bench::shown`].
    fn all_shown(&mut self, from: Offset) -> Vec<String> {
        let end = self.end();
        self.shown(from, end)
    }

    fn report(&self) -> Report {
        self.source.reporter().report()
    }

    /// Names in a folder, ascending.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name();
        let mut names: Vec<_> = listed.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Texts of all records of a partition from `from` on.
    fn texts(&mut self, from: Offset) -> Vec<String> {
        let end = self.end();
        self.read(P0, from, end).into_iter().map(|seen| seen.3).collect()
    }

    /// Cuts and reads the next `records` records and commits them as read, to be replayed from `replay`.
    fn step(&mut self, from: Offset, records: u64, replay: Offset) -> Vec<String> {
        self.poll();
        let ranges = self.source.cut(P0, from, records, u64::MAX, 2).expect("cut");
        let mut texts = Vec::new();
        for range in &ranges {
            texts.extend(self.read(P0, range.start, range.end).into_iter().map(|seen| seen.3));
        }
        let next = ranges.last().map_or(from, |range| range.end);
        self.source.committed(P0, replay, next);
        texts
    }

    /// Another process takes up what this one recorded.
    fn restart(&mut self, positions: &[Resume]) {
        self.source = source_of(self.dir.path().into(), self.options.clone());
        self.source.resume(positions).expect("resumed");
    }

    /// What the ledger would hold of partition 0, if everything so far was one batch.
    fn recorded(&self, id: PartitionId, replay: Offset, next: Offset) -> Resume {
        let segments: Vec<Segment> = self.source.segments(id, 0..next);
        Resume { id, replay, next, mark: Default::default(), segments }
    }
}

fn source_of(path: PathBuf, options: FolderOptions) -> FolderSource {
    FolderSource::new(vec![FolderInput { name: "chat", path: Some(path) }], options)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).expect("compressed");
    out.finish().expect("compressed")
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("compressed")
}

/// `count` lines, the first one numbered `first`.
fn lines(first: u64, count: u64) -> String {
    (first..first + count).map(|number| format!("{{\"n\":{number}}}\n")).collect()
}
