//! `user_events` and `rejected_events`: rows unique by their id, the first of an id stays.
//!
//! All of it happens under the write lock, so what is probed is what the rows are written against. The invariant: a
//! candidate is a row, a duplicate, or in quarantine.

use rusqlite::{CachedStatement, Connection, ErrorCode, Row, params};
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
    let mut intake = Intake::new(&commit.rows, vec![Stored::Unknown; commit.rows.len()]);
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

/// Inserts what is pending until nothing is; `from` gives a candidate's batch and topic.
///
/// In the order of event ids: their index, the largest, is then passed through once a batch, not met at random for
/// each row. The rows' own ids follow the order of the candidates all the same.
pub(super) fn insert<'t>(
    db: &Connection,
    intake: &mut Intake<'_>,
    now: &str,
    from: impl Fn(usize, &Candidate<'_>) -> (i64, Option<&'t str>),
) -> Result<(), Failure> {
    let mut table = Table::new(db, now)?;
    // A second round only where a row that is refused gives way to the next of its id.
    while intake.pending_count() > 0 {
        let id = table.last_id()?;
        let numbered = (id + 1..).zip(intake.pending());
        let mut pending: Vec<_> = numbered.map(|(id, (number, it))| (it.event_id, number, id)).collect();
        pending.sort_unstable();
        let mut others = Vec::new();
        for (_, number, id) in pending {
            let candidate = intake.candidate(number);
            match table.insert(id, &candidate, from(number, &candidate))? {
                Inserted::Row => {}
                Inserted::Refused => others.push((number, Became::Refused(REFUSED.to_owned()))),
                Inserted::Known => table.compare(intake, candidate.event_id, &mut others)?,
            }
        }
        intake.settle(others);
    }
    Ok(())
}

/// `user_events`, with the statements on it.
struct Table<'d> {
    db: &'d Connection,
    insert: CachedStatement<'d>,
    find: CachedStatement<'d>,
    last_id: CachedStatement<'d>,
    now: &'d str,
    /// Re-used for an instant in the table's form.
    time: String,
}

impl<'d> Table<'d> {
    fn new(db: &'d Connection, now: &'d str) -> Result<Self, Failure> {
        let insert = "INSERT INTO user_events (id, event_id, user_id, product_id, product_name, category, price,
                event_type, event_timestamp, created_at, batch_id, origin, origin_position)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (event_id) DO NOTHING";
        let find = "SELECT user_id, product_id, product_name, category, price, event_type, event_timestamp
            FROM user_events WHERE event_id = ?1";
        Ok(Self {
            db,
            insert: db.prepare_cached(insert)?,
            find: db.prepare_cached(find)?,
            last_id: db.prepare_cached("SELECT coalesce(max(id), 0) FROM user_events")?,
            now,
            time: String::new(),
        })
    }

    fn last_id(&mut self) -> Result<i64, Failure> {
        Ok(self.last_id.query_row([], |row| row.get(0))?)
    }

    /// Inserts a row, or says why it is none. Only that statement is undone then.
    fn insert(
        &mut self,
        id: i64,
        candidate: &Candidate<'_>,
        (batch_id, topic): (i64, Option<&str>),
    ) -> Result<Inserted, Failure> {
        let payload = &candidate.payload;
        self.time.clear();
        text::push_instant_us(&mut self.time, payload.time_us);
        let inserted = self.insert.execute(params![
            id,
            candidate.event_id,
            payload.user_id,
            payload.product_id,
            payload.product_name,
            payload.category,
            payload.price_cents,
            payload.event_type.as_str(),
            self.time,
            self.now,
            batch_id,
            origin_of(candidate, topic),
            int(position_of(candidate))?,
        ]);
        match inserted {
            Ok(1) => Ok(Inserted::Row),
            Ok(_) if self.find.exists([candidate.event_id])? => Ok(Inserted::Known),
            // A trigger of the user's own left it out without a word.
            Ok(_) => Ok(Inserted::Refused),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                if self.db.is_autocommit() {
                    return Err(Failure::halt(
                        "a trigger on user_events rolls everything back instead of refusing a row; nothing was \
                         written. Write RAISE(ABORT, …) in it instead of RAISE(ROLLBACK, …)",
                    ));
                }
                Ok(Inserted::Refused)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Compares all candidates of an id with its row.
    fn compare(
        &mut self,
        intake: &Intake<'_>,
        event_id: &str,
        others: &mut Vec<(usize, Became)>,
    ) -> Result<(), Failure> {
        let time = &mut self.time;
        let compare = |row: &Row<'_>| {
            for &(_, number) in intake.of_id(event_id) {
                let candidate = intake.candidate(number);
                time.clear();
                text::push_instant_us(time, candidate.payload.time_us);
                let stored = if is_same(row, &candidate, time)? { Stored::Same } else { Stored::Other };
                others.push((number, Became::Known(stored)));
            }
            Ok(())
        };
        Ok(self.find.query_row([event_id], compare)?)
    }
}

/// What an INSERT came to.
enum Inserted {
    Row,
    /// A row has the id.
    Known,
    /// A rule of the table refuses it.
    Refused,
}

/// Whether a row's payload is the candidate's, `time` its instant in the table's form; a value of another type than
/// ours is another.
fn is_same(row: &Row<'_>, candidate: &Candidate<'_>, time: &str) -> rusqlite::Result<bool> {
    let payload = &candidate.payload;
    let texts = [payload.user_id, payload.product_id, payload.product_name, payload.category];
    for (column, text) in texts.into_iter().enumerate() {
        if row.get_ref(column)?.as_str() != Ok(text) {
            return Ok(false);
        }
    }
    let event_type = row.get_ref(5)?.as_str().ok().and_then(EventType::of);
    let is_price = row.get_ref(4)?.as_i64() == Ok(payload.price_cents);
    Ok(is_price && event_type == Some(payload.event_type) && row.get_ref(6)?.as_str() == Ok(time))
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
