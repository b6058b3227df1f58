//! Splitting decoded bytes into chunks and finding the records in them.
//!
//! Memory stays at about a chunk and one record, however long a record is. What a record is must agree with
//! `lines` or comes from `csv`, as in the index pass, or offsets would be wrong.

use std::io;

use memchr::{memchr, memchr_iter};
use telemetra_core::limits::RECORD_BYTES_MAX;
use telemetra_engine::{
    ids::Offset,
    limits::CHUNK_BYTES,
    source::{Chunk, Span},
};

use super::{
    csv::{Splitter, Step},
    decompress::{Decoder, fill},
    format::Format,
    lines::{BOM, is_blank},
    pass::Point,
    sequence::Body,
};

/// Longest line that is held: a record of the greatest length and its line end.
const HELD_BYTES_MAX: usize = RECORD_BYTES_MAX + 2;

/// A place in a file from which records are read.
pub(crate) struct Records {
    decoder: Decoder,
    /// First decoded byte that is not read.
    end: u64,
    /// Next decoded byte to come out of the decoder.
    at: u64,
    /// Bytes of lines that are not yet handed out.
    carry: Vec<u8>,
    /// Bytes of the carry in which no line ends.
    searched: usize,
    /// Line on which the carry begins.
    line: u64,
    /// Offset of the next record.
    offset: Offset,
    split: Split,
}

/// How records are found.
enum Split {
    /// By line ends.
    Lines,
    /// By line ends outside quotes.
    Csv(Splitter),
    /// What is read is one record, of a file with a fault.
    Whole,
}

impl Records {
    /// Begins at `point` of `body`, where the record `offset` is the next.
    ///
    /// # Errors
    /// As reading.
    pub(crate) fn begin(
        mut decoder: Decoder,
        format: Format,
        body: &Body,
        point: Point,
        offset: Offset,
    ) -> io::Result<Records> {
        decoder.skip_to(point.byte)?;
        let split = match format {
            _ if body.fault.is_some() => Split::Whole,
            Format::Lines => Split::Lines,
            Format::Csv(_) => Split::Csv(Splitter::new(RECORD_BYTES_MAX)),
        };
        let (at, end, line) = (point.byte, body.bytes.end, point.line);
        Ok(Records { decoder, end, at, carry: Vec::new(), searched: 0, line, offset, split })
    }

    /// The file.
    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Offset of the next record.
    pub(crate) fn offset(&self) -> Offset {
        self.offset
    }

    /// Reads on to the record `to`; hands out those from `from` on. `false` if there was none before the end.
    ///
    /// # Errors
    /// As reading; `UnexpectedEof` if the file ends before its time.
    pub(crate) fn next_chunk(&mut self, from: Offset, to: Offset, chunk: &mut Chunk) -> io::Result<bool> {
        chunk.records.clear();
        if matches!(self.split, Split::Whole) {
            return self.whole(from, to, chunk);
        }
        while self.offset < to {
            let begins_file = self.at == 0;
            let carried = self.carry.len();
            let room = (self.end - self.at).min(CHUNK_BYTES as u64) as usize;
            if room == 0 && carried == 0 {
                break;
            }
            // Growing writes zeros, so what is there already is kept: a chunk comes back with its old length.
            if chunk.bytes.len() < carried + room {
                chunk.bytes.resize(carried + room, 0);
            }
            chunk.bytes[..carried].copy_from_slice(&self.carry);
            chunk.first_byte = self.at - carried as u64;
            let held = fill(&mut self.decoder, &mut chunk.bytes[carried..carried + room])?;
            self.at += held as u64;
            if held < room {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if matches!(self.split, Split::Csv(_)) {
                self.split_quoted(carried + held, from, to, chunk);
            } else {
                let start = if begins_file && chunk.bytes[..held].starts_with(BOM) { BOM.len() } else { 0 };
                self.split(start, carried + held, from, to, chunk);
                if self.carry.len() > HELD_BYTES_MAX && self.offset < to && chunk.records.is_empty() {
                    self.hand_out_beginning(from, chunk)?;
                }
            }
            if !chunk.records.is_empty() {
                return Ok(true);
            }
        }
        chunk.bytes.clear();
        Ok(false)
    }

    /// Finds the records in `chunk.bytes[start..limit]` and keeps the rest.
    fn split(&mut self, start: usize, limit: usize, from: Offset, to: Offset, chunk: &mut Chunk) {
        let Chunk { bytes, records, .. } = chunk;
        let mut start = start;
        let search = start.max(self.searched);
        for place in memchr_iter(b'\n', &bytes[search..limit]) {
            let newline = search + place;
            let has_return = newline > start && bytes[newline - 1] == b'\r';
            let end = newline - usize::from(has_return);
            if !is_blank(&bytes[start..end]) {
                if self.offset >= from {
                    records.push(span(self.offset, self.line, start, end));
                }
                self.offset += 1;
            }
            self.line += 1;
            start = newline + 1;
            if self.offset == to {
                break;
            }
        }
        if self.at == self.end && self.offset < to && start < limit {
            // The file's last line has no end.
            if !is_blank(&bytes[start..limit]) {
                if self.offset >= from {
                    records.push(span(self.offset, self.line, start, limit));
                }
                self.offset += 1;
            }
            start = limit;
        }
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[start..limit]);
        self.searched = if self.offset < to { self.carry.len() } else { 0 };
        bytes.truncate(start);
    }

    /// Finds the records of a CSV file in `chunk.bytes[..limit]` and keeps the rest.
    fn split_quoted(&mut self, limit: usize, from: Offset, to: Offset, chunk: &mut Chunk) {
        let Split::Csv(splitter) = &mut self.split else { return };
        let Chunk { bytes, records, .. } = chunk;
        let is_end = self.at == self.end;
        let mut start = 0;
        while start < limit && self.offset < to {
            match splitter.step(&bytes[start..limit], is_end) {
                Step::More => break,
                Step::Skip { next, lines } => {
                    self.line += lines;
                    start += next;
                }
                Step::Record { end, next, lines, truncated } => {
                    if self.offset >= from {
                        let (start, end) = (start as u32, (start + end) as u32);
                        records.push(Span { offset: self.offset, line: self.line, start, end, truncated });
                    }
                    self.offset += 1;
                    self.line += lines;
                    start += next;
                }
            }
        }
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[start..limit]);
        bytes.truncate(start);
    }

    /// Hands out the beginning of what is to be read as one record.
    fn whole(&mut self, from: Offset, to: Offset, chunk: &mut Chunk) -> io::Result<bool> {
        if self.offset >= to {
            chunk.bytes.clear();
            return Ok(false);
        }
        let room = (self.end - self.at).min(RECORD_BYTES_MAX as u64) as usize;
        chunk.bytes.resize(room, 0);
        chunk.first_byte = self.at;
        if fill(&mut self.decoder, &mut chunk.bytes)? < room {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += room as u64;
        if self.offset >= from {
            let truncated = self.at < self.end;
            let (start, end) = (0, room as u32);
            chunk.records.push(Span { offset: self.offset, line: self.line, start, end, truncated });
        }
        self.offset += 1;
        Ok(!chunk.records.is_empty())
    }

    /// Hands out the beginning of a line that is longer than any record may be, and skips its rest.
    fn hand_out_beginning(&mut self, from: Offset, chunk: &mut Chunk) -> io::Result<()> {
        let mut blank = is_blank(&self.carry);
        chunk.first_byte = self.at - self.carry.len() as u64;
        std::mem::swap(&mut chunk.bytes, &mut self.carry);
        self.carry.clear();
        self.searched = 0;
        chunk.bytes.truncate(RECORD_BYTES_MAX);
        let mut skipped = vec![0; CHUNK_BYTES];
        let mut has_end = false;
        while self.at < self.end && !has_end {
            let room = (self.end - self.at).min(CHUNK_BYTES as u64) as usize;
            let held = fill(&mut self.decoder, &mut skipped[..room])?;
            self.at += held as u64;
            if held < room {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let newline = memchr(b'\n', &skipped[..held]);
            blank = blank && is_blank(&skipped[..newline.unwrap_or(held)]);
            if let Some(newline) = newline {
                has_end = true;
                self.carry.extend_from_slice(&skipped[newline + 1..held]);
            }
        }
        if !blank {
            if self.offset >= from {
                chunk.records.push(span(self.offset, self.line, 0, RECORD_BYTES_MAX + 1));
            }
            self.offset += 1;
        }
        self.line += u64::from(has_end);
        Ok(())
    }
}

/// A record at its place; one that is too long is cut.
#[inline]
fn span(offset: Offset, line: u64, start: usize, end: usize) -> Span {
    let truncated = end - start > RECORD_BYTES_MAX;
    let end = if truncated { start + RECORD_BYTES_MAX } else { end };
    // A chunk is bounded by two records' length and `CHUNK_BYTES`: far below 4 GiB.
    Span { offset, line, start: start as u32, end: end as u32, truncated }
}
