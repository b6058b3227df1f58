//! What the rows say: how many there are, keys that stand twice, keys that are NULL.

use tokio_postgres::Client;

use super::{Obstacle, look::Old, plan::Plan};
use crate::postgres::{columns, failure::Failure, quote};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) rows: i64,
    /// Columns that should not be NULL and are in some rows, with their number.
    pub(super) nulls: Vec<(String, i64)>,
    /// Instants that the zone never showed on a clock, and the column.
    pub(super) never: Option<(i64, String)>,
}

/// Counts the rows, and finds what in them is in the way.
pub(super) async fn look(
    client: &Client,
    old: &Old,
    plan: &Plan,
) -> Result<(Counted, Vec<Obstacle>), Failure> {
    let mut obstacles = Vec::new();
    if !old.is_readable {
        obstacles.push(Obstacle::new(
            format!("role {} may not read the rows of table {}", old.role, old.shown),
            format!("GRANT SELECT ON {} TO {}", old.path, quote::ident(&old.role)),
        ));
    }
    if !old.is_readable || plan.key.is_empty() {
        return Ok((Counted::default(), obstacles));
    }
    let counted = count(client, old, plan).await?;
    let key = quote::idents(old.table.key.iter().copied());
    let in_key = |name: &str| old.table.key.contains(&name);
    let keyless: Vec<_> = counted.nulls.iter().filter(|(name, _)| in_key(name)).collect();
    if !keyless.is_empty() {
        let holes: Vec<_> = keyless.iter().map(|(name, rows)| format!("{rows} with {name} NULL")).collect();
        let condition: Vec<_> =
            keyless.iter().map(|(name, _)| format!("{} IS NULL", quote::ident(name))).collect();
        obstacles.push(Obstacle::new(
            format!("table {} has rows without a key ({}): {}", old.shown, key, holes.join(", ")),
            format!("DELETE FROM {} WHERE {}", old.path, condition.join(" OR ")),
        ));
    }
    let is_converted = plan.naive_key(old).is_some();
    if is_converted || !columns::has_key(client, old.oid, &old.table.key).await? {
        obstacles.extend(duplicates(client, old, plan).await?);
    }
    Ok((counted, obstacles))
}

async fn count(client: &Client, old: &Old, plan: &Plan) -> Result<Counted, Failure> {
    let mut counts = vec!["count(*)".to_owned()];
    let null = |name: &String| format!("count(*) FILTER (WHERE {} IS NULL)", quote::ident(name));
    counts.extend(plan.tightened.iter().map(null));
    let naive = plan.naive_key(old);
    if let Some((column, zone)) = &naive {
        // There and back again ends elsewhere when the clock was put forward over it.
        counts.push(format!(
            "count(*) FILTER (WHERE {column} AT TIME ZONE {zone} AT TIME ZONE {zone} <> {column})"
        ));
    }
    let row = client.query_one(&format!("SELECT {} FROM {}", counts.join(", "), old.path), &[]).await?;
    let nulls = plan.tightened.iter().enumerate().map(|(at, name)| (name.clone(), row.get(at + 1)));
    let never = naive.map(|(column, _)| (row.get(counts.len() - 1), column));
    Ok(Counted {
        rows: row.get(0),
        nulls: nulls.filter(|(_, rows)| *rows > 0).collect(),
        never: never.filter(|(rows, _)| *rows > 0),
    })
}

/// Rows that share a key, as the key will be; the SQL keeps the newest of them.
async fn duplicates(client: &Client, old: &Old, plan: &Plan) -> Result<Option<Obstacle>, Failure> {
    let key = plan.key.join(", ");
    let filled: Vec<_> = plan.key.iter().map(|key| format!("{key} IS NOT NULL")).collect();
    let sql = format!(
        "SELECT count(*), coalesce(sum(n), 0)::bigint FROM (SELECT count(*) AS n FROM {} WHERE {} GROUP BY {key} \
         HAVING count(*) > 1) twice",
        old.path,
        filled.join(" AND ")
    );
    let row = client.query_one(&sql, &[]).await?;
    let (keys, rows): (i64, i64) = (row.get(0), row.get(1));
    if keys == 0 {
        return Ok(None);
    }
    let newest: Vec<_> = ["processed_at", "detected_at", "id"]
        .into_iter()
        .filter(|name| old.column(name).is_some())
        .map(|name| format!("{} DESC NULLS LAST", quote::ident(name)))
        .collect();
    let order = if newest.is_empty() { String::new() } else { format!(" ORDER BY {}", newest.join(", ")) };
    let path = &old.path;
    Ok(Some(Obstacle::new(
        format!(
            "table {} has {rows} rows for {keys} keys ({}), one each may stay; this keeps the newest",
            old.shown,
            old.table.key.join(", ")
        ),
        format!(
            "DELETE FROM {path} old USING (SELECT tableoid AS part, ctid AS place,\n    \
             row_number() OVER (PARTITION BY {key}{order}) AS age FROM {path}) ranked\n    \
             WHERE old.tableoid = ranked.part AND old.ctid = ranked.place AND ranked.age > 1"
        ),
    )))
}
