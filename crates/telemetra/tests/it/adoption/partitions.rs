//! Partitioned tables: changed in place where they can be, with a new parent where the key column changes its type.

use super::old::{CHAT_COLUMNS, MOMENT_COLUMNS, ROWS, adopt, count, write_beside};
use telemetra_services::postgres::{Database, Postgres};

fn partitioned(chat: &str) -> Database<'static> {
    let database = Postgres::shared().create_database();
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}) {chat};
         CREATE TABLE moments ({MOMENT_COLUMNS}); {ROWS}"
    );
    database.client().batch_execute(&sql).expect("the old tables");
    database
}

fn check(chat: &str, zone: &str, parts: &[(&str, i64)]) {
    let database = partitioned(chat);
    let mut client = database.client();
    adopt(&database, zone).expect("nothing is in the way");
    assert_eq!(count(&mut client, "chat_summary_minute WHERE batch_id IS NULL AND NOT is_final"), 12);
    for (part, rows) in parts {
        assert_eq!(count(&mut client, part), *rows, "{part}");
        let options =
            format!("pg_class WHERE oid = '{part}'::regclass AND 'fillfactor=70' = ANY (reloptions)");
        assert_eq!(count(&mut client, &options), 1, "{part}");
    }
    if zone == "UTC" {
        write_beside(&mut client);
        assert_eq!(count(&mut client, "chat_summary_minute"), 13);
    }
}

#[test]
fn by_stream() {
    let list = "PARTITION BY LIST (stream_id);
                CREATE TABLE one PARTITION OF chat_summary_minute FOR VALUES IN ('s1');
                CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT";
    check(list, "UTC", &[("one", 6), ("rest", 6)]);
    let hash = "PARTITION BY HASH (stream_id);
                CREATE TABLE even PARTITION OF chat_summary_minute FOR VALUES WITH (MODULUS 1, REMAINDER 0)";
    check(hash, "UTC", &[("even", 12)]);
}

const BY_TIME: &str = "PARTITION BY RANGE (window_start);
    CREATE TABLE early PARTITION OF chat_summary_minute FOR VALUES FROM (MINVALUE) TO ('2025-03-01 12:00:00');
    CREATE TABLE \"Day 2\" PARTITION OF chat_summary_minute
        FOR VALUES FROM ('2025-03-01 12:00:00') TO ('2025-03-02');
    CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT";

#[test]
fn by_time() {
    check(BY_TIME, "UTC", &[("early", 10), ("\"Day 2\"", 2), ("rest", 0)]);
    // The bounds move with the rows.
    check(BY_TIME, "America/New_York", &[("early", 10), ("\"Day 2\"", 2), ("rest", 0)]);
    let by_both = "PARTITION BY RANGE (stream_id, window_start);
        CREATE TABLE low PARTITION OF chat_summary_minute FOR VALUES FROM (MINVALUE, MINVALUE) TO ('s2', '2025-03-01 12:00');
        CREATE TABLE high PARTITION OF chat_summary_minute FOR VALUES FROM ('s2', '2025-03-01 12:00') TO (MAXVALUE, MAXVALUE)";
    check(by_both, "UTC", &[("low", 11), ("high", 1)]);
}

#[test]
fn a_new_parent_is_the_old_one_to_everybody() {
    let server = Postgres::shared();
    server
        .client()
        .batch_execute(
            "DO $$ BEGIN CREATE ROLE parent_reader; EXCEPTION WHEN duplicate_object THEN END $$;
             DO $$ BEGIN CREATE ROLE parent_owner; EXCEPTION WHEN duplicate_object THEN END $$",
        )
        .expect("roles");
    let database = partitioned(BY_TIME);
    let mut client = database.client();
    let dress = "
        ALTER TABLE chat_summary_minute ADD COLUMN region text NOT NULL DEFAULT 'eu', ADD CHECK (chat_count >= 0);
        CREATE INDEX by_region ON chat_summary_minute (region, window_start DESC);
        COMMENT ON TABLE chat_summary_minute IS 'it''s ours'; COMMENT ON COLUMN chat_summary_minute.region IS 'where';
        GRANT USAGE, CREATE ON SCHEMA public TO parent_owner;
        ALTER TABLE chat_summary_minute OWNER TO parent_owner;
        GRANT SELECT ON chat_summary_minute TO parent_reader WITH GRANT OPTION;
        GRANT UPDATE (region) ON chat_summary_minute TO parent_reader;
        ALTER TABLE chat_summary_minute ADD PRIMARY KEY (id, window_start)";
    client.batch_execute(dress).expect("an administrator may");
    let shown = "
        SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
            SELECT format('%s %s %s', pg_get_userbyid(relowner),
                          (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) a),
                          obj_description(oid, 'pg_class')) AS line
            FROM pg_class WHERE oid = 'chat_summary_minute'::regclass
            UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = 'chat_summary_minute' AND indexname <> $1
            UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = 'chat_summary_minute'::regclass AND conname <> $1 AND contype <> 'n'
            UNION ALL SELECT format('%s %s %s', attname, attacl, col_description(attrelid, attnum)) FROM pg_attribute
            WHERE attrelid = 'chat_summary_minute'::regclass AND attname IN ('region', 'stream_id')
            UNION ALL SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'chat_summary_minute'::regclass
            UNION ALL SELECT pg_get_serial_sequence('chat_summary_minute', 'id')) lines";
    let key = "chat_summary_minute_stream_id_window_start_key";
    let show = |client: &mut postgres::Client| -> String {
        client.query_one(shown, &[&key]).expect("the catalog is readable").get(0)
    };
    let before = show(&mut client);
    assert!(before.contains("by_region") && before.contains("parent_reader=r*"), "{before}");
    adopt(&database, "UTC").expect("nothing is in the way");
    assert_eq!(show(&mut client), before);
    // Indexes of the parent reach its partitions, and those of later ones.
    assert_eq!(count(&mut client, "pg_index WHERE indrelid = 'early'::regclass AND indisvalid"), 3);
    assert_eq!(count(&mut client, "pg_class WHERE relname LIKE '%telemetra_adopting%'"), 0);
    write_beside(&mut client);
    assert_eq!(count(&mut client, "chat_summary_minute WHERE region = 'eu' AND id > 12"), 1);
}

#[test]
fn identities_count_on() {
    identities(BY_TIME);
    identities("PARTITION BY LIST (stream_id); CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT");
}

fn identities(cut: &str) {
    let chat = CHAT_COLUMNS.replace("id serial", "id integer GENERATED BY DEFAULT AS IDENTITY");
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({chat}) {cut};
         CREATE TABLE moments ({MOMENT_COLUMNS}) PARTITION BY RANGE (timestamp);
         CREATE TABLE m PARTITION OF moments FOR VALUES FROM ('2025-01-01') TO ('2026-01-01'); {ROWS}"
    );
    client.batch_execute(&sql).expect("the old tables");
    adopt(&database, "UTC").expect("nothing is in the way");
    write_beside(&mut client);
    assert_eq!(count(&mut client, "chat_summary_minute WHERE id IN (13, 14)"), 1);
    assert_eq!(count(&mut client, "m"), 2);
}
