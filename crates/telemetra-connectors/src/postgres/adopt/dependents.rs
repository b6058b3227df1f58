//! What else in the database is in the way: owners, views, rules, triggers, functions, policies, foreign keys,
//! publications, inheritance, tables that a crash empties.

use tokio_postgres::{Client, types::ToSql};

use super::{Obstacle, look::Old, plan::Plan};
use crate::postgres::{failure::Failure, quote};

/// Views that read a column whose type changes, and the views above them; the topmost first.
const VIEWS: &str = "
WITH RECURSIVE above AS (
    SELECT r.ev_class AS oid, 1 AS level
    FROM pg_depend d
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1) AND r.ev_class <> ALL ($1)
      AND (a.attname = ANY ($2) OR $3)
    UNION
    SELECT r.ev_class, level + 1
    FROM above v
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass AND r.ev_class <> v.oid)
SELECT format('%s %s reads it', CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.oid::regclass),
       format('DROP %s %s', kind, path),
       format('CREATE %s %s%s AS%s', kind, path,
              CASE WHEN c.reloptions IS NULL THEN ''
                   ELSE format(' WITH (%s)', array_to_string(c.reloptions, ', ')) END,
              E'\\n' || pg_get_viewdef(c.oid)),
       (SELECT string_agg(pg_get_indexdef(indexrelid), E';\\n') FROM pg_index WHERE indrelid = c.oid)
FROM (SELECT oid, max(level) AS level FROM above GROUP BY oid) v
JOIN pg_class c ON c.oid = v.oid
JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (SELECT CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
                format('%I.%I', n.nspname, c.relname) AS path) s
WHERE c.relkind IN ('v', 'm')
ORDER BY v.level DESC, c.oid";

/// Functions, policies and the like that PostgreSQL ties to a column whose type changes, or to a row of a table that
/// is made anew.
const TIED: &str = "
SELECT DISTINCT format('%s depends on it', pg_describe_object(d.classid, d.objid, 0)),
       format('DROP %s %s', i.type, i.identity),
       CASE d.classid WHEN 'pg_proc'::regclass THEN pg_get_functiondef(d.objid) END, NULL::text
FROM pg_depend d
LEFT JOIN pg_attribute a ON d.refclassid = 'pg_class'::regclass AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid,
LATERAL pg_identify_object(d.classid, d.objid, 0) i
WHERE d.classid IN ('pg_proc'::regclass, 'pg_policy'::regclass)
  AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1) AND (a.attname = ANY ($2) OR $3)
    OR $3 AND d.refclassid = 'pg_type'::regclass
       AND d.refobjid IN (SELECT t.oid FROM pg_type t WHERE t.typrelid = ANY ($1)
                          UNION SELECT t.typarray FROM pg_type t WHERE t.typrelid = ANY ($1)))";

/// Triggers that name a column whose type changes; every one of a table that is made anew.
const TRIGGERS: &str = "
SELECT format('trigger %s depends on it', t.tgname), format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
       pg_get_triggerdef(t.oid), NULL::text
FROM pg_trigger t
WHERE t.tgrelid = ANY ($1) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND ($3 OR EXISTS (SELECT FROM pg_depend d
                     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                     WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
                       AND d.refclassid = 'pg_class'::regclass AND a.attname = ANY ($2)))";

/// With a rule for INSERT or UPDATE no upsert is possible.
const RULES: &str = "
SELECT format('rule %s on it changes what writing means', r.rulename),
       format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass), NULL::text, NULL::text
FROM pg_rewrite r WHERE r.ev_class = ANY ($1) AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL";

/// A row that others point at could not be rewritten freely, and a parent made anew has no such row.
const FOREIGN_KEYS: &str = "
SELECT format('foreign key %s of table %s points at it', conname, conrelid::regclass),
       format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), NULL::text
FROM pg_constraint
WHERE contype = 'f' AND confrelid = ANY ($1) AND conparentid = 0
  AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL";

/// Columns of the user's own that are computed from one whose type changes.
const GENERATED: &str = "
SELECT format('column %s of table %s is generated from a column whose type changes', a.attname, a.attrelid::regclass),
       format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', a.attrelid::regclass, a.attname), NULL::text, NULL::text
FROM pg_attribute a
WHERE a.attrelid = ($1::oid[])[1] AND a.attgenerated <> '' AND $3::bool IS NOT NULL AND EXISTS (
    SELECT FROM pg_depend d
    JOIN pg_attribute b ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid
    LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND b.attname = ANY ($2)
      AND b.attnum <> a.attnum
      AND (f.adrelid = a.attrelid AND f.adnum = a.attnum
        OR d.classid = 'pg_class'::regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum))";

/// Publications that hold a table which is made anew, or whose filter names a column that changes.
const PUBLICATIONS: &str = "
SELECT format('publication %s holds %s', p.pubname, r.prrelid::regclass),
       format('ALTER PUBLICATION %I DROP TABLE %s', p.pubname, r.prrelid::regclass),
       format('ALTER PUBLICATION %I ADD TABLE %s', p.pubname, r.prrelid::regclass), NULL::text
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = ANY ($1)
  AND ($3 OR EXISTS (SELECT FROM pg_depend d
                     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                     WHERE d.classid = 'pg_publication_rel'::regclass AND d.objid = r.oid
                       AND d.refclassid = 'pg_class'::regclass AND a.attname = ANY ($2)))";

/// Ties by inheritance that are not partitions: a key holds for one table alone.
const INHERITANCE: &str = "
SELECT format('%s inherits from %s', inhrelid::regclass, inhparent::regclass),
       format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, inhparent::regclass), NULL::text, NULL::text
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid AND NOT c.relispartition
WHERE (inhparent = ANY ($1) OR inhrelid = ANY ($1)) AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL
UNION ALL
SELECT format('it is a partition of %s', inhparent::regclass),
       format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, inhrelid::regclass), NULL, NULL
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid AND c.relispartition
WHERE inhrelid = ($1::oid[])[1]";

/// Policies hide rows from roles that read and write them, and what is hidden cannot be counted.
const ROW_SECURITY: &str = "
SELECT 'row-level security hides rows of it',
       format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', oid::regclass), NULL::text, NULL::text
FROM pg_class
WHERE oid = ANY ($1) AND relrowsecurity AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL";

/// Everything beside columns and rows that is in the way of adopting a table.
pub(super) async fn obstacles(client: &Client, old: &Old, plan: &Plan) -> Result<Vec<Obstacle>, Failure> {
    let mut obstacles = of_tree(client, old).await?;
    let oids = old.oids();
    for sql in
        [VIEWS, TIED, TRIGGERS, RULES, FOREIGN_KEYS, GENERATED, PUBLICATIONS, INHERITANCE, ROW_SECURITY]
    {
        let args: [&(dyn ToSql + Sync); 3] = [&oids, &plan.changing, &plan.is_rebuilt];
        for row in client.query(sql, &args).await? {
            let what: String = row.get(0);
            let mut obstacle = Obstacle::new(format!("table {}: {what}", old.shown), row.get::<_, String>(1));
            for column in [2, 3] {
                if let Some(sql) = row.get::<_, Option<String>>(column) {
                    obstacle = obstacle.afterwards(sql);
                }
            }
            obstacles.push(obstacle);
        }
    }
    Ok(obstacles)
}

/// What the table and its partitions are by themselves.
async fn of_tree(client: &Client, old: &Old) -> Result<Vec<Obstacle>, Failure> {
    let role: String = client.query_one("SELECT current_user::text", &[]).await?.get(0);
    let mut obstacles = Vec::new();
    let foreign: Vec<_> = old.tree.iter().filter(|node| !node.is_ours).collect();
    if let Some(first) = foreign.first() {
        let owner = quote::ident(&role);
        let sql = |path: &str| format!("ALTER TABLE {path} OWNER TO {owner}");
        let what = format!("role {role} does not own table {} and cannot change it", first.shown);
        let obstacle = Obstacle::new(what, sql(&first.path));
        obstacles.push(foreign.iter().skip(1).fold(obstacle, |obstacle, node| obstacle.and(sql(&node.path))));
    }
    for leaf in old.leaves() {
        if leaf.kind == "f" {
            let parent = leaf.parent.as_deref().unwrap_or_default();
            obstacles.push(Obstacle::new(
                format!("partition {} lies on another server, where no key can be made", leaf.shown),
                format!("ALTER TABLE {parent} DETACH PARTITION {}", leaf.path),
            ));
        }
        if leaf.is_unlogged {
            obstacles.push(Obstacle::new(
                format!("table {} is UNLOGGED: a crash of the server empties it", leaf.shown),
                format!("ALTER TABLE {} SET LOGGED", leaf.path),
            ));
        }
    }
    Ok(obstacles)
}
