//! The change itself, once nothing is in the way.

use tokio_postgres::Client;

use super::{
    look::{Old, OldColumn, Sequence},
    plan::Plan,
    rebuild,
    rows::Counted,
};
use crate::postgres::{
    columns,
    failure::Failure,
    quote::{ident, idents},
};

/// Room that a page keeps for the next version of its rows.
const FILLFACTOR: u32 = 70;

/// Turns an old table into ours.
pub(super) async fn change(
    client: &Client,
    old: &Old,
    plan: &Plan,
    counted: &Counted,
    zone: &str,
) -> Result<(), Failure> {
    let mut actions = plan.actions.clone();
    let has_null = |name: &String| counted.nulls.iter().any(|(null, _)| null == name);
    let tightened = plan.tightened.iter().filter(|name| !has_null(name));
    for name in tightened {
        actions.push(format!("ALTER COLUMN {} SET NOT NULL", ident(name)));
        if let Some(value) = omitted(old, name) {
            actions.push(format!("ALTER COLUMN {} SET DEFAULT {value}", ident(name)));
        }
    }
    if old.table.name == "chat_summary_minute" {
        // Before the rows are written anew, so that they are written with room.
        for leaf in old.leaves().filter(|leaf| !leaf.has_fillfactor) {
            execute(client, &format!("ALTER TABLE {} SET (fillfactor = {FILLFACTOR})", leaf.path)).await?;
        }
    }
    // A sequence behind an identity follows its column by itself.
    for (_, sequence) in sequences_of(old).filter(|(_, it)| !it.is_bigint && !it.is_identity) {
        execute(client, &format!("ALTER SEQUENCE {} AS bigint", sequence.path)).await?;
    }
    if plan.is_rebuilt {
        rebuild::rebuild(client, old, &actions, zone).await?;
    } else {
        execute(client, &format!("ALTER TABLE {} {}", old.path, actions.join(", "))).await?;
    }
    for (column, sequence) in sequences_of(old).filter(|(_, sequence)| sequence.is_ours) {
        move_behind(client, old, &column.name, sequence).await?;
    }
    add_key(client, old).await?;
    execute(client, &format!("ANALYZE {}", old.path)).await?;
    let rows: i64 = client.query_one(&format!("SELECT count(*) FROM {}", old.path), &[]).await?.get(0);
    if rows != counted.rows {
        return Err(Failure::halt(format!(
            "table {} had {} rows and would have {rows} after adoption: nothing was changed",
            old.shown, counted.rows
        )));
    }
    Ok(())
}

fn sequences_of(old: &Old) -> impl Iterator<Item = (&OldColumn, &Sequence)> {
    old.columns.iter().filter_map(|column| Some((column, column.sequence.as_ref()?)))
}

/// Rows that were restored with their numbers may leave the sequence behind them: every new row would meet one.
async fn move_behind(client: &Client, old: &Old, column: &str, sequence: &Sequence) -> Result<(), Failure> {
    let sql = format!(
        "SELECT setval(sequence, last)
         FROM (SELECT coalesce(pg_get_serial_sequence($1, $2), $3)::regclass AS sequence, max({}) AS last
               FROM {}) AS rows
         WHERE last > coalesce(pg_sequence_last_value(sequence), 0)",
        ident(column),
        old.path
    );
    client.query(&sql, &[&old.path, &column, &sequence.path]).await?;
    Ok(())
}

/// The default of a column that could be left out before and may not be NULL now, so that the old job can go on
/// leaving it out. Columns that say what a row is about have none.
fn omitted(old: &Old, name: &str) -> Option<&'static str> {
    let has_default = old.column(name).is_some_and(|held| held.has_default);
    let column = old.table.columns.iter().find(|column| column.name == name)?;
    if has_default || old.table.key.contains(&name) {
        return None;
    }
    match column.type_name.as_str() {
        "bigint" | "double precision" => Some("0"),
        "boolean" => Some("false"),
        "text" => Some("''"),
        "text[]" | "jsonb" => Some("'{}'"),
        _ if matches!(name, "processed_at" | "detected_at") => Some("now()"),
        _ => None,
    }
}

async fn add_key(client: &Client, old: &Old) -> Result<(), Failure> {
    let oid = client.query_one("SELECT $1::text::regclass::oid", &[&old.path]).await?.get(0);
    if columns::has_key(client, oid, &old.table.key).await? {
        return Ok(());
    }
    let nodes: Vec<_> = old.tree.iter().map(|node| node.path.as_str()).collect();
    let sql = "SELECT EXISTS (SELECT FROM pg_index WHERE indisprimary
                              AND indrelid IN (SELECT p::regclass FROM unnest($1::text[]) p))";
    let has_primary: bool = client.query_one(sql, &[&nodes]).await?.get(0);
    let kind = if has_primary || old.table.name == "moments" { "UNIQUE" } else { "PRIMARY KEY" };
    let key = idents(old.table.key.iter().copied());
    execute(client, &format!("ALTER TABLE {} ADD {kind} ({key})", old.path)).await
}

/// Runs a statement of the change. What the server refuses now was not foreseen: the statement is named.
pub(super) async fn execute(client: &Client, sql: &str) -> Result<(), Failure> {
    let Err(error) = client.batch_execute(sql).await else { return Ok(()) };
    let Some(db) = error.as_db_error() else { return Err(error.into()) };
    let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    Err(Failure::halt(format!(
        "the tables of the old job were not adopted and nothing was changed. PostgreSQL says: {}{detail} \
         (SQLSTATE {}); the statement was:\n    {sql};",
        db.message(),
        db.code().code()
    )))
}
