//! What a user reads when PostgreSQL is not as it should be: by the real binary, one sentence with the way on, the right
//! exit code, and never the password.

use telemetra_services::{
    eventually,
    postgres::{Database, Postgres, Setup, connect},
};

use crate::support::{Instance, Telemetra, telemetra_with_events};

const ONCE: [&str; 6] = ["run", "chat", "--chat-dir", "chat", "--arrival", "rename"];
const PASSWORD: &str = "only-for-tests";

/// What each command makes of a store: those that look, `migrate`, and a run; `None` for a run that waits.
struct Expected {
    looks: (i32, &'static str),
    migrate: (i32, &'static str),
    run: Option<(i32, &'static str)>,
    check: i32,
}

impl Expected {
    /// All commands fail alike, with 1, but for the run.
    fn alike(words: &'static str, run: Option<i32>) -> Self {
        Self { looks: (1, words), migrate: (1, words), run: run.map(|code| (code, words)), check: 1 }
    }
}

/// `words` must stand in the one line that tells the error.
#[track_caller]
fn expect(telemetra: &Telemetra, args: &[&str], store: &str, code: i32, words: &str) {
    let said = telemetra.run(&[args, &["--store", store]].concat()).expect_code(code);
    let tells = ["error: ", "halted: ", "FAILED "];
    let told: Vec<&str> =
        said.lines().filter(|line| tells.iter().any(|begin| line.starts_with(begin))).collect();
    let is_told = if code == 0 { said.contains(words) } else { told.len() == 1 && told[0].contains(words) };
    assert!(is_told, "{args:?}: not one line with {words:?}:\n{said}");
    assert!(!said.contains(PASSWORD) && !said.contains("secret"), "{said}");
    for debug in ["Error {", "Failure", "Some(", "kind:", "panicked", "records read"] {
        assert!(code == 0 || !said.contains(debug), "{args:?}: {debug} in\n{said}");
    }
}

#[track_caller]
fn check(store: &str, expected: &Expected) {
    let telemetra = telemetra_with_events();
    let (code, words) = expected.looks;
    expect(&telemetra, &["status"], store, code, words);
    expect(&telemetra, &["audit"], store, code, words);
    if let Some((code, words)) = expected.run {
        expect(&telemetra, &["check", "--chat-dir", "chat"], store, expected.check, words);
        expect(&telemetra, &[&ONCE[..], &["--once"]].concat(), store, code, words);
    } else {
        expect(&telemetra, &["check", "--chat-dir", "chat"], store, 1, expected.migrate.1);
        waits(&telemetra, store, expected.migrate.1);
    }
    let (code, words) = expected.migrate;
    expect(&telemetra, &["migrate"], store, code, words);
}

/// A run says what it waits for, `--once` too, and goes on waiting until it is told to stop.
fn waits(telemetra: &Telemetra, store: &str, words: &str) {
    let instance = Instance::start_with(telemetra, &["--chat-dir", "chat", "--once", "--store", store]);
    let line = instance.expect("the job cannot start yet: ");
    assert!(line.contains(words), "{line}");
    instance.signal(libc::SIGTERM);
    instance.expect("stopped in order");
    assert!(instance.wait().success());
}

/// The address for another user, password, database or port.
fn changed(database: &Database<'_>, from: &str, to: &str) -> String {
    let address = database.address();
    assert!(address.contains(from), "{address}");
    address.replace(from, to)
}

#[test]
fn a_server_that_is_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let store = format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/d?sslmode=disable");
    let words = "cannot be reached: Connection refused (os error 111): start the server, or correct its host and port";
    check(&store, &Expected::alike(words, None));
}

#[test]
fn a_wrong_password_and_a_database_that_is_not_there() {
    let database = Postgres::shared().create_database();
    let next = "check the user, the password and the database that the settings name";
    let wrong = changed(&database, PASSWORD, "secret");
    check(&wrong, &Expected::alike("password authentication failed for user \"telemetra_admin\"", Some(4)));
    check(&wrong, &Expected::alike(next, Some(4)));
    let absent = changed(&database, "/test_", "/absent_");
    check(&absent, &Expected::alike("does not exist (SQLSTATE 3D000); check the user", Some(4)));
}

#[test]
fn a_database_without_tables_and_one_with_those_of_the_old_job() {
    let database = Postgres::shared().create_database();
    let telemetra = telemetra_with_events();
    let store = database.address();
    let none = "there is no store at postgres://telemetra_admin@";
    expect(&telemetra, &["status"], &store, 1, none);
    expect(&telemetra, &["audit"], &store, 1, "`run` or `migrate` makes one");
    expect(&telemetra, &["check", "--chat-dir", "chat"], &store, 0, "no tables there yet; a run makes them");
    let there: i64 = database
        .client()
        .query_one("SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'telemetra')", &[])
        .expect("the catalog is readable")
        .get(0);
    assert_eq!(there, 0, "check writes nothing");
    database.client().batch_execute("CREATE TABLE moments (id serial)").expect("a table");
    let adopts = "the database has table moments, not made by telemetra: `telemetra migrate` adopts the tables of the \
                  old job";
    expect(&telemetra, &["check", "--chat-dir", "chat"], &store, 1, adopts);
    expect(&telemetra, &[&ONCE[..], &["--once"]].concat(), &store, 4, adopts);
}

#[test]
fn a_role_without_rights() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    let roles = "CREATE ROLE nobody LOGIN PASSWORD 'secret'; CREATE ROLE looks LOGIN PASSWORD 'secret'";
    database.client().batch_execute(roles).expect("two roles");
    let [nobody, looks] = ["nobody", "looks"]
        .map(|role| changed(&database, &format!("telemetra_admin:{PASSWORD}"), &format!("{role}:secret")));
    let telemetra = telemetra_with_events();
    let empty = "role nobody lacks the right CREATE on schema public";
    expect(&telemetra, &["check", "--chat-dir", "chat"], &nobody, 1, empty);
    expect(&telemetra, &[&ONCE[..], &["--once"]].concat(), &nobody, 4, empty);
    telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
    let printed = "`telemetra migrate --print-roles` prints the";
    check(
        &nobody,
        &Expected { looks: (1, printed), migrate: (1, printed), run: Some((4, printed)), check: 1 },
    );
    let grant = "GRANT USAGE ON SCHEMA telemetra TO looks; GRANT SELECT ON ALL TABLES IN SCHEMA telemetra, public TO looks";
    database.client().batch_execute(grant).expect("rights to look");
    expect(&telemetra, &["status"], &looks, 0, "no job has run here yet");
    let may_not = "role looks may not write table ";
    expect(&telemetra, &["check", "--chat-dir", "chat"], &looks, 1, may_not);
    expect(&telemetra, &[&ONCE[..], &["--once"]].concat(), &looks, 4, "permission denied for table ");
}

#[test]
fn a_server_that_takes_no_writes() {
    let database = Postgres::shared().create_database();
    Telemetra::new().run(&["migrate", "--store", &database.address()]).expect_code(0);
    let mut client = database.client();
    let name: String = client.query_one("SELECT current_database()::text", &[]).expect("a name").get(0);
    let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    client.batch_execute(&sql).expect("a setting");
    let words = "takes no writes: default_transaction_read_only is on, for the server, the database or the role; name a";
    let expected = Expected { looks: (0, "no job has run here yet"), ..Expected::alike(words, None) };
    check(&database.address(), &expected);
}

#[test]
fn too_many_connections() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    let mut admin = server.client();
    admin.batch_execute("CREATE ROLE one LOGIN PASSWORD 'secret' CONNECTION LIMIT 0").expect("a role");
    let store = changed(&database, &format!("telemetra_admin:{PASSWORD}"), "one:secret");
    let words = "(SQLSTATE 53300); raise the limit, or end other connections";
    check(&store, &Expected::alike(words, None));
}

#[test]
fn a_server_that_is_shutting_down_and_comes_back() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    let mut client = server.client();
    let sql = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int";
    let postmaster: i32 = client.query_one(sql, &[]).expect("a superuser may read it").get(0);
    // It waits for this client to leave, and lets nobody in meanwhile.
    server.signal(postmaster, libc::SIGTERM);
    eventually("the server lets nobody in", || connect(&server.address()).err());
    let words = "the database system is shutting down (SQLSTATE 57P03)";
    check(&database.address(), &Expected::alike(words, None));
    let telemetra = telemetra_with_events();
    let store = database.address();
    let instance = Instance::start_with(&telemetra, &["--chat-dir", "chat", "--once", "--store", &store]);
    instance.expect("the job cannot start yet: ");
    drop(client);
    eventually("the server is gone", || std::net::TcpStream::connect(("127.0.0.1", server.port())).err());
    server.start_again();
    instance.expect("back after ");
    instance.expect("the job is taken over");
    assert!(instance.wait().success());
}

#[test]
fn a_job_that_has_nothing_to_read_notices_that_its_store_is_away() {
    let server = Postgres::start(Setup::default());
    let database = server.create_database();
    let telemetra = telemetra_with_events();
    let store = database.address();
    let flags = ["--chat-dir", "chat", "--trigger-interval", "100ms", "--store", &store];
    let instance = Instance::start_with(&telemetra, &flags);
    instance.expect("the job is taken over");
    let caught_up = "SELECT coalesce(sum(records), 0)::bigint FROM telemetra.batch_range";
    eventually("it has read all there is", || {
        let read: i64 = database.client().query_one(caught_up, &[]).ok()?.get(0);
        (read == 300).then_some(())
    });
    server.stop_immediate();
    instance.expect("a step failed: nothing was written: ");
    server.start_again();
    instance.expect("back after ");
    // And one that was overtaken meanwhile leaves, though it would have had nothing to write.
    database
        .client()
        .batch_execute("UPDATE telemetra.job SET epoch = epoch + 1")
        .expect("a successor's epoch");
    instance.expect("fenced: ");
    assert_eq!(instance.wait().code(), Some(78));
}
