//! The recorded sequence of one partition: pieces of files, one after the other, and the offsets they give.
//!
//! Invariant: pieces that hold an offset below [`Sequence::pinned`] never change place; those behind it are
//! kept in the order of their names. Offsets have no hole: each piece begins where the one before ended.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use telemetra_engine::{ids::Offset, source::Segment};

use super::{
    fingerprint::Fingerprint,
    index::Indexed,
    pass::{Point, Section},
    stamp::Stamp,
};

/// What an index pass found of a piece. Shared with readers.
#[derive(Debug)]
pub(crate) struct Body {
    /// Name under which it is recorded.
    pub(crate) file: Arc<str>,
    /// Name under which the file lies now; another one if it was renamed.
    pub(crate) at: Arc<str>,
    /// Decoded bytes of the file.
    pub(crate) bytes: Range<u64>,
    /// Physical line, from 1, at which it begins.
    pub(crate) line: u64,
    /// Records in it, at least 1.
    pub(crate) records: u64,
    /// Fingerprint of `[0, bytes.end)`.
    pub(crate) fingerprint: Fingerprint,
    /// Fingerprint of `[0, bytes.start)`; `None` at the beginning of a file.
    pub(crate) before: Option<Fingerprint>,
    /// Places to begin reading; at least the piece's beginning unless the piece is missing.
    pub(crate) points: Vec<Point>,
    /// Whether going to a byte means decoding all before it.
    pub(crate) is_compressed: bool,
    /// The file's first record, where that names the columns.
    pub(crate) head: Option<Arc<[u8]>>,
    /// Code of a fault of the whole file, whose beginning is the one record.
    pub(crate) fault: Option<Arc<str>>,
    /// The file's stamp when it was indexed.
    pub(crate) stamp: Stamp,
    /// A reader found that the file is no longer what was indexed.
    pub(crate) failed: AtomicBool,
}

impl Body {
    /// A section of the file `name`, which `indexed` was found to be; `before` is the fingerprint of what
    /// precedes it.
    pub(crate) fn new(
        name: &Arc<str>,
        indexed: &Indexed,
        section: Section,
        before: Option<Fingerprint>,
    ) -> Body {
        let Section { bytes, line, records, fingerprint, points } = section;
        let Indexed { is_compressed, stamp, .. } = *indexed;
        let (head, fault) = (indexed.head.clone(), indexed.fault.clone());
        let (file, at, failed) = (name.clone(), name.clone(), AtomicBool::new(false));
        Body {
            file,
            at,
            bytes,
            line,
            records,
            fingerprint,
            before,
            points,
            is_compressed,
            head,
            fault,
            stamp,
            failed,
        }
    }

    /// The same under the name `at`.
    pub(crate) fn renamed(&self, at: Arc<str>) -> Body {
        Body {
            file: self.file.clone(),
            at,
            bytes: self.bytes.clone(),
            points: self.points.clone(),
            head: self.head.clone(),
            fault: self.fault.clone(),
            failed: AtomicBool::new(self.has_failed()),
            ..*self
        }
    }

    /// Decoded bytes in it.
    pub(crate) fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    /// Whether a reader found that the file is no longer what was indexed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A piece in its place.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Place in the sequence, from 0.
    pub(crate) seq: u32,
    /// Offset of its first record.
    pub(crate) first: Offset,
    /// The file that should hold it does not.
    pub(crate) missing: Option<Missing>,
    /// What it is.
    pub(crate) body: Arc<Body>,
}

/// Since when a piece is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The start found it missing: what lies below the next offset is needed for the replay, too.
    AtStart,
    /// It went while we ran: only what was not read is needed.
    Since,
}

impl Piece {
    /// First offset behind it.
    pub(crate) fn end(&self) -> Offset {
        self.first + self.body.records
    }

    /// What the ledger records of it.
    pub(crate) fn segment(&self) -> Segment {
        let body = &self.body;
        Segment {
            seq: self.seq,
            file: body.file.to_string(),
            bytes: body.bytes.clone(),
            line: body.line,
            first_offset: self.first,
            records: body.records,
            fingerprint: body.fingerprint.to_string(),
            // What has a fault is one record, its head included.
            head: body.head.clone().filter(|_| body.fault.is_none()),
            modified_ns: (body.stamp != Stamp::NONE).then_some(body.stamp.mtime_ns),
            span_ms: None,
        }
    }
}

/// The pieces of one partition from its replay offset on.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// The pieces, ascending.
    pub(crate) pieces: Vec<Piece>,
    /// `seq` of the next piece behind all.
    next_seq: u32,
    /// First offset behind all pieces.
    end: Offset,
    /// First offset that is read again after a restart.
    pub(crate) replay: Offset,
    /// First offset that no commit covers.
    pub(crate) next: Offset,
    /// The range that was cut last: in the hands of readers, or being committed.
    cut: Range<Offset>,
}

impl Sequence {
    /// A sequence that begins behind what was read and dropped.
    pub(crate) fn resumed(
        pieces: Vec<Piece>,
        next_seq: u32,
        end: Offset,
        replay: Offset,
        next: Offset,
    ) -> Sequence {
        Sequence { pieces, next_seq, end, replay, next, cut: next..next }
    }

    /// First offset behind all pieces.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// The offset below which no piece changes place: committed, or cut and perhaps being committed.
    pub(crate) fn pinned(&self) -> Offset {
        self.next.max(self.cut.end)
    }

    /// Frees what was cut last if a reader found it changed: its batch is dropped, so only what lies below
    /// the cut may still be in the hands of a commit.
    pub(crate) fn unpin_failed(&mut self) {
        let cut = self.cut.clone();
        if self.holding(&cut).iter().any(|piece| piece.body.has_failed()) {
            self.cut.end = cut.start;
        }
    }

    /// Remembers what is being handed out.
    pub(crate) fn hand_out(&mut self, range: Range<Offset>) {
        self.cut = range;
    }

    /// The pieces that hold `range`, ascending.
    pub(crate) fn holding(&self, range: &Range<Offset>) -> &[Piece] {
        let from = self.pieces.partition_point(|piece| piece.end() <= range.start);
        let to = self.pieces.partition_point(|piece| piece.first < range.end);
        &self.pieces[from.min(to)..to]
    }

    /// Adds and removes pieces behind the pinned ones and puts those in the order of names. Returns what was
    /// removed.
    pub(crate) fn arrange(
        &mut self,
        added: Vec<Arc<Body>>,
        mut is_kept: impl FnMut(&Body) -> bool,
    ) -> Vec<Arc<Body>> {
        let pinned = self.pinned();
        let free = self.pieces.partition_point(|piece| piece.first < pinned);
        let tail: Vec<_> = self.pieces.drain(free..).collect();
        self.next_seq -= tail.len() as u32;
        self.end = tail.first().map_or(self.end, |piece| piece.first);
        let (mut kept, removed): (Vec<_>, Vec<_>) =
            tail.into_iter().map(|piece| piece.body).partition(|body| is_kept(body));
        if !added.is_empty() {
            kept.extend(added);
            kept.sort_by(|a, b| (&a.file, a.bytes.start).cmp(&(&b.file, b.bytes.start)));
        }
        for body in kept {
            let piece = Piece { seq: self.next_seq, first: self.end, missing: None, body };
            self.next_seq += 1;
            self.end = piece.end();
            self.pieces.push(piece);
        }
        removed
    }

    /// Takes note of a commit and drops the pieces that are not read again. Returns the names of their files.
    pub(crate) fn committed(&mut self, replay: Offset, next: Offset) -> Vec<Arc<str>> {
        self.replay = self.replay.max(replay);
        self.next = self.next.max(next);
        let dropped = self.pieces.partition_point(|piece| piece.end() <= self.replay);
        self.pieces.drain(..dropped).map(|piece| piece.body.at.clone()).collect()
    }

    /// Ranges that are needed and missing, ascending.
    pub(crate) fn gaps(&self) -> Vec<Range<Offset>> {
        let gap = |piece: &Piece| {
            let from = match piece.missing? {
                Missing::AtStart => self.replay,
                Missing::Since => self.next,
            };
            (from < piece.end()).then(|| from.max(piece.first)..piece.end())
        };
        self.pieces.iter().filter_map(gap).collect()
    }
}
