//! Keys that `ON CONFLICT` cannot go by and indexes that cannot follow are named; what clearing the way takes away comes
//! back by the SQL of the refusal, or its text stands there.

use super::{
    old::{self, adopt, count, ensure, sql_of},
    refusals::check_in,
};
use telemetra_services::postgres::Postgres;

/// Spoils the usual tables, clears the way as the refusal says, and gives back the refusal and how many rows of the
/// catalog `back` finds then.
fn check<'a>(spoil: &str, named: impl IntoIterator<Item = &'a str>, back: &str) -> (String, i64) {
    let database = Postgres::shared().create_database();
    let refusal = check_in(&database, &format!("{}; {spoil}", old::usual()), "UTC", named);
    (refusal, count(&mut database.client(), back))
}

#[test]
fn keys_that_are_judged_late() {
    let spoil =
        "ALTER TABLE chat_summary_minute ADD CONSTRAINT late UNIQUE (stream_id, window_start) DEFERRABLE;
        ALTER TABLE moments ADD CONSTRAINT later UNIQUE (timestamp, moment_type, stream_id)
            DEFERRABLE INITIALLY DEFERRED";
    let named = [
        "unique constraint late (stream_id, window_start) is DEFERRABLE",
        "ALTER TABLE chat_summary_minute DROP CONSTRAINT late;",
        "ALTER TABLE moments DROP CONSTRAINT later;",
    ];
    let (_, late) = check(spoil, named, "pg_constraint WHERE condeferrable AND contype = 'u'");
    assert_eq!(late, 0);
}

#[test]
fn a_key_that_is_judged_late_stops_a_run() {
    let database = Postgres::shared().create_database();
    ensure(&database).expect("an empty database");
    let spoil =
        "ALTER TABLE moments ADD CONSTRAINT late UNIQUE (stream_id, moment_type, timestamp) DEFERRABLE";
    database.client().batch_execute(spoil).expect("an administrator may");
    let refusal = ensure(&database).expect_err("no upsert is possible");
    assert!(refusal.contains("unique constraint late") && refusal.contains("DEFERRABLE"), "{refusal}");
}

#[test]
fn indexes_that_compute_with_a_column_that_changes() {
    let spoil = "
        CREATE INDEX by_day ON chat_summary_minute ((window_start::date));
        CREATE INDEX by_hour ON chat_summary_minute (stream_id, (date_trunc('hour', window_start)));
        CREATE INDEX since ON chat_summary_minute (stream_id) WHERE window_start > timestamp '2024-01-01';
        CREATE INDEX harmless ON chat_summary_minute (window_start, lower(stream_id)) WHERE is_anomaly";
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(&format!("{}; {spoil}", old::usual())).expect("the old tables");
    let refusal = adopt(&database, "UTC").expect_err("they cannot follow");
    for named in ["index by_day of table", "index by_hour of table", "index since of table", "\n3. "] {
        assert!(refusal.contains(named), "{named} in {refusal}");
    }
    assert!(refusal.contains("window_start, whose type changes") && !refusal.contains("\n4. "), "{refusal}");
    let (now, afterwards) = sql_of(&refusal);
    assert!(afterwards.contains("CREATE INDEX by_day ON public.chat_summary_minute"), "{afterwards}");
    client.batch_execute(&now).expect("its SQL");
    adopt(&database, "UTC").expect("nothing is in the way");
    assert_eq!(count(&mut client, "pg_class WHERE relname = 'harmless'"), 1);
}

#[test]
fn views_come_back_with_rights_and_comments() {
    let spoil = "
        CREATE VIEW hours AS SELECT stream_id, window_start FROM chat_summary_minute;
        GRANT SELECT ON hours TO PUBLIC; GRANT UPDATE (stream_id) ON hours TO pg_monitor;
        COMMENT ON VIEW hours IS 'it''s of hours'; COMMENT ON COLUMN hours.window_start IS 'its begin'";
    let back = "pg_class c WHERE relname = 'hours' AND relacl::text LIKE '%,=r/%'
        AND obj_description(oid, 'pg_class') = 'it''s of hours' AND col_description(oid, 2) = 'its begin'
        AND has_column_privilege('pg_monitor', oid, 'stream_id', 'UPDATE')";
    assert_eq!(check(spoil, ["view hours reads it"], back).1, 1);
}

#[test]
fn publications_come_back_with_columns_and_rows() {
    let database = Postgres::shared().create_database();
    let version: i32 = database
        .client()
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .expect("a setting")
        .get(0);
    let (limits, back) = if version >= 150_000 {
        (
            "(stream_id, window_start, chat_count) WHERE (chat_count > 3)",
            "pg_publication_tables WHERE pubname = 'changes' AND cardinality(attnames) = 3 AND rowfilter = '(chat_count > 3)'",
        )
    } else {
        ("", "pg_publication_tables WHERE pubname = 'changes'")
    };
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({}) PARTITION BY RANGE (window_start);
         CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT; CREATE TABLE moments ({}); {};
         CREATE PUBLICATION changes FOR TABLE chat_summary_minute {limits} WITH (publish = 'insert', publish_via_partition_root)",
        old::CHAT_COLUMNS,
        old::MOMENT_COLUMNS,
        old::ROWS
    );
    check_in(&database, &sql, "UTC", ["publication changes"]);
    assert_eq!(count(&mut database.client(), back), 1);
}

#[test]
fn what_does_not_come_back_is_shown() {
    let spoil = "
        CREATE POLICY few ON chat_summary_minute FOR SELECT TO PUBLIC USING (chat_count > 5);
        CREATE RULE quiet AS ON INSERT TO moments WHERE NEW.intensity < 0 DO INSTEAD NOTHING;
        ALTER TABLE chat_summary_minute ADD COLUMN twice integer GENERATED ALWAYS AS (chat_count * 2) STORED;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER asleep AFTER UPDATE OF chat_count ON chat_summary_minute FOR EACH ROW EXECUTE FUNCTION touch();
        ALTER TABLE chat_summary_minute DISABLE TRIGGER asleep";
    let back = "pg_trigger, pg_policy WHERE tgname = 'asleep' AND tgenabled = 'D' AND polname = 'few'";
    let (refusal, back) = check(spoil, ["   as the owner of the object or a superuser:"], back);
    for shown in [
        "    -- -- CREATE RULE quiet AS",
        "(new.intensity < (0)::numeric) DO INSTEAD NOTHING",
        "    -- -- GENERATED ALWAYS AS ((chat_count * 2)) STORED;",
        "    -- CREATE POLICY few ON chat_summary_minute AS PERMISSIVE FOR SELECT TO PUBLIC USING ((chat_count > 5));",
    ] {
        assert!(refusal.contains(shown), "{shown}\nin {refusal}");
    }
    assert_eq!(back, 1);
}
