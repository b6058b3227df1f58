//! What is worth knowing after an adoption and in nobody's way.

use tokio_postgres::Client;

use super::{look::Old, rows::Counted};
use crate::postgres::failure::Failure;

/// Indexes that hold a column which changes with every rewrite of a row.
const INDEXES: &str = "
SELECT format('index %s on %s makes each rewrite of a row costlier; if nobody needs it: %s', i.indexrelid::regclass,
              (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k)
               FROM generate_series(1, i.indnkeyatts) k)
              || coalesce(' where ' || max(pg_get_expr(i.indpred, i.indrelid)), ''),
              coalesce((SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
                        FROM pg_constraint WHERE conindid = i.indexrelid AND conrelid = i.indrelid LIMIT 1),
                       format('DROP INDEX %s', i.indexrelid::regclass)))
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = ANY ($2) AND (
    a.attnum = ANY (i.indkey)
    OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
WHERE i.indrelid IN (SELECT p::regclass FROM unnest($1::text[]) p)
GROUP BY i.indexrelid, i.indrelid, i.indnkeyatts ORDER BY i.indexrelid";

/// What may refuse or change rows that are written.
const JUDGES: &str = "
SELECT format('trigger %s of table %s runs for each row that is written', tgname, tgrelid::regclass)
FROM pg_trigger
WHERE tgrelid IN (SELECT p::regclass FROM unnest($1::text[]) p) AND NOT tgisinternal AND tgparentid = 0
UNION ALL
SELECT format('constraint %s of table %s may refuse rows%s: %s', conname, conrelid::regclass,
              CASE WHEN $3 THEN ', which go to quarantine' ELSE ', which halts the job' END, pg_get_constraintdef(c.oid))
       -- Functions that are not immutable, of a condition that mentions an instant.
       || CASE WHEN EXISTS (SELECT FROM regexp_matches(c.conbin::text, ':(?:op)?funcid ([0-9]+)', 'g') m
                            JOIN pg_proc p ON p.oid = m[1]::oid WHERE p.provolatile <> 'i')
                AND EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
                              AND a.atttypid = 'timestamptz'::regtype)
               THEN '; it reads instants by the time zone of the session that writes, telemetra''s is UTC: rewrite it with '
                    || 'AT TIME ZONE' ELSE '' END
FROM pg_constraint c
WHERE conrelid IN (SELECT p::regclass FROM unnest($1::text[]) p) AND contype IN ('c', 'f', 'x') AND conparentid = 0
  AND coninhcount = 0
UNION ALL
SELECT format('unique index %s may refuse rows%s', i.indexrelid::regclass,
              CASE WHEN $3 THEN ', which go to quarantine' ELSE ', which halts the job' END)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
WHERE i.indrelid IN (SELECT p::regclass FROM unnest($1::text[]) p) AND i.indisunique
  AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k AND a.attname = 'id')
  AND (SELECT count(*) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k AND a.attname = ANY ($2))
      < cardinality($2)";

/// Notes on an adopted table, one line each.
pub(super) async fn notes(client: &Client, old: &Old, counted: &Counted) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for (column, rows) in &counted.nulls {
        notes.push(format!("column {column} of table {} is NULL in {rows} rows and stays so", old.shown));
    }
    if let Some((rows, column)) = &counted.never {
        notes.push(format!(
            "{rows} rows of table {} have a local time in {column} that the zone left out when its clocks were put \
             forward; they are taken as PostgreSQL takes them",
            old.shown
        ));
    }
    let nodes: Vec<_> = old.tree.iter().map(|node| node.path.as_str()).collect();
    if old.table.name == "chat_summary_minute" {
        let fixed = |name: &str| old.table.key.contains(&name) || name == "window_end";
        let changing: Vec<_> =
            old.table.columns.iter().map(|column| column.name).filter(|name| !fixed(name)).collect();
        let rows = client.query(INDEXES, &[&nodes, &changing]).await?;
        notes.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    let has_quarantine = old.table.name == "user_events";
    let rows = client.query(JUDGES, &[&nodes, &old.table.key, &has_quarantine]).await?;
    notes.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    Ok(notes)
}
