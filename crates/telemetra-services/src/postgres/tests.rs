//! The harness itself: what it starts answers, survives what it should, and is gone when it must be.

#![allow(clippy::print_stdout, reason = "what a child of a test prints is how it speaks to the test")]

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use super::{Postgres, Setup, connect};
use crate::eventually;

/// Set for a child of a test: it is to say where its server is, and to stay.
const STAY: &str = "TELEMETRA_TEST_STAY";

#[test]
fn the_shared_server_gives_each_test_a_database() {
    let server = Postgres::shared();
    if env::var_os(STAY).is_some() {
        println!("\nserver {} {}", server.port(), server.folder.display());
        std::io::stdin().read_to_end(&mut Vec::new()).expect("it is piped");
    }
    let (one, other) = (server.create_database(), server.create_database());
    one.client().batch_execute("CREATE TABLE t (x int)").expect("the database is empty");
    other.client().batch_execute("CREATE TABLE t (x int)").expect("so is the other");
    let asked = "SELECT current_setting('server_encoding'), current_setting('TimeZone'), datcollate::text \
                 FROM pg_database WHERE datname = current_database()";
    let row = one.client().query_one(asked, &[]).expect("it answers");
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("UTF8", "UTC", "C.UTF-8"));

    let name = one.name.clone();
    drop(one);
    let left = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let left: i64 = server.client().query_one(left, &[&name]).expect("it answers").get(0);
    assert_eq!(left, 0, "a database goes with its handle");
}

#[test]
fn the_password_is_asked_for() {
    let address = Postgres::shared().address().replace(super::PASSWORD, "wrong");
    let error = connect(&address).err().expect("a wrong password is refused");
    assert_eq!(error.code().map(postgres::error::SqlState::code), Some("28P01"), "{error}");
}

#[test]
fn a_server_keeps_its_data_over_a_crash() {
    let settings = [("max_connections", "7")];
    let files = [("notes.conf", "kept")];
    let server = Postgres::start(Setup { fsync: false, settings: &settings, files: &files });
    let database = server.create_database();
    let mut client = database.client();
    let ask = |sql: &str| database.client().query_one(sql, &[]).expect("it answers").get::<_, String>(0);
    assert_eq!(ask("SHOW max_connections"), "7");
    assert_eq!(ask("SELECT pg_read_file('notes.conf')"), "kept");
    client.batch_execute("CREATE TABLE t (x text); INSERT INTO t VALUES ('here')").expect("a table");

    server.stop_immediate();
    assert!(client.batch_execute("SELECT 1").is_err(), "a stopped server cuts its connections");
    assert!(connect(&server.address()).is_err(), "and takes no new ones");
    let port = server.port();
    server.start_again();
    assert_eq!((ask("SELECT x FROM t"), server.port()), ("here".into(), port));

    let mut client = database.client();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).expect("it answers").get(0);
    server.signal(pid, libc::SIGKILL);
    eventually("the server notices", || client.batch_execute("SELECT 1").err());
    // Until then the server may still take connections, and cut them.
    let recovered = || server.log().contains("all server processes terminated").then_some(());
    eventually("the server recovers", recovered);
    assert_eq!(ask("SELECT x FROM t"), "here");
}

#[test]
fn backends_are_killed_by_application() {
    let server = Postgres::start(Setup { fsync: true, ..Setup::default() });
    let fsync = server.client().query_one("SHOW fsync", &[]).expect("it answers");
    assert_eq!(fsync.get::<_, &str>(0), "on");
    let named = |name: &str| {
        let address = format!("{}?application_name={name}", server.address());
        connect(&address).expect("the server takes it")
    };
    let (mut first, mut second) = (named("first"), named("second"));
    assert_eq!(server.kill_backends(Some("first")), 1);
    eventually("the first is cut", || first.batch_execute("SELECT 1").err());
    second.batch_execute("SELECT 1").expect("the second is not");
    assert_eq!(server.kill_backends(None), 1);
    eventually("the second is cut", || second.batch_execute("SELECT 1").err());
}

#[test]
fn nothing_outlives_a_killed_test_process() {
    let mut child = Command::new(env::current_exe().expect("it is running"));
    child.args(["--exact", "--nocapture", "postgres::tests::the_shared_server_gives_each_test_a_database"]);
    child.env(STAY, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix("server ").map(str::to_owned));
    let said = said.expect("the child says where its server is");
    let (port, folder) = said.split_once(' ').expect("port and folder");
    let is_listening = || TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
    assert!(is_listening() && Path::new(folder).exists());
    child.kill().expect("it is running");
    child.wait().expect("it was killed");
    eventually("the folder is removed", || (!Path::new(folder).exists()).then_some(()));
    assert!(!is_listening(), "the server outlives the test process");
}
