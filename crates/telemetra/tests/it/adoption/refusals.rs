//! All that is in the way of adoption: named with its SQL, nothing changed, and cleared by that SQL.

use super::old::{
    self, CHAT_COLUMNS, MOMENT_COLUMNS, ROWS, adopt, count, ensure, fingerprint, sql_of, write_beside,
};
use telemetra_services::postgres::{Database, Postgres};

use crate::support::Telemetra;

/// Makes the tables by `sql`, expects a refusal that says all of `named` and changes nothing, runs its SQL, adopts, and
/// runs what it says to run afterwards.
pub(super) fn check_in<'a>(
    database: &Database,
    sql: &str,
    zone: &str,
    named: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut client = database.client();
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{error:?} in {sql}"));
    let before = fingerprint(&mut client);
    let refusal = adopt(database, zone).expect_err("it is in the way");
    for named in named {
        assert!(refusal.contains(named), "{named}\nin {refusal}");
    }
    assert_eq!(fingerprint(&mut client), before, "changed by a refusal: {refusal}");
    let (now, afterwards) = sql_of(&refusal);
    client.batch_execute(&now).unwrap_or_else(|error| panic!("{error:?} in {now}"));
    adopt(database, zone).unwrap_or_else(|again| panic!("after\n{refusal}\nstill\n{again}"));
    client.batch_execute(&afterwards).unwrap_or_else(|error| panic!("{error:?} in {afterwards}"));
    ensure(database).expect("the tables are as they must be");
    write_beside(&mut client);
    refusal
}

fn check<'a>(sql: &str, named: impl IntoIterator<Item = &'a str>) {
    check_in(&Postgres::shared().create_database(), sql, "UTC", named);
}

/// The usual tables with something more.
fn spoilt<'a>(spoil: &str, named: impl IntoIterator<Item = &'a str>) {
    check(&format!("{}; {spoil}", old::usual()), named);
}

#[test]
fn rows_that_share_a_key() {
    let database = Postgres::shared().create_database();
    let twice = "
        INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters, processed_at)
        SELECT stream_id, window_start, window_end, 900 + n, 1, processed_at + n * interval '1 hour'
        FROM chat_summary_minute, generate_series(1, 2) n WHERE stream_id = 's2';
        INSERT INTO moments (stream_id, timestamp, moment_type, intensity, detected_at)
        SELECT stream_id, timestamp, moment_type, 9, detected_at FROM moments";
    let sql = format!("{}; {twice}", old::plain(""));
    let named = ["chat_summary_minute has 18 rows for 6 keys", "moments has 2 rows for 1 keys"];
    check_in(&database, &sql, "UTC", named);
    let mut client = database.client();
    // The last by processed_at; where that is the same, the last by id.
    assert_eq!(count(&mut client, "chat_summary_minute WHERE stream_id = 's2' AND chat_count = 902"), 6);
    assert_eq!(count(&mut client, "moments WHERE intensity = 9"), 1);
}

#[test]
fn rows_that_share_a_key_in_the_zone_alone() {
    // On 30 March the clocks of Berlin went from 02:00 to 03:00: both local times are one instant.
    let rows = "
        INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters)
        SELECT 's9', t, t, 1, 1 FROM unnest(ARRAY[timestamp '2025-03-30 02:30', '2025-03-30 03:30']) t";
    let sql = format!("{}; {rows}", old::plain(", PRIMARY KEY (stream_id, window_start)"));
    let database = Postgres::shared().create_database();
    check_in(&database, &sql, "Europe/Berlin", ["2 rows for 1 keys", "AT TIME ZONE 'Europe/Berlin'"]);
}

#[test]
fn rows_without_a_key() {
    let holes = "
        ALTER TABLE chat_summary_minute ALTER COLUMN stream_id DROP NOT NULL, ALTER COLUMN window_start DROP NOT NULL;
        UPDATE chat_summary_minute SET stream_id = NULL WHERE id = 9;
        UPDATE chat_summary_minute SET window_start = NULL WHERE id IN (9, 10)";
    spoilt(holes, ["1 with stream_id NULL, 2 with window_start NULL"]);
}

#[test]
fn views_and_views_above_them() {
    let views = "
        CREATE VIEW \"Last Hour\" WITH (security_barrier=true) AS SELECT stream_id, window_start FROM chat_summary_minute;
        CREATE VIEW above AS SELECT max(window_start) AS latest FROM \"Last Hour\";
        CREATE MATERIALIZED VIEW kept AS SELECT stream_id, avg_viewers, z_score FROM chat_summary_minute;
        CREATE UNIQUE INDEX kept_by ON kept (stream_id, z_score);
        CREATE VIEW spikes AS SELECT timestamp FROM moments;
        CREATE VIEW harmless AS SELECT stream_id FROM chat_summary_minute";
    let database = Postgres::shared().create_database();
    let named = [
        "view above reads it",
        "\"Last Hour\" reads it",
        "materialized view kept reads it",
        "view spikes reads it",
    ];
    check_in(&database, &format!("{}; {views}", old::usual()), "UTC", named);
    // All are back.
    let back = "pg_class WHERE relname IN ('Last Hour', 'above', 'kept', 'kept_by', 'spikes', 'harmless')";
    assert_eq!(count(&mut database.client(), back), 6);
}

#[test]
fn functions_triggers_rules_policies() {
    let mut ties = "
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touched AFTER UPDATE OF chat_count ON chat_summary_minute FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE RULE quiet AS ON INSERT TO moments WHERE NEW.intensity < 0 DO INSTEAD NOTHING;
        CREATE POLICY few ON chat_summary_minute USING (chat_count > 5);
        ALTER TABLE chat_summary_minute ENABLE ROW LEVEL SECURITY;"
        .to_owned();
    let mut named =
        vec!["trigger touched depends on it", "rule quiet on it", "policy few", "row-level security"];
    let database = Postgres::shared().create_database();
    let version: i32 = database
        .client()
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .expect("a setting")
        .get(0);
    if version >= 140_000 {
        ties += "CREATE FUNCTION busiest(floor integer) RETURNS bigint LANGUAGE sql
                 BEGIN ATOMIC SELECT count(*) FROM chat_summary_minute WHERE chat_count > $1; END";
        named.push("function busiest(integer) depends on it");
    }
    check_in(&database, &format!("{}; {ties}", old::usual()), "UTC", named);
}

#[test]
fn what_points_at_it_or_is_computed_from_it() {
    spoilt(
        "CREATE TABLE clips (moment integer REFERENCES moments (id));
         ALTER TABLE chat_summary_minute ADD COLUMN twice integer GENERATED ALWAYS AS (chat_count * 2) STORED",
        ["foreign key clips_moment_fkey of table clips points at it", "column twice"],
    );
}

#[test]
fn partitions_that_leave_no_room_for_the_key() {
    let rename = "ALTER TABLE \"public\".\"chat_summary_minute\" RENAME TO";
    let moved = |by: &str, cause: &str| {
        let sql = format!(
            "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}) PARTITION BY {by};
             CREATE TABLE moments ({MOMENT_COLUMNS}); {ROWS}"
        );
        check(&sql, [cause, rename]);
    };
    let all = "CREATE TABLE rest PARTITION OF chat_summary_minute";
    moved(&format!("LIST (is_anomaly); {all} DEFAULT"), "cannot be made unique");
    moved(&format!("RANGE (date_trunc('day', window_start)); {all} DEFAULT"), "an expression");
    moved(
        &format!("HASH (window_start); {all} FOR VALUES WITH (MODULUS 1, REMAINDER 0)"),
        "other partitions",
    );
    moved(
        &format!(
            "RANGE (window_start); {all} DEFAULT PARTITION BY LIST (stream_id); CREATE TABLE deep PARTITION OF rest DEFAULT"
        ),
        "partitions of partitions",
    );
}

#[test]
fn what_is_in_the_way_of_a_new_parent_alone() {
    let sql = format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}) PARTITION BY RANGE (window_start);
         CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT;
         CREATE TABLE moments ({MOMENT_COLUMNS}); {ROWS};
         CREATE VIEW streams AS SELECT stream_id FROM chat_summary_minute;
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER touched AFTER INSERT ON chat_summary_minute FOR EACH ROW EXECUTE FUNCTION touch();
         CREATE FUNCTION first_of(chat_summary_minute) RETURNS text LANGUAGE sql AS 'SELECT $1.stream_id';
         CREATE PUBLICATION changes FOR TABLE chat_summary_minute"
    );
    check(
        &sql,
        ["view streams", "trigger touched", "function first_of(chat_summary_minute)", "publication changes"],
    );
}

#[test]
fn columns_of_other_types() {
    let other = "
        ALTER TABLE chat_summary_minute ALTER COLUMN window_start TYPE text, ALTER COLUMN z_score TYPE text,
            ALTER COLUMN chat_count TYPE numeric, ALTER COLUMN is_anomaly DROP DEFAULT,
            ALTER COLUMN is_anomaly TYPE integer USING is_anomaly::integer,
            ALTER COLUMN top_emotes TYPE jsonb USING to_jsonb(top_emotes);
        ALTER TABLE moments ALTER COLUMN moment_type TYPE varchar(4) USING 'peak', ALTER COLUMN metadata TYPE text";
    spoilt(
        other,
        [
            "column window_start of table chat_summary_minute is text, expected timestamp with time zone",
            "column z_score of table chat_summary_minute is text, expected double precision",
            "column chat_count of table chat_summary_minute is numeric, expected bigint",
            "column is_anomaly of table chat_summary_minute is integer, expected boolean",
            "column top_emotes of table chat_summary_minute is jsonb, expected text[]",
            "column moment_type of table moments is character varying(4)",
            "column metadata of table moments is text, expected jsonb",
        ],
    );
}

#[test]
fn columns_that_are_missing_or_too_many() {
    let columns = "
        ALTER TABLE chat_summary_minute DROP COLUMN avg_viewers, ADD COLUMN region text NOT NULL DEFAULT 'eu';
        ALTER TABLE chat_summary_minute ALTER COLUMN region DROP DEFAULT, ALTER COLUMN id DROP DEFAULT;
        ALTER TABLE moments DROP COLUMN id";
    spoilt(
        columns,
        [
            "no column avg_viewers (double precision)",
            "column region of table chat_summary_minute has no default",
            "column id of table chat_summary_minute has no default",
            "table moments has no column id",
        ],
    );
    spoilt("ALTER TABLE chat_summary_minute DROP COLUMN window_start", ["give the old table another name"]);
    // Ours, its ledger lost: what is in it belongs to sums that nobody knows any more.
    spoilt("ALTER TABLE chat_summary_minute ADD COLUMN batch_id bigint", ["has a column batch_id already"]);
}

#[test]
fn names_that_others_have() {
    check(
        "CREATE VIEW moments AS SELECT 1 AS one; CREATE TABLE dead_letters (x int); CREATE SEQUENCE late_events;
         CREATE SCHEMA telemetra; CREATE TABLE telemetra.job (x int); CREATE TABLE moments_id_seq (x int);
         INSERT INTO dead_letters VALUES (1); CREATE MATERIALIZED VIEW chat_summary_minute AS SELECT 1 AS one",
        ["materialized view chat_summary_minute", "view moments", "table dead_letters", "sequence late_events", "table telemetra.job"],
    );
}

#[test]
fn a_table_that_another_schema_hides() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    let sql = "CREATE SCHEMA telemetra_admin; SELECT set_config('search_path', 'public', false)";
    client.batch_execute(sql).expect("a schema of the user's own name comes first in search_path");
    client.batch_execute(&old::usual()).expect("the old tables");
    let refusal = adopt(&database, "UTC").expect_err("it would be left behind");
    assert!(refusal.contains("new tables go to another schema"), "{refusal}");
    client.batch_execute(&sql_of(&refusal).0).expect("its SQL");
    adopt(&database, "UTC").expect("nothing is in the way");
    write_beside(&mut database.client());
}

#[test]
fn tables_that_inherit_or_forget() {
    spoilt(
        "CREATE TABLE more () INHERITS (chat_summary_minute); ALTER TABLE moments SET UNLOGGED",
        ["more inherits from chat_summary_minute", "table moments is UNLOGGED"],
    );
    let part = format!(
        "CREATE TABLE all_moments ({MOMENT_COLUMNS}) PARTITION BY LIST (moment_type);
         CREATE TABLE moments PARTITION OF all_moments DEFAULT;
         CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}); {ROWS};"
    );
    check(&part, ["it is a partition of all_moments"]);
}

#[test]
fn texts_that_are_the_same_to_their_collation() {
    spoilt(
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         ALTER TABLE chat_summary_minute ALTER COLUMN stream_id TYPE varchar(90) COLLATE any_case",
        ["takes different texts for the same"],
    );
}

#[test]
fn all_of_it_is_named_at_once() {
    let sql = format!(
        "{}; INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters)
         SELECT stream_id, window_start, window_end, 1, 1 FROM chat_summary_minute;
         CREATE VIEW v AS SELECT window_start FROM chat_summary_minute; CREATE TABLE late_events (x int);
         ALTER TABLE moments DROP COLUMN metadata; CREATE TABLE clips (moment integer REFERENCES moments (id))",
        old::usual()
    );
    check(
        &sql,
        ["\n5. ", "view v", "12 rows", "late_events", "metadata", "clips"]
            .map(|named| if named == "12 rows" { "24 rows for 12 keys" } else { named }),
    );
}

#[test]
fn a_table_that_is_in_use() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(&old::usual()).expect("the old tables");
    client.batch_execute("SET application_name = 'the old job'; BEGIN; TABLE moments").expect("a lock");
    let refusal = adopt(&database, "UTC").expect_err("it is locked");
    assert!(refusal.contains("table moments is in use by process"), "{refusal}");
    assert!(refusal.contains("application the old job") && refusal.contains("stop the old job"), "{refusal}");
    client.batch_execute("COMMIT").expect("the lock is gone");
    adopt(&database, "UTC").expect("nothing is in the way");
}

#[test]
fn zones_that_are_none() {
    let database = Postgres::shared().create_database();
    database.client().batch_execute(&old::usual()).expect("the old tables");
    for zone in ["Europe/Atlantis", "", "UTC+2", "CEST", "x'; DROP TABLE moments; --"] {
        let refusal = adopt(&database, zone).expect_err("no such zone");
        assert!(refusal.contains("no time zone") && refusal.contains("Europe/Berlin"), "{refusal}");
    }
    let wrong = ["migrate", "--store", &database.address(), "--adopt-timezone", "Europe/Atlantis"];
    let told = Telemetra::new().run(&wrong).expect_code(2);
    assert!(told.contains("pg_timezone_names"), "{told}");
}

#[test]
fn what_nobody_foresaw_rolls_back_and_names_the_statement() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    // Rows of the table's type inside of another table: PostgreSQL refuses to change such a type.
    let sql = format!("{}; CREATE TABLE archive (row_of moments)", old::usual());
    client.batch_execute(&sql).expect("the old tables");
    let before = fingerprint(&mut client);
    let refusal = adopt(&database, "UTC").expect_err("PostgreSQL refuses");
    assert!(
        refusal.contains("nothing was changed") && refusal.contains("ALTER TABLE \"public\".\"moments\""),
        "{refusal}"
    );
    assert_eq!(fingerprint(&mut client), before);
}
