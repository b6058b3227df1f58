//! What a batch adds to the ledger: positions, ranges, segments, gaps, refused and late records.
//!
//! Positions change only from the offset that the batch expects, in the log that they count in. Refused and late records are inserted, never
//! upserted: a second one at the same offset is an error that stops the job.

use std::ops::Range;

use rusqlite::{Connection, params};
use telemetra_engine::{
    ids::{Offset, PartitionId},
    sink::{Commit, Place, PositionEntry, SinkError},
    source::Segment,
};

use super::{
    Held,
    connection::{Failure, int, uint},
    text,
};
use crate::ledger::{Piece, Refused};

/// Moves the positions of a batch, each from the offset it expects.
pub(super) fn move_positions<R>(
    db: &Connection,
    job: &str,
    held: &Held,
    commit: &Commit<R>,
) -> Result<(), Failure> {
    for entry in &commit.positions {
        let changed = match entry.expected_next {
            Some(expected) => move_position(db, job, held, entry, expected)?,
            None => add_position(db, job, held, commit, entry)?,
        };
        if changed != 1 {
            let id = entry.position.id;
            let expected = entry.expected_next.map_or("none".into(), |next| next.to_string());
            let log =
                entry.position.mark.id.map_or(String::new(), |id| format!(" of log {}", text::log_id(id)));
            let text = format!("partition {id} of job {job} is no longer at next offset {expected}{log}");
            return Err(SinkError::Fenced(text).into());
        }
    }
    Ok(())
}

fn move_position(
    db: &Connection,
    job: &str,
    held: &Held,
    entry: &PositionEntry,
    expected: Offset,
) -> Result<usize, Failure> {
    let sql = "UPDATE telemetra_position SET next_offset = ?5, replay_offset = ?6, largest_ms = ?7,
                   pending_ms = ?8, pending_age = ?9, head_since_ms = ?10, log_id = ?11, log_epoch = ?12, begun_ms = ?13
               WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND next_offset = ?4
                   AND (log_id IS NULL OR log_id = ?11)";
    let position = &entry.position;
    Ok(db.prepare_cached(sql)?.execute(params![
        job,
        held.input(position.id)?.name,
        position.id.partition,
        int(expected)?,
        int(position.next)?,
        int(position.replay)?,
        position.clock.largest_ms,
        position.clock.pending_ms,
        position.clock.pending_age,
        position.head_since_ms,
        position.mark.id.map(text::log_id),
        position.mark.epoch,
        position.begun_ms,
    ])?)
}

fn add_position<R>(
    db: &Connection,
    job: &str,
    held: &Held,
    commit: &Commit<R>,
    entry: &PositionEntry,
) -> Result<usize, Failure> {
    let sql = "INSERT INTO telemetra_position
                   (job, input, topic, \"partition\", first_offset, next_offset, replay_offset, largest_ms,
                    pending_ms, pending_age, head_since_ms, log_id, log_epoch, begun_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING";
    let position = &entry.position;
    let input = held.input(position.id)?;
    let first = commit.pieces(position.id).first().map_or(position.next, |piece| piece.start);
    Ok(db.prepare_cached(sql)?.execute(params![
        job,
        input.name,
        input.topic,
        position.id.partition,
        int(first)?,
        int(position.next)?,
        int(position.replay)?,
        position.clock.largest_ms,
        position.clock.pending_ms,
        position.clock.pending_age,
        position.head_since_ms,
        position.mark.id.map(text::log_id),
        position.mark.epoch,
        position.begun_ms,
    ])?)
}

/// Inserts the pieces of the ranges read and the gaps passed.
pub(super) fn insert_ranges<R>(
    db: &Connection,
    job: &str,
    held: &Held,
    commit: &Commit<R>,
    pieces: &[Piece],
) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra_batch_range
                   (job, input, \"partition\", from_offset, to_offset, batch_id, watermark_ms, records, empty,
                    counted, in_windows, late, dead, window_misses, accepted, duplicates, conflicts, quarantined)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let mut statement = db.prepare_cached(sql)?;
    for piece in pieces {
        let (range, tally) = (&piece.range, &piece.range.tally);
        let [accepted, duplicates, conflicts, quarantined] = piece.columns();
        statement.execute(params![
            job,
            held.input(range.partition)?.name,
            range.partition.partition,
            int(range.from)?,
            int(range.to)?,
            int(commit.batch_id)?,
            commit.watermark_before.ms(),
            int(tally.records)?,
            int(tally.empty)?,
            int(tally.counted)?,
            int(tally.in_windows)?,
            int(tally.late)?,
            int(tally.dead)?,
            int(tally.window_misses)?,
            int(accepted)?,
            int(duplicates)?,
            int(conflicts)?,
            int(quarantined)?,
        ])?;
    }
    let sql = "INSERT INTO telemetra_gap
                   (job, input, \"partition\", from_offset, to_offset, in_replay, cause, batch_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = db.prepare_cached(sql)?;
    for gap in &commit.gaps {
        let (from, to) = (int(gap.offsets.start)?, int(gap.offsets.end)?);
        let (input, partition) = (held.input(gap.partition)?.name, gap.partition.partition);
        let batch_id = int(commit.batch_id)?;
        statement.execute(params![job, input, partition, from, to, gap.in_replay, gap.cause, batch_id])?;
    }
    Ok(())
}

/// Inserts the segments that hold the ranges read, or updates the times of those recorded before.
///
/// A segment once recorded is a place in a file for good: one that differs halts. (What a file grew by is a
/// segment of its own.)
pub(super) fn upsert_segments<R>(
    db: &Connection,
    job: &str,
    held: &Held,
    commit: &Commit<R>,
) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra_file
                   (job, input, \"partition\", seq, name, byte_from, byte_to, line, first_offset, records,
                    fingerprint, modified_ns, smallest_ms, largest_ms, head)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
               ON CONFLICT DO UPDATE SET modified_ns = excluded.modified_ns,
                   smallest_ms = excluded.smallest_ms, largest_ms = excluded.largest_ms
               WHERE name = excluded.name AND byte_from = excluded.byte_from AND byte_to = excluded.byte_to
                   AND line = excluded.line AND first_offset = excluded.first_offset
                   AND records = excluded.records AND fingerprint = excluded.fingerprint";
    let mut statement = db.prepare_cached(sql)?;
    for (id, segment) in &commit.segments {
        let changed = statement.execute(params![
            job,
            held.input(*id)?.name,
            id.partition,
            segment.seq,
            segment.file,
            int(segment.bytes.start)?,
            int(segment.bytes.end)?,
            int(segment.line)?,
            int(segment.first_offset)?,
            int(segment.records)?,
            segment.fingerprint,
            segment.modified_ns,
            segment.span_ms.map(|span| span.0),
            segment.span_ms.map(|span| span.1),
            segment.head.as_deref(),
        ])?;
        if changed != 1 {
            return Err(other_segment(db, job, held, *id, segment)?);
        }
    }
    Ok(())
}

/// What to say of a segment that is recorded as something else.
fn other_segment(
    db: &Connection,
    job: &str,
    held: &Held,
    id: PartitionId,
    segment: &Segment,
) -> Result<Failure, Failure> {
    let sql = "SELECT format('bytes %d..%d of %s, offsets from %d', byte_from, byte_to, name, first_offset)
               FROM telemetra_file WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND seq = ?4";
    let key = params![job, held.input(id)?.name, id.partition, segment.seq];
    let recorded: String = db.query_row(sql, key, |row| row.get(0))?;
    let Segment { seq, file, bytes, first_offset, .. } = segment;
    Ok(Failure::halt(format!(
        "segment {seq} of partition {id} is recorded as {recorded}, and was read now as bytes {}..{} of {file}, \
         offsets from {first_offset}; nothing of this batch was written",
        bytes.start, bytes.end
    )))
}

/// Inserts the refused records and the late events.
pub(super) fn insert_refused<R>(
    db: &Connection,
    job: &str,
    held: &Held,
    commit: &Commit<R>,
) -> Result<(), Failure> {
    let batch_id = int(commit.batch_id)?;
    let sql = "INSERT INTO dead_letters
                   (job, input, topic, \"partition\", \"offset\", file, line, code, raw, batch_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut statement = db.prepare_cached(sql)?;
    for dead in &commit.dead_letters {
        let Place { partition: id, offset, file, line, .. } = &dead.place;
        let input = held.input(*id)?;
        let (offset, line) = (int(*offset)?, line.map(int).transpose()?);
        statement.execute(params![
            job,
            input.name,
            input.topic,
            id.partition,
            offset,
            file.as_deref(),
            line,
            dead.code,
            dead.raw,
            batch_id
        ])?;
    }
    let sql = "INSERT INTO late_events (job, input, topic, \"partition\", \"offset\", file, line, stream_id,
                   event_time, watermark, raw, batch_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let mut statement = db.prepare_cached(sql)?;
    for late in &commit.late_events {
        let Place { partition: id, offset, file, line, .. } = &late.place;
        let input = held.input(*id)?;
        let (offset, line) = (int(*offset)?, line.map(int).transpose()?);
        let time = text::instant(late.event_time_ms);
        let watermark = late.watermark.ms().map(text::instant);
        statement.execute(params![
            job,
            input.name,
            input.topic,
            id.partition,
            offset,
            file.as_deref(),
            line,
            late.key,
            time,
            watermark,
            late.raw,
            batch_id
        ])?;
    }
    Ok(())
}

/// Offsets of the refused records in `range`, ascending; `table` lists them.
pub(super) fn dead_offsets(
    db: &Connection,
    table: Refused,
    job: &str,
    held: &Held,
    id: PartitionId,
    range: Range<Offset>,
) -> Result<Vec<Offset>, Failure> {
    let sql = match table {
        Refused::DeadLetters => {
            "SELECT \"offset\" FROM dead_letters
             WHERE job = ?1 AND input = ?2 AND \"partition\" = ?3 AND \"offset\" >= ?4 AND \"offset\" < ?5
             ORDER BY \"offset\""
        }
        // A job with a quarantine has one input.
        Refused::Quarantine => {
            "SELECT \"offset\" FROM rejected_events
             WHERE job = ?1 AND ?2 <> '' AND \"partition\" = ?3 AND \"offset\" >= ?4 AND \"offset\" < ?5
             ORDER BY \"offset\""
        }
    };
    let mut statement = db.prepare_cached(sql)?;
    let key = params![job, held.input(id)?.name, id.partition, int(range.start)?, int(range.end)?];
    let mut rows = statement.query(key)?;
    let mut offsets = Vec::new();
    while let Some(row) = rows.next()? {
        offsets.push(uint(row.get(0)?, "offset")?);
    }
    Ok(offsets)
}
