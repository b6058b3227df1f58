//! A file that is locked, and one whose writer died.

use telemetra_engine::sink::SinkError;

use super::*;

#[test]
fn a_batch_that_finds_the_store_locked_can_be_tried_again() {
    let store = Store::new();
    let (mut sink, _) = store.take_over();
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    sink.with(|db, _| Ok(db.busy_timeout(std::time::Duration::ZERO)?)).unwrap();
    assert!(matches!(sink.commit(&first()), Err(SinkError::NotApplied(_))));
    other.execute_batch("ROLLBACK").unwrap();
    sink.commit(&first()).unwrap();
}

#[test]
fn a_crash_before_commit_leaves_nothing() {
    let store = Store::new();
    let (mut sink, recovered) = store.take_over();
    sink.commit(&first()).unwrap();
    let held = Held { epoch: recovered.epoch, inputs: inputs().to_vec() };
    // All of the second batch but its COMMIT; the connection is gone with the transaction open.
    let mut db = connection::open_writer(&store.path).unwrap();
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    commit::write::<ChatTables>(&tx, &sink.job, &held, &batch(2), "2025-01-01T00:01:00.000Z").unwrap();
    drop(tx);
    drop(db);
    drop(sink);
    let (mut sink, recovered) = store.take_over();
    assert_eq!(recovered.last_batch, 1);
    assert!(sink.was_applied(2, batch(2).attempt).unwrap().is_none());
    sink.commit(&batch(2)).unwrap();
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}
