//! A new parent for partitions cut by an instant that gets a zone: the type of such a column cannot change in place.
//!
//! ```text
//! old parent ── detach ──► partitions, changed one by one ── attach ──► new parent
//!      └──── LIKE ────► a plain table, changed alike ──── LIKE ────────────┘
//! ```
//!
//! The new parent has the old one's name, columns, defaults, checks, comments, owner, rights, indexes and keys; the
//! bounds are read under the adopting zone, as the rows are. Sequences stay those they were.

use tokio_postgres::Client;

use super::{change::execute, look::Old};
use crate::postgres::{
    failure::Failure,
    quote::{ident, literal, path},
};

/// Statements that give a table the rights that another has; all of those it was born with are taken first.
const GRANTS: &str = "
SELECT format('GRANT %s ON %s TO %s%s', privilege_type, $2::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl) WHERE oid = $1
UNION ALL
SELECT format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, $2::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_attribute, aclexplode(attacl) WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped";

/// Statements that take from a table what default privileges gave it.
const REVOKES: &str = "
SELECT format('REVOKE ALL ON %s FROM %s', $1::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
FROM pg_class, aclexplode(relacl)
WHERE oid = $1::text::regclass AND grantee <> relowner GROUP BY grantee";

/// Keys, references, indexes and the comment of the old parent. An index `ON ONLY` would leave the partitions out.
const PARTS: &str = "
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = $1 AND contype IN ('p', 'u', 'f')
UNION ALL
SELECT overlay(def PLACING '' FROM length(head) + 1 FOR length('ONLY '))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid,
LATERAL (SELECT pg_get_indexdef(i.indexrelid) AS def,
                format('CREATE %sINDEX %I ON ', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END, relname) AS head) d
WHERE i.indrelid = $1
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT format('COMMENT ON TABLE %s IS %L', $2::text, description)
FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = $1 AND objsubid = 0";

/// Makes the parent anew around its partitions; `actions` change the columns.
pub(super) async fn rebuild(
    client: &Client,
    old: &Old,
    actions: &[String],
    zone: &str,
) -> Result<(), Failure> {
    let sql = "SELECT quote_ident(pg_get_userbyid(relowner)), pg_get_partkeydef(oid),
                      (SELECT quote_ident(spcname) FROM pg_tablespace t WHERE t.oid = reltablespace)
               FROM pg_class WHERE oid = $1";
    let row = client.query_one(sql, &[&old.oid]).await?;
    let (owner, cut_by, space): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
    let grants = texts(client, GRANTS, &[&old.oid, &old.path]).await?;
    let parts = texts(client, PARTS, &[&old.oid, &old.path]).await?;
    let shell = path(&old.schema, &format!("{}_telemetra_adopting", old.table.name));
    let actions = actions.join(", ");

    execute(client, &format!("CREATE TABLE {shell} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)", old.path))
        .await?;
    execute(client, &format!("ALTER TABLE {shell} {actions}")).await?;
    for partition in &old.tree[1..] {
        execute(client, &format!("ALTER TABLE {} DETACH PARTITION {}", old.path, partition.path)).await?;
        execute(client, &format!("ALTER TABLE {} {actions}", partition.path)).await?;
    }
    let identities = keep_sequences(client, old).await?;
    execute(client, &format!("DROP TABLE {}", old.path)).await?;
    let space = space.map(|space| format!(" TABLESPACE {space}")).unwrap_or_default();
    execute(
        client,
        &format!("CREATE TABLE {} (LIKE {shell} INCLUDING ALL) PARTITION BY {cut_by}{space}", old.path),
    )
    .await?;
    execute(client, &format!("DROP TABLE {shell}")).await?;
    execute(client, &format!("ALTER TABLE {} OWNER TO {owner}", old.path)).await?;
    for sql in texts(client, REVOKES, &[&old.path]).await?.iter().chain(&grants) {
        execute(client, sql).await?;
    }
    give_sequences_back(client, old, &identities).await?;
    attach(client, old, zone).await?;
    for sql in &parts {
        execute(client, sql).await?;
    }
    Ok(())
}

async fn texts(
    client: &Client,
    sql: &str,
    args: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<String>, Failure> {
    Ok(client.query(sql, args).await?.iter().map(|row| row.get(0)).collect())
}

/// Frees sequences from the old parent, and reads where those stand that belong to its identities.
async fn keep_sequences(client: &Client, old: &Old) -> Result<Vec<(String, i64, bool)>, Failure> {
    let mut identities = Vec::new();
    for column in &old.columns {
        let Some(sequence) = &column.sequence else { continue };
        if sequence.is_identity {
            let sql = format!("SELECT last_value, is_called FROM {}", sequence.path);
            let row = client.query_one(&sql, &[]).await?;
            identities.push((column.name.clone(), row.get(0), row.get(1)));
        } else if sequence.is_column_owned {
            execute(client, &format!("ALTER SEQUENCE {} OWNED BY NONE", sequence.path)).await?;
        }
    }
    Ok(identities)
}

async fn give_sequences_back(
    client: &Client,
    old: &Old,
    identities: &[(String, i64, bool)],
) -> Result<(), Failure> {
    for column in &old.columns {
        let serial =
            column.sequence.as_ref().filter(|sequence| sequence.is_column_owned && !sequence.is_identity);
        if let Some(sequence) = serial {
            let owner = format!("{}.{}", old.path, ident(&column.name));
            execute(client, &format!("ALTER SEQUENCE {} OWNED BY {owner}", sequence.path)).await?;
        }
    }
    for (column, value, is_called) in identities {
        let sql = "SELECT setval(pg_get_serial_sequence($1, $2), $3, $4)";
        client.query_one(sql, &[&old.path, column, value, is_called]).await?;
    }
    Ok(())
}

/// The partition for all the rest comes last: it is looked through for rows of the others once.
async fn attach(client: &Client, old: &Old, zone: &str) -> Result<(), Failure> {
    execute(client, &format!("SET LOCAL TimeZone = {}", literal(zone))).await?;
    let (rest, cut): (Vec<_>, Vec<_>) =
        old.tree[1..].iter().partition(|partition| partition.bounds.as_deref() == Some("DEFAULT"));
    for partition in cut.into_iter().chain(rest) {
        let bounds = partition.bounds.as_deref().expect("a partition has bounds");
        execute(client, &format!("ALTER TABLE {} ATTACH PARTITION {} {bounds}", old.path, partition.path))
            .await?;
    }
    Ok(())
}
