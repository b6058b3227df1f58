//! Each fault against a real server and a plain client: who sees what, and whether the row is there.

use std::{io::ErrorKind, thread, time::Duration};

use postgres::{Client, Error};

use super::{Fault, Framing, Proxy, is_commit};
use crate::{
    PATIENCE, eventually,
    postgres::{Database, Postgres, connect},
};

/// A database with an empty table `t`, and a proxy before its server.
fn world() -> (Database<'static>, Proxy) {
    let server = Postgres::shared();
    let database = server.create_database();
    database.client().batch_execute("CREATE TABLE t (x int)").expect("the database is empty");
    (database, Proxy::start(server.port()))
}

fn through(proxy: &Proxy, database: &Database) -> Client {
    connect(&database.address_at(proxy.port())).expect("no fault is planned yet")
}

fn insert(client: &mut Client) -> Result<(), Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("INSERT INTO t VALUES ($1)", &[&1])?;
    transaction.commit()
}

fn rows(database: &Database) -> i64 {
    database.client().query_one("SELECT count(*) FROM t", &[]).expect("the server is well").get(0)
}

/// How many backends besides the asking one are in the database.
fn backends(database: &Database) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.client().query_one(sql, &[]).expect("the server is well").get(0)
}

fn is_reset(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::ConnectionReset)
        {
            return true;
        }
        source = error.source();
    }
    false
}

#[test]
fn without_a_fault_all_passes() {
    let (database, proxy) = world();
    let mut client = through(&proxy, &database);
    insert(&mut client).expect("nothing is in the way");
    let long = "x".repeat(1 << 20);
    let same: String = client.query_one("SELECT $1::text", &[&long]).expect("nothing is in the way").get(0);
    assert!(same == long);
    assert_eq!(rows(&database), 1);
}

#[test]
fn faults_at_commit() {
    let check = |fault: Fault, is_error: bool, expected: i64| {
        let (database, proxy) = world();
        let mut client = through(&proxy, &database);
        proxy.next(&[fault]);
        let result = insert(&mut client);
        assert_eq!(result.is_err(), is_error, "{fault:?}");
        assert!(result.err().is_none_or(|error| is_reset(&error)), "{fault:?}");
        assert_eq!((proxy.happened(fault), client.is_closed()), (1, is_error), "{fault:?}");
        // The server may still be at it: its backend has seen the end of input when it is done.
        drop(client);
        eventually("the backend goes", || (backends(&database) == 0).then_some(()));
        assert_eq!(rows(&database), expected, "{fault:?}");
        insert(&mut through(&proxy, &database)).expect("one fault was planned");
        assert_eq!(rows(&database), expected + 1, "{fault:?}");
    };
    check(Fault::CutBeforeCommit, true, 0);
    check(Fault::CutAfterCommit, true, 1);
    check(Fault::CutReply, true, 1);
    check(Fault::AbortCommit, false, 0);
}

#[test]
fn a_commit_that_is_cut_off_may_still_be_under_way() {
    let (database, proxy) = world();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'; \
                CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
                EXECUTE FUNCTION slow()";
    let mut holder = database.client();
    holder.batch_execute(slow).expect("a trigger that waits at COMMIT");
    holder.batch_execute("SELECT pg_advisory_lock(1)").expect("nobody has it");
    proxy.next(&[Fault::CutAfterCommit]);
    insert(&mut through(&proxy, &database)).expect_err("the reply cannot come");
    assert_eq!((rows(&database), backends(&database)), (0, 2));
    holder.batch_execute("SELECT pg_advisory_unlock(1)").expect("it is held");
    eventually("the commit is done", || (rows(&database) == 1).then_some(()));
}

#[test]
fn a_reset_is_seen_by_both_sides() {
    let (database, proxy) = world();
    let mut client = through(&proxy, &database);
    proxy.next(&[Fault::Reset]);
    let error = insert(&mut client).expect_err("it is reset");
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(proxy.happened(Fault::Reset), 1);
    let _other = through(&proxy, &database);
    eventually("one of two backends goes", || (backends(&database) == 1).then_some(()));
    assert_eq!(proxy.reset(), 1);
    eventually("the other goes", || (backends(&database) == 0).then_some(()));
}

#[test]
fn a_stalled_connection_says_nothing_until_it_is_healed() {
    let (database, proxy) = world();
    let mut client = through(&proxy, &database);
    proxy.next(&[Fault::Stall]);
    let waiting = thread::spawn(move || insert(&mut client));
    eventually("the stall", || (proxy.happened(Fault::Stall) == 1).then_some(()));
    let mut other = through(&proxy, &database);
    other.batch_execute("SELECT 1").expect("another connection is not stalled");
    assert!(!waiting.is_finished());
    proxy.heal();
    waiting.join().expect("it does not panic").expect("what was held back goes on");
    assert_eq!(rows(&database), 1);

    proxy.stall();
    let waiting = thread::spawn(move || other.batch_execute("SELECT 1"));
    let address = database.address_at(proxy.port());
    let new = thread::spawn(move || connect(&address).map(drop));
    // Time enough for a reply that should not come, without waiting for one.
    assert_eq!((rows(&database), waiting.is_finished(), new.is_finished()), (1, false, false));
    proxy.heal();
    waiting.join().expect("it does not panic").expect("it goes on");
    new.join().expect("it does not panic").expect("so does the new one");
}

#[test]
fn latency_and_single_bytes_change_nothing_but_time() {
    let (database, proxy) = world();
    let mut client = through(&proxy, &database);
    let moment = Duration::from_millis(1);
    proxy.next(&[Fault::Latency(moment), Fault::Trickle(Duration::ZERO), Fault::Trickle(moment)]);
    insert(&mut client).expect("it is slow, not broken");
    assert_eq!((proxy.happened(Fault::Latency(moment)), proxy.happened(Fault::Trickle(moment))), (1, 2));
    assert_eq!(rows(&database), 1);

    for fault in [Fault::Latency(PATIENCE * 60), Fault::Trickle(PATIENCE * 60)] {
        let mut client = through(&proxy, &database);
        proxy.next(&[fault]);
        let before = proxy.happened(fault);
        let waiting = thread::spawn(move || insert(&mut client));
        eventually("the fault", || (proxy.happened(fault) > before).then_some(()));
        // Time enough for a reply that should not come, without waiting for one.
        assert_eq!((rows(&database), waiting.is_finished()), (1, false));
        assert!(proxy.reset() > 0);
        waiting.join().expect("it does not panic").expect_err("an hour is not waited for");
    }
}

#[test]
fn dice_fall_as_their_seed_says() {
    let run = |seed| {
        let (database, proxy) = world();
        let chances = [(Fault::AbortCommit, 0.5), (Fault::Trickle(Duration::ZERO), 0.2)];
        proxy.by_dice(seed, &chances);
        for _ in 0..3 {
            let mut client = through(&proxy, &database);
            (0..5).for_each(|_| insert(&mut client).expect("no fault of these is an error"));
        }
        // The last word of the last client is an event too.
        eventually("all are gone", || (backends(&database) == 0).then_some(()));
        proxy.heal();
        (rows(&database), chances.map(|(fault, _)| proxy.happened(fault)))
    };
    let (rows, [aborted, trickled]) = run(1);
    assert_eq!(rows + i64::try_from(aborted).expect("few"), 15);
    assert!((1..15).contains(&aborted) && trickled > 0, "{aborted} {trickled}");
    assert_eq!(run(1), (rows, [aborted, trickled]));
}

#[test]
fn messages_are_told_apart() {
    let check = |framing: Framing, bytes: &[u8], length: Option<usize>, after: Framing| {
        assert_eq!(framing.next_length(bytes), length, "{bytes:?}");
        if let Some(length) = length {
            assert_eq!(framing.after(&bytes[..length]), after, "{bytes:?}");
        }
    };
    use Framing::{First, Opaque, Typed};
    check(First, b"\0\0\0\x09\0\x03\0\0\0Q\0", Some(9), Typed);
    check(First, b"\0\0\0\x08\x04\xd2\x16\x2f", Some(8), First);
    check(First, b"\0\0\0", None, First);
    check(First, b"\x16\x03\x01", Some(3), Opaque);
    check(Opaque, b"\0\x01", Some(2), Opaque);
    check(Typed, b"Q\0\0\0\x06;\0X", Some(7), Typed);
    check(Typed, b"Q\0\0\0\x06;", None, Typed);
    assert!(is_commit(b"Q\0\0\0\x1dCOMMIT; SELECT 1\0") && is_commit(b"Q\0\0\0\x0bcommit\0"));
    assert!(!is_commit(b"Q\0\0\0\x0bCOMMI\0") && !is_commit(b"P\0\0\0\x0bCOMMIT\0"));
}
