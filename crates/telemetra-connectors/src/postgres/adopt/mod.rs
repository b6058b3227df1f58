//! Takes over the tables of the old jobs: `chat_summary_minute`, `moments` and `user_events` as they made them, rows and
//! all.
//!
//! | file | owns |
//! |---|---|
//! | `look` | what the catalog says about an old table |
//! | `plan` | which columns change and how; what about the columns is in the way |
//! | `dependents` | what else in the database is in the way |
//! | `rows` | what the rows say: keys twice, keys that are NULL |
//! | `obstacle` | the text of a refusal |
//! | `change` | the change itself |
//! | `rebuild` | a new parent for partitions whose key column changes its type |
//! | `notes` | what is worth knowing and in nobody's way |
//!
//! The invariant: everything is looked at under the locks that the change needs, and the change happens only when
//! nothing was found in the way; an error of the server after that rolls all of it back. No row is lost: they are
//! counted before and after. Adopted rows have `batch_id` NULL, `is_final` and `incomplete` false and `revision` 0.

mod change;
mod dependents;
mod look;
mod notes;
mod obstacle;
mod plan;
mod rebuild;
mod rows;

use tokio_postgres::{Client, error::SqlState};

pub(super) use self::obstacle::Obstacle;
use self::{look::Old, plan::Plan};
use super::{
    failure::Failure,
    quote,
    schema::{self, LEDGER},
};

/// Longest wait for a table that somebody uses.
const LOCK_WAIT: &str = "5s";

/// What was adopted.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// Tables that exist now and need not be made.
    pub(super) tables: Vec<&'static str>,
    /// What was done, one line each, for people.
    pub(super) lines: Vec<String>,
}

/// A relation that has one of our names.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    oid: u32,
    name: String,
    schema: String,
    /// `relkind` of the catalog.
    kind: String,
    /// Whether our own table of this name would be made in the same schema.
    is_in_place: bool,
    /// As people write it.
    pub(super) shown: String,
}

/// Relations that have the names of tables and views which come with versions after `version` of our schema.
pub(super) async fn taken(client: &Client, version: usize) -> Result<Vec<Taken>, Failure> {
    let tables = schema::tables().into_iter().filter(|table| table.version > version);
    let (ledger, results): (Vec<_>, Vec<_>) = tables.partition(|table| table.is_ledger);
    let mut ledger: Vec<_> = ledger.iter().map(|table| table.name).collect();
    if version == 0 {
        ledger.push("schema_version");
    }
    let mut results: Vec<_> = results.iter().map(|table| table.name).collect();
    results.extend(schema::views().filter(|(of, _)| *of > version).map(|(_, name)| name));
    let sql = "SELECT c.oid, c.relname::text, n.nspname::text, c.relkind::text,
                      n.nspname IN ($1, current_schema()), c.oid::regclass::text
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = ANY ($2)
                  OR c.relname = ANY ($3) AND (n.nspname = current_schema() OR pg_table_is_visible(c.oid))
               ORDER BY array_position($3, c.relname::text), n.nspname, c.relname";
    let rows = client.query(sql, &[&LEDGER, &ledger, &results]).await?;
    let taken = |row: &tokio_postgres::Row| Taken {
        oid: row.get(0),
        name: row.get(1),
        schema: row.get(2),
        kind: row.get(3),
        is_in_place: row.get(4),
        shown: format!("{} {}", kind_of(row.get(3)).to_lowercase(), row.get::<_, String>(5)),
    };
    Ok(rows.iter().map(taken).collect())
}

/// Adopts what the old job made, within the caller's transaction; instants without a zone are local time of `zone`.
/// The schema is at `version`; `obstacles` are what the caller has found already.
///
/// # Errors
/// Halts on an unknown zone and on anything in the way, all of it named; nothing is changed then.
pub(super) async fn adopt(
    client: &Client,
    zone: &str,
    version: usize,
    mut obstacles: Vec<Obstacle>,
) -> Result<Adopted, Failure> {
    let Some(zone) = known_zone(client, zone).await? else {
        return Err(Failure::halt(unknown_zone(zone)));
    };
    client.batch_execute(&format!("SET LOCAL lock_timeout = '{LOCK_WAIT}'")).await?;
    let mut adopted = Adopted::default();
    adopted.lines.extend(drop_views(client, version).await?);
    let mut olds = Vec::new();
    for taken in taken(client, version).await? {
        let ours = schema::tables().into_iter().find(|table| !table.is_ledger && table.name == taken.name);
        let adoptable = taken.is_in_place && matches!(taken.kind.as_str(), "r" | "p");
        match ours.filter(|table| adoptable && table.is_adoptable() && taken.schema != LEDGER) {
            Some(table) => {
                lock(client, &taken).await?;
                olds.push(Old::look(client, table, &taken).await?);
            }
            None => obstacles.push(in_place_of_ours(client, &taken).await?),
        }
    }
    let mut planned = Vec::new();
    for old in olds {
        let mut plan = Plan::new(&old, &zone);
        obstacles.append(&mut plan.obstacles);
        obstacles.append(&mut dependents::obstacles(client, &old, &plan).await?);
        let (counted, mut in_rows) = rows::look(client, &old, &plan).await?;
        obstacles.append(&mut in_rows);
        planned.push((old, plan, counted));
    }
    if !obstacles.is_empty() {
        return Err(Failure::halt(obstacle::refusal(&obstacles)));
    }
    for (old, plan, counted) in planned {
        change::change(client, &old, &plan, &counted, &zone).await?;
        adopted.tables.push(old.table.name);
        adopted.lines.push(format!(
            "adopted table {}: {} rows kept{}",
            old.shown,
            counted.rows,
            plan.taken_as()
        ));
        adopted.lines.append(&mut notes::notes(client, &old, &counted).await?);
    }
    Ok(adopted)
}

/// Drops the views of the old job that are made anew with the table they read. Those that cannot go, because others read
/// them or they are somebody else's, stay and are named with all that is in the way.
async fn drop_views(client: &Client, version: usize) -> Result<Option<String>, Failure> {
    let taken = taken(client, version).await?;
    let views: Vec<_> = taken.iter().filter(|taken| taken.is_in_place && taken.kind == "v").collect();
    if views.is_empty() || !taken.iter().any(|taken| taken.is_in_place && taken.name == "user_events") {
        return Ok(None);
    }
    let paths: Vec<_> = views.iter().map(|view| quote::path(&view.schema, &view.name)).collect();
    client.batch_execute("SAVEPOINT dropping").await?;
    if client.batch_execute(&format!("DROP VIEW {}", paths.join(", "))).await.is_err() {
        client.batch_execute("ROLLBACK TO SAVEPOINT dropping").await?;
        return Ok(None);
    }
    let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
    Ok(Some(format!("dropped the old views and made them anew: {}", names.join(", "))))
}

/// The zone as the server spells it. Abbreviations and offsets are refused: an offset's sign means the opposite of
/// what people think in PostgreSQL.
pub(super) async fn known_zone(client: &Client, zone: &str) -> Result<Option<String>, Failure> {
    if zone.eq_ignore_ascii_case("utc") {
        return Ok(Some("UTC".into()));
    }
    let sql = "SELECT name FROM pg_timezone_names WHERE lower(name) = lower($1) LIMIT 1";
    Ok(client.query_opt(sql, &[&zone]).await?.map(|row| row.get(0)))
}

/// What is wrong with a zone that the server does not know.
pub(super) fn unknown_zone(zone: &str) -> String {
    format!(
        "PostgreSQL knows no time zone {zone:?}: --adopt-timezone takes UTC or a name such as Europe/Berlin; \
         SELECT name FROM pg_timezone_names  lists them"
    )
}

/// Nobody reads or writes the table from here to the end; without the right to change it nothing will be, and
/// nothing needs to be locked.
async fn lock(client: &Client, taken: &Taken) -> Result<(), Failure> {
    let sql = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1";
    let owned = client.query_opt(sql, &[&taken.oid]).await?.is_some_and(|row| row.get(0));
    if !owned {
        return Ok(());
    }
    let table = quote::path(&taken.schema, &taken.name);
    client.batch_execute("SAVEPOINT adopting").await?;
    let locked = client.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
    match locked {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            client.batch_execute("ROLLBACK TO SAVEPOINT adopting").await?;
            Err(in_use(client, taken).await?)
        }
        locked => Ok(locked?),
    }
}

async fn in_use(client: &Client, taken: &Taken) -> Result<Failure, Failure> {
    let sql = "SELECT DISTINCT format('process %s of user %s, application %s', a.pid, a.usename,
                                      coalesce(nullif(a.application_name, ''), 'unknown'))
               FROM pg_locks l JOIN pg_stat_activity a USING (pid)
               WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (l.relation = $1 OR l.relation IN (SELECT relid FROM pg_partition_tree($1)))
                 AND a.pid <> pg_backend_pid()";
    let rows = client.query(sql, &[&taken.oid]).await?;
    let users: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let users = if users.is_empty() { "somebody".into() } else { users.join("; ") };
    Ok(Failure::halt(format!(
        "{} is in use by {users}: stop the old job and what else reads or writes it, then run `telemetra migrate` \
         again; nothing was changed",
        taken.shown
    )))
}

/// A relation that cannot become our table: it keeps its rows under another name.
async fn in_place_of_ours(client: &Client, taken: &Taken) -> Result<Obstacle, Failure> {
    if taken.is_in_place {
        return Ok(Obstacle::new(
            format!(
                "{} has the name of a table of telemetra's and cannot be adopted: give it another",
                taken.shown
            ),
            rename_away(&taken.kind, &taken.schema, &taken.name),
        ));
    }
    let sql = "SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path = %I',
                             current_user, current_database(), $1::text)";
    let clear: String = client.query_one(sql, &[&taken.schema]).await?.get(0);
    Ok(Obstacle::new(
        format!(
            "{} is found by its name, but new tables go to another schema, the first of search_path: put {} first",
            taken.shown, taken.schema
        ),
        clear,
    ))
}

/// SQL that frees a name.
fn rename_away(kind: &str, schema: &str, name: &str) -> String {
    let away = quote::ident(&format!("{name}_before_telemetra"));
    format!("ALTER {} {} RENAME TO {away}", kind_of(kind), quote::path(schema, name))
}

/// What a `relkind` is called in SQL.
fn kind_of(kind: &str) -> &'static str {
    match kind {
        "v" => "VIEW",
        "m" => "MATERIALIZED VIEW",
        "f" => "FOREIGN TABLE",
        "S" => "SEQUENCE",
        "i" | "I" => "INDEX",
        "c" => "TYPE",
        _ => "TABLE",
    }
}
