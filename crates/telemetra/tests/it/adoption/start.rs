//! Who makes the tables, and who may.

use std::thread;

use telemetra_connectors::postgres::SCHEMA_VERSION;

use super::old::{self, adopt, ensure, fingerprint, write_beside};
use telemetra_services::postgres::Postgres;

#[test]
fn an_empty_database_is_ready_after_the_first_start() {
    let database = Postgres::shared().create_database();
    assert_eq!(ensure(&database), Ok(255));
    let first = fingerprint(&mut database.client());
    assert_eq!(ensure(&database), Ok(255));
    let done = adopt(&database, "UTC").expect("nothing to do");
    assert_eq!((done.version_before, done.lines.len()), (SCHEMA_VERSION, 0));
    assert_eq!(fingerprint(&mut database.client()), first);
}

#[test]
fn many_at_once_make_the_tables_once() {
    for adopting in [false, true] {
        let database = Postgres::shared().create_database();
        if adopting {
            database.client().batch_execute(&old::usual()).expect("the old tables");
        }
        let made = thread::scope(|scope| {
            let runs: Vec<_> =
                (0..4).map(|_| scope.spawn(|| adopt(&database, "UTC").expect("it is made"))).collect();
            let done = runs.into_iter().map(|run| run.join().expect("no panic"));
            done.filter(|done| done.version_before == 0).count()
        });
        assert_eq!(made, 1);
        assert_eq!(ensure(&database), Ok(if adopting { 100 } else { 255 }));
    }
}

#[test]
fn a_start_never_adopts() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(&old::usual()).expect("the old tables");
    let before = fingerprint(&mut client);
    let refusal = ensure(&database).expect_err("they are in the way");
    assert!(refusal.contains("table chat_summary_minute, table moments"), "{refusal}");
    assert!(refusal.contains("`telemetra migrate`"), "{refusal}");
    assert_eq!(fingerprint(&mut client), before);
    adopt(&database, "UTC").expect("nothing is in the way");
    assert_eq!(ensure(&database), Ok(100));
    write_beside(&mut client);
}

#[test]
fn a_newer_schema_is_left_alone() {
    let database = Postgres::shared().create_database();
    ensure(&database).expect("an empty database");
    let mut client = database.client();
    client.batch_execute("INSERT INTO telemetra.schema_version VALUES (999, now())").expect("a row");
    for refusal in [ensure(&database).expect_err("newer"), adopt(&database, "UTC").expect_err("newer")] {
        assert!(refusal.contains("version 999") && refusal.contains("newer telemetra"), "{refusal}");
    }
}

#[test]
fn changed_columns_are_shown_as_they_are_and_as_they_should_be() {
    let database = Postgres::shared().create_database();
    ensure(&database).expect("an empty database");
    let spoil =
        "ALTER TABLE moments ALTER COLUMN intensity TYPE real; ALTER TABLE late_events DROP COLUMN watermark;
                 ALTER TABLE telemetra.position DROP CONSTRAINT position_pkey; DROP TABLE dead_letters;
                 ALTER TABLE chat_summary_minute ADD COLUMN region text NOT NULL";
    database.client().batch_execute(spoil).expect("an administrator may");
    let refusal = ensure(&database).expect_err("not as it must be");
    for named in [
        "table moments: column intensity is real NOT NULL, expected double precision NOT NULL",
        "table late_events: column watermark is missing, expected timestamp with time zone",
        "table telemetra.\"position\": no unique key (job, input, partition)",
        "table \"dead_letters\" is missing",
        "table chat_summary_minute: column region is none of ours",
    ] {
        assert!(refusal.contains(named), "{named} in {refusal}");
    }
}

#[test]
fn widths_of_stream_ids_are_read() {
    let database = Postgres::shared().create_database();
    ensure(&database).expect("an empty database");
    let mut client = database.client();
    for (types, expected) in [
        (["varchar(80)", "varchar(70)"], 70),
        (["varchar(80)", "text"], 80),
        (["text", "varchar"], 255),
        (["varchar(900)", "varchar(800)"], 255),
    ] {
        for (table, name) in ["chat_summary_minute", "moments"].iter().zip(types) {
            let sql = format!("ALTER TABLE {table} ALTER COLUMN stream_id TYPE {name}");
            client.batch_execute(&sql).expect("a wider or narrower text");
        }
        assert_eq!(ensure(&database), Ok(expected), "{types:?}");
    }
}
