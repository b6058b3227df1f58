//! The tables as the old job made them, and what is done to them: spoilt, looked at, adopted, written beside.

use ::postgres::Client;
use telemetra_connectors::postgres::{self, Address, Migrated, PostgresSink};
use telemetra_core::window::WindowSpec;
use telemetra_engine::sink::SinkError;

use telemetra_services::postgres::Database;

/// Columns of the old job's windows.
pub(super) const CHAT_COLUMNS: &str = "
    id serial, stream_id varchar(100) NOT NULL, window_start timestamp NOT NULL, window_end timestamp NOT NULL,
    chat_count integer NOT NULL, unique_chatters integer NOT NULL, avg_sentiment numeric(5,3),
    positive_count integer DEFAULT 0, negative_count integer DEFAULT 0, chat_rate numeric(10,2),
    avg_viewers numeric(10,2) NOT NULL DEFAULT 0, top_emotes text[], z_score real, is_anomaly boolean DEFAULT false,
    processed_at timestamp DEFAULT CURRENT_TIMESTAMP";

/// Columns of the old job's moments.
pub(super) const MOMENT_COLUMNS: &str = "
    id serial, stream_id varchar(120) NOT NULL, timestamp timestamp NOT NULL, moment_type varchar(50) NOT NULL,
    description varchar(500), intensity numeric(10,2), metadata jsonb, detected_at timestamp DEFAULT CURRENT_TIMESTAMP";

/// Rows of two streams, six windows each, and a moment.
pub(super) const ROWS: &str = "
    INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment,
        positive_count, negative_count, chat_rate, avg_viewers, top_emotes, z_score, is_anomaly, processed_at)
    SELECT 's' || s, t, t + interval '1 minute', 10 * s + n, 3, 0.125 * n, 2, 1, 0.17, 100.25, ARRAY['Kappa', 'LUL'],
           0.1 * n, n = 6, t + interval '2 minutes'
    FROM generate_series(1, 2) s, generate_series(1, 6) n,
         LATERAL (SELECT timestamp '2025-03-01 11:59:00' + n * interval '10 seconds' AS t) x;
    INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata)
    VALUES ('s1', '2025-03-01 12:00:00', 'chat_spike', 'x', 0.27, '{\"z_score\": 0.6}')";

/// Both tables, plain, with rows. `key` is the key of the windows, in SQL.
pub(super) fn plain(key: &str) -> String {
    format!(
        "CREATE TABLE chat_summary_minute ({CHAT_COLUMNS}{key});
         CREATE TABLE moments ({MOMENT_COLUMNS}, PRIMARY KEY (id)); {ROWS}"
    )
}

/// As most old jobs have it: a key on `id` alone.
pub(super) fn usual() -> String {
    plain(", PRIMARY KEY (id)")
}

pub(super) fn address(database: &Database) -> Address {
    Address::parse(&database.address()).expect("the harness writes addresses that are read")
}

pub(super) fn adopt(database: &Database, zone: &str) -> Result<Migrated, String> {
    refused(postgres::migrate(&address(database), zone))
}

/// What `run` does before all else; returns the longest stream id that the tables hold.
pub(super) fn ensure_at(address: &Address) -> Result<usize, String> {
    let window = WindowSpec::new(60_000, 10_000).expect("a multiple of the slide");
    refused(PostgresSink::open(address, "chat", window)).map(|sink| sink.stream_chars_max())
}

pub(super) fn ensure(database: &Database) -> Result<usize, String> {
    ensure_at(&address(database))
}

pub(super) fn refused<T>(done: Result<T, SinkError>) -> Result<T, String> {
    done.map_err(|error| match error {
        SinkError::Halt(text) => text,
        other => panic!("not a refusal: {other}"),
    })
}

/// The SQL of a refusal: what clears the way now, and what brings back afterwards.
pub(super) fn sql_of(refusal: &str) -> (String, String) {
    let lines = refusal.lines().filter_map(|line| line.strip_prefix("    "));
    let (afterwards, now): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("--"));
    let afterwards: Vec<_> = afterwards.iter().map(|line| line.strip_prefix("-- ").unwrap_or(line)).collect();
    (now.join("\n"), afterwards.join("\n"))
}

/// Everything that the catalog shows of a database, and a hash of all rows.
pub(super) fn fingerprint(client: &mut Client) -> String {
    let sql = "
    SELECT format('relation %s.%s %s %s %s %s', nspname, relname, relkind, pg_get_userbyid(relowner), relacl, reloptions)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_|^information_schema'
    UNION ALL SELECT format('column %s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
                            attnotnull, attnum, (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
                                                 WHERE adrelid = attrelid AND adnum = attnum))
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname !~ '^pg_|^information_schema' AND attnum > 0
    UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid <> 0
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname !~ '^pg_'
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
    UNION ALL SELECT format('partition %s of %s', inhrelid::regclass, inhparent::regclass) FROM pg_inherits
    ORDER BY 1";
    let rows = client.query(sql, &[]).expect("the catalog is readable");
    let mut text: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let sql = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
               WHERE nspname !~ '^pg_|^information_schema' AND relkind = 'r' ORDER BY 1";
    for row in client.query(sql, &[]).expect("the catalog is readable") {
        let table: String = row.get(0);
        let sql = format!(
            "SELECT count(*)::text || coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM {table} t"
        );
        let rows: String = client.query_one(&sql, &[]).expect("the table is readable").get(0);
        text.push(format!("rows {table} {rows}"));
    }
    text.join("\n")
}

/// Writes to adopted tables what the sink would: over an old row, and a new one beside it.
pub(super) fn write_beside(client: &mut Client) {
    let upsert = "
        INSERT INTO chat_summary_minute AS old
            (stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count,
             negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, z_score, is_anomaly, is_final, incomplete,
             revision, batch_id, processed_at)
        SELECT s, t, t + interval '1 minute', 5000000000, 1, NULL, 1, 1, 0.1, '{a}', '{\"a\": 1}', NULL, NULL, false,
               true, false, 1, 7, now()
        FROM unnest(ARRAY['s1', 'new'], ARRAY['2025-03-01 12:00:00Z', '2025-03-01 12:00:00Z']::timestamptz[]) v (s, t)
        ON CONFLICT (stream_id, window_start) DO UPDATE
        SET chat_count = excluded.chat_count, avg_viewers = excluded.avg_viewers, z_score = excluded.z_score,
            is_final = true, revision = old.revision + 1, batch_id = excluded.batch_id";
    assert_eq!(client.execute(upsert, &[]).expect("ours can be written"), 2);
    let last: i64 =
        client.query_one("SELECT coalesce(max(id), 0) FROM moments", &[]).expect("a bigint").get(0);
    let moment = "
        INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata, detected_at, batch_id)
        VALUES ('new', '2025-03-01 12:00:00Z', 'chat_spike', 'd', 0.123456789, '{}', now(), 7) RETURNING id";
    let id: i64 = client.query_one(moment, &[]).expect("ours can be written").get(0);
    assert!(id > last, "the sequence began anew: {id} after {last}");
}

/// Rows of a table by a condition.
pub(super) fn count(client: &mut Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).expect("it is countable").get(0)
}
