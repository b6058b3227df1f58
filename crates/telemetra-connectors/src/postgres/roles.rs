//! Least-privilege roles, as SQL for the database's administrator.
//!
//! The text can be run before the tables are made and after, and again at any time. It knows no password.

use super::{
    quote::{ident, literal},
    schema::{LEDGER, tables, views},
};

/// SQL that makes the roles `telemetra_migrate`, `telemetra_ingest` and `telemetra_read` for a database whose result
/// tables stand in `schema`.
pub fn roles_sql(schema: &str, database: &str) -> String {
    let results: Vec<_> =
        tables().iter().filter(|table| !table.is_ledger).map(|table| literal(table.name)).collect();
    let ledger: Vec<_> =
        tables().iter().filter(|table| table.is_ledger).map(|table| literal(table.name)).collect();
    let views: Vec<_> = views().map(|(_, name)| literal(name)).collect();
    let words = [
        ("{schema}", ident(schema)),
        ("{schema_text}", literal(schema)),
        ("{database}", ident(database)),
        ("{ledger}", ident(LEDGER)),
        ("{ledger_text}", literal(LEDGER)),
        ("{results}", results.join(", ")),
        ("{views}", views.join(", ")),
        ("{ledger_tables}", ledger.join(", ")),
    ];
    let mut sql = String::with_capacity(TEMPLATE.len() * 2);
    let mut rest = TEMPLATE;
    // One pass, so that a name which looks like a placeholder stays a name.
    while let Some(at) = rest.find('{') {
        sql.push_str(&rest[..at]);
        rest = &rest[at..];
        match words.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, value)) => {
                sql.push_str(value);
                rest = &rest[word.len()..];
            }
            None => {
                sql.push('{');
                rest = &rest[1..];
            }
        }
    }
    sql + rest
}

const TEMPLATE: &str = include_str!("roles.sql");
