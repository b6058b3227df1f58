//! Reading one range of a partition: piece after piece, each checked to be what was indexed.
//!
//! A chunk never spans two pieces. What was read counts only if the file's stamp is the same before and after;
//! else the range fails as changed, and the next poll looks at the file anew.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use telemetra_engine::{
    ids::Offset,
    source::{Chunk, RangeReader, SourceError, Span},
};

use super::{
    decompress::Decoder,
    format::Format,
    limits::DECODERS_KEPT,
    records::Records,
    scan::shown,
    sequence::{Body, Piece},
    stamp::Stamp,
};

/// Open decoders of compressed files, the one used last behind all. The next range of a compressed file
/// goes on where one of them stands instead of decoding the file from its beginning.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<VecDeque<Standing>>>);

/// A decoder that stands behind a chunk, and that chunk: a range may have been left in the middle of it.
struct Standing {
    key: Key,
    records: Records,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Decoded byte of the file at which `bytes` begins.
    first_byte: u64,
}

/// Which piece at which offsets a decoder belongs to: file, first byte, first offset.
type Key = (Stamp, u64, Offset);

fn key(piece: &Piece) -> Key {
    (piece.body.stamp, piece.body.bytes.start, piece.first)
}

impl Kept {
    fn take(&self, piece: &Piece, from: Offset) -> Option<Standing> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|standing| {
            let begin = standing.spans.first().map_or(standing.records.offset(), |span| span.offset);
            standing.key == key(piece) && (begin..=standing.records.offset()).contains(&from)
        })?;
        kept.remove(place)
    }

    fn put(&self, standing: Standing) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= DECODERS_KEPT {
            kept.pop_front();
        }
        kept.push_back(standing);
    }
}

/// Reads a range of a partition of a folder.
pub(crate) struct FolderReader {
    folder: PathBuf,
    format: Format,
    kept: Kept,
    pieces: VecDeque<Piece>,
    from: Offset,
    to: Offset,
    open: Option<Open>,
}

/// The piece that is being read.
struct Open {
    piece: Piece,
    records: Records,
    /// The last chunk of a compressed file.
    last: (Vec<u8>, Vec<Span>, u64),
    /// Records handed out again from a chunk that was left in its middle.
    is_again: bool,
}

impl FolderReader {
    /// A reader of `range`, which `pieces` hold.
    pub(crate) fn new(
        folder: &Path,
        format: Format,
        kept: &Kept,
        pieces: &[Piece],
        range: Range<Offset>,
    ) -> FolderReader {
        let (folder, kept) = (folder.to_path_buf(), kept.clone());
        FolderReader {
            folder,
            format,
            kept,
            pieces: pieces.iter().cloned().collect(),
            from: range.start,
            to: range.end,
            open: None,
        }
    }

    fn open(&mut self, piece: Piece) -> Result<Open, SourceError> {
        let from = self.from.max(piece.first);
        let is_inner = piece.body.is_compressed && from > piece.first;
        if let Some(standing) = is_inner.then(|| self.kept.take(&piece, from)).flatten() {
            let is_again = from < standing.records.offset();
            let Standing { records, bytes, spans, first_byte, .. } = standing;
            return Ok(Open { piece, records, last: (bytes, spans, first_byte), is_again });
        }
        let body = &piece.body;
        let (decoder, stamp) =
            Decoder::open(&self.folder.join(&*body.at)).map_err(|error| failed(&self.folder, body, error))?;
        let place = body.points.partition_point(|point| point.record <= from - piece.first).checked_sub(1);
        let Some(place) = place.filter(|_| stamp == body.stamp) else {
            return Err(changed(&self.folder, body));
        };
        let point = body.points[place];
        let records = Records::begin(decoder, self.format, body, point, piece.first + point.record)
            .map_err(|error| failed(&self.folder, body, error))?;
        Ok(Open { piece, records, last: Default::default(), is_again: false })
    }

    /// Keeps the decoder of a file that is not read to its end.
    fn keep(&self, open: Open) {
        if open.piece.body.is_compressed && open.records.offset() < open.piece.end() {
            let (bytes, spans, first_byte) = open.last;
            self.kept.put(Standing {
                key: key(&open.piece),
                records: open.records,
                bytes,
                spans,
                first_byte,
            });
        }
    }
}

impl RangeReader for FolderReader {
    fn next_chunk(&mut self, chunk: &mut Chunk) -> Result<bool, SourceError> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.pieces.pop_front() {
                    Some(piece) => self.open(piece)?,
                    None => return Ok(false),
                },
            };
            let to = self.to.min(open.piece.end());
            // The stamp is taken behind every chunk: a range may be left after any of them.
            let read = open
                .next_chunk(self.from, to, chunk)
                .and_then(|has| Ok((has, open.records.decoder().stamp()?)));
            let (has_more, stamp) = read.map_err(|error| failed(&self.folder, &open.piece.body, error))?;
            if stamp != open.piece.body.stamp || (!has_more && open.records.offset() < to) {
                return Err(changed(&self.folder, &open.piece.body));
            }
            if has_more {
                self.open = Some(open);
                return Ok(true);
            }
            self.keep(open);
        }
    }
}

impl Open {
    fn next_chunk(&mut self, from: Offset, to: Offset, chunk: &mut Chunk) -> io::Result<bool> {
        let body = &self.piece.body;
        chunk.file = Some(body.file.clone());
        chunk.segment = self.piece.seq;
        (chunk.head, chunk.fault) = (body.head.clone(), body.fault.clone());
        if std::mem::take(&mut self.is_again) {
            chunk.bytes.clear();
            chunk.bytes.extend_from_slice(&self.last.0);
            chunk.first_byte = self.last.2;
            chunk.records.clear();
            let wanted = self.last.1.iter().filter(|span| (from..to).contains(&span.offset));
            chunk.records.extend(wanted);
            if !chunk.records.is_empty() {
                return Ok(true);
            }
        }
        let has_more = self.records.next_chunk(from, to, chunk)?;
        if has_more && body.is_compressed {
            self.last.0.clone_from(&chunk.bytes);
            self.last.1.clone_from(&chunk.records);
            self.last.2 = chunk.first_byte;
        }
        Ok(has_more)
    }
}

impl Drop for FolderReader {
    /// A range is left early when a split ends at its horizon: the next one begins in the chunk read last.
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.keep(open);
        }
    }
}

fn changed(folder: &Path, body: &Body) -> SourceError {
    body.failed.store(true, Ordering::Relaxed);
    SourceError::Changed(format!("{} changed while it was read", shown(&folder.join(&*body.at))))
}

fn failed(folder: &Path, body: &Body, error: io::Error) -> SourceError {
    let is_gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof);
    if is_gone || error.raw_os_error().is_none() {
        return changed(folder, body);
    }
    let what = format!("reading {}", shown(&folder.join(&*body.at)));
    SourceError::Retry { what, source: Box::new(error) }
}
