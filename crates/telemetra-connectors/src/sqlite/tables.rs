//! What the protocol asks of a pipeline's tables.
//!
//! Epoch, compare-and-set, ledger and COMMIT are written once ([`super::commit`]); a pipeline adds its rows to the
//! transaction and says what they came to.

use std::marker::PhantomData;

use rusqlite::Connection;
use telemetra_core::{
    chat::{
        Chat,
        rows::{BaselineAnswer, BaselineAsk, ChatRows},
    },
    commerce::rows::CommerceRows,
    logic::Logic,
};
use telemetra_engine::sink::Commit;

use super::{Held, Job, chat_rows, commerce_rows, connection::Failure, ledger};
use crate::ledger::{Outcome, Refused};

/// The tables of one pipeline.
pub trait Tables: 'static {
    /// Whose rows they hold.
    type Logic: Logic;

    /// Where refused records are listed.
    #[allow(private_interfaces, reason = "nothing outside can name this trait")]
    const REFUSED: Refused;

    /// Writes the rows of a batch, and the records that it refused, inside its transaction.
    #[allow(private_interfaces, reason = "nothing outside can name this trait")]
    fn write(
        db: &Connection,
        job: &Job,
        held: &Held,
        commit: &Commit<<Self::Logic as Logic>::Rows>,
        now: &str,
    ) -> Result<Outcome, Failure>;

    /// Reads back what the pipeline asks for.
    #[allow(private_interfaces, reason = "nothing outside can name this trait")]
    fn answer(
        db: &Connection,
        ask: &<Self::Logic as Logic>::Ask,
    ) -> Result<<Self::Logic as Logic>::Answer, Failure>;
}

/// `chat_summary_minute` and `moments`.
#[derive(Debug)]
pub struct ChatTables;

impl Tables for ChatTables {
    type Logic = Chat;

    #[allow(private_interfaces, reason = "nothing outside can name this trait")]
    const REFUSED: Refused = Refused::DeadLetters;

    fn write(
        db: &Connection,
        job: &Job,
        held: &Held,
        commit: &Commit<ChatRows>,
        now: &str,
    ) -> Result<Outcome, Failure> {
        ledger::insert_refused(db, &job.name, held, commit)?;
        let written = chat_rows::write(db, &commit.rows, commit.close_early, commit.batch_id, now)?;
        Ok(Outcome {
            rows: written.rows,
            final_rows: written.final_rows,
            final_count: written.final_count,
            moments: written.moments,
            pieces: Outcome::whole_ranges(commit),
            ..Outcome::default()
        })
    }

    fn answer(db: &Connection, ask: &BaselineAsk) -> Result<BaselineAnswer, Failure> {
        chat_rows::answer(db, ask)
    }
}

/// `user_events` and `rejected_events`; `L` is the pipeline whose rows they are.
#[derive(Debug)]
pub struct CommerceTables<L>(PhantomData<fn() -> L>);

impl<L: Logic<Rows = CommerceRows, Ask = (), Answer = ()>> Tables for CommerceTables<L> {
    type Logic = L;

    #[allow(private_interfaces, reason = "nothing outside can name this trait")]
    const REFUSED: Refused = Refused::Quarantine;

    fn write(
        db: &Connection,
        job: &Job,
        held: &Held,
        commit: &Commit<CommerceRows>,
        now: &str,
    ) -> Result<Outcome, Failure> {
        commerce_rows::write(db, job, held, commit, now)
    }

    fn answer(_: &Connection, (): &()) -> Result<(), Failure> {
        Ok(())
    }
}
