//! Least privilege: the printed SQL works, before the first migration and after, and gives no more than it says.
//!
//! Roles belong to the whole server, so each test has a server of its own.

use ::postgres::Client;
use telemetra_connectors::postgres::{self, Address, roles_sql};

use super::old::{self, count, ensure_at, fingerprint, refused, sql_of, write_beside};
use telemetra_services::postgres::{Database, Postgres, Setup, connect};

use crate::support::Telemetra;

/// The database's address for another role.
fn address_as(database: &Database, role: &str) -> String {
    let address = database.address();
    let (_, place) = address.split_once('@').expect("user and password");
    format!("postgres://{role}:secret@{place}")
}

fn client_as(database: &Database, role: &str) -> Client {
    connect(&address_as(database, role)).expect("the role may connect")
}

fn parsed(database: &Database, role: &str) -> Address {
    Address::parse(&address_as(database, role)).expect("the address is ours")
}

/// Prints the SQL by the binary and runs it twice as an administrator with a plain client; then the passwords.
fn make_roles(database: &Database) {
    let mut client = database.client();
    let name: String = client.query_one("SELECT current_database()::text", &[]).expect("a name").get(0);
    let print = ["migrate", "--print-roles", "--store", &database.address()];
    let printed = Telemetra::new().run(&print);
    printed.expect_code(0);
    let sql = printed.stdout();
    assert_eq!(sql.trim_end(), roles_sql("public", &name).trim_end());
    client.batch_execute(&sql).unwrap_or_else(|error| panic!("{error:?} in {sql}"));
    let once = fingerprint(&mut client);
    client.batch_execute(&sql).expect("twice does no harm");
    assert_eq!(fingerprint(&mut client), once);
    for role in ["telemetra_migrate", "telemetra_ingest", "telemetra_read", "old_job", "nobody_special"] {
        let sql = format!(
            "DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$;
             ALTER ROLE {role} LOGIN PASSWORD 'secret'"
        );
        client.batch_execute(&sql).expect("a password");
    }
}

fn denied(client: &mut Client, sql: &str) {
    let error = client.batch_execute(sql).expect_err(sql);
    let code = error.code().expect("the server answered").code().to_owned();
    assert!(["42501", "25006"].contains(&code.as_str()), "{sql}: {error:?}");
}

/// What each role can and cannot do, once the tables are there.
fn check_rights(database: &Database) {
    let mut ingest = client_as(database, "telemetra_ingest");
    let mut read = client_as(database, "telemetra_read");
    ensure_at(&parsed(database, "telemetra_ingest")).expect("a current schema needs no rights");
    postgres::open_reader(&parsed(database, "telemetra_read")).expect("it may read");
    write_beside(&mut ingest);
    let sink = "
        INSERT INTO telemetra.result_table VALUES ('moments', 'chat', now());
        SELECT * FROM telemetra.result_table FOR UPDATE;
        UPDATE telemetra.result_table SET job = 'other';
        INSERT INTO dead_letters VALUES ('chat', 'chat', NULL, 0, 0, 'f', 1, 'utf8', 'x', 1);
        INSERT INTO late_events VALUES ('chat', 'chat', NULL, 0, 0, 'f', 1, 's', now(), now(), 'x', 1);
        SELECT system_identifier FROM pg_control_system();
        SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    ingest.batch_execute(sink).expect("what the sink does");
    // A frozen instance of the same role can be ended.
    let pid: i32 = client_as(database, "telemetra_ingest")
        .query_one("SELECT pg_backend_pid()", &[])
        .expect("a pid")
        .get(0);
    ingest.execute("SELECT pg_terminate_backend($1)", &[&pid]).expect("its own role's");
    for sql in [
        "CREATE TABLE t (x int)",
        "CREATE TABLE telemetra.t (x int)",
        "DROP TABLE moments",
        "ALTER TABLE moments ADD COLUMN x int",
        "DELETE FROM moments",
        "TRUNCATE late_events",
        "DELETE FROM telemetra.job",
        "CREATE SCHEMA s",
    ] {
        denied(&mut ingest, sql);
        denied(&mut read, sql);
    }
    assert_eq!(count(&mut read, "chat_summary_minute WHERE stream_id = 'new'"), 1);
    assert_eq!(count(&mut read, "telemetra.result_table"), 1);
    denied(&mut read, "INSERT INTO telemetra.result_table VALUES ('x', 'x', now())");
    // Not by the setting alone.
    denied(&mut read, "SET default_transaction_read_only = off; UPDATE moments SET description = 'x'");
    let timeout: String = read.query_one("SHOW statement_timeout", &[]).expect("a setting").get(0);
    assert_eq!(timeout, "5s");
}

#[test]
fn roles_before_the_first_migration() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    make_roles(&database);
    let refusal = ensure_at(&parsed(&database, "telemetra_ingest")).expect_err("it makes no tables");
    assert!(refusal.contains("lacks the right CREATE on schema public"), "{refusal}");
    assert!(refusal.contains("`telemetra migrate --print-roles`"), "{refusal}");
    let mut client = client_as(&database, "telemetra_migrate");
    refused(postgres::migrate(&parsed(&database, "telemetra_migrate"), "UTC")).expect("it owns all it makes");
    // One moment so that the sequence has begun.
    let first = "INSERT INTO moments (stream_id, timestamp, moment_type, description, intensity, metadata, detected_at)
                 VALUES ('s', now(), 'raid', '', 1, '{}', now())";
    client.batch_execute(first).expect("its own table");
    let row = "INSERT INTO chat_summary_minute SELECT 's1', '2025-03-01 12:00Z', now(), 1, 1, NULL, 1, 1, 1, '{}', '{}', NULL,
                   NULL, false, false, false, 1, 1, now()";
    client.batch_execute(row).expect("its own table");
    check_rights(&database);
    let outsider = ensure_at(&parsed(&database, "nobody_special")).expect_err("no rights at all");
    assert!(outsider.contains("may not read the schema telemetra"), "{outsider}");
}

#[test]
fn roles_after_the_first_migration() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    database.client().batch_execute(&old::usual()).expect("the old tables");
    refused(postgres::migrate(&old::address(&database), "UTC")).expect("nothing is in the way");
    make_roles(&database);
    check_rights(&database);
}

#[test]
fn the_migrating_role_adopts_what_it_owns() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    make_roles(&database);
    let mut client = database.client();
    let parts = "CREATE TABLE rest PARTITION OF chat_summary_minute DEFAULT";
    let sql = format!(
        "GRANT CREATE ON SCHEMA public TO old_job; SET ROLE old_job;
         CREATE TABLE chat_summary_minute ({}) PARTITION BY RANGE (window_start); {parts};
         CREATE TABLE moments ({}); {}; RESET ROLE",
        old::CHAT_COLUMNS,
        old::MOMENT_COLUMNS,
        old::ROWS
    );
    client.batch_execute(&sql).expect("the old tables");
    let before = fingerprint(&mut client);
    let migrating = parsed(&database, "telemetra_migrate");
    let refusal = refused(postgres::migrate(&migrating, "UTC")).expect_err("they belong to another");
    let all = [
        "does not own table chat_summary_minute",
        "ALTER TABLE public.rest OWNER TO \"telemetra_migrate\"",
        "role telemetra_migrate may not read",
        "GRANT SELECT ON \"public\".\"chat_summary_minute\" TO \"telemetra_migrate\";",
        "\n   as a superuser:\n",
    ];
    for named in all {
        assert!(refusal.contains(named), "{named} in {refusal}");
    }
    assert_eq!(fingerprint(&mut client), before);
    client.batch_execute(&sql_of(&refusal).0).expect("its SQL, run by an administrator");
    refused(postgres::migrate(&migrating, "UTC")).expect("nothing is in the way");
    make_roles(&database);
    check_rights(&database);
}

#[test]
fn the_old_job_goes_on_when_roles_take_its_tables() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    let mut client = database.client();
    client.batch_execute("CREATE ROLE old_job; GRANT CREATE ON SCHEMA public TO old_job").expect("a role");
    client.batch_execute(&format!("SET ROLE old_job; {}; RESET ROLE", old::usual())).expect("the old tables");
    make_roles(&database);
    let row = "INSERT INTO moments (stream_id, timestamp, moment_type) VALUES ('s3', now(), 'raid')";
    client_as(&database, "old_job").batch_execute(row).expect("as before");
    refused(postgres::migrate(&parsed(&database, "telemetra_migrate"), "UTC"))
        .expect("it owns the tables now");
    check_rights(&database);
}

#[test]
fn names_are_quoted() {
    let server = Postgres::start(Setup::default());
    let mut admin = server.client();
    let (database, schema) = ("it's {schema} \"d\"", "O'dd \"{ledger}\"");
    admin.batch_execute("CREATE DATABASE \"it's {schema} \"\"d\"\"\"").expect("any name will do");
    let mut config: ::postgres::Config = server.address().parse().expect("the address is ours");
    let mut client = config.dbname(database).connect(::postgres::NoTls).expect("it is there");
    let sql = roles_sql(schema, database);
    client.batch_execute(&sql).unwrap_or_else(|error| panic!("{error:?} in {sql}"));
    let path = "SELECT count(*) FROM pg_namespace n, pg_db_role_setting s
                WHERE nspname = $1 AND has_schema_privilege('telemetra_migrate', n.oid, 'CREATE')
                  AND EXISTS (SELECT FROM unnest(setconfig) c WHERE c = format('search_path=%I, pg_temp', nspname))";
    let found: i64 = client.query_one(path, &[&schema]).expect("the catalog is readable").get(0);
    assert_eq!(found, 3);
}
