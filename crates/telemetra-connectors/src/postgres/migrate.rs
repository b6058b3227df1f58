//! The schema: embedded, versioned, moved forward in one transaction under an advisory lock.
//!
//! | who | on an empty database | tables of the old job | schema current | newer |
//! |---|---|---|---|---|
//! | [`migrate`] | makes the tables | adopts them, or names all that is in the way | nothing | halts |
//! | [`ensure_in`] (`run`) | makes the tables | halts, naming `telemetra migrate` | nothing, needs no rights | halts |
//! | [`check`] | halts | halts | nothing | halts |

use std::{future::Future, time::Duration};

use telemetra_core::limits;
use telemetra_engine::sink::SinkError;
use tokio_postgres::Client;

use super::{
    Address,
    adopt::{self, Obstacle},
    columns,
    failure::Failure,
    quote,
    schema::{self, LEDGER, MIGRATIONS, SCHEMA_VERSION},
    session::Session,
};

/// Longest time for a migration: adoption writes every row of the old tables anew.
const MIGRATE_LIMIT: Duration = Duration::from_hours(12);
/// Longest time for [`ensure`], which makes empty tables at most.
const ENSURE_LIMIT: Duration = Duration::from_secs(30);
/// Migrations of all processes go one after the other by this.
const ADVISORY_LOCK: i64 = 0x7465_6c65_6d65_7472;

const VERSION_TABLE: &str = "CREATE TABLE telemetra.schema_version
    (version integer NOT NULL PRIMARY KEY, applied_at timestamptz NOT NULL)";

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Version of the schema before, 0 for a database without our tables.
    pub version_before: usize,
    /// What was done and what is worth knowing, one line each, for people; empty if there was nothing to do.
    pub lines: Vec<String>,
}

/// Brings the tables to [`SCHEMA_VERSION`]; adopts those of the old job, whose instants without a zone are taken as
/// local time of `adopt_timezone`. One transaction: all of it or nothing.
///
/// # Errors
/// `NotApplied` when the server cannot be reached now; halts where it does not let us in, on a newer schema, and names everything that is in the way of adoption, with the SQL that clears it.
pub fn migrate(address: &Address, adopt_timezone: &str) -> Result<Migrated, SinkError> {
    let work = || {
        let session = Session::open(address, "telemetra migrate")?;
        session.run(MIGRATE_LIMIT, async |client| {
            client.batch_execute("SET statement_timeout = 0").await?;
            let done = in_transaction(client, bring(client, Some(adopt_timezone))).await?;
            // A COMMIT that was answered may still have been a rollback.
            check(client).await?;
            Ok(done)
        })
    };
    work().map_err(Failure::at_first_start)
}

/// Looks whether the server knows a zone for [`migrate`]; returns what is wrong with the setting, `None` if nothing is.
///
/// # Errors
/// Those of [`migrate`] on a server that cannot be reached or does not let us in.
pub fn zone_fault(address: &Address, adopt_timezone: &str) -> Result<Option<String>, SinkError> {
    if adopt_timezone.eq_ignore_ascii_case("utc") {
        return Ok(None);
    }
    let work = || {
        let session = Session::open(address, "telemetra migrate")?;
        session.run(ENSURE_LIMIT, async |client| {
            let known = adopt::known_zone(client, adopt_timezone).await?;
            Ok(known.is_none().then(|| adopt::unknown_zone(adopt_timezone)))
        })
    };
    work().map_err(Failure::at_first_start)
}

/// Makes the tables in a database that has none of ours, demands that they are as they must be otherwise.
///
/// # Errors
/// Halts on another version, other columns, missing rights, and tables of the old job: only [`migrate`] adopts them.
pub(super) fn ensure_in(session: &Session) -> Result<(), Failure> {
    session.run(ENSURE_LIMIT, async |client| {
        if version(client).await? == 0 {
            in_transaction(client, bring(client, None)).await?;
        }
        check(client).await
    })
}

/// Demands that the schema is at [`SCHEMA_VERSION`], without changing it. Works inside a transaction and out of it.
///
/// # Errors
/// Halts on another version or other columns.
pub(super) async fn check(client: &Client) -> Result<(), Failure> {
    let version = version(client).await?;
    if version < SCHEMA_VERSION {
        return Err(Failure::halt(format!(
            "the store's schema has version {version}, this program needs {SCHEMA_VERSION}: run `telemetra migrate`"
        )));
    }
    columns::check(client).await
}

/// Longest stream id that both result tables hold, characters.
///
/// # Errors
/// Those of the server.
pub(super) async fn stream_chars_max(client: &Client) -> Result<usize, Failure> {
    // A varchar's modifier is its width and 4; -1 is no bound.
    let sql = "SELECT min(a.atttypmod - 4) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
               WHERE c.relname IN ('chat_summary_minute', 'moments') AND pg_table_is_visible(c.oid)
                 AND a.attname = 'stream_id' AND a.atttypid = 'varchar'::regtype AND a.atttypmod > 4";
    let width: Option<i32> = client.query_one(sql, &[]).await?.get(0);
    let width = width.and_then(|width| usize::try_from(width).ok());
    Ok(width.unwrap_or(limits::STREAM_CHARS_MAX).min(limits::STREAM_CHARS_MAX))
}

async fn in_transaction<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    match work.await {
        Ok(done) => {
            client.batch_execute("COMMIT").await?;
            Ok(done)
        }
        Err(failure) => {
            // The connection may be gone, and the transaction with it.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(failure)
        }
    }
}

/// Moves the schema forward inside of a transaction; `adopting` is the zone of old instants, `None` never adopts.
async fn bring(client: &Client, adopting: Option<&str>) -> Result<Migrated, Failure> {
    if adopting.is_some() {
        // Another migration may take as long as adoption takes.
        client.batch_execute("SET LOCAL lock_timeout = 0").await?;
    }
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    let version_before = version(client).await?;
    if version_before >= SCHEMA_VERSION {
        return Ok(Migrated { version_before, lines: Vec::new() });
    }
    let mut adopted = adopt::Adopted::default();
    let missing = missing_rights(client).await?;
    match adopting {
        Some(zone) => adopted = adopt::adopt(client, zone, version_before, missing).await?,
        None => {
            refuse_taken(client).await?;
            refuse_without_rights(&missing)?;
        }
    }
    make(client, version_before, &adopted.tables).await?;
    let mut lines = adopted.lines;
    lines.push(match version_before {
        0 => format!("made the tables, version {SCHEMA_VERSION}"),
        before => format!("brought the tables from version {before} to {SCHEMA_VERSION}"),
    });
    Ok(Migrated { version_before, lines })
}

/// What every version after `version` brings, but the tables that were adopted, which have their indexes.
async fn make(client: &Client, version: usize, adopted: &[&str]) -> Result<(), Failure> {
    if version == 0 {
        let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
        let exists: bool = client.query_one(sql, &[&LEDGER]).await?.get(0);
        if !exists {
            client.batch_execute(&format!("CREATE SCHEMA {LEDGER}")).await?;
        }
        client.batch_execute(VERSION_TABLE).await?;
    }
    for statement in schema::statements(version) {
        if statement.of_table.is_none_or(|table| !adopted.contains(&table)) {
            client.batch_execute(statement.sql).await?;
        }
    }
    for version in version + 1..=MIGRATIONS.len() {
        let sql = "INSERT INTO telemetra.schema_version VALUES ($1, clock_timestamp())";
        client.execute(sql, &[&i32::try_from(version).unwrap_or(i32::MAX)]).await?;
    }
    Ok(())
}

/// The schema's version, 0 in a database without ours.
pub(super) async fn version(client: &Client) -> Result<usize, Failure> {
    let sql = "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), current_user::text
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = 'schema_version' AND c.relkind = 'r'";
    let Some(row) = client.query_opt(sql, &[&LEDGER]).await? else { return Ok(0) };
    if !row.get::<_, bool>(0) {
        return Err(Failure::halt(format!(
            "role {} may not read the schema telemetra: give it its rights, `telemetra migrate --print-roles` \
             prints the SQL",
            row.get::<_, String>(1)
        )));
    }
    let sql = "SELECT coalesce(max(version), 0) FROM telemetra.schema_version";
    let version: i32 = client.query_one(sql, &[]).await?.get(0);
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > SCHEMA_VERSION {
        return Err(Failure::halt(format!(
            "the store's schema has version {version}, this program knows up to {SCHEMA_VERSION}: \
             use a newer telemetra"
        )));
    }
    Ok(version)
}

/// Rights that making tables needs and this role lacks, with the SQL that gives them.
pub(super) async fn missing_rights(client: &Client) -> Result<Vec<Obstacle>, Failure> {
    let sql = "SELECT current_schema()::text, current_user::text, current_database()::text,
                      coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
                      has_database_privilege(current_database(), 'CREATE'),
                      (SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
                       FROM pg_namespace WHERE nspname = $1)";
    let row = client.query_one(sql, &[&LEDGER]).await?;
    let (schema, role, database): (Option<String>, String, String) = (row.get(0), row.get(1), row.get(2));
    let Some(schema) = schema else {
        return Err(Failure::halt(format!(
            "no schema of search_path is there, or role {role} may not use it: \
             run  ALTER ROLE {} IN DATABASE {} SET search_path = public",
            quote::ident(&role),
            quote::ident(&database)
        )));
    };
    let to = quote::ident(&role);
    let mut missing = Vec::new();
    let mut lacks = |what: String, object: String| {
        missing.push(Obstacle::new(
            format!("role {role} lacks the right CREATE on {what}"),
            format!("GRANT CREATE ON {object} TO {to}"),
        ));
    };
    if !row.get::<_, bool>(3) {
        lacks(format!("schema {schema}"), format!("SCHEMA {}", quote::ident(&schema)));
    }
    match row.get::<_, Option<bool>>(5) {
        Some(true) => {}
        Some(false) => missing.push(Obstacle::new(
            format!("role {role} lacks the rights USAGE and CREATE on schema {LEDGER}"),
            format!("GRANT USAGE, CREATE ON SCHEMA {LEDGER} TO {to}"),
        )),
        None if row.get(4) => {}
        None => lacks(
            format!("database {database}, to make the schema {LEDGER}"),
            format!("DATABASE {}", quote::ident(&database)),
        ),
    }
    Ok(missing)
}

pub(super) fn refuse_without_rights(missing: &[Obstacle]) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let what: Vec<_> = missing.iter().map(|obstacle| obstacle.what.as_str()).collect();
    Err(Failure::halt(format!(
        "the tables are not there and cannot be made: {}; run `telemetra migrate` as a role that may, \
         or make roles for it: `telemetra migrate --print-roles` prints the SQL",
        what.join(", ")
    )))
}

/// `run` makes tables only where it is in nobody's way.
pub(super) async fn refuse_taken(client: &Client) -> Result<(), Failure> {
    let taken = adopt::taken(client, 0).await?;
    if taken.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = taken.iter().map(|taken| taken.shown.as_str()).collect();
    Err(Failure::halt(format!(
        "the database has {}, not made by telemetra: `telemetra migrate` adopts the tables of the old job, \
         and names what it cannot",
        names.join(", ")
    )))
}
