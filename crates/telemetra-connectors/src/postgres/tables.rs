//! What the protocol asks of a pipeline's tables.
//!
//! Epoch, compare-and-set, ledger, COMMIT and its read-back are written once ([`super::commit`]); a pipeline adds its
//! rows to the transaction and says what they came to.

use telemetra_core::{
    chat::rows::{Answer, Ask, ChatRows},
    commerce::rows::CommerceRows,
    logic::Logic,
};
use telemetra_engine::sink::Commit;

use super::{
    Held, Job,
    chat_rows::{self, Moments, Windows},
    commerce_rows,
    commit::{BatchOf, FLIGHT_LIMIT},
    failure::Failure,
    flight::{Reply, Statement},
    refused::Refused as RefusedColumns,
    session::Session,
    sink::ASK_LIMIT,
    values::Ms,
};
use crate::ledger::{ChatTables, CommerceTables, Keeps, Outcome, Refused};

/// The tables of one pipeline.
pub(super) trait Tables: Keeps + Sized {
    /// What travels with the first flight, as columns.
    type Columns<'a>;

    /// Where refused records are listed.
    const REFUSED: Refused;

    /// Makes columns of what can be written before anything is known of the store.
    fn columns<'a>(held: &'a Held, commit: &'a BatchOf<Self>) -> Result<Self::Columns<'a>, Failure>;

    /// Adds the statements of the columns to the first flight.
    #[expect(clippy::ptr_arg, reason = "a statement's argument is a sized value")]
    fn push<'s>(
        columns: &'s Self::Columns<'_>,
        flight: &mut Vec<Statement<'s>>,
        job: &'s String,
        batch_id: &'s i64,
        now: &'s Ms,
    );

    /// Checks what the statements came to, and writes all else, with a time limit on each step.
    fn finish(
        session: &Session,
        columns: &Self::Columns<'_>,
        next: &mut impl FnMut() -> Reply,
        job: &Job,
        held: &Held,
        commit: &BatchOf<Self>,
    ) -> Result<Outcome, Failure>;

    /// The answer to a question for which nobody needs to be asked.
    fn known_answer(ask: &<Self::Logic as Logic>::Ask) -> Option<<Self::Logic as Logic>::Answer>;

    /// Reads back what the pipeline asks for.
    fn answer(
        session: &Session,
        job: &Job,
        ask: &<Self::Logic as Logic>::Ask,
    ) -> Result<<Self::Logic as Logic>::Answer, Failure>;
}

/// What a chat batch writes.
pub(super) struct ChatColumns<'a> {
    refused: RefusedColumns<'a>,
    windows: Windows<'a>,
    moments: Moments<'a>,
    close_early: bool,
}

impl Tables for ChatTables {
    type Columns<'a> = ChatColumns<'a>;

    const REFUSED: Refused = Refused::DeadLetters;

    fn columns<'a>(held: &'a Held, commit: &'a Commit<ChatRows>) -> Result<ChatColumns<'a>, Failure> {
        Ok(ChatColumns {
            refused: RefusedColumns::new(held, commit)?,
            windows: Windows::new(&commit.rows.windows),
            moments: Moments::new(&commit.rows.moments),
            close_early: commit.close_early,
        })
    }

    fn push<'s>(
        columns: &'s ChatColumns<'_>,
        flight: &mut Vec<Statement<'s>>,
        job: &'s String,
        batch_id: &'s i64,
        now: &'s Ms,
    ) {
        columns.refused.push(flight, job, batch_id);
        columns.windows.push(flight, job, batch_id, now);
        columns.moments.push(flight, batch_id);
        if columns.close_early {
            flight.push(chat_rows::close_early(batch_id, now));
        }
    }

    fn finish(
        session: &Session,
        columns: &ChatColumns<'_>,
        next: &mut impl FnMut() -> Reply,
        _: &Job,
        _: &Held,
        commit: &Commit<ChatRows>,
    ) -> Result<Outcome, Failure> {
        columns.refused.check(next)?;
        let mut written =
            session.run(FLIGHT_LIMIT, async |client| columns.windows.check(client, next).await)?;
        written.moments = columns.moments.check(next)?;
        if columns.close_early {
            written.add(&chat_rows::sums(&next())?);
        }
        Ok(Outcome {
            rows: written.rows,
            final_rows: written.final_rows,
            final_count: written.final_count,
            moments: written.moments,
            pieces: Outcome::whole_ranges(commit),
            ..Outcome::default()
        })
    }

    fn known_answer(ask: &Ask) -> Option<Answer> {
        ask.is_empty().then(Answer::default)
    }

    fn answer(session: &Session, job: &Job, ask: &Ask) -> Result<Answer, Failure> {
        session.run(ASK_LIMIT, async |client| chat_rows::answer(client, &job.name, ask).await)
    }
}

impl Tables for CommerceTables {
    type Columns<'a> = ();

    const REFUSED: Refused = Refused::Quarantine;

    fn columns<'a>(_: &'a Held, _: &'a Commit<CommerceRows>) -> Result<(), Failure> {
        Ok(())
    }

    fn push<'s>((): &'s (), _: &mut Vec<Statement<'s>>, _: &'s String, _: &'s i64, _: &'s Ms) {}

    fn finish(
        session: &Session,
        (): &(),
        _: &mut impl FnMut() -> Reply,
        job: &Job,
        held: &Held,
        commit: &Commit<CommerceRows>,
    ) -> Result<Outcome, Failure> {
        commerce_rows::write(session, job, held, commit)
    }

    fn known_answer((): &()) -> Option<()> {
        Some(())
    }

    fn answer(_: &Session, _: &Job, (): &()) -> Result<(), Failure> {
        Ok(())
    }
}
