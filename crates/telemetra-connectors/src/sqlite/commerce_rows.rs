//! `user_events` and `rejected_events`: rows unique by their id, the first of an id stays.
//!
//! All of it happens under the write lock, so what is probed is what the rows are written against. The invariant: a
//! candidate is a row, a duplicate, or in quarantine.

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Row, params};
use telemetra_core::commerce::{
    classify::Stored,
    rows::{Candidate, CommerceRows, EventType},
};
use telemetra_engine::sink::Commit;

use super::{
    Held, Job,
    connection::{Failure, int},
    text,
};
use crate::ledger::{
    Outcome,
    intake::{Became, Intake, Refusal, origin_of, position_of},
};

/// What SQLite says of a row that a rule of the table refuses, as other stores call it: "integrity constraint
/// violation" (ISO/IEC 9075-2, class 23).
const REFUSED: &str = "sqlstate:23000";

/// Writes the candidates of a batch, its quarantine, and what is to be exported of it.
pub(super) fn write(
    db: &Connection,
    job: &Job,
    held: &Held,
    commit: &Commit<CommerceRows>,
    now: &str,
) -> Result<Outcome, Failure> {
    let mut intake = Intake::new(&commit.rows, probe(db, &commit.rows)?);
    let batch_id = int(commit.batch_id)?;
    let topic = |candidate: &Candidate<'_>| {
        held.inputs.get(usize::from(candidate.origin.partition.0)).and_then(|input| input.topic.as_deref())
    };
    insert(db, &mut intake, now, |_, candidate| (batch_id, topic(candidate)))?;
    let quarantine = intake.quarantine(commit);
    if !quarantine.is_empty() {
        insert_rejected(db, job, held, batch_id, &quarantine)?;
        let sql = "INSERT INTO telemetra_export (job, batch_id) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![job.name, batch_id])?;
    }
    let applied = intake.applied();
    Ok(Outcome { rows: applied.accepted, applied, pieces: intake.pieces(commit), ..Outcome::default() })
}

/// What the table holds of each candidate.
pub(super) fn probe(db: &Connection, rows: &CommerceRows) -> Result<Vec<Stored>, Failure> {
    let sql = "SELECT user_id, product_id, product_name, category, price, event_type, event_timestamp
               FROM user_events WHERE event_id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut time = String::new();
    rows.iter()
        .map(|candidate| {
            let same = |row: &Row<'_>| is_same(row, &candidate, &mut time);
            Ok(match statement.query_row([candidate.event_id], same).optional()? {
                None => Stored::Unknown,
                Some(true) => Stored::Same,
                Some(false) => Stored::Other,
            })
        })
        .collect()
}

/// Whether a row's payload is the candidate's; a value of another type than ours is another.
fn is_same(row: &Row<'_>, candidate: &Candidate<'_>, time: &mut String) -> rusqlite::Result<bool> {
    let payload = &candidate.payload;
    time.clear();
    text::push_instant_us(time, payload.time_us);
    let texts = [payload.user_id, payload.product_id, payload.product_name, payload.category];
    for (column, text) in texts.into_iter().enumerate() {
        if row.get_ref(column)?.as_str() != Ok(text) {
            return Ok(false);
        }
    }
    let event_type = row.get_ref(5)?.as_str().ok().and_then(EventType::of);
    let is_price = row.get_ref(4)?.as_i64() == Ok(payload.price_cents);
    Ok(is_price && event_type == Some(payload.event_type) && row.get_ref(6)?.as_str() == Ok(&**time))
}

/// Inserts what is pending until nothing is; `from` gives a candidate's batch and topic.
pub(super) fn insert<'t>(
    db: &Connection,
    intake: &mut Intake<'_>,
    now: &str,
    from: impl Fn(usize, &Candidate<'_>) -> (i64, Option<&'t str>),
) -> Result<(), Failure> {
    let sql =
        "INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type,
                   event_timestamp, created_at, batch_id, origin, origin_position)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let mut statement = db.prepare_cached(sql)?;
    let mut time = String::new();
    // A second round only where a refused row gives way to the next of its id.
    while intake.pending_count() > 0 {
        let (mut became, mut is_refused) = (Vec::new(), false);
        for (number, candidate) in intake.pending() {
            let (batch_id, topic) = from(number, &candidate);
            time.clear();
            text::push_instant_us(&mut time, candidate.payload.time_us);
            let is_written = insert_one(&mut statement, &candidate, &time, now, batch_id, topic)?;
            is_refused |= !is_written;
            let refused = || Became::Refused(REFUSED.to_owned());
            became.push((number, if is_written { Became::Written } else { refused() }));
        }
        if !is_refused {
            intake.all_written();
            return Ok(());
        }
        intake.settle(became);
    }
    Ok(())
}

/// Inserts a row; `false` if a rule of the table refuses it. Only that statement is undone then.
fn insert_one(
    statement: &mut CachedStatement<'_>,
    candidate: &Candidate<'_>,
    time: &str,
    now: &str,
    batch_id: i64,
    topic: Option<&str>,
) -> Result<bool, Failure> {
    let payload = &candidate.payload;
    let inserted = statement.execute(params![
        candidate.event_id,
        payload.user_id,
        payload.product_id,
        payload.product_name,
        payload.category,
        payload.price_cents,
        payload.event_type.as_str(),
        time,
        now,
        batch_id,
        origin_of(candidate, topic),
        int(position_of(candidate))?,
    ]);
    match inserted {
        Ok(1) => Ok(true),
        // A trigger of the user's own said so without a word.
        Ok(_) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn insert_rejected(
    db: &Connection,
    job: &Job,
    held: &Held,
    batch_id: i64,
    quarantine: &[Refusal<'_>],
) -> Result<(), Failure> {
    let sql =
        "INSERT INTO rejected_events (job, topic, \"partition\", \"offset\", file, line, byte_from, byte_to,
                   codes, raw, batch_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let mut statement = db.prepare_cached(sql)?;
    for refusal in quarantine {
        let bytes = refusal.bytes.as_ref();
        statement.execute(params![
            job.name,
            held.input(refusal.partition)?.topic,
            refusal.partition.partition,
            int(refusal.offset)?,
            refusal.file,
            refusal.line.map(int).transpose()?,
            bytes.map(|bytes| int(bytes.start)).transpose()?,
            bytes.map(|bytes| int(bytes.end)).transpose()?,
            refusal.codes,
            refusal.raw,
            batch_id,
        ])?;
    }
    Ok(())
}
