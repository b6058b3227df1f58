//! Every value is what it was: instants as instants, numbers exactly.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::old::{self, CHAT_COLUMNS, MOMENT_COLUMNS, adopt, count, write_beside};
use telemetra_services::postgres::Postgres;

/// Adopts in `zone` many rows of random values and holds them against a copy that was made before.
fn check(zone: &str, seed: u64) {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    let tables = format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}, note text DEFAULT 'mine');
         CREATE TABLE moments ({MOMENT_COLUMNS});"
    );
    client.batch_execute(&tables).expect("the old tables");
    let mut random = StdRng::seed_from_u64(seed);
    for at in 0..300 {
        // A year of local times, the days on which clocks are changed among them.
        let seconds = random.random_range(0..31_536_000) * 10;
        let chat = format!(
            "INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters,
                 avg_sentiment, positive_count, chat_rate, avg_viewers, top_emotes, z_score, is_anomaly, processed_at)
             SELECT 's{at}', t, t + interval '1 minute', {}, {}, {}, {}, {:.2}, {:.2}, ARRAY['a', NULL, 'ü'], {}, {}, t
             FROM (SELECT timestamp '2025-01-01' + {seconds} * interval '0.123457 second' AS t) x",
            random.random_range(0..i32::MAX),
            random.random_range(0..9),
            if random.random_bool(0.2) { "NULL".into() } else { format!("{:.3}", random.random_range(-1.0..1.0)) },
            if random.random_bool(0.2) { "NULL" } else { "7" },
            random.random_range(0.0..99_999_999.0),
            random.random_range(0.0..99_999_999.0),
            random.random_range(-9.0_f32..9.0),
            random.random_bool(0.5),
        );
        client.batch_execute(&chat).expect("an old row");
        let moment = format!(
            "INSERT INTO moments (stream_id, timestamp, moment_type, intensity, metadata)
             VALUES ('s{at}', timestamp '2025-01-01' + {seconds} * interval '0.1 second', 'raid', {:.2}, '{{\"z\": 1.50}}')",
            random.random_range(0.0..99_999_999.0)
        );
        client.batch_execute(&moment).expect("an old row");
    }
    let keep = "CREATE TABLE kept AS SELECT * FROM chat_summary_minute; CREATE TABLE kept_moments AS SELECT * FROM moments";
    client.batch_execute(keep).expect("a copy");

    let done = adopt(&database, zone).expect("nothing is in the way");
    assert!(
        done.lines[0].contains(&format!("300 rows kept, instants without a zone taken as {zone}")),
        "{done:?}"
    );
    let same = format!(
        "chat_summary_minute n JOIN kept k USING (id) WHERE n.stream_id = k.stream_id
             AND n.window_start = k.window_start AT TIME ZONE '{zone}'
             AND n.window_end = k.window_end AT TIME ZONE '{zone}'
             AND n.processed_at = k.processed_at AT TIME ZONE '{zone}'
             AND n.chat_count = k.chat_count AND n.unique_chatters = k.unique_chatters
             AND n.avg_sentiment::numeric IS NOT DISTINCT FROM k.avg_sentiment
             AND n.positive_count IS NOT DISTINCT FROM k.positive_count AND n.negative_count = k.negative_count
             AND n.chat_rate::numeric = k.chat_rate AND n.avg_viewers::numeric = k.avg_viewers
             AND n.z_score = k.z_score::double precision AND n.top_emotes = k.top_emotes
             AND n.is_anomaly = k.is_anomaly AND n.note = 'mine'
             AND NOT n.is_final AND NOT n.incomplete AND n.revision = 0 AND n.batch_id IS NULL
             AND n.emote_counts IS NULL"
    );
    assert_eq!(count(&mut client, &same), 300);
    let same = format!(
        "moments n JOIN kept_moments k USING (id, stream_id, moment_type) WHERE n.description IS NULL
             AND n.timestamp = k.timestamp AT TIME ZONE '{zone}'
             AND n.detected_at = k.detected_at AT TIME ZONE '{zone}'
             AND n.intensity::numeric = k.intensity AND n.metadata = k.metadata AND n.batch_id IS NULL"
    );
    assert_eq!(count(&mut client, &same), 300);
    // A column with NULLs stays as it is; one without becomes ours.
    let null = "SELECT is_nullable FROM information_schema.columns
                WHERE table_name = 'chat_summary_minute' AND column_name = $1";
    let nullable = |name: &str| client.query_one(null, &[&name]).expect("a column").get::<_, String>(0);
    let nullable = ["positive_count", "negative_count", "avg_viewers"].map(nullable);
    assert_eq!(nullable, ["YES", "NO", "YES"]);
    assert!(done.lines.iter().any(|line| line.contains("column positive_count")), "{done:?}");
    write_beside(&mut client);
}

#[test]
fn values_are_kept_in_utc() {
    check("UTC", 1);
}

#[test]
fn values_are_kept_in_a_zone_that_changes_its_clocks() {
    check("Europe/Berlin", 2);
}

#[test]
fn an_instant_means_what_the_zone_says() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(&old::usual()).expect("the old tables");
    adopt(&database, "europe/berlin").expect("a zone is known however it is written");
    assert_eq!(count(&mut client, "chat_summary_minute WHERE window_start = '2025-03-01 11:00:00Z'"), 2);
}

#[test]
fn sequences_go_beyond_an_integer() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(&old::usual()).expect("the old tables");
    adopt(&database, "UTC").expect("nothing is in the way");
    client
        .batch_execute(
            "SELECT setval('chat_summary_minute_id_seq', 3000000000), setval('moments_id_seq', 3000000000)",
        )
        .expect("a bigint");
    write_beside(&mut client);
    assert_eq!(count(&mut client, "chat_summary_minute WHERE id > 3000000000"), 1);
    assert_eq!(count(&mut client, "moments WHERE id = 3000000001"), 1);
    // The old job may go on until it is stopped, its key permitting.
    let old_job =
        "INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters)
                   VALUES ('old', '2025-03-01', '2025-03-01', 1, 1)";
    client.execute(old_job, &[]).expect("chat_rate, which it leaves out, has a default now");
    assert_eq!(count(&mut client, "chat_summary_minute WHERE stream_id = 'old' AND chat_rate = 0"), 1);
}

#[test]
fn what_is_costly_or_may_refuse_is_named() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    let spoil = "
        CREATE INDEX by_anomaly ON chat_summary_minute (stream_id) WHERE is_anomaly;
        CREATE INDEX by_score ON chat_summary_minute (z_score); CREATE INDEX by_time ON chat_summary_minute (window_start);
        ALTER TABLE chat_summary_minute ADD CONSTRAINT positive CHECK (chat_count >= 0),
            ADD CONSTRAINT recent CHECK (window_start::date > '2020-01-01'), ADD CHECK (window_end >= window_start);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER told BEFORE INSERT ON moments FOR EACH ROW EXECUTE FUNCTION f()";
    client.batch_execute(&format!("{}; {spoil}", old::usual())).expect("the old tables");
    let done = adopt(&database, "UTC").expect("nothing is in the way");
    let text = done.lines.join("\n");
    for named in [
        "index by_anomaly on stream_id where is_anomaly makes",
        "DROP INDEX by_anomaly",
        "by_score on z_score",
        "constraint positive",
        "CHECK (((window_start)::date > '2020-01-01'::date)); it reads instants by the time zone of the session",
        "trigger told",
    ] {
        assert!(text.contains(named), "{named} in {text}");
    }
    assert_eq!(text.matches("it reads instants").count(), 1, "{text}");
    assert!(!text.contains("by_time") && !text.contains("pkey"), "{text}");
    write_beside(&mut client);
}
