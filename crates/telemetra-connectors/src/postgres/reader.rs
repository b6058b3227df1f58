//! A connection that cannot write, for `status`, `audit` and the page.
//!
//! Each call has a transaction of its own, `REPEATABLE READ READ ONLY`: one snapshot, which holds up nobody. A
//! connection on which anything failed is dropped and the next call opens another.

use std::time::Duration;

use telemetra_engine::sink::SinkError;

use super::{Address, failure::Failure, migrate, session::Session, snapshot::PgSnapshot};
use crate::ledger::{Arg, Readable, Snapshot, StoreReader};

/// What the server shows as the application's name.
const NAME: &str = "telemetra reader";
/// Longest wait for BEGIN and COMMIT.
const SHORT_LIMIT: Duration = Duration::from_secs(10);

/// A store opened for reading.
#[derive(Debug)]
struct PgReader {
    address: Address,
    /// `None` after a failure.
    session: Option<Session>,
}

/// Opens the store at `address`, which must have this program's schema.
///
/// # Errors
/// `Halt` without such a store and where the server does not let us in, `NotApplied` when it cannot be read now.
pub fn open_reader(address: &Address) -> Result<StoreReader, SinkError> {
    let mut reader = PgReader { address: address.clone(), session: None };
    let there =
        "SELECT to_regclass('telemetra.job') IS NOT NULL AND to_regclass('chat_summary_minute') IS NOT NULL
                     AND to_regclass('moments') IS NOT NULL AS there";
    reader.session = Some(Session::open_read_only(address, NAME).map_err(Failure::at_first_start)?);
    let mut found = false;
    reader.snapshot(SHORT_LIMIT, &mut |db| {
        found = db.one(there, &[], |row| row.bool(0))?.unwrap_or(false);
        Ok(())
    })?;
    if !found {
        let text = format!("there is no store at {}; `run` or `migrate` makes one", address.shown());
        return Err(SinkError::Halt(text));
    }
    let session = reader.begin(SHORT_LIMIT).map_err(Failure::into_sink_error)?;
    session.run(SHORT_LIMIT, migrate::check).map_err(Failure::into_sink_error)?;
    Ok(StoreReader::new(reader))
}

impl PgReader {
    /// A connection with the transaction begun, each statement of which may take `limit`; a connection that was
    /// lost meanwhile is opened anew.
    fn begin(&mut self, limit: Duration) -> Result<Session, Failure> {
        // The session's own limit is that of a batch, and an audit reads whole tables.
        let begin = format!("{BEGIN}; SET LOCAL statement_timeout = {}", limit.as_millis());
        if let Some(session) = self.session.take()
            && !session.is_closed()
            && execute(&session, &begin).is_ok()
        {
            return Ok(session);
        }
        let session = Session::open_read_only(&self.address, NAME)?;
        execute(&session, &begin)?;
        Ok(session)
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn execute(session: &Session, sql: &str) -> Result<(), Failure> {
    session.run(SHORT_LIMIT, async |client| Ok(client.batch_execute(sql).await?))
}

impl Readable for PgReader {
    fn snapshot(
        &mut self,
        limit: Duration,
        read: &mut dyn FnMut(&mut dyn Snapshot) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let session = self.begin(limit).map_err(Failure::into_sink_error)?;
        read(&mut PgSnapshot::within(&session).with_limit(limit))?;
        if execute(&session, "COMMIT").is_ok() {
            self.session = Some(session);
        }
        Ok(())
    }

    /// Told by the holder's database backend, which ends with its instance.
    fn is_running(&mut self, job: &str) -> Result<bool, SinkError> {
        // Who may not see another role's backends still sees their process ids.
        let sql = "SELECT EXISTS (
                       SELECT 1 FROM telemetra.job j JOIN pg_stat_activity a ON a.pid = j.holder_pid
                           AND coalesce(a.backend_start = j.holder_backend_start, true)
                       WHERE j.job = $1) AS is_running";
        let mut is_running = false;
        self.snapshot(SHORT_LIMIT, &mut |db| {
            is_running = db.one(sql, &[Arg::Text(job)], |row| row.bool(0))?.unwrap_or(false);
            Ok(())
        })?;
        Ok(is_running)
    }
}
