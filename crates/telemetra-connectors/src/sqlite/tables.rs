//! What the protocol asks of a pipeline's tables.
//!
//! Epoch, compare-and-set, ledger and COMMIT are written once ([`super::commit`]); a pipeline adds its rows to the
//! transaction and says what they came to.

use rusqlite::Connection;
use telemetra_core::{
    chat::rows::{Answer, Ask, ChatRows},
    commerce::rows::CommerceRows,
    logic::Logic,
};
use telemetra_engine::sink::Commit;

use super::{Held, Job, chat_rows, commerce_rows, connection::Failure, ledger};
use crate::ledger::{ChatTables, CommerceTables, Keeps, Outcome, Refused};

/// The tables of one pipeline.
pub(super) trait Tables: Keeps + Sized {
    /// Where refused records are listed.
    const REFUSED: Refused;

    /// Writes the rows of a batch, and the records that it refused, inside its transaction.
    fn write(
        db: &Connection,
        job: &Job,
        held: &Held,
        commit: &Commit<<Self::Logic as Logic>::Rows>,
        now: &str,
    ) -> Result<Outcome, Failure>;

    /// Reads back what the pipeline asks for.
    fn answer(
        db: &Connection,
        ask: &<Self::Logic as Logic>::Ask,
    ) -> Result<<Self::Logic as Logic>::Answer, Failure>;
}

impl Tables for ChatTables {
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

    fn answer(db: &Connection, ask: &Ask) -> Result<Answer, Failure> {
        chat_rows::answer(db, ask)
    }
}

impl Tables for CommerceTables {
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
