//! Cutting a partition into ranges: exact in records, with borders where opening is a seek.

use std::ops::Range;

use telemetra_engine::ids::Offset;

use super::{pass::Point, sequence::Piece};

/// A record boundary.
#[derive(Clone, Copy)]
struct Border {
    offset: Offset,
    /// Decoded bytes before it, counted from some common place.
    before: u64,
    /// Opening there is a seek; in the midst of a compressed file it is not.
    is_seek: bool,
}

/// Cuts `from..end` of `pieces` into at most `parts` ranges that hold `records` records, but end at the first
/// index point at or behind `bytes` bytes.
pub(crate) fn cut(
    pieces: &[Piece],
    from: Offset,
    end: Offset,
    records: u64,
    bytes: u64,
    parts: usize,
) -> Vec<Range<Offset>> {
    let end = end.min(from.saturating_add(records));
    if from >= end {
        return Vec::new();
    }
    let borders = borders(pieces, from, end);
    let first = bytes_before(pieces, from);
    let stop =
        borders.iter().position(|border| border.before - first >= bytes.max(1)).unwrap_or(borders.len() - 1);
    let last = borders[stop];
    let total = last.before - first;
    let inner: Vec<_> = borders[..stop].iter().filter(|border| border.is_seek).collect();
    let mut ranges = Vec::with_capacity(parts);
    let mut at = from;
    for part in 1..parts.max(1) as u64 {
        let wanted = first + total * part / parts as u64;
        let Some(border) = inner.get(inner.partition_point(|border| border.before < wanted)) else { break };
        if border.offset > at {
            ranges.push(at..border.offset);
            at = border.offset;
        }
    }
    ranges.push(at..last.offset);
    ranges
}

/// Where ranges may end: index points, ends of files, and `end`.
fn borders(pieces: &[Piece], from: Offset, end: Offset) -> Vec<Border> {
    let mut borders = Vec::new();
    let mut before = 0;
    for piece in pieces {
        let body = &piece.body;
        let inner = body.points.iter().skip(1);
        let border = |point: &Point| Border {
            offset: piece.first + point.record,
            before: before + (point.byte - body.bytes.start),
            is_seek: !body.is_compressed,
        };
        borders.extend(inner.map(border).filter(|border| border.offset > from && border.offset < end));
        before += body.length();
        if piece.end() > from && piece.end() < end {
            borders.push(Border { offset: piece.end(), before, is_seek: true });
        }
    }
    borders.push(Border { offset: end, before: bytes_before(pieces, end), is_seek: true });
    borders
}

/// Decoded bytes of `pieces` behind a record, as exact as [`bytes_before`].
pub(crate) fn bytes_behind(pieces: &[Piece], offset: Offset) -> u64 {
    let all: u64 = pieces.iter().map(|piece| piece.body.length()).sum();
    all - bytes_before(pieces, offset)
}

/// Decoded bytes before a record, counted from the first piece: exact at points, in proportion between them.
fn bytes_before(pieces: &[Piece], offset: Offset) -> u64 {
    let mut before = 0;
    for piece in pieces {
        let body = &piece.body;
        let length = body.length();
        if piece.end() <= offset {
            before += length;
            continue;
        }
        let record = offset - piece.first;
        let at = body.points.partition_point(|point| point.record <= record);
        let (low_record, low) = at.checked_sub(1).map_or((0, body.bytes.start), |at| {
            let point = body.points[at];
            (point.record, point.byte)
        });
        let (high_record, high) =
            body.points.get(at).map_or((body.records, body.bytes.end), |point| (point.record, point.byte));
        let share =
            u128::from(high - low) * u128::from(record - low_record) / u128::from(high_record - low_record);
        return before + (low - body.bytes.start) + share as u64;
    }
    before
}
