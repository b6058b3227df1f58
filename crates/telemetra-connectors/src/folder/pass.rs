//! An index pass over one file's decoded bytes: records counted, places noted, sections closed.
//!
//! Knows no files. Invariant: a section is judged by its own bytes and, for the head, by those of the first one,
//! as if the file ended with it; so a file that has grown since is found as it was.

use std::{ops::Range, sync::Arc};

use telemetra_core::limits::RECORD_BYTES_MAX;

use super::{
    csv::{Splitter, Step},
    fingerprint::{Fingerprint, Fingerprinter},
    format::{CsvRules, Format, encoding_fault, without_mark},
    limits::POINT_BYTES,
    lines::LineCounter,
};

/// A place at which a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Decoded byte in the file.
    pub(crate) byte: u64,
    /// Physical line, from 1.
    pub(crate) line: u64,
    /// Records of the section before it.
    pub(crate) record: u64,
}

/// A run of a file's decoded bytes: the whole file, or what was added to one that grew.
#[derive(Debug)]
pub(crate) struct Section {
    /// Decoded bytes.
    pub(crate) bytes: Range<u64>,
    /// Physical line, from 1, at which it begins.
    pub(crate) line: u64,
    /// Records in it.
    pub(crate) records: u64,
    /// Fingerprint of `[0, bytes.end)`.
    pub(crate) fingerprint: Fingerprint,
    /// Places to begin reading, ascending, that of the section's first record first.
    pub(crate) points: Vec<Point>,
}

/// An index pass under way.
pub(crate) struct Pass {
    /// Decoded bytes taken.
    pub(crate) byte: u64,
    /// First of them in the section under way.
    pub(crate) begin: u64,
    /// The sections closed.
    pub(crate) sections: Vec<Section>,
    /// Bytes not yet judged, and room for a block behind them.
    buffer: Vec<u8>,
    carried: usize,
    hash: Fingerprinter,
    /// Line on which the section begins.
    line: u64,
    points: Vec<Point>,
    counter: Counter,
}

/// How records are counted.
enum Counter {
    Lines(LineCounter),
    Csv(Box<CsvCounter>),
}

/// Counts the records of a CSV file.
struct CsvCounter {
    rules: CsvRules,
    splitter: Splitter,
    /// Line ends passed.
    lines: u64,
    /// Records of the section so far, the head left out.
    records: u64,
    head: Option<Arc<[u8]>>,
    fault: Option<Arc<str>>,
}

impl Pass {
    /// A pass over a file of a format.
    pub(crate) fn new(format: Format) -> Pass {
        let counter = match format {
            Format::Lines => Counter::Lines(LineCounter::default()),
            Format::Csv(rules) => Counter::Csv(Box::new(CsvCounter {
                rules,
                splitter: Splitter::new(RECORD_BYTES_MAX),
                lines: 0,
                records: 0,
                head: None,
                fault: None,
            })),
        };
        Pass {
            byte: 0,
            begin: 0,
            sections: Vec::new(),
            buffer: vec![0; POINT_BYTES],
            carried: 0,
            hash: Fingerprinter::default(),
            line: 1,
            points: vec![Point { byte: 0, line: 1, record: 0 }],
            counter,
        }
    }

    /// The first record, where that names the columns, and the fault of the whole file.
    pub(crate) fn whole(&self) -> (Option<Arc<[u8]>>, Option<Arc<str>>) {
        match &self.counter {
            Counter::Lines(_) => (None, None),
            Counter::Csv(csv) => (csv.head.clone(), csv.fault.clone()),
        }
    }

    /// Where the next `room` decoded bytes go.
    pub(crate) fn room(&mut self, room: usize) -> &mut [u8] {
        let end = self.carried + room;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.carried..end]
    }

    /// The code of a file whose first `held` bytes of the room show a wrong encoding.
    pub(crate) fn encoding_fault(&self, held: usize) -> Option<&'static str> {
        encoding_fault(&self.buffer[..held])
    }

    /// Takes the first `held` bytes of the room.
    pub(crate) fn take(&mut self, held: usize) {
        let (start, limit) = (self.carried, self.carried + held);
        self.hash.update(&self.buffer[start..limit]);
        let mark = if self.byte == 0 { held - without_mark(&self.buffer[..held]).len() } else { 0 };
        match &mut self.counter {
            Counter::Lines(counter) => {
                if let Some(end) = counter.count(&self.buffer[mark..limit]) {
                    let byte = self.byte + (mark + end) as u64;
                    self.points.push(Point { byte, line: counter.lines + 1, record: counter.records });
                }
            }
            Counter::Csv(csv) => {
                if self.byte == 0 && csv.fault.is_none() {
                    csv.fault = encoding_fault(&self.buffer[..held]).map(Arc::from);
                }
                let first = self.byte - start as u64;
                let judged =
                    csv.count(&self.buffer[mark..limit], first + mark as u64, false, &mut self.points);
                self.buffer.copy_within(mark + judged..limit, 0);
                self.carried = limit - mark - judged;
            }
        }
        self.byte += held as u64;
    }

    /// Closes the section under way with what was taken.
    pub(crate) fn end_section(&mut self) {
        let (records, lines) = match &mut self.counter {
            Counter::Lines(counter) => (counter.end_section(), counter.lines),
            Counter::Csv(csv) => {
                let rest = &self.buffer[..self.carried];
                csv.count(rest, self.byte - self.carried as u64, true, &mut self.points);
                self.carried = 0;
                (csv.end_section(self.begin, self.line, &mut self.points), csv.lines)
            }
        };
        let next = Point { byte: self.byte, line: lines + 1, record: 0 };
        let mut points = std::mem::replace(&mut self.points, vec![next]);
        points.retain(|point| point.record < records);
        points.shrink_to_fit();
        let (bytes, fingerprint) = (self.begin..self.byte, self.hash.so_far());
        let line = std::mem::replace(&mut self.line, next.line);
        self.begin = self.byte;
        self.sections.push(Section { bytes, line, records, fingerprint, points });
    }
}

impl CsvCounter {
    /// Counts the records of `bytes`, of which the first is byte `first` of the file; `is_end` if the section
    /// ends with them. Returns how many bytes need not come again.
    fn count(&mut self, bytes: &[u8], first: u64, is_end: bool, points: &mut Vec<Point>) -> usize {
        let mut start = 0;
        let mut next_point = points.last().map_or(0, |point| point.byte) + POINT_BYTES as u64;
        while start < bytes.len() && self.fault.is_none() {
            match self.splitter.step(&bytes[start..], is_end) {
                Step::More => return start,
                Step::Skip { next, lines } => {
                    self.lines += lines;
                    start += next;
                }
                Step::Record { end, next, lines, truncated } => {
                    let record = &bytes[start..start + end];
                    self.lines += lines;
                    start += next;
                    if self.head.is_none() {
                        match self.rules.judge(record, truncated, lines > 0) {
                            Ok(()) => self.head = Some(record.into()),
                            Err(code) => self.fault = Some(code),
                        }
                        points.clear();
                        next_point = 0;
                    } else {
                        self.records += 1;
                    }
                }
            }
            let byte = first + start as u64;
            if byte >= next_point && self.splitter.is_at_record() {
                points.push(Point { byte, line: self.lines + 1, record: self.records });
                next_point = byte + POINT_BYTES as u64;
            }
        }
        bytes.len()
    }

    /// Records of the section that began at byte `begin` on `line`; the next one's count from 0.
    fn end_section(&mut self, begin: u64, line: u64, points: &mut Vec<Point>) -> u64 {
        self.splitter = Splitter::new(RECORD_BYTES_MAX);
        let records = std::mem::take(&mut self.records);
        if self.fault.is_none() {
            return records;
        }
        *points = vec![Point { byte: begin, line, record: 0 }];
        1
    }
}
