//! What the tables do look like, held against [`schema`](super::schema).
//!
//! Only what the catalog says is read, so a role that may not look into a table still learns what is wrong.
//! Tables that were adopted may differ where it does no harm: other widths of texts, columns that may be NULL
//! because old rows are, columns of the user's own that need no value from us.

use std::collections::HashMap;

use tokio_postgres::{Client, Row};

use super::{
    failure::Failure,
    quote,
    schema::{self, Column, LEDGER, Table},
};

/// A column as the server holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) is_not_null: bool,
    /// A row can be written without a value for it: default, identity or generated.
    pub(super) has_default: bool,
}

/// Demands that every table of ours is there, with the columns, types and keys that this version needs.
///
/// # Errors
/// Halts with what is expected and what is there.
pub(super) async fn check(client: &Client) -> Result<(), Failure> {
    // Three questions for all tables: a start may be far from its server.
    let sql =
        "SELECT c.oid, c.relname::text, n.nspname = $1, c.oid::regclass::text, row_security_active(c.oid)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND c.relname = ANY ($2)
                 AND (n.nspname = $1 OR pg_table_is_visible(c.oid))";
    let tables = schema::tables();
    let names: Vec<_> = tables.iter().map(|table| table.name).collect();
    let relations = client.query(sql, &[&LEDGER, &names]).await?;
    let oids: Vec<u32> = relations.iter().map(|row| row.get(0)).collect();
    let mut held = held(client, &oids).await?;
    let keys = keys(client, &oids).await?;
    let late = deferrable_keys(client, &oids).await?;
    let mut faults = Vec::new();
    for table in tables {
        let is_it =
            |row: &&Row| row.get::<_, &str>(1) == table.name && row.get::<_, bool>(2) == table.is_ledger;
        let Some(row) = relations.iter().find(is_it) else {
            let name =
                if table.is_ledger { quote::path(LEDGER, table.name) } else { quote::ident(table.name) };
            faults.push(format!("table {name} is missing"));
            continue;
        };
        let (oid, shown): (u32, &str) = (row.get(0), row.get(3));
        if row.get(4) {
            faults.push(format!("table {shown}: row-level security hides rows from this role"));
        }
        let differences = differences(&table, &held.remove(&oid).unwrap_or_default());
        faults.extend(differences.into_iter().map(|fault| format!("table {shown}: {fault}")));
        let deferrable = late.iter().filter(|key| key.oid == oid && is_same_key(&key.columns, &table.key));
        faults.extend(deferrable.map(|key| format!("table {shown}: {}", key.fault())));
        if !keys.iter().any(|(of, key)| *of == oid && is_same_key(key, &table.key)) {
            faults.push(format!("table {shown}: no unique key ({})", table.key.join(", ")));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::halt(format!(
        "the tables are not as this program needs them; undo the change, or restore a backup:\n  {}",
        faults.join("\n  ")
    )))
}

/// The columns of relations, each relation's in their order.
pub(super) async fn held(client: &Client, oids: &[u32]) -> Result<HashMap<u32, Vec<Held>>, Failure> {
    let sql = "SELECT attrelid, attname, format_type(atttypid, atttypmod), attnotnull,
                      atthasdef OR attidentity <> '' OR attgenerated <> ''
               FROM pg_attribute WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let mut columns = HashMap::<u32, Vec<Held>>::new();
    for row in client.query(sql, &[&oids]).await? {
        columns.entry(row.get(0)).or_default().push(Held {
            name: row.get(1),
            type_name: row.get(2),
            is_not_null: row.get(3),
            has_default: row.get(4),
        });
    }
    Ok(columns)
}

/// Whether `ON CONFLICT (key)` finds an index to go by.
pub(super) async fn has_key(client: &Client, oid: u32, key: &[&str]) -> Result<bool, Failure> {
    Ok(keys(client, &[oid]).await?.iter().any(|(_, found)| is_same_key(found, key)))
}

/// A unique constraint that is judged late. `ON CONFLICT` takes it for the key by its columns, even where another key
/// stands beside it, and then refuses the statement.
#[derive(Clone, Debug)]
pub(super) struct DeferrableKey {
    oid: u32,
    columns: Vec<String>,
    name: String,
    /// SQL that takes it away.
    pub(super) drop: String,
}

impl DeferrableKey {
    /// What is wrong with it.
    pub(super) fn fault(&self) -> String {
        format!(
            "unique constraint {} ({}) is DEFERRABLE, and ON CONFLICT takes none that is",
            self.name,
            self.columns.join(", ")
        )
    }
}

/// Deferrable unique constraints over just the columns of `key`.
pub(super) async fn deferrable(
    client: &Client,
    oid: u32,
    key: &[&str],
) -> Result<Vec<DeferrableKey>, Failure> {
    let mut late = deferrable_keys(client, &[oid]).await?;
    late.retain(|found| is_same_key(&found.columns, key));
    Ok(late)
}

async fn deferrable_keys(client: &Client, oids: &[u32]) -> Result<Vec<DeferrableKey>, Failure> {
    let sql = "SELECT i.indrelid, ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
                                        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k),
                      c.conname::text, format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, c.conname)
               FROM pg_index i JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
               WHERE i.indrelid = ANY ($1) AND i.indisunique AND NOT i.indimmediate AND c.contype IN ('p', 'u')
               ORDER BY i.indexrelid";
    let key = |row: &Row| DeferrableKey {
        oid: row.get(0),
        columns: row.get(1),
        name: row.get(2),
        drop: row.get(3),
    };
    Ok(client.query(sql, &[&oids]).await?.iter().map(key).collect())
}

/// Keys of relations that `ON CONFLICT` can go by: unique at once and over all rows.
async fn keys(client: &Client, oids: &[u32]) -> Result<Vec<(u32, Vec<String>)>, Failure> {
    let sql = "SELECT i.indrelid, ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
                                        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k)
               FROM pg_index i
               WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indimmediate AND i.indisvalid
                 AND i.indpred IS NULL AND i.indexprs IS NULL";
    Ok(client.query(sql, &[&oids]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn is_same_key(found: &[String], key: &[&str]) -> bool {
    found.len() == key.len() && key.iter().all(|name| found.iter().any(|found| found == name))
}

/// What keeps a table from being written and read as ours, one line each.
fn differences(table: &Table, held: &[Held]) -> Vec<String> {
    let mut faults = Vec::new();
    for column in &table.columns {
        match held.iter().find(|held| held.name == column.name) {
            None => faults.push(format!("column {} is missing, expected {}", column.name, column.type_name)),
            Some(found) if !fits(table, column, found) => {
                let null = |is_not_null| if is_not_null { " NOT NULL" } else { "" };
                faults.push(format!(
                    "column {} is {}{}, expected {}{}",
                    column.name,
                    found.type_name,
                    null(found.is_not_null),
                    column.type_name,
                    null(column.is_not_null)
                ));
            }
            Some(_) => {}
        }
    }
    let own = |held: &&Held| !table.columns.iter().any(|column| column.name == held.name);
    let needs_value = |held: &&Held| held.is_not_null && !held.has_default;
    faults.extend(held.iter().filter(own).filter(needs_value).map(|held| {
        format!("column {} is none of ours, NOT NULL and without a default: no row can be written", held.name)
    }));
    faults
}

fn fits(table: &Table, column: &Column, held: &Held) -> bool {
    let is_text =
        |name: &str| name == "text" || name.starts_with("character varying") && !name.ends_with("[]");
    let same_type = held.type_name == column.type_name
        || table.is_adoptable() && is_text(&column.type_name) && is_text(&held.type_name);
    let same_null = held.is_not_null == column.is_not_null || table.is_adoptable() && !held.is_not_null;
    same_type && same_null
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes one column of a table as ours would be held, and counts the faults.
    fn check(table: &str, column: &str, change: impl Fn(&mut Held), expected: usize) {
        let tables = schema::tables();
        let table = tables.iter().find(|known| known.name == table).expect("a table of ours");
        let as_held = |column: &Column| Held {
            name: column.name.into(),
            type_name: column.type_name.clone(),
            is_not_null: column.is_not_null,
            has_default: false,
        };
        let mut held: Vec<_> = table.columns.iter().map(as_held).collect();
        assert_eq!(differences(table, &held), Vec::<String>::new());
        change(held.iter_mut().find(|held| held.name == column).expect("a column of ours"));
        let faults = differences(table, &held);
        assert_eq!(faults.len(), expected, "{faults:?}");
    }

    #[test]
    fn adopted_tables_may_differ_where_it_does_no_harm() {
        check("moments", "stream_id", |held| held.type_name = "text".into(), 0);
        check("moments", "description", |held| held.type_name = "character varying(80)".into(), 0);
        check("chat_summary_minute", "emote_counts", |held| held.is_not_null = false, 0);
        check("chat_summary_minute", "z_score", |held| held.is_not_null = true, 1);
        check("chat_summary_minute", "z_score", |held| held.type_name = "numeric(10,2)".into(), 1);
        check(
            "chat_summary_minute",
            "top_emotes",
            |held| held.type_name = "character varying(9)[]".into(),
            1,
        );
    }

    #[test]
    fn the_ledger_is_held_exactly() {
        check("job", "epoch", |held| held.is_not_null = false, 1);
        check("job", "holder", |held| held.type_name = "character varying(9)".into(), 1);
        // Gone under its name, in the way under the other.
        check("job", "holder", |held| held.name = "holders".into(), 2);
    }
}
