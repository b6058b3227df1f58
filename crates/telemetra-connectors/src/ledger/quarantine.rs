//! Refused records: which there are, which are still to be exported, and how they are tried again.
//!
//! Reading is part of [`super::StoreReader`]. Writing is [`Quarantine`]'s, beside an instance that runs: it takes the
//! job row's lock as a batch does, and no epoch. The invariant: a refused record becomes a row at most once, and the
//! record and its row change in one transaction.

use std::{fmt::Debug, ops::Range, sync::Arc};

use telemetra_core::commerce::{classify::Verdict, rows::CommerceRows};
use telemetra_engine::{ids::Offset, sink::SinkError};

use super::{Arg, Row, Snapshot, int, intake::Intake, reader::page};

/// Most bytes of records that one answer holds, unless the first alone has more.
const RAW_BYTES_MAX: u64 = 8 << 20;

/// Which refused records are asked for; those of a job ordered by (partition, offset).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those with this code: `price_range`; `missing_field` means that of any field.
    pub code: Option<String>,
    /// Only those of this file.
    pub file: Option<String>,
    /// Only those of this batch.
    pub batch_id: Option<u64>,
    /// Only those of batches committed at or after this, milliseconds.
    pub from_ms: Option<i64>,
    /// Only those of batches committed before this, milliseconds.
    pub to_ms: Option<i64>,
    /// Only those that no replay has made a row of.
    pub pending_only: bool,
    /// Only those behind this (partition, offset): the last of the page before.
    pub after: Option<(u32, Offset)>,
    /// Most that are returned; fewer if they are large, but one at least.
    pub limit: usize,
}

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Kafka topic; `None` for a folder.
    pub topic: Option<String>,
    /// Number of the partition; 0 for a folder.
    pub partition: u32,
    /// Its offset.
    pub offset: Offset,
    /// File name inside the folder; `None` for Kafka.
    pub file: Option<String>,
    /// Physical line, from 1; `None` for Kafka.
    pub line: Option<u64>,
    /// Its decoded bytes in the file, the line end left out; `None` for Kafka.
    pub bytes: Option<Range<u64>>,
    /// Place in the recorded sequence of the piece of the file that holds it; `None` for Kafka.
    pub seq: Option<u32>,
    /// The file's first record if that names the columns.
    pub head: Option<Arc<[u8]>>,
    /// Why it was refused, joined by `|` in column order.
    pub codes: String,
    /// The record.
    pub raw: Vec<u8>,
    /// The batch that read it.
    pub batch_id: u64,
    /// When that batch was committed, milliseconds.
    pub rejected_at_ms: i64,
    /// When a replay made a row of it, milliseconds.
    pub replayed_at_ms: Option<i64>,
}

/// What the ledger says of a recorded piece of a file; a file that grew has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLedger {
    /// Name of the input, and number of the partition in it.
    pub input: String,
    /// See `input`.
    pub partition: u32,
    /// Place in the partition's recorded sequence.
    pub seq: u32,
    /// File name inside the folder.
    pub name: String,
    /// Records in it.
    pub records: u64,
    /// Records of it that were read.
    pub read: u64,
    /// Records that became rows.
    pub accepted: u64,
    /// Records whose row was there.
    pub duplicates: u64,
    /// Records whose id had another row.
    pub conflicts: u64,
    /// Records refused otherwise.
    pub quarantined: u64,
}

/// What a replay came to for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is a row now, and will not be tried again.
    Accepted,
    /// Its row was there already; it stays as it is.
    Duplicate,
    /// Another row has its id; it stays as it is.
    Conflict,
    /// The store refuses it under this code; it stays as it is.
    Refused(String),
    /// It is not in quarantine, or was replayed before.
    NotPending,
}

/// A store as its quarantine needs it.
pub(crate) trait QuarantineStore: Debug + Send {
    fn mark_exported(&mut self, job: &str, batch_id: u64) -> Result<(), SinkError>;
    fn replay(&mut self, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, SinkError>;
}

/// A store's quarantine, opened for writing.
#[derive(Debug)]
pub struct Quarantine {
    store: Box<dyn QuarantineStore>,
}

impl Quarantine {
    pub(crate) fn new(store: impl QuarantineStore + 'static) -> Self {
        Self { store: Box::new(store) }
    }

    /// Records that a batch's refused records were exported; a second time changes nothing.
    ///
    /// # Errors
    /// `NotApplied` when the store cannot be written now: marking again is safe.
    pub fn mark_exported(&mut self, job: &str, batch_id: u64) -> Result<(), SinkError> {
        self.store.mark_exported(job, batch_id)
    }

    /// Makes rows of records in quarantine whose candidates, re-made from their raw bytes, are `rows`; each carries the
    /// partition and offset of its record. One transaction; what each came to, in the order of `rows`.
    ///
    /// # Errors
    /// `NotApplied` when nothing was written, `InDoubt` when that is not known: trying again is safe, what became a row
    /// is `NotPending` then. `Halt` for a job that is not there.
    pub fn replay(&mut self, job: &str, rows: &CommerceRows) -> Result<Vec<Replayed>, SinkError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.store.replay(job, rows)
    }
}

/// What became of each candidate of a replay; `batches` has the batch of those that were in quarantine.
pub(crate) fn came_to(intake: &Intake<'_>, batches: &[Option<i64>]) -> Vec<Replayed> {
    let came_to = |(number, _, verdict)| match verdict {
        _ if batches.get(number).copied().flatten().is_none() => Replayed::NotPending,
        Verdict::New => Replayed::Accepted,
        Verdict::Duplicate => Replayed::Duplicate,
        Verdict::Conflict => Replayed::Conflict,
        Verdict::Refused => Replayed::Refused(intake.code(number).unwrap_or_default().to_owned()),
    };
    intake.iter().map(came_to).collect()
}

/// See [`super::StoreReader::rejected`].
pub(super) fn rejected(
    db: &mut dyn Snapshot,
    job: &str,
    wanted: &Wanted,
) -> Result<Vec<Rejected>, SinkError> {
    let code = wanted.code.as_deref().map(pattern);
    let (partition, offset) =
        wanted.after.map_or((-1, -1), |(partition, offset)| (partition.into(), offset.cast_signed()));
    let mut args = vec![Arg::Text(job), Arg::Int(partition), Arg::Int(offset)];
    let mut conditions = String::new();
    let mut only = |condition: &str, arg| {
        args.push(arg);
        conditions += &format!(
            " AND {} ${}{}",
            condition,
            args.len(),
            if condition.ends_with("LIKE") { " ESCAPE '\\'" } else { "" }
        );
    };
    if let Some(code) = &code {
        // Each code stands between bars, and what it names between another two.
        only("'|' || replace(r.codes, ':', '|:') || '|' LIKE", Arg::Text(code));
    }
    if let Some(file) = &wanted.file {
        only("r.file =", Arg::Text(file));
    }
    if let Some(batch_id) = wanted.batch_id {
        only("r.batch_id =", Arg::Int(int(batch_id)?));
    }
    if let Some(from_ms) = wanted.from_ms {
        only("b.committed_at >=", Arg::Instant(from_ms));
    }
    if let Some(to_ms) = wanted.to_ms {
        only("b.committed_at <", Arg::Instant(to_ms));
    }
    if wanted.pending_only {
        conditions += " AND r.replayed_at IS NULL";
    }
    // A batch is found by its own index: a plus hides the key from SQLite, which would walk along all of the job's rows.
    let plus = if wanted.batch_id.is_some() { "+" } else { "" };
    let place = format!("{plus}r.\"partition\", {plus}r.\"offset\"");
    let from = format!(
        "rejected_events r JOIN telemetra.batch b ON b.job = r.job AND b.batch_id = r.batch_id
         WHERE r.job = $1 AND ({place}) > ($2, $3){conditions} ORDER BY {place} LIMIT ${}",
        args.len() + 1
    );
    args.push(page(wanted.limit)?);
    let lengths = db.list(&format!("SELECT CAST(length(r.raw) AS bigint) FROM {from}"), &args, |row| {
        row.uint(0, "length")
    })?;
    let limit = fitting(&lengths);
    args.pop();
    args.push(page(limit)?);
    let sql = format!(
        "SELECT r.topic, r.\"partition\", r.\"offset\", r.file, r.line, r.byte_from, r.byte_to, r.codes, r.raw,
             r.batch_id, b.committed_at, r.replayed_at
         FROM {from}"
    );
    let mut rejected = db.list(&sql, &args, read)?;
    find_heads(db, job, &mut rejected)?;
    Ok(rejected)
}

/// How many of the records with these lengths go into one answer.
fn fitting(lengths: &[u64]) -> usize {
    let mut bytes = 0;
    let fits = |length: &&u64| {
        bytes += **length;
        bytes <= RAW_BYTES_MAX
    };
    lengths.iter().take_while(fits).count().max(1)
}

/// Partition, offsets, seq and head of a piece.
type Found = (u32, Range<Offset>, u32, Option<Arc<[u8]>>);

/// Adds to each record the piece of the file it lies in, and that file's head. One question a piece.
fn find_heads(db: &mut dyn Snapshot, job: &str, rejected: &mut [Rejected]) -> Result<(), SinkError> {
    // A job with a quarantine has one input.
    let sql = "SELECT seq, head, first_offset, records FROM telemetra.file
               WHERE job = $1 AND \"partition\" = $2 AND first_offset <= $3
               ORDER BY first_offset DESC LIMIT 1";
    let mut last: Option<Found> = None;
    for record in rejected.iter_mut().filter(|record| record.file.is_some()) {
        let (partition, offset) = (record.partition, record.offset);
        let holds = |piece: &Found| piece.0 == partition && piece.1.contains(&offset);
        if !last.as_ref().is_some_and(holds) {
            let key = [Arg::Text(job), Arg::Int(partition.into()), Arg::Int(int(offset)?)];
            let found = db.one(sql, &key, |row| {
                let first = row.uint(2, "first_offset")?;
                let offsets = first..first.saturating_add(row.uint(3, "records")?);
                Ok((partition, offsets, row.uint32(0, "seq")?, row.bytes_or_null(1)?.map(Arc::from)))
            })?;
            last = found.filter(holds);
        }
        if let Some((_, _, seq, head)) = &last {
            record.seq = Some(*seq);
            record.head.clone_from(head);
        }
    }
    Ok(())
}

/// What `LIKE` looks for: a code as the query above spells it.
fn pattern(code: &str) -> String {
    let mut pattern = "%|".to_owned();
    for char in code.replace(':', "|:").chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern + "|%"
}

fn read(row: &Row) -> Result<Rejected, SinkError> {
    let number = |column: usize, name: &str| {
        row.int_or_null(column)?.map(|number| super::uint(number, name)).transpose()
    };
    Ok(Rejected {
        topic: row.text_or_null(0)?,
        partition: row.uint32(1, "partition")?,
        offset: row.uint(2, "offset")?,
        file: row.text_or_null(3)?,
        line: number(4, "line")?,
        bytes: number(5, "byte_from")?.zip(number(6, "byte_to")?).map(|(from, to)| from..to),
        seq: None,
        head: None,
        codes: row.text(7)?,
        raw: row.bytes(8)?,
        batch_id: row.uint(9, "batch_id")?,
        rejected_at_ms: row.instant(10)?,
        replayed_at_ms: row.instant_or_null(11)?,
    })
}

/// See [`super::StoreReader::exports_pending`].
pub(super) fn exports_pending(db: &mut dyn Snapshot, job: &str, limit: usize) -> Result<Vec<u64>, SinkError> {
    let sql = "SELECT batch_id FROM telemetra.export WHERE job = $1 AND exported_at IS NULL
               ORDER BY batch_id LIMIT $2";
    db.list(sql, &[Arg::Text(job), page(limit)?], |row| row.uint(0, "batch_id"))
}

/// See [`super::StoreReader::files`].
pub(super) fn files(
    db: &mut dyn Snapshot,
    job: &str,
    after: Option<(u32, u32)>,
    limit: usize,
) -> Result<Vec<FileLedger>, SinkError> {
    let sum = |column: &str| format!("CAST(coalesce(sum(r.{column}), 0) AS bigint)");
    let sums = ["records", "accepted", "duplicates", "conflicts", "quarantined"].map(sum).join(", ");
    let sql = format!(
        "SELECT f.input, f.\"partition\", f.seq, f.name, f.records, {sums}
         FROM telemetra.file f LEFT JOIN telemetra.batch_range r ON r.job = f.job AND r.input = f.input
             AND r.\"partition\" = f.\"partition\" AND r.from_offset >= f.first_offset
             AND r.from_offset < f.first_offset + f.records
         WHERE f.job = $1 AND (f.\"partition\", f.seq) > ($2, $3)
         GROUP BY f.input, f.\"partition\", f.seq, f.name, f.records ORDER BY f.\"partition\", f.seq LIMIT $4"
    );
    let (partition, seq) = after.map_or((-1, -1), |(partition, seq)| (partition.into(), seq.into()));
    db.list(&sql, &[Arg::Text(job), Arg::Int(partition), Arg::Int(seq), page(limit)?], |row| {
        let number = |column: usize| row.uint(column, "a sum of a file");
        Ok(FileLedger {
            input: row.text(0)?,
            partition: row.uint32(1, "partition")?,
            seq: row.uint32(2, "seq")?,
            name: row.text(3)?,
            records: number(4)?,
            read: number(5)?,
            accepted: number(6)?,
            duplicates: number(7)?,
            conflicts: number(8)?,
            quarantined: number(9)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_as_many_records_as_fit_and_one_at_least() {
        assert_eq!(fitting(&[]), 1);
        assert_eq!(fitting(&[RAW_BYTES_MAX + 1, 1]), 1);
        assert_eq!(fitting(&[RAW_BYTES_MAX - 1, 1, 1]), 2);
    }

    #[test]
    fn a_code_is_looked_for_between_bars() {
        assert_eq!(pattern("price_range"), r"%|price\_range|%");
        assert_eq!(pattern("too_long:user_id"), r"%|too\_long|:user\_id|%");
        assert_eq!(pattern(r"50%\"), r"%|50\%\\|%");
    }
}
