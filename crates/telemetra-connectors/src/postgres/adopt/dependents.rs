//! What else in the database is in the way: owners, views, rules, triggers, functions, policies, foreign keys,
//! publications, inheritance, tables that a crash empties.

use tokio_postgres::{Client, types::ToSql};

use super::{Obstacle, look::Old, obstacle::SUPERUSER, plan::Plan};
use crate::postgres::{columns, failure::Failure, quote};

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
       (SELECT string_agg(sql, E';\\n') FROM (
            SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid
            UNION ALL
            SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN'
            UNION ALL
            SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal
            UNION ALL
            SELECT format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', path, a.attname,
                          pg_get_expr(f.adbin, f.adrelid))
            FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
            WHERE f.adrelid = c.oid
            UNION ALL
            SELECT CASE o.objsubid WHEN 0 THEN format('COMMENT ON %s %s IS %L', kind, path, o.description)
                   ELSE format('COMMENT ON COLUMN %s.%I IS %L', path, a.attname, o.description) END
            FROM pg_description o
            LEFT JOIN pg_attribute a ON o.objsubid > 0 AND a.attrelid = o.objoid AND a.attnum = o.objsubid
            WHERE o.classoid = 'pg_class'::regclass AND o.objoid = c.oid
            UNION ALL
            SELECT format('GRANT %s ON %s TO %s%s', g.privilege_type, path,
                          CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                          CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner
            UNION ALL
            SELECT format('GRANT %s (%I) ON %s TO %s%s', g.privilege_type, a.attname, path,
                          CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                          CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = c.oid AND g.grantee <> c.relowner
            UNION ALL
            SELECT format('ALTER %s %s OWNER TO %I', kind, path, pg_get_userbyid(c.relowner))) parts (sql))
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
       CASE d.classid WHEN 'pg_proc'::regclass THEN pg_get_functiondef(d.objid)
            ELSE (SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.policyname, o.polrelid::regclass, p.permissive,
                                p.cmd, (SELECT string_agg(CASE r WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(r) END, ', ')
                                        FROM unnest(p.roles) r),
                                ' USING (' || p.qual || ')', ' WITH CHECK (' || p.with_check || ')')
                  FROM pg_policies p JOIN pg_policy o ON o.polname = p.policyname
                  JOIN pg_class t ON t.oid = o.polrelid JOIN pg_namespace n ON n.oid = t.relnamespace
                  WHERE o.oid = d.objid AND t.relname = p.tablename AND n.nspname = p.schemaname) END,
       CASE d.classid WHEN 'pg_proc'::regclass THEN (
           SELECT string_agg(format('GRANT EXECUTE ON %s %s TO %s', i.type, i.identity,
                                    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END),
                             E';\\n')
           FROM pg_proc p, aclexplode(p.proacl) g WHERE p.oid = d.objid AND g.grantee <> p.proowner) END
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
       pg_get_triggerdef(t.oid),
       CASE WHEN t.tgenabled <> 'O' THEN
           format('ALTER TABLE %s %s TRIGGER %I', t.tgrelid::regclass,
                  CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END,
                  t.tgname) END
FROM pg_trigger t
WHERE t.tgrelid = ANY ($1) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND ($3 OR EXISTS (SELECT FROM pg_depend d
                     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                     WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
                       AND d.refclassid = 'pg_class'::regclass AND a.attname = ANY ($2)))";

/// With a rule for INSERT or UPDATE no upsert is possible.
const RULES: &str = "
SELECT format('rule %s on it changes what writing means', r.rulename),
       format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass),
       E'-- telemetra cannot write beside this rule, which was:\\n-- '
       || replace(pg_get_ruledef(r.oid), E'\\n', E'\\n-- '), NULL::text
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
       format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', a.attrelid::regclass, a.attname),
       format(E'-- column %s of table %s keeps its values and is computed no more; it was:\\n-- %s', a.attname,
              a.attrelid::regclass,
              replace((SELECT format('GENERATED ALWAYS AS (%s) STORED', pg_get_expr(adbin, adrelid))
                       FROM pg_attrdef WHERE adrelid = a.attrelid AND adnum = a.attnum), E'\\n', E'\\n-- ')), NULL::text
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
       format('ALTER PUBLICATION %I ADD TABLE %s', p.pubname, r.prrelid::regclass) || {parts}, NULL::text
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = ANY ($1)
  AND ($3 OR EXISTS (SELECT FROM pg_depend d
                     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                     WHERE d.classid = 'pg_publication_rel'::regclass AND d.objid = r.oid
                       AND d.refclassid = 'pg_class'::regclass AND a.attname = ANY ($2)))";

/// Columns and rows that a publication is limited to, from PostgreSQL 15 on.
const PUBLISHED_PARTS: &str = "
concat((SELECT format(' (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)) FROM pg_attribute a
        WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs) HAVING count(*) > 0),
       ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')')";

/// Ties by inheritance that are not partitions: a key holds for one table alone.
const INHERITANCE: &str = "
SELECT format('%s inherits from %s', inhrelid::regclass, inhparent::regclass),
       format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, inhparent::regclass),
       format('-- %s inherited from %s', inhrelid::regclass, inhparent::regclass), NULL::text
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid AND NOT c.relispartition
WHERE (inhparent = ANY ($1) OR inhrelid = ANY ($1)) AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL
UNION ALL
SELECT format('it is a partition of %s', inhparent::regclass),
       format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, inhrelid::regclass),
       format('-- %s was a partition of %s %s', inhrelid::regclass, inhparent::regclass, pg_get_expr(relpartbound, oid)), NULL
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid AND c.relispartition
WHERE inhrelid = ($1::oid[])[1]";

/// Policies hide rows from roles that read and write them, and what is hidden cannot be counted.
const ROW_SECURITY: &str = "
SELECT 'row-level security hides rows of it',
       format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', oid::regclass),
       format('-- row-level security of %s was on: the role of telemetra must see every row', oid::regclass), NULL::text
FROM pg_class
WHERE oid = ANY ($1) AND relrowsecurity AND $2::text[] IS NOT NULL AND $3::bool IS NOT NULL";

/// Indexes that compute something from a column whose type changes: after it the same words may mean something that
/// depends on the session, which no index may. What a tree mentions stands in its text alone.
const INDEXES: &str = "
SELECT format('index %s of table %s computes with %s, whose type changes; its definition may have to be rewritten',
              i.indexrelid::regclass, i.indrelid::regclass, string_agg(a.attname, ', ' ORDER BY a.attnum)),
       CASE WHEN k.oid IS NULL THEN format('DROP INDEX %I.%I', n.nspname, c.relname)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, k.conname) END,
       E'-- rewrite this where the server refuses it: an index may not depend on the time zone of the session\n'
       || CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
               ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', i.indrelid::regclass, k.conname,
                           pg_get_constraintdef(k.oid)) END,
       NULL::text
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = ANY ($2)
WHERE i.indrelid = ANY ($1) AND $3::bool IS NOT NULL
  AND concat(i.indexprs::text, i.indpred::text) ~ format(':varattno (%s|0) ', a.attnum)
GROUP BY i.indexrelid, i.indrelid, n.nspname, c.relname, k.oid, k.conname
ORDER BY i.indexrelid";

/// Everything beside columns and rows that is in the way of adopting a table.
pub(super) async fn obstacles(client: &Client, old: &Old, plan: &Plan) -> Result<Vec<Obstacle>, Failure> {
    let mut obstacles = of_tree(old);
    // Adoption makes the key that is judged at once, so this need not come back.
    for late in columns::deferrable(client, old.oid, &old.table.key).await? {
        obstacles.push(Obstacle::new(format!("table {}: {}", old.shown, late.fault()), late.drop));
    }
    let oids = old.oids();
    let version: i32 =
        client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
    let parts = if version >= 150_000 { PUBLISHED_PARTS } else { "''" };
    let publications = &PUBLICATIONS.replace("{parts}", parts);
    for sql in [
        VIEWS,
        TIED,
        TRIGGERS,
        RULES,
        FOREIGN_KEYS,
        GENERATED,
        INDEXES,
        publications,
        INHERITANCE,
        ROW_SECURITY,
    ] {
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
fn of_tree(old: &Old) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let foreign: Vec<_> = old.tree.iter().filter(|node| !node.is_ours).collect();
    if let Some(first) = foreign.first() {
        let role = &old.role;
        let owner = quote::ident(role);
        let sql = |path: &str| format!("ALTER TABLE {path} OWNER TO {owner}");
        let what = format!("role {role} does not own table {} and cannot change it", first.shown);
        let obstacle = Obstacle::new(what, sql(&first.path)).runs_as(SUPERUSER);
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
    obstacles
}
