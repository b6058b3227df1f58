//! The schema: what the migrations make, and files that are refused.

use telemetra_engine::sink::SinkError;

use super::*;

#[test]
fn the_migrated_schema_is_the_golden_one() {
    let store = Store::new();
    assert_eq!(migrate(&store.path).unwrap(), 0);
    assert_eq!(migrate(&store.path).unwrap(), SCHEMA_VERSION);
    let db = Connection::open(&store.path).unwrap();
    let tables = migrate::tables(&db).unwrap();
    let lines =
        |columns: &str| columns.split(", ").map(|column| format!("    {column}\n")).collect::<String>();
    let dump: String = tables.iter().map(|(table, columns)| format!("{table}\n{}", lines(columns))).collect();
    assert_eq!(dump, include_str!("schema.golden"));
    // Rewriting an open window must not touch an index: there is none but the key.
    let indexes =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'chat_summary_minute'";
    assert_eq!(store.one::<i64>(indexes), 0);
    assert_eq!(store.one::<String>("PRAGMA journal_mode"), "wal");
}

/// A filled file of version 1.
fn version_1() -> Store {
    let (store, story) = (Store::new(), filled());
    let db = Connection::open(&store.path).unwrap();
    db.execute_batch(&format!("ATTACH '{}' AS story", story.path.display())).unwrap();
    db.execute_batch(migrate::VERSION_TABLE).unwrap();
    db.execute_batch(migrate::MIGRATIONS[0]).unwrap();
    db.execute("INSERT INTO telemetra_schema_version VALUES (1, '2025-01-01T00:00:00.000Z')", []).unwrap();
    for (table, _) in migrate::tables(&db).unwrap() {
        if table != "telemetra_schema_version" {
            let columns = "SELECT group_concat(name, '\",\"') FROM pragma_table_info(?1, 'main')";
            let columns: String = db.query_row(columns, [&table], |row| row.get(0)).unwrap();
            db.execute(&format!("INSERT INTO {table} SELECT \"{columns}\" FROM story.{table}"), []).unwrap();
        }
    }
    store
}

#[test]
fn a_file_of_version_1_is_brought_forward_with_its_rows() {
    let store = version_1();
    // A moment whose window has no final row here is nobody's.
    store.sql(
        "INSERT INTO moments VALUES (7, 'b', '2025-01-01T00:00:10.000Z', 'chat_spike', 'd', 1, '{}', 'x')",
    );
    match open_reader(&store.path) {
        Err(SinkError::Halt(text)) => assert!(text.contains("has version 1, this program needs 4"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(migrate(&store.path).unwrap(), 1);
    assert_eq!(migrate(&store.path).unwrap(), SCHEMA_VERSION);
    assert_eq!(store.text("SELECT stream_id, batch_id FROM moments ORDER BY id"), "a 1\nb NULL");
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    assert_eq!(report.remarks.len(), 1);
    // And it goes on from there.
    let (mut sink, recovered) = store.take_over();
    assert_eq!(recovered.last_batch, 1);
    sink.commit(&batch(2)).unwrap();
    assert!(store.audit().is_balanced());
}

/// Opens a prepared store for writing; the refusal must contain `words` and nothing may have changed.
#[track_caller]
fn refuse(prepare: impl FnOnce(&Store), words: &str) {
    let store = Store::new();
    prepare(&store);
    let refused = |result: Result<usize, SinkError>| match result {
        Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
        other => panic!("{words}: {other:?}"),
    };
    let before = std::fs::read(&store.path).unwrap();
    refused(migrate(&store.path));
    let is_database = before.starts_with(b"SQLite format 3");
    assert!(is_database || before == std::fs::read(&store.path).unwrap(), "{words}: the file was changed");
}

#[test]
fn foreign_and_changed_files_are_refused() {
    let foreign = |store: &Store| std::fs::write(&store.path, "event_id,user_id\n".repeat(1_000)).unwrap();
    refuse(foreign, "it is not a SQLite database");
    refuse(
        |store| store.sql("CREATE TABLE moments (x)"),
        "already has a table moments that telemetra did not make",
    );
    let change = |sql: &'static str| {
        move |store: &Store| {
            migrate(&store.path).unwrap();
            store.sql(sql);
        }
    };
    refuse(change("INSERT INTO telemetra_schema_version VALUES (99, '')"), "has version 99");
    refuse(change("ALTER TABLE moments ADD COLUMN mine TEXT"), "table moments has columns");
    refuse(change("ALTER TABLE chat_summary_minute RENAME COLUMN z_score TO z"), "table chat_summary_minute");
    refuse(change("DROP TABLE late_events"), "the table is missing");
}

#[test]
fn tables_of_others_in_the_file_are_left_alone() {
    let store = Store::new();
    store.sql("CREATE TABLE mine (x); INSERT INTO mine VALUES (7)");
    migrate(&store.path).unwrap();
    assert_eq!(store.one::<i64>("SELECT x FROM mine"), 7);
}

#[test]
fn readers_neither_make_nor_migrate_a_store() {
    let store = Store::new();
    let refused = |words: &str| match open_reader(&store.path) {
        Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    };
    refused("there is no store at");
    assert!(!store.path.exists());
    store.sql("CREATE TABLE mine (x)");
    refused("run `telemetra migrate`");
}

#[test]
fn a_place_without_a_folder_is_no_halt() {
    let store = Store::new();
    let path = store.path.join("missing").join("x.db");
    match migrate(&path) {
        Err(SinkError::NotApplied(text)) => assert!(text.contains("unable to open database file"), "{text}"),
        other => panic!("{other:?}"),
    }
}
