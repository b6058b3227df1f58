//! What the catalog says about an old table: columns, sequences, partitions. Judges nothing.

use tokio_postgres::Client;

use super::{Taken, rename_away};
use crate::postgres::{columns, failure::Failure, quote, schema::Table};

/// A table that the old job made.
#[derive(Clone, Debug)]
pub(super) struct Old {
    /// What it is to become.
    pub(super) table: Table,
    pub(super) oid: u32,
    pub(super) schema: String,
    /// Schema and name for SQL.
    pub(super) path: String,
    /// As people write it.
    pub(super) shown: String,
    pub(super) columns: Vec<OldColumn>,
    /// The table itself, then its partitions of every level, parents first.
    pub(super) tree: Vec<Node>,
    /// Whether its rows can be read by this role.
    pub(super) is_readable: bool,
    /// The role that migrates.
    pub(super) role: String,
}

/// A column of it.
#[derive(Clone, Debug)]
pub(super) struct OldColumn {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) is_not_null: bool,
    pub(super) has_default: bool,
    pub(super) is_generated: bool,
    /// Whether texts that differ are different: not so under some collations.
    pub(super) is_exact: bool,
    pub(super) is_in_primary_key: bool,
    /// The sequence that it takes its values from.
    pub(super) sequence: Option<Sequence>,
}

/// A sequence behind a column.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// Schema and name for SQL.
    pub(super) path: String,
    pub(super) is_bigint: bool,
    pub(super) is_identity: bool,
    /// Whether it goes when the column goes.
    pub(super) is_column_owned: bool,
    /// Whether this role may change it.
    pub(super) is_ours: bool,
}

/// The table, or one of its partitions.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) oid: u32,
    pub(super) path: String,
    pub(super) shown: String,
    pub(super) kind: String,
    pub(super) is_unlogged: bool,
    /// Whether this role may change it.
    pub(super) is_ours: bool,
    pub(super) has_fillfactor: bool,
    /// Path of the parent; `None` for the table itself.
    pub(super) parent: Option<String>,
    /// Its bounds as a partition, in SQL.
    pub(super) bounds: Option<String>,
    /// How it is partitioned itself: `l`, `r`, `h`; empty if it is not.
    pub(super) strategy: String,
    /// Columns that it is partitioned by; NULL stands for an expression.
    pub(super) partitioned_by: Vec<Option<String>>,
}

impl Old {
    /// Reads what the catalog holds about a table.
    pub(super) async fn look(client: &Client, table: Table, taken: &Taken) -> Result<Self, Failure> {
        let sql = "SELECT has_table_privilege($1::oid, 'SELECT'), current_user::text";
        let row = client.query_one(sql, &[&taken.oid]).await?;
        let shown = taken.shown.trim_start_matches("table ").to_owned();
        Ok(Self {
            table,
            oid: taken.oid,
            path: quote::path(&taken.schema, &taken.name),
            schema: taken.schema.clone(),
            shown,
            columns: old_columns(client, taken.oid).await?,
            tree: tree(client, taken.oid).await?,
            is_readable: row.get(0),
            role: row.get(1),
        })
    }

    /// The relations that hold rows.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &Node> {
        self.tree.iter().filter(|node| node.kind != "p")
    }

    pub(super) fn oids(&self) -> Vec<u32> {
        self.tree.iter().map(|node| node.oid).collect()
    }

    pub(super) fn column(&self, name: &str) -> Option<&OldColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// SQL that gives the old table another name, so that a new one can be made.
    pub(super) fn rename_away(&self) -> String {
        rename_away("r", &self.schema, self.table.name)
    }
}

async fn old_columns(client: &Client, oid: u32) -> Result<Vec<OldColumn>, Failure> {
    let sql = "SELECT a.attname, a.attgenerated <> '', coalesce(l.collisdeterministic, true),
                      EXISTS (SELECT FROM pg_index i
                              WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
                      s.seq, s.is_bigint, a.attidentity <> '', s.is_column_owned, s.is_ours
               FROM pg_attribute a
               LEFT JOIN pg_collation l ON l.oid = a.attcollation
               LEFT JOIN LATERAL (
                   SELECT format('%I.%I', n.nspname, c.relname) AS seq, q.seqtypid = 'int8'::regtype AS is_bigint,
                          bool_or(d.is_column_owned) AS is_column_owned, pg_has_role(c.relowner, 'USAGE') AS is_ours
                   FROM (SELECT objid AS seq, true AS is_column_owned FROM pg_depend
                         WHERE refclassid = 'pg_class'::regclass AND classid = 'pg_class'::regclass
                           AND refobjid = a.attrelid AND refobjsubid = a.attnum AND deptype IN ('a', 'i')
                         UNION ALL
                         SELECT p.refobjid, false FROM pg_attrdef f
                         JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = f.oid
                                         AND p.refclassid = 'pg_class'::regclass
                         WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) d
                   JOIN pg_sequence q ON q.seqrelid = d.seq
                   JOIN pg_class c ON c.oid = d.seq JOIN pg_namespace n ON n.oid = c.relnamespace
                   GROUP BY 1, 2, 4 LIMIT 1) s ON true
               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = client.query(sql, &[&oid]).await?;
    let held = columns::held(client, &[oid]).await?.remove(&oid).unwrap_or_default();
    let column = |(row, held): (&tokio_postgres::Row, columns::Held)| OldColumn {
        name: held.name,
        type_name: held.type_name,
        is_not_null: held.is_not_null,
        has_default: held.has_default,
        is_generated: row.get(1),
        is_exact: row.get(2),
        is_in_primary_key: row.get(3),
        sequence: row.get::<_, Option<String>>(4).map(|path| Sequence {
            path,
            is_bigint: row.get(5),
            is_identity: row.get(6),
            is_column_owned: row.get(7),
            is_ours: row.get(8),
        }),
    };
    Ok(rows.iter().zip(held).map(column).collect())
}

async fn tree(client: &Client, oid: u32) -> Result<Vec<Node>, Failure> {
    let sql = "WITH RECURSIVE tree AS (
                   SELECT $1::oid AS oid, NULL::oid AS parent, 0 AS level
                   UNION ALL
                   SELECT i.inhrelid, i.inhparent, level + 1
                   FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
                   JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
               SELECT t.oid, format('%I.%I', n.nspname, c.relname), c.oid::regclass::text, c.relkind::text,
                      c.relpersistence = 'u', pg_has_role(c.relowner, 'USAGE'),
                      coalesce(array_to_string(c.reloptions, ',') LIKE '%fillfactor=%', false),
                      (SELECT format('%I.%I', m.nspname, p.relname) FROM pg_class p
                       JOIN pg_namespace m ON m.oid = p.relnamespace WHERE p.oid = t.parent),
                      CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
                      coalesce(k.partstrat::text, ''),
                      ARRAY(SELECT a.attname::text FROM unnest(k.partattrs) WITH ORDINALITY u (attnum, place)
                            LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.attnum AND u.attnum > 0
                            ORDER BY u.place)
               FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_partitioned_table k ON k.partrelid = t.oid
               ORDER BY t.level, c.oid";
    let rows = client.query(sql, &[&oid]).await?;
    let node = |row: &tokio_postgres::Row| Node {
        oid: row.get(0),
        path: row.get(1),
        shown: row.get(2),
        kind: row.get(3),
        is_unlogged: row.get(4),
        is_ours: row.get(5),
        has_fillfactor: row.get(6),
        parent: row.get(7),
        bounds: row.get(8),
        strategy: row.get(9),
        partitioned_by: row.get(10),
    };
    Ok(rows.iter().map(node).collect())
}
