//! Stores of earlier versions are brought forward with their rows, or refused with nothing changed.

use telemetra_connectors::{postgres as pg, sqlite as lite};
use telemetra_engine::{audit::Report, sink::SinkError};

use super::*;

macro_rules! migration {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../telemetra-connectors/src/", $path))
    };
}

/// What a store of an earlier version lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Commerce,
    Logs,
}

/// A store of an earlier version.
trait Before: Store {
    /// One whose tables are those of then, empty.
    fn of_before(lacks: Lacks) -> Self;

    /// Its tables with their columns, quoted; not the one that holds the version.
    fn tables(&self) -> Vec<(String, Vec<String>)>;

    /// Copies rows of a store of today as far as its columns go.
    fn copy(&self, today: &Self);

    /// Brings it forward.
    fn migrate(&self, lacked: Lacks) -> Result<(), SinkError>;

    /// What is in tables, as text in some order that is always the same.
    fn rows(&self, tables: &[(String, Vec<String>)]) -> String {
        let of_table = |(table, columns): &(String, Vec<String>)| {
            let columns: Vec<_> = columns.iter().map(|column| format!("CAST({column} AS text)")).collect();
            let rows = self.text(&format!("SELECT {} FROM {table}", columns.join(", ")));
            let mut lines: Vec<_> = rows.lines().collect();
            lines.sort_unstable();
            format!("{table}\n{}", lines.join("\n"))
        };
        tables.iter().map(of_table).collect::<Vec<_>>().join("\n\n")
    }
}

fn grouped(columns: &str) -> Vec<(String, Vec<String>)> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for (table, column) in columns.lines().filter_map(|line| line.split_once(' ')) {
        match tables.last_mut().filter(|last| last.0 == table) {
            Some(last) => last.1.push(column.to_owned()),
            None => tables.push((table.to_owned(), vec![column.to_owned()])),
        }
    }
    tables
}

impl Before for Pg {
    fn of_before(lacks: Lacks) -> Self {
        let store = Pg::new();
        store.sql(
            "CREATE SCHEMA telemetra;
             CREATE TABLE telemetra.schema_version
                 (version integer NOT NULL PRIMARY KEY, applied_at timestamptz NOT NULL);
             INSERT INTO telemetra.schema_version VALUES (1, now())",
        );
        store.sql(migration!("postgres/migrations/0001_chat.sql"));
        if lacks == Lacks::Logs {
            store.sql(migration!("postgres/migrations/0002_commerce.sql"));
            store.sql("INSERT INTO telemetra.schema_version VALUES (2, now())");
        }
        store
    }

    fn tables(&self) -> Vec<(String, Vec<String>)> {
        grouped(&self.text(
            "SELECT format('%I.%I', table_schema, table_name), quote_ident(column_name)
             FROM information_schema.columns
             JOIN information_schema.tables t USING (table_schema, table_name)
             WHERE table_schema IN ('public', 'telemetra') AND table_name <> 'schema_version'
                 AND table_type = 'BASE TABLE'
             ORDER BY table_schema, table_name, ordinal_position",
        ))
    }

    fn copy(&self, today: &Self) {
        for (table, columns) in self.tables() {
            let columns = columns.join(", ");
            let all = format!("SELECT json_agg(r)::text FROM (SELECT {columns} FROM {table}) r");
            let rows: Option<String> = today.0.client().query_one(&all, &[]).expect("rows").get(0);
            let insert = format!(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
                 SELECT {columns} FROM json_populate_recordset(NULL::{table}, CAST($1::text AS json))"
            );
            self.0.client().execute(&insert, &[&rows]).unwrap_or_else(|error| panic!("{table}: {error:?}"));
        }
    }

    fn migrate(&self, lacked: Lacks) -> Result<(), SinkError> {
        let done = pg::migrate(&self.address(), "UTC")?;
        let before = if lacked == Lacks::Commerce { 1 } else { 2 };
        assert_eq!(done.version_before, before);
        let expected = format!("brought the tables from version {before} to {}", pg::SCHEMA_VERSION);
        assert_eq!(done.lines, [expected]);
        let again = pg::migrate(&self.address(), "UTC").expect("nothing is to be done");
        assert_eq!((again.version_before, again.lines.len()), (pg::SCHEMA_VERSION, 0));
        Ok(())
    }
}

impl Before for Lite {
    fn of_before(lacks: Lacks) -> Self {
        let store = Lite::new();
        store.sql(
            "CREATE TABLE telemetra_schema_version (version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL);
             INSERT INTO telemetra_schema_version VALUES (1, ''), (2, '')",
        );
        store.sql(migration!("sqlite/migrations/0001_chat.sql"));
        store.sql(migration!("sqlite/migrations/0002_moments_batch.sql"));
        if lacks == Lacks::Logs {
            store.sql(migration!("sqlite/migrations/0003_commerce.sql"));
            store.sql("INSERT INTO telemetra_schema_version VALUES (3, '')");
        }
        store
    }

    fn tables(&self) -> Vec<(String, Vec<String>)> {
        grouped(&self.text(
            "SELECT t.name, '\"' || c.name || '\"' FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name <> 'telemetra_schema_version' ORDER BY t.name, c.cid",
        ))
    }

    fn copy(&self, today: &Self) {
        let db = self.connect();
        let path = today.path.to_str().expect("its name is text");
        db.execute("ATTACH $1 AS today", [path]).expect("it is there");
        for (table, columns) in self.tables() {
            let columns = columns.join(", ");
            let insert = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM today.{table}");
            db.execute_batch(&insert).unwrap_or_else(|error| panic!("{table}: {error}"));
        }
    }

    fn migrate(&self, lacked: Lacks) -> Result<(), SinkError> {
        assert_eq!(lite::migrate(&self.path)?, if lacked == Lacks::Commerce { 2 } else { 3 });
        assert_eq!(lite::migrate(&self.path).expect("nothing is to be done"), lite::SCHEMA_VERSION);
        Ok(())
    }
}

fn rows_are_kept_and_their_job_goes_on_with_another_beside_it<S: Before>() {
    let (store, today) = (S::of_before(Lacks::Commerce), S::with_story());
    store.copy(&today);
    match store.open_reader() {
        Err(SinkError::Halt(text)) => assert!(text.contains("run `telemetra migrate`"), "{text}"),
        other => panic!("{other:?}"),
    }
    let tables = store.tables();
    let before = store.rows(&tables);
    assert!(before.contains("a peak") && before.contains("part-00.jsonl"), "the story is there:\n{before}");
    store.migrate(Lacks::Commerce).expect("nothing is in the way");
    assert_eq!(store.rows(&tables), before);
    let [found, expected] = [&store, &today].map(|store| format!("{:#?}", store.take_over().1));
    assert!(found.contains("last_batch: 3"), "{found}");
    assert_eq!(found, expected, "whoever takes the job over finds what was there");
    let mut shop = Shop::on(store);
    assert_eq!(shop.commit("a=1 b=2 a=1 b=3 !"), [2, 1, 1, 0]);
    let reports = shop.store.reader().audit(None).expect("it can be audited");
    assert!(reports.len() == 2 && reports.iter().all(Report::is_balanced), "{reports:#?}");
}

fn both_jobs_go_on_with_their_rows<S: Before>() {
    let mut shop = Shop::on(S::with_story());
    shop.commit("a=1 b=2 a=1 b=3 ! | c=4");
    let (store, today) = (S::of_before(Lacks::Logs), shop.store);
    store.copy(&today);
    let tables = store.tables();
    let before = store.rows(&tables);
    assert!(before.contains("a peak") && before.contains("duplicate_conflict"), "all is there:\n{before}");
    store.migrate(Lacks::Logs).expect("nothing is in the way");
    assert_eq!(store.rows(&tables), before);
    let [found, expected] = [&store, &today].map(|store| format!("{:#?}", store.take_over().1));
    assert_eq!(found, expected, "whoever takes the job over finds what was there");
    let mut sink = store.open_commerce("commerce").expect("the store is there");
    let recovered = sink.take_over(&inputs(), "meaning").expect("nobody holds the job");
    assert_eq!((recovered.last_batch, recovered.positions[0].next, recovered.start_ms), (1, 6, None));
    let reports = store.reader().audit(None).expect("it can be audited");
    assert!(reports.len() == 2 && reports.iter().all(Report::is_balanced), "{reports:#?}");
}

on_both![rows_are_kept_and_their_job_goes_on_with_another_beside_it, both_jobs_go_on_with_their_rows,];

#[test]
fn a_database_in_which_a_name_is_taken_is_left_alone() {
    let check = |sql: &str, words: &str| {
        let store = Pg::of_before(Lacks::Commerce);
        store.sql(sql);
        match store.migrate(Lacks::Commerce) {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.text("SELECT max(version) FROM telemetra.schema_version"), "1");
    };
    check("CREATE TABLE user_events (id serial)", "ALTER TABLE \"public\".\"user_events\" RENAME TO");
    check("CREATE VIEW v_event_summary AS SELECT 1", "ALTER VIEW \"public\".\"v_event_summary\" RENAME TO");
    check("CREATE TABLE telemetra.export (x int)", "telemetra.export");
}

#[test]
fn a_file_in_which_a_name_is_taken_is_left_alone() {
    let check = |sql: &str, words: &str| {
        let store = Lite::of_before(Lacks::Commerce);
        store.sql(sql);
        match store.migrate(Lacks::Commerce) {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.text("SELECT max(version) FROM telemetra_schema_version"), "2");
    };
    check("CREATE TABLE user_events (x)", "already has a table user_events that telemetra did not make");
    check("CREATE TABLE v_top_products (x)", "already has a view v_top_products");
}
