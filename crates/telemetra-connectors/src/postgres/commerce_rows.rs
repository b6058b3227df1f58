//! `user_events` and `rejected_events`: rows unique by their id, the first of an id stays.
//!
//! ```text
//! copy      one of each id, under a savepoint                    one COPY straight into the table
//! probe     if that is refused: which are known, and the payload  one SELECT per ten thousand candidates
//! copy      what is new                                          as before
//! insert    if that is refused too: ON CONFLICT DO NOTHING       halved until the row at fault is alone
//! compare   what was not inserted, with what is stored           another writer's rows
//! ```
//! | file | owns |
//! |---|---|
//! | `probe` | what the table holds of each candidate |
//! | `copy` | rows in COPY's binary format |
//! | `insert` | rows by a statement, and the one at fault among them |
//! | `price` | decimals on the wire |
//! | `fault` | whether an error is the row's, and its code |
//! | `rejected` | the quarantine |
//!
//! After a batch that held known events the next ones begin with the probe: asking costs a third of a COPY, a COPY that
//! is refused may cost all of one (docs/decisions/0010).
//!
//! Each step has its own time limit. The invariant: a candidate is a row, a duplicate, or in quarantine.

mod copy;
mod fault;
mod insert;
mod price;
mod probe;
mod rejected;

use std::borrow::Cow;

use telemetra_core::commerce::{
    classify::Stored,
    rows::{Candidate, CommerceRows},
};
use telemetra_engine::sink::Commit;

use self::{insert::insert, probe::probe, rejected::insert_rejected};
use super::{Held, Job, commit::FLIGHT_LIMIT, failure::Failure, session::Session, values::int};
use crate::ledger::{
    Outcome,
    intake::{Intake, origin_of, position_of},
};

/// Where a row came from: the batch that read it, its file or topic and partition, its place there.
pub(super) struct Source<'a> {
    batch_id: i64,
    origin: Cow<'a, str>,
    position: i64,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        candidate: &Candidate<'a>,
        (batch_id, topic): (i64, Option<&str>),
    ) -> Result<Self, Failure> {
        let position = int(position_of(candidate))?;
        Ok(Self { batch_id, origin: origin_of(candidate, topic), position })
    }
}

/// Writes the candidates of a batch, its quarantine, and what is to be exported of it.
pub(super) fn write(
    session: &Session,
    job: &Job,
    held: &Held,
    commit: &Commit<CommerceRows>,
) -> Result<Outcome, Failure> {
    let batch_id = int(commit.batch_id)?;
    let topic = |input: u8| held.inputs.get(usize::from(input)).and_then(|input| input.topic.as_deref());
    let source = |_: usize, candidate: &Candidate<'_>| (batch_id, topic(candidate.origin.partition.0));
    let mut intake = Intake::new(&commit.rows, vec![Stored::Unknown; commit.rows.len()]);
    let asks_first = held.asking.get() > 0;
    let mut is_written = !asks_first && copy(session, &intake, source)?;
    if !is_written {
        let stored = probe(session, commit.rows.len(), |number| commit.rows.get(number))?;
        let has_known = stored.iter().any(|stored| *stored != Stored::Unknown);
        held.asking.set(if has_known { ASKING } else { held.asking.get().saturating_sub(1) });
        intake = Intake::new(&commit.rows, stored);
        // The same rows would be refused again.
        is_written = (has_known || asks_first) && copy(session, &intake, source)?;
    }
    if is_written {
        intake.settle([]);
    } else {
        insert_all(session, &mut intake, source)?;
    }
    let quarantine = intake.quarantine(commit);
    if !quarantine.is_empty() {
        insert_rejected(session, job, held, batch_id, &quarantine)?;
    }
    let applied = intake.applied();
    Ok(Outcome { rows: applied.accepted, applied, pieces: intake.pieces(commit), ..Outcome::default() })
}

/// Batches that ask first after one that held known events: a COPY in vain leaves as many dead rows as it had copied.
const ASKING: u32 = 8;

/// A constraint that waits for COMMIT would refuse all of a batch and name no row.
const SAVEPOINT: &str = "SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT telemetra_rows";
const RELEASE: &str = "RELEASE SAVEPOINT telemetra_rows";
const ROLL_BACK: &str = "ROLLBACK TO SAVEPOINT telemetra_rows; RELEASE SAVEPOINT telemetra_rows";

/// Copies what is pending straight into the table. `false`: a row was refused, nothing of it is there.
fn copy<'t>(
    session: &Session,
    intake: &Intake<'_>,
    from: impl Fn(usize, &Candidate<'_>) -> (i64, Option<&'t str>),
) -> Result<bool, Failure> {
    let expected = intake.pending_count() as u64;
    if expected == 0 {
        return Ok(true);
    }
    let rows = intake.pending().map(|(number, candidate)| {
        let source = Source::new(&candidate, from(number, &candidate))?;
        Ok((candidate, source))
    });
    session.run(FLIGHT_LIMIT, async |client| Ok(client.batch_execute(SAVEPOINT).await?))?;
    let copied = session.run(FLIGHT_LIMIT, async |client| copy::copy(client, rows).await);
    let is_whole = match copied {
        Ok(copied) => copied == expected,
        Err(failure) if fault::code(&failure).is_some() => false,
        Err(failure) => return Err(failure),
    };
    // Fewer rows than were sent: a trigger left some out without a word.
    let end = if is_whole { RELEASE } else { ROLL_BACK };
    session.run(FLIGHT_LIMIT, async |client| Ok(client.batch_execute(end).await?))?;
    Ok(is_whole)
}

/// Inserts what is pending until nothing is; `from` gives a candidate's batch and topic.
pub(super) fn insert_all<'t>(
    session: &Session,
    intake: &mut Intake<'_>,
    from: impl Fn(usize, &Candidate<'_>) -> (i64, Option<&'t str>),
) -> Result<(), Failure> {
    // Another round only where a row that was refused, or is another writer's, gives way to the next of its id.
    while intake.pending_count() > 0 {
        let rows = intake.pending().map(|(number, candidate)| {
            let source = Source::new(&candidate, from(number, &candidate))?;
            Ok((number, candidate, source))
        });
        let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
        let others = insert(session, intake, &rows)?;
        intake.settle(others);
    }
    Ok(())
}
