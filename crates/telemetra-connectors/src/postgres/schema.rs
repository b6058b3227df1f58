//! What the tables must look like, read from the migrations themselves: there is no second list of columns.
//!
//! The migrations are our own text and keep to a form that is read line by line: one column or constraint a line,
//! no `;` but at the end of a statement. Tests hold what is read here against a server's catalog.

/// The migrations, version 1 first.
pub(super) const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_chat.sql"),
    include_str!("migrations/0002_commerce.sql"),
    include_str!("migrations/0003_logs.sql"),
];

/// Version of the schema that this program reads and writes.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// The schema that the ledger's tables stand in.
pub(super) const LEDGER: &str = "telemetra";

/// A table of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Whether it is one of the ledger's; the others stand in the first schema of `search_path`.
    pub(super) is_ledger: bool,
    /// Its name, without a schema.
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    /// Columns of the key that rows are told apart by.
    pub(super) key: Vec<&'static str>,
    /// The version that it came with.
    pub(super) version: usize,
}

/// A statement of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The version that it belongs to.
    pub(super) version: usize,
    /// The result table that it makes, or makes an index of: left out where that table was adopted.
    pub(super) of_table: Option<&'static str>,
    pub(super) sql: &'static str,
}

/// A column of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The type as the server spells it: `timestamp with time zone`.
    pub(super) type_name: String,
    pub(super) is_not_null: bool,
}

impl Table {
    /// Whether the old job has a table of this name.
    pub(super) fn is_adoptable(&self) -> bool {
        matches!(self.name, "chat_summary_minute" | "moments" | "user_events")
    }
}

/// All statements of the versions after `version`, in order.
pub(super) fn statements(version: usize) -> impl Iterator<Item = Statement> {
    (1..).zip(MIGRATIONS).skip(version).flat_map(|(version, sql)| {
        let whole = sql.split_inclusive(";\n").filter(|statement| statement.contains(';'));
        whole.map(move |sql| Statement { version, of_table: of_table(sql), sql })
    })
}

fn of_table(sql: &'static str) -> Option<&'static str> {
    let made = code(sql).find_map(|line| line.strip_prefix("CREATE TABLE "));
    let indexed =
        || code(sql).find_map(|line| line.strip_prefix("CREATE INDEX ")?.split_once(" ON ").map(|it| it.1));
    let name = made.or_else(indexed)?.split(' ').next()?;
    (!name.contains('.')).then_some(name)
}

/// Its lines without those that are comments.
fn code(sql: &'static str) -> impl Iterator<Item = &'static str> {
    sql.lines().map(str::trim).filter(|line| !line.starts_with("--"))
}

/// All tables of ours in the order they are made, as the last version has them.
pub(super) fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for statement in statements(0) {
        tables.extend(table(statement));
        let Some((name, added)) = added(statement.sql) else { continue };
        if let Some(table) = tables.iter_mut().find(|table| table.is_ledger && table.name == name) {
            table.columns.extend(added);
        }
    }
    tables
}

/// Names of the views, in the order they are made, with the version that each came with.
pub(super) fn views() -> impl Iterator<Item = (usize, &'static str)> {
    statements(0).filter_map(|statement| {
        let name = code(statement.sql).find_map(|line| line.strip_prefix("CREATE VIEW "))?;
        Some((statement.version, name.split(' ').next()?))
    })
}

/// The ledger's table that a statement adds columns to.
fn added(sql: &'static str) -> Option<(&'static str, Vec<Column>)> {
    let mut lines = code(sql);
    let name = lines.find_map(|line| line.strip_prefix("ALTER TABLE telemetra."))?;
    let columns = lines
        .filter_map(|line| line.strip_prefix("ADD COLUMN "))
        .map(|line| column(line.trim_end_matches(';')));
    Some((name, columns.collect::<Option<_>>()?))
}

fn table(statement: Statement) -> Option<Table> {
    let (name, body) = statement.sql.split_once("CREATE TABLE ")?.1.split_once(" (\n")?;
    let (is_ledger, name) = match name.split_once('.') {
        Some((_, name)) => (true, name),
        None => (false, name),
    };
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    let lines = body.lines().map(str::trim).take_while(|line| !line.starts_with(')'));
    for line in lines.filter(|line| !line.starts_with("--") && !line.starts_with("CHECK (")) {
        let listed = line.strip_prefix("PRIMARY KEY (").or_else(|| line.strip_prefix("UNIQUE ("));
        if let Some((names, _)) = listed.and_then(|listed| listed.split_once(')')) {
            key = names.split(", ").map(unquoted).collect();
            continue;
        }
        let column = column(line)?;
        if line.contains("PRIMARY KEY") {
            key = vec![column.name];
        }
        columns.push(column);
    }
    Some(Table { is_ledger, name, columns, key, version: statement.version })
}

fn column(line: &'static str) -> Option<Column> {
    let (name, rest) = line.trim_end_matches(',').split_once(' ')?;
    let of_type = [" NOT NULL", " PRIMARY KEY", " GENERATED"].iter().filter_map(|word| rest.find(word)).min();
    let type_name = rest[..of_type.unwrap_or(rest.len())].trim();
    let type_name = match type_name.strip_prefix("varchar") {
        Some(width) => format!("character varying{width}"),
        None if type_name == "timestamptz" => "timestamp with time zone".into(),
        None => type_name.into(),
    };
    Some(Column { name: unquoted(name), type_name, is_not_null: of_type.is_some() })
}

fn unquoted(name: &'static str) -> &'static str {
    name.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_read_whole() {
        let tables = tables();
        let made: usize = MIGRATIONS.iter().map(|sql| sql.matches("CREATE TABLE").count()).sum();
        assert_eq!(tables.len(), made);
        // Every statement is run on its own, and nothing of a migration is left out.
        let whole: Vec<_> = statements(0).collect();
        let ends: usize = MIGRATIONS.iter().map(|sql| sql.matches(';').count()).sum();
        assert_eq!(whole.len(), ends);
        assert_eq!(statements(SCHEMA_VERSION).count(), 0);
        let of_results = |sql: &str| sql.contains("CREATE INDEX") && !sql.contains(" ON telemetra.");
        let indexes: Vec<_> = whole.iter().filter(|it| of_results(it.sql)).collect();
        assert!(
            indexes
                .iter()
                .all(|it| it.of_table.is_some_and(|name| it.sql.contains(&format!(" ON {name} ("))))
        );
        assert_eq!(
            views().map(|(_, name)| name).collect::<Vec<_>>()[..2],
            ["v_event_summary", "v_hourly_events"]
        );
        let columns: usize = MIGRATIONS.iter().map(|sql| sql.matches("ADD COLUMN").count()).sum();
        let found = whole.iter().filter_map(|it| added(it.sql)).map(|(_, added)| added.len()).sum::<usize>();
        assert_eq!(found, columns);
        assert!(tables.iter().all(|table| !table.key.is_empty() && !table.columns.is_empty()));
    }

    #[test]
    fn columns_and_keys() {
        let tables = tables();
        let chat = &tables[0];
        assert_eq!((chat.name, chat.is_ledger), ("chat_summary_minute", false));
        assert_eq!(chat.key, ["stream_id", "window_start"]);
        let shown = |at: usize| {
            let Column { name, type_name, is_not_null } = &chat.columns[at];
            format!("{name} {type_name} {is_not_null}")
        };
        assert_eq!(shown(0), "stream_id character varying(255) true");
        assert_eq!(shown(1), "window_start timestamp with time zone true");
        assert_eq!(shown(5), "avg_sentiment double precision false");
        assert_eq!(tables[1].key, ["stream_id", "moment_type", "timestamp"]);
        assert_eq!(tables[1].columns[0].name, "id");
        let events = tables.iter().find(|table| table.name == "user_events").expect("commerce has it");
        assert_eq!((events.key.as_slice(), events.columns.len()), (["event_id"].as_slice(), 13));
        assert_eq!(events.columns[6].type_name, "numeric(10,2)");
        let job = tables.iter().find(|table| table.name == "job").expect("the ledger has it");
        let refused = job.columns.iter().find(|column| column.name == "refused").expect("it was added");
        assert_eq!(
            (refused.name, refused.type_name.as_str(), refused.is_not_null),
            ("refused", "bigint", true)
        );
        assert_eq!((job.is_ledger, job.key.as_slice()), (true, ["job"].as_slice()));
    }
}
