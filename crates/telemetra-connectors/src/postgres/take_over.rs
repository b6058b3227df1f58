//! Taking a job over: a new epoch, and where the job stands, read under the lock of its row (RELIABILITY §1.4).
//!
//! An instance counts as alive while its database backend is there and its lease has not run out. One whose backend
//! is gone is dead: nobody waits for a lease. One that is frozen inside a transaction holds the row's lock: its
//! backend is ended once its lease has run out, and then everything is asked anew, since what it had sent may still
//! have been committed. What makes results right is none of this but the epoch.

use std::time::Duration;

use telemetra_engine::{
    sink::{Recovered, SinkError},
    source::Input,
};
use tokio_postgres::{Client, error::SqlState};

use super::{
    Job,
    commit::{COMMIT_LIMIT, FLIGHT_LIMIT},
    failure::Failure,
    flight::{Reply, Statement, commit_and_ask, fly, one},
    in_doubt::{BEGIN_ASKING, lock_or_not},
    link::HOLDS,
    migrate,
    session::Session,
    snapshot::PgSnapshot,
    values::{Ms, int},
};
use crate::ledger::recover;

/// What a batch may take at most, seconds.
const BATCH_SECONDS_MAX: i64 = FLIGHT_LIMIT.as_secs().cast_signed() + COMMIT_LIMIT.as_secs().cast_signed();
/// Longest wait for one question.
const ASK_LIMIT: Duration = Duration::from_secs(15);
/// Tries to get the lock of the job row from a backend that was ended.
const LOCK_TRIES: u32 = 3;

/// Who holds the job, as its row says, and whether its backend is at work: in a statement of a transaction that is
/// younger than `$2` seconds, or between two statements. Who may not see that of another role's backend sees NULL, and
/// then it is not.
const HOLDER: &str = "SELECT holder, holder_pid, lease_until > clock_timestamp(),
        EXISTS (SELECT 1 FROM pg_stat_get_activity(holder_pid) a
            WHERE a.backend_start IS NULL OR a.backend_start = holder_backend_start),
        holder_pid = pg_backend_pid(),
        EXISTS (SELECT 1 FROM pg_stat_get_activity(holder_pid) a
            WHERE a.backend_start = holder_backend_start AND CASE a.state
                WHEN 'active' THEN coalesce(a.xact_start, a.query_start) > clock_timestamp() - $2 * interval '1 s'
                ELSE a.state_change > clock_timestamp() - interval '1 s' END)
    FROM telemetra.job WHERE job = $1";

/// See [`telemetra_engine::sink::Sink::take_over`].
pub(super) fn take_over(
    session: &Session,
    job: &Job,
    instance: &str,
    inputs: &[Input],
    meaning: &str,
    now_ms: i64,
) -> Result<Recovered, Failure> {
    // Without the lock first: who stands by asks every second, and must not hold up the one who writes.
    check_holder(session, job, instance)?;
    lock_job(session, job)?;
    // To read where a job stands may take longer than to ask for its lock.
    let longer = "SET LOCAL statement_timeout = '30s'";
    session.run(ASK_LIMIT, async |client| Ok(client.batch_execute(longer).await?))?;
    session.run(ASK_LIMIT, migrate::check)?;
    claim_tables(session, job, Ms(now_ms))?;
    let cluster = session.run(ASK_LIMIT, async |client| Cluster::of(client).await)?;
    check_holder(session, job, instance)?;
    let stored = recover::stands(&mut PgSnapshot::within(session), &job.name, job.pipeline, inputs)?;
    let epoch = stored.as_ref().map_or(0, |stored| stored.epoch) + 1;
    if stored.is_none() {
        create(session, job, instance, meaning, Ms(now_ms))?;
    }
    hold(session, job, instance, epoch, &cluster, Ms(now_ms))?;
    let stored = stored.unwrap_or_else(recover::nothing);
    Ok(Recovered { epoch, ..stored })
}

/// Begins a transaction that holds the job row's lock, if there is a row.
fn lock_job(session: &Session, job: &Job) -> Result<(), Failure> {
    let sql = lock_or_not("SELECT 1 FROM telemetra.job WHERE job = $1");
    for _ in 0..LOCK_TRIES {
        let locked = session.run(ASK_LIMIT, async |client| {
            // A new job has no row yet: two instances that begin at once meet at this lock.
            let both = "SELECT pg_advisory_xact_lock(hashtextextended('telemetra job ' || $1, 0))";
            let statements = vec![Statement::new(both).text(&job.name), Statement::new(&sql).text(&job.name)];
            fly(client, BEGIN_ASKING, statements).await
        });
        match locked {
            Err(failure) if failure.state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                session.run(ASK_LIMIT, async |client| Ok(client.batch_execute("ROLLBACK").await?))?;
                evict(session, job)?;
            }
            other => return other.map(|_| ()),
        }
    }
    let text = format!("job {} is being written by another instance that does not end", job.name);
    Err(SinkError::Busy(text).into())
}

/// Ends the backend of a holder whose lease has run out; who is within its lease or at work is left to finish.
fn evict(session: &Session, job: &Job) -> Result<(), Failure> {
    let reply = session.run(ASK_LIMIT, async |client| {
        one(client, Statement::new(HOLDER).text(&job.name).int(&BATCH_SECONDS_MAX)).await
    })?;
    let Some(row) = reply.rows.first() else { return Ok(()) };
    let (holder, is_within_lease): (String, Option<bool>) = (row.try_get(0)?, row.try_get(2)?);
    if is_within_lease == Some(true) || row.try_get(5)? {
        return Err(busy(job, &holder, "and is writing a batch"));
    }
    let sql = "SELECT pg_terminate_backend(j.holder_pid) FROM telemetra.job j
        WHERE j.job = $1 AND EXISTS (SELECT 1 FROM pg_stat_get_activity(j.holder_pid) a
            WHERE a.backend_start = j.holder_backend_start)";
    let ended =
        session.run(ASK_LIMIT, async |client| one(client, Statement::new(sql).text(&job.name)).await)?;
    if let Some(row) = ended.rows.first()
        && row.try_get(0)?
    {
        tracing::warn!(
            job = job.name,
            holder,
            "the frozen holder of the job was ended: its lease had run out"
        );
    }
    Ok(())
}

fn busy(job: &Job, holder: &str, how: &str) -> Failure {
    SinkError::Busy(format!(
        "job {} is run by {holder} {how}; stop it, or give this one another --job",
        job.name
    ))
    .into()
}

/// The row's holder must be gone, frozen, or this very process.
fn check_holder(session: &Session, job: &Job, instance: &str) -> Result<(), Failure> {
    let reply = session.run(ASK_LIMIT, async |client| {
        one(client, Statement::new(HOLDER).text(&job.name).int(&BATCH_SECONDS_MAX)).await
    })?;
    let Some(row) = reply.rows.first() else { return Ok(()) };
    let (holder, is_within_lease): (String, Option<bool>) = (row.try_get(0)?, row.try_get(2)?);
    let (is_there, is_this_backend): (bool, Option<bool>) = (row.try_get(3)?, row.try_get(4)?);
    let is_ours = holder == instance || is_this_backend == Some(true);
    if is_there && !is_ours && is_within_lease == Some(true) {
        return Err(busy(job, &holder, "now"));
    }
    Ok(())
}

/// Which server this is: its data directory's number, and how many times it was promoted. Written down for people:
/// a row that is read from a server is never of a later timeline than that server.
struct Cluster {
    identifier: Option<i64>,
    timeline: Option<i64>,
}

impl Cluster {
    async fn of(client: &Client) -> Result<Self, Failure> {
        let allowed = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')
            AND has_function_privilege('pg_current_wal_lsn()', 'EXECUTE')
            AND has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE')";
        let allowed: bool = one(client, Statement::new(allowed)).await?.rows[0].try_get(0)?;
        if !allowed {
            return Ok(Self { identifier: None, timeline: None });
        }
        // The last checkpoint may be older than the promotion.
        let sql = "SELECT system_identifier,
                ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
            FROM pg_control_system()";
        let reply = one(client, Statement::new(sql)).await?;
        Ok(Self { identifier: reply.rows[0].try_get(0)?, timeline: reply.rows[0].try_get(1)? })
    }
}

/// A result table belongs to one job.
fn claim_tables(session: &Session, job: &Job, now: Ms) -> Result<(), Failure> {
    let insert = "INSERT INTO telemetra.result_table (name, job, claimed_at)
        SELECT v.name, $2, $3 FROM unnest($1) AS v (name) ON CONFLICT DO NOTHING";
    let owner =
        "SELECT name, job FROM telemetra.result_table WHERE name = ANY ($1) AND job <> $2 ORDER BY name";
    let place = "UPDATE telemetra.result_table t SET namespace = n.nspname FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE t.job = $1 AND t.namespace IS NULL AND c.oid = to_regclass(quote_ident(t.name))";
    let elsewhere = "SELECT t.name, t.namespace, n.nspname::text FROM telemetra.result_table t
        LEFT JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name))
        LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE t.job = $1 AND t.namespace IS DISTINCT FROM n.nspname::text ORDER BY t.name";
    let tables = job.pipeline.tables();
    let replies = session.run(ASK_LIMIT, async |client| {
        let names = || tokio_postgres::types::Type::TEXT_ARRAY;
        let insert = Statement::new(insert).arg(&tables, names()).text(&job.name).instant(&now);
        let owner = Statement::new(owner).arg(&tables, names()).text(&job.name);
        let place = Statement::new(place).text(&job.name);
        let elsewhere = Statement::new(elsewhere).text(&job.name);
        fly(client, "", vec![insert, owner, place, elsewhere]).await
    })?;
    let Some(row) = replies[1].rows.first() else { return check_schema(&replies[3], job) };
    let (table, owner): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Err(Failure::halt(format!(
        "table {table} belongs to job {owner}, and a table has one job: run --job {owner}, or give job {} another \
         --store",
        job.name
    )))
}

/// The tables that this session finds must be those that the job has always written.
fn check_schema(elsewhere: &Reply, job: &Job) -> Result<(), Failure> {
    let Some(row) = elsewhere.rows.first() else { return Ok(()) };
    let (table, known): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let found: Option<String> = row.try_get(2)?;
    let known = known.unwrap_or_default();
    let found = found.map_or("none".to_owned(), |schema| format!("that of schema {schema}"));
    Err(Failure::halt(format!(
        "job {} writes table {table} of schema {known}, and this session's search_path finds {found}; nothing was \
         written. Put ?currentSchema={known} into the address in --store, or set the search_path back",
        job.name
    )))
}

fn create(session: &Session, job: &Job, instance: &str, meaning: &str, now: Ms) -> Result<(), Failure> {
    let sql = "INSERT INTO telemetra.job (job, pipeline, epoch, holder, last_batch, open_digest, open_count, meaning,
            length_ms, slide_ms, records, late, dead, in_windows, window_misses, final_count, final_rows, status,
            created_at, updated_at)
        VALUES ($1, $7, 0, $2, 0, 0, 0, $3, $4, $5, 0, 0, 0, 0, 0, 0, 0, 'running', $6, $6)";
    let ((length_ms, slide_ms), pipeline) = (job.pipeline.lengths_ms(), job.pipeline.name());
    session.run(ASK_LIMIT, async |client| {
        let statement = Statement::new(sql).text(&job.name).text(&instance).text(&meaning);
        one(client, statement.int(&length_ms).int(&slide_ms).instant(&now).text(&pipeline)).await
    })?;
    Ok(())
}

/// Raises the epoch and commits; the new epoch is read back behind COMMIT, as a batch's attempt is.
fn hold(
    session: &Session,
    job: &Job,
    instance: &str,
    epoch: u64,
    cluster: &Cluster,
    now: Ms,
) -> Result<(), Failure> {
    let number = int(epoch)?;
    let sql = format!(
        "UPDATE telemetra.job SET epoch = $2, holder = $3, status = 'running', halt_cause = NULL, updated_at = $4,
             system_identifier = $5, timeline = $6, {HOLDS}
         WHERE job = $1 AND epoch = $2 - 1"
    );
    let question = format!(
        "SELECT 1 FROM telemetra.job WHERE job = '{}' AND epoch = {epoch} AND holder_pid = pg_backend_pid()",
        job.name
    );
    let updated: Reply = session.run(ASK_LIMIT, async |client| {
        let statement = Statement::new(&sql).text(&job.name).int(&number).text(&instance).instant(&now);
        one(client, statement.int(&cluster.identifier).int(&cluster.timeline)).await
    })?;
    let ask = async |client: &Client| commit_and_ask(client, &question).await;
    if updated.affected == 1 && session.run_uncancelled(COMMIT_LIMIT, ask)? {
        return Ok(());
    }
    Err(SinkError::NotApplied(format!("taking job {} over was rolled back", job.name)).into())
}
