//! What the tables must look like, read from the migrations themselves: there is no second list of columns.
//!
//! The migrations are our own text and keep to a form that is read line by line: one column or constraint a line,
//! no `;` but at the end of a statement. Tests hold what is read here against a server's catalog.

/// The migrations, version 1 first.
pub(super) const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_chat.sql")];

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
    /// The statement that makes it.
    pub(super) create: &'static str,
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
        matches!(self.name, "chat_summary_minute" | "moments")
    }
}

/// All tables of ours in the order they are made.
pub(super) fn tables() -> Vec<Table> {
    MIGRATIONS.iter().flat_map(|sql| sql.split_inclusive(";\n")).filter_map(table).collect()
}

fn table(statement: &'static str) -> Option<Table> {
    let (name, body) = statement.split_once("CREATE TABLE ")?.1.split_once(" (\n")?;
    let (is_ledger, name) = match name.split_once('.') {
        Some((_, name)) => (true, name),
        None => (false, name),
    };
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    let lines = body.lines().map(str::trim).take_while(|line| !line.starts_with(')'));
    for line in lines.filter(|line| !line.starts_with("--")) {
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
    Some(Table { is_ledger, name, columns, key, create: statement })
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
        // Only tables are made: nothing of a migration is left out when its statements run one by one.
        let statements: usize = MIGRATIONS.iter().map(|sql| sql.matches(';').count()).sum();
        assert_eq!(statements, made);
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
        let job = tables.iter().find(|table| table.name == "job").expect("the ledger has it");
        assert_eq!((job.is_ledger, job.key.as_slice()), (true, ["job"].as_slice()));
    }
}
