//! Candidates on their way into a table whose rows are unique by an id: who is new, what became of each, and what the
//! ledger says of it.
//!
//! A store says what it holds, writes what is [`Intake::pending`], and tells what could not be written, until nothing
//! is pending. Whatever it finds out on the way is judged anew together with all that is known, so the verdicts are those
//! of one pass over the candidates in their order: the first of an id stays. Nothing here writes.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeMap, ops::Range};

use telemetra_core::commerce::{
    classify::{Stored, Verdict, classify, judge},
    rows::{Candidate, CommerceRows},
};
use telemetra_engine::{
    ids::{Offset, PartitionId},
    sink::{Applied, Commit, Place, RangeEntry, Tally},
};

use super::outcome::Piece;

/// Code of a record whose id another row has.
pub(crate) const CONFLICT: &str = "duplicate_conflict";

/// Why a candidate that a store was to write is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// A row had its id, of the same payload or another.
    Known(Stored),
    /// The store refuses the row, under this code.
    Refused(String),
}

/// The candidates of a batch with what is known of each, by number in their order.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    rows: &'a CommerceRows,
    stored: Vec<Stored>,
    verdicts: Vec<Verdict>,
    is_written: Vec<bool>,
    codes: BTreeMap<usize, String>,
    /// All of them by (id, number), once somebody asks who else has an id.
    by_id: OnceCell<Vec<(&'a str, usize)>>,
}

impl<'a> Intake<'a> {
    /// Candidates of which the store has said what it holds; `stored` has an entry for each.
    pub(crate) fn new(rows: &'a CommerceRows, stored: Vec<Stored>) -> Self {
        let verdicts = classify(rows, &stored);
        Self {
            rows,
            is_written: vec![false; verdicts.len()],
            stored,
            verdicts,
            codes: BTreeMap::new(),
            by_id: OnceCell::new(),
        }
    }

    /// All candidates with their numbers and verdicts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Candidate<'a>, Verdict)> + '_ {
        let numbered = self.rows.iter().zip(&self.verdicts).enumerate();
        numbered.map(|(number, (candidate, &verdict))| (number, candidate, verdict))
    }

    /// Those that are to become rows and are not yet; no two have one id.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (usize, Candidate<'a>)> + '_ {
        let is_pending = |number: usize, verdict| verdict == Verdict::New && !self.is_written[number];
        self.iter()
            .filter(move |(number, _, verdict)| is_pending(*number, *verdict))
            .map(|(number, candidate, _)| (number, candidate))
    }

    /// The candidate of a number.
    pub(crate) fn candidate(&self, number: usize) -> Candidate<'a> {
        self.rows.get(number)
    }

    /// How many are pending.
    pub(crate) fn pending_count(&self) -> usize {
        let marks = self.verdicts.iter().zip(&self.is_written);
        marks.filter(|(verdict, is_written)| **verdict == Verdict::New && !**is_written).count()
    }

    /// The candidates of an id, by number, in their order.
    pub(crate) fn of_id(&self, id: &str) -> &[(&'a str, usize)] {
        let all = self.by_id.get_or_init(|| {
            let mut all: Vec<_> = self.rows.iter().map(|it| it.event_id).zip(0..).collect();
            all.sort_unstable();
            all
        });
        let from = all.partition_point(|(other, _)| *other < id);
        &all[from..all.partition_point(|(other, _)| *other <= id)]
    }

    /// Takes in that all that was pending is written but for `others`, and judges anew whoever has an id of those.
    ///
    /// Where a row is known, `others` has all candidates of its id ([`Self::of_id`]): one alone would be followed by the
    /// next of them, once for each.
    pub(crate) fn settle(&mut self, others: impl IntoIterator<Item = (usize, Became)>) {
        for (verdict, is_written) in self.verdicts.iter().zip(&mut self.is_written) {
            *is_written |= *verdict == Verdict::New;
        }
        let mut touched = Vec::new();
        for (number, became) in others {
            touched.push(self.rows.get(number).event_id);
            self.is_written[number] = false;
            match became {
                Became::Known(stored) => self.stored[number] = stored,
                Became::Refused(code) => {
                    self.stored[number] = Stored::Refused;
                    self.codes.insert(number, code);
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.judge_id(id);
        }
    }

    /// As [`classify`], for the candidates of one id; and what was refused is not tried again with the same values.
    fn judge_id(&mut self, id: &str) {
        let (mut first, mut refused) = (None, Vec::new());
        for (_, number) in self.of_id(id).to_vec() {
            let payload = self.rows.get(number).payload;
            let known = refused.iter().find(|(other, _)| *other == payload).map(|(_, code)| code);
            if first.is_none()
                && self.stored[number] == Stored::Unknown
                && let Some(code) = known
            {
                self.stored[number] = Stored::Refused;
                self.codes.insert(number, String::clone(code));
            }
            let verdict = judge(&payload, self.stored[number], first.as_ref());
            match verdict {
                Verdict::New => first = Some(payload),
                Verdict::Refused if known.is_none() => {
                    refused.extend(self.codes.get(&number).map(|code| (payload, code.clone())));
                }
                _ => {}
            }
            self.verdicts[number] = verdict;
        }
    }

    /// Why the store refuses a candidate.
    pub(crate) fn code(&self, number: usize) -> Option<&str> {
        self.codes.get(&number).map(String::as_str)
    }

    /// How many became what.
    pub(crate) fn applied(&self) -> Applied {
        let mut applied = Applied::default();
        self.verdicts.iter().for_each(|&verdict| count(&mut applied, verdict));
        applied
    }

    /// What goes into quarantine: `commit`'s refused records, conflicts, and what the store refused; ordered by place.
    pub(crate) fn quarantine<'s, R>(&'s self, commit: &'s Commit<R>) -> Vec<Refusal<'s>> {
        let refused = commit.dead_letters.iter().map(|dead| {
            let Place { partition, offset, file, line, bytes } = &dead.place;
            Refusal {
                partition: *partition,
                offset: *offset,
                file: file.as_deref(),
                line: *line,
                bytes: bytes.clone(),
                codes: Cow::Borrowed(&dead.code),
                raw: &dead.raw,
            }
        });
        let found = self.iter().filter_map(|(number, candidate, verdict)| {
            let codes = match verdict {
                Verdict::Conflict => CONFLICT,
                Verdict::Refused => self.code(number).unwrap_or_default(),
                Verdict::New | Verdict::Duplicate => return None,
            };
            let origin = candidate.origin;
            Some(Refusal {
                partition: partition_of(origin.partition),
                offset: origin.offset,
                file: origin.file.map(|file| &**file),
                line: origin.line,
                bytes: origin.bytes,
                codes: Cow::Borrowed(codes),
                raw: origin.raw,
            })
        });
        let mut all: Vec<_> = refused.chain(found).collect();
        all.sort_by_key(|rejected| (rejected.partition, rejected.offset));
        all
    }

    /// The ranges of `commit`, cut where its segments begin and end, with what became of the records of each piece.
    pub(crate) fn pieces<R>(&self, commit: &Commit<R>) -> Vec<Piece> {
        let mut pieces = cut(commit);
        let mut find = |partition: PartitionId, offset: Offset, add: &dyn Fn(&mut Tally, &mut Applied)| {
            let key = (partition, offset);
            let at = pieces.partition_point(|piece| (piece.range.partition, piece.range.from) <= key);
            let piece = at.checked_sub(1).and_then(|at| pieces.get_mut(at));
            if let Some(Piece { range, applied: Some(applied) }) = piece {
                add(&mut range.tally, applied);
            }
        };
        for dead in &commit.dead_letters {
            find(dead.place.partition, dead.place.offset, &|tally, _| {
                tally.records += 1;
                tally.dead += 1;
            });
        }
        for (_, candidate, verdict) in self.iter() {
            find(partition_of(candidate.origin.partition), candidate.origin.offset, &|tally, applied| {
                tally.records += 1;
                tally.counted += 1;
                count(applied, verdict);
            });
        }
        for Piece { range, .. } in &mut pieces {
            range.tally.empty = (range.to - range.from).saturating_sub(range.tally.records);
        }
        pieces
    }
}

/// A record for the quarantine.
#[derive(Clone, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u64>,
    pub(crate) bytes: Option<Range<u64>>,
    /// Joined by `|`, in the order of the columns.
    pub(crate) codes: Cow<'a, str>,
    pub(crate) raw: &'a [u8],
}

/// Where a row came from: its file, or topic and partition.
pub(crate) fn origin_of<'a>(candidate: &Candidate<'a>, topic: Option<&str>) -> Cow<'a, str> {
    match (candidate.origin.file, topic) {
        (Some(file), _) => Cow::Borrowed(file),
        (None, topic) => format!("{}/{}", topic.unwrap_or_default(), candidate.origin.partition.1).into(),
    }
}

/// The line in that file, or the offset in that partition.
pub(crate) fn position_of(candidate: &Candidate<'_>) -> u64 {
    candidate.origin.line.unwrap_or(candidate.origin.offset)
}

pub(crate) fn partition_of((input, partition): (u8, u32)) -> PartitionId {
    PartitionId { input, partition }
}

fn count(applied: &mut Applied, verdict: Verdict) {
    match verdict {
        Verdict::New => applied.accepted += 1,
        Verdict::Duplicate => applied.duplicates += 1,
        Verdict::Conflict => applied.conflicts += 1,
        Verdict::Refused => applied.refused += 1,
    }
}

/// Empty pieces, ordered by (partition, offset): what of each range lies in one segment.
fn cut<R>(commit: &Commit<R>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for range in &commit.ranges {
        let within = commit.segments.iter().filter(|(id, _)| *id == range.partition);
        let ends = within.flat_map(|(_, it)| [it.first_offset, it.first_offset.saturating_add(it.records)]);
        let mut ends: Vec<Offset> = ends.filter(|end| (range.from + 1..range.to).contains(end)).collect();
        ends.extend([range.from, range.to]);
        ends.sort_unstable();
        ends.dedup();
        pieces.extend(ends.windows(2).map(|ends| Piece {
            range: RangeEntry { from: ends[0], to: ends[1], tally: Tally::default(), ..*range },
            applied: Some(Applied::default()),
        }));
    }
    pieces.sort_by_key(|piece| (piece.range.partition, piece.range.from));
    pieces
}

#[cfg(test)]
mod tests;
