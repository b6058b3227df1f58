//! What only a server can do to a job: run out of patience, fail behind a COMMIT, hold the lock of one who sleeps.

use postgres::error::SqlState;
use telemetra_engine::sink::SinkError;
use telemetra_services::{eventually, postgres::Postgres};

use super::{Pg, Store, story::*};

/// The job's holder, in words of SQL: this very connection, whose lease has run out.
const HOLD: &str = "UPDATE telemetra.job SET holder = 'process 7;', holder_pid = pg_backend_pid(),
    holder_backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
    lease_until = clock_timestamp() - interval '1 s'";
const LOCK: &str = "BEGIN; SELECT 1 FROM telemetra.job FOR UPDATE";

/// Waits until a session of this database waits for a lock that `filter` tells, and returns its process.
fn waiting(store: &Pg, filter: &str) -> String {
    let sql = format!(
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND NOT l.granted AND {filter}"
    );
    eventually(filter, || Some(store.text(&sql)).filter(|pid| !pid.is_empty()))
}

#[test]
fn an_audit_may_take_longer_than_a_batch() {
    let store = Pg::with_story();
    store.sql(&format!(
        "ALTER DATABASE {} SET log_statement = 'all'",
        store.text("SELECT current_database()")
    ));
    assert!(store.audit().is_balanced());
    let log = Postgres::shared().log();
    assert!(log.contains("READ ONLY; SET LOCAL statement_timeout = 3600000"), "the audit's own limit");
}

#[test]
fn an_error_of_the_question_behind_commit_leaves_the_batch_in_doubt() {
    let store = Pg::new();
    let (mut sink, _) = store.take_over();
    let [first, second, _] = story();
    // COMMIT waits for us, so that somebody can queue up for the table that the question reads.
    store.sql(
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER held AFTER INSERT ON telemetra.batch DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION held()",
    );
    let mut gate = store.0.client();
    gate.batch_execute("SELECT pg_advisory_lock(1)").expect("nobody has it");
    let result = std::thread::scope(|scope| {
        let committing = scope.spawn(|| sink.commit(&first));
        waiting(&store, "l.locktype = 'advisory'");
        let locking = scope.spawn(|| {
            let mut other = store.0.client();
            other.batch_execute("BEGIN; LOCK TABLE telemetra.batch").expect("it gets the lock in the end");
            other
        });
        waiting(&store, "l.mode = 'AccessExclusiveLock'");
        gate.batch_execute("SELECT pg_advisory_unlock(1)").expect("it is ours");
        let other = locking.join().expect("it has the lock");
        // The lock's time limit would do the same.
        let asking = waiting(&store, "l.mode = 'AccessShareLock'");
        store.sql(&format!("SELECT pg_cancel_backend({asking})"));
        let result = committing.join().expect("it returns");
        drop(other);
        result
    });
    assert!(matches!(result, Err(SinkError::InDoubt(_))), "{result:?}");
    assert!(sink.was_applied(1, first.attempt).expect("a sound store answers").is_some());
    sink.commit(&second).expect("it goes on behind the first");
}

#[test]
fn a_holder_that_sleeps_on_the_lock_is_ended_after_its_lease() {
    let store = Pg::new();
    drop(store.take_over());
    let mut frozen = store.0.client();
    frozen.batch_execute(HOLD).expect("there is a job");
    frozen.batch_execute(LOCK).expect("nobody else has it");
    let (_sink, recovered) = store.take_over();
    assert_eq!(recovered.epoch, 2);
    assert!(frozen.batch_execute("COMMIT").is_err(), "its backend was ended");
}

#[test]
fn a_holder_at_work_is_left_to_finish_after_its_lease() {
    let store = Pg::new();
    drop(store.take_over());
    let mut slow = store.0.client();
    slow.batch_execute(HOLD).expect("there is a job");
    let pid: i32 = slow.query_one("SELECT pg_backend_pid()", &[]).expect("it answers").get(0);
    slow.batch_execute(LOCK).expect("nobody else has it");
    let working = std::thread::spawn(move || slow.batch_execute("SELECT pg_sleep(600)"));
    let is_at_work = format!("SELECT wait_event FROM pg_stat_activity WHERE pid = {pid}");
    eventually("it is at work", || (store.text(&is_at_work) == "PgSleep").then_some(()));
    let mut sink = store.sink();
    match sink.take_over(&inputs(), "meaning") {
        Err(SinkError::Busy(text)) => assert!(text.contains("is writing a batch"), "{text}"),
        other => panic!("{other:?}"),
    }
    store.sql(&format!("SELECT pg_cancel_backend({pid})"));
    let ended = working.join().expect("it returns").expect_err("it was cancelled");
    assert_eq!(ended.code(), Some(&SqlState::QUERY_CANCELED), "its backend was left alone");
    assert_eq!(sink.take_over(&inputs(), "meaning").expect("nobody holds the job").epoch, 2);
}
