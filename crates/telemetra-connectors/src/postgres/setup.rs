//! What a session must know of its server, and what it sets there before the first statement.
//!
//! Statements, not start-up options: a pooler passes them on. All that a batch relies on is set here, whatever the
//! role or the database has as its default.

use std::sync::{Arc, Once};

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{
    Address, Target,
    failure::{Failure, at_connect},
    session::Purpose,
};

/// Oldest server whose SQL is spoken.
const VERSION_MIN: i32 = 13_00_00;

const FACTS: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
     current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only'), \
     pg_backend_pid(), (SELECT (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity \
     WHERE pid = pg_backend_pid()), concat_ws(' and ', \
     CASE current_setting('fsync') WHEN 'off' THEN 'fsync' END, \
     CASE current_setting('full_page_writes') WHEN 'off' THEN 'full_page_writes' END)";

/// For every session. Warnings must come through: one at COMMIT means that its outcome is not known. What was
/// committed must outlive a crash of the server: `off` is not heeded, any other `synchronous_commit` is.
const EVERY: &str = "SET client_min_messages = warning; SET standard_conforming_strings = on; \
     SET DateStyle = ISO; SET TimeZone = 'UTC'; SET bytea_output = hex; \
     SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; \
     SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '10s'; SET statement_timeout = '30s'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// That the server, too, notices when we are gone. Not every system knows all of them.
const LIVENESS: &str = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; \
     SET tcp_keepalives_count = 3; SET tcp_user_timeout = '15s'";

/// A statement whose client is gone ends; from version 14 on.
const CHECK_INTERVAL: (i32, &str) = (14_00_00, "SET client_connection_check_interval = '5s'");

/// That the server's settings do not keep what is committed has been said.
static WARNED: Once = Once::new();

/// What is known of the server and of the process that serves the session there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// As `server_version_num`: 150004.
    pub(super) version_num: i32,
    /// Process id of the backend.
    pub(super) pid: i32,
    /// When the backend began, microseconds since the Unix epoch, server's clock; `None` if it does not say.
    pub(super) backend_start_us: Option<i64>,
    /// Whether the server is a standby.
    pub(super) in_recovery: bool,
}

/// Looks at the server and prepares the session.
///
/// # Errors
/// `Refused` if the server cannot serve us before somebody changes it, `Away` if it may later.
pub(super) async fn set_up(
    client: &Client,
    address: &Address,
    purpose: Purpose,
    place: &Arc<str>,
) -> Result<Facts, Failure> {
    let failed = |error| at_connect(&error, place);
    let messages = client.simple_query(FACTS).await.map_err(failed)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or_else(|| Failure::Away(format!("{place} said nothing of itself")))?;
    let facts = judged(row, address.target, purpose, place)?;
    // Once in a process: a run connects again and again.
    let off = row.try_get(7).ok().flatten().filter(|off| purpose == Purpose::Write && !off.is_empty());
    if let Some(off) = off {
        WARNED.call_once(|| {
            tracing::warn!(
                "{place} runs with {off} off: a crash of its machine may lose or damage what was committed; turn it on"
            );
        });
    }
    client.batch_execute(EVERY).await.map_err(failed)?;
    for (version, statement) in [(0, LIVENESS), CHECK_INTERVAL] {
        if facts.version_num < version {
            continue;
        }
        match client.batch_execute(statement).await {
            Err(error) if error.as_db_error().is_none() => return Err(failed(error)),
            Err(error) => tracing::debug!(%error, statement, "the server's system does not know this"),
            Ok(()) => {}
        }
    }
    if let Some(schema) = &address.schema {
        let quoted = schema.replace('\'', "''");
        let statement = format!("SELECT set_config('search_path', '{quoted}', false)");
        client.batch_execute(&statement).await.map_err(failed)?;
    }
    if purpose == Purpose::Write {
        // Every question of a batch is a walk along a key. Where most rows of a stream are another program's the
        // planner, which thinks ours rare, would gather and sort all of them instead.
        client.batch_execute("SET enable_bitmapscan = off").await.map_err(failed)?;
    }
    if purpose == Purpose::Read {
        client.batch_execute("SET default_transaction_read_only = on").await.map_err(failed)?;
    }
    Ok(facts)
}

fn judged(
    row: &SimpleQueryRow,
    target: Option<Target>,
    purpose: Purpose,
    place: &Arc<str>,
) -> Result<Facts, Failure> {
    let text = |at: usize| row.try_get(at).ok().flatten();
    let unreadable = || Failure::Refused(format!("{place} says something unreadable of itself"));
    let number = |at: usize| text(at).and_then(|text| text.parse().ok()).ok_or_else(unreadable);
    let facts = Facts {
        version_num: number(0)?,
        pid: number(5)?,
        backend_start_us: text(6).and_then(|text| text.parse().ok()),
        in_recovery: text(3) == Some("t"),
    };
    let is_read_only = text(4) == Some("on");
    if facts.version_num < VERSION_MIN {
        let version = text(1).unwrap_or_default();
        let next = "13 is the oldest that is spoken to: bring the server up to date";
        return Err(Failure::Refused(format!("{place} runs PostgreSQL {version}: {next}")));
    }
    match text(2) {
        Some("UTF8") => {}
        other => {
            let other = other.unwrap_or("unknown");
            let next = "make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0";
            let what = format!("the database at {place} is encoded as {other}, not as UTF8: {next}");
            return Err(Failure::Refused(what));
        }
    }
    let wanted = if purpose == Purpose::Write { Target::ReadWrite } else { target.unwrap_or(Target::Any) };
    match wanted {
        // A failover may promote it, an operator may open it again: that passes.
        Target::ReadWrite if facts.in_recovery => {
            Err(Failure::Away(format!("{place} is a standby, which takes no writes: name the primary")))
        }
        Target::ReadWrite if is_read_only => Err(Failure::Away(format!(
            "{place} takes no writes: default_transaction_read_only is on, for the server, the database or the role; name a \
             role that may write, turn it off, or name another server"
        ))),
        Target::ReadOnly if !is_read_only => {
            Err(Failure::Away(format!("{place} takes writes, and a server that does not is asked for")))
        }
        _ => Ok(facts),
    }
}
