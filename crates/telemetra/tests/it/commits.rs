//! COMMIT on PostgreSQL when the network or another instance is in the way: it counts once, or not at all.
//!
//! Each test sees one of the faults in `mutant.rs` (scripts/mutants.sh).

use telemetra_connectors::postgres::{Address, PostgresSink};
use telemetra_core::{
    chat::rows::ChatRows,
    watermark::{PartitionClock, Watermark},
    window::WindowSpec,
};
use telemetra_engine::{
    ids::{AttemptId, PartitionId},
    sink::{
        Applied, BatchKind, Commit, DeadLetter, Place, Position, PositionEntry, RangeEntry, Sink, SinkError,
        Tally,
    },
    source::Input,
};
use telemetra_services::{
    postgres::{Database, Postgres},
    proxy::{Fault, Proxy},
};

use crate::{
    golden::{Filled, compare_all, run_into},
    support::{Telemetra, choose_mutant, fixture},
};

/// Runs a fixture in small batches while COMMITs suffer `fault`, and expects the rows of an undisturbed run.
fn check(fixture_name: &str, batch: u64, fault: Fault, chance: f64, slow_commit: Option<&str>) {
    let database = Postgres::shared().create_database();
    let telemetra = Telemetra::new();
    telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
    if let Some(sql) = slow_commit {
        database.client().batch_execute(sql).expect("a trigger");
    }
    let proxy = Proxy::start(Postgres::shared().port());
    proxy.by_dice(7, &[(fault, chance)]);
    // The proxy does not see into TLS.
    let store = format!("{}?sslmode=disable", database.address_at(proxy.port()));
    run_into(&telemetra, Some(store), fixture_name, Some(batch), &[("RETRY_DELAY_SECONDS", "0.1")]);
    assert!(proxy.happened(fault) >= 3, "{fault:?} happened {} times", proxy.happened(fault));
    telemetra.run(&["audit", "--store", &database.address()]).expect_code(0);
    let filled = Filled::Postgres(database);
    compare_all(&format!("{fault:?}"), &filled, &fixture(fixture_name), "expected");
}

#[test]
fn a_commit_that_the_server_rolls_back_without_an_error_is_written_again() {
    check("chat_dirty", 2, Fault::AbortCommit, 0.3, None);
    check("chat_small", 60, Fault::AbortCommit, 0.3, None);
}

#[test]
fn a_commit_that_never_arrives_is_written_again() {
    check("chat_small", 60, Fault::CutBeforeCommit, 0.3, None);
}

#[test]
fn a_commit_whose_reply_is_lost_is_not_written_again() {
    check("chat_small", 60, Fault::CutReply, 0.3, None);
}

#[test]
fn a_slow_commit_without_a_reply_is_waited_for() {
    // COMMIT itself takes a while, after every row was written: RELIABILITY 0.1 and 1.9.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON telemetra.batch DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    check("chat_small", 997, Fault::CutAfterCommit, 0.5, Some(slow));
}

const CHAT: PartitionId = PartitionId { input: 0, partition: 0 };

fn sink(database: &Database) -> PostgresSink {
    choose_mutant();
    let address = Address::parse(&database.address()).expect("the address is ours");
    let window = WindowSpec::new(60_000, 10_000).expect("a multiple");
    PostgresSink::open(&address, "chat", window).expect("the server is there")
}

fn inputs() -> [Input; 1] {
    [Input { name: "chat", topic: None, place: "in/chat".into() }]
}

/// A batch of one record that counts nowhere.
fn batch(batch_id: u64) -> Commit<ChatRows> {
    let position = Position {
        id: CHAT,
        next: batch_id,
        replay: batch_id,
        clock: PartitionClock { largest_ms: None, pending_ms: None, pending_age: 0 },
        head_since_ms: None,
        mark: Default::default(),
        begun_ms: None,
    };
    let tally = Tally { records: 1, counted: 1, ..Tally::default() };
    Commit {
        batch_id,
        attempt: AttemptId(batch_id.into()),
        kind: BatchKind::Read,
        planned_at_ms: 0,
        watermark_before: Watermark::NONE,
        watermark: Watermark::NONE,
        open_end_ms: None,
        open_digest: 0,
        open_count: 0,
        final_count: 0,
        window_misses: 0,
        start_ms: None,
        ranges: vec![RangeEntry { partition: CHAT, from: batch_id - 1, to: batch_id, tally }],
        positions: vec![PositionEntry { expected_next: (batch_id > 1).then(|| batch_id - 1), position }],
        segments: Vec::new(),
        dead_letters: Vec::new(),
        late_events: Vec::new(),
        gaps: Vec::new(),
        rows: ChatRows::default(),
        close_early: false,
        new_meaning: None,
    }
}

fn expect_fenced(result: &Result<Applied, SinkError>) {
    assert!(matches!(result, Err(SinkError::Fenced(_))), "{result:?}");
}

#[test]
fn whoever_was_overtaken_writes_nothing() {
    let database = Postgres::shared().create_database();
    let mut first = sink(&database);
    assert_eq!(first.take_over(&inputs(), "meaning").expect("a new job").epoch, 1);
    // The same process may take over from itself; another would wait for the first to end.
    let mut second = sink(&database);
    assert_eq!(second.take_over(&inputs(), "meaning").expect("it takes over").epoch, 2);
    expect_fenced(&first.commit(&batch(1)));
    second.commit(&batch(1)).expect("it holds the job");
    expect_fenced(&first.commit(&batch(1)));
}

#[test]
fn whoever_was_overtaken_is_told_so_though_its_dead_letters_are_stored_already() {
    let database = Postgres::shared().create_database();
    let place =
        Place { partition: CHAT, offset: 0, file: Some("a.jsonl".into()), line: Some(1), bytes: None };
    let refused = |attempt: u128| {
        let mut commit = Commit { attempt: AttemptId(attempt), ..batch(1) };
        commit.ranges[0].tally = Tally { records: 1, dead: 1, ..Tally::default() };
        commit.dead_letters =
            vec![DeadLetter { place: place.clone(), code: "json_syntax".into(), raw: b"{".into() }];
        commit
    };
    let mut first = sink(&database);
    first.take_over(&inputs(), "meaning").expect("a new job");
    let mut second = sink(&database);
    second.take_over(&inputs(), "meaning").expect("it takes over");
    second.commit(&refused(2)).expect("it holds the job");
    expect_fenced(&first.commit(&refused(1)));
}

#[test]
fn a_position_that_somebody_moved_stops_the_batch() {
    let database = Postgres::shared().create_database();
    let mut sink = sink(&database);
    sink.take_over(&inputs(), "meaning").expect("a new job");
    sink.commit(&batch(1)).expect("the first batch");
    let sql = "UPDATE telemetra.position SET next_offset = next_offset + 5";
    database.client().batch_execute(sql).expect("it can be tampered with");
    expect_fenced(&sink.commit(&batch(2)));
}
