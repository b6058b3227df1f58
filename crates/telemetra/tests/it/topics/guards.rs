//! What contradicts the positions: each halts with the offsets and the command that goes on, and that command does.

use std::fs;

use telemetra_services::{
    eventually,
    kafka::{Kafka, Setup},
};

use super::{Topics, chats, produce_at_once};

/// What the ledger says was passed.
fn gaps(topics: &Topics) -> Vec<(u32, i64, i64, bool)> {
    let db = topics.telemetra.open_store();
    let sql =
        "SELECT \"partition\", from_offset, to_offset, in_replay FROM telemetra_gap ORDER BY from_offset";
    let mut statement = db.prepare(sql).expect("the table is there");
    let row = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], row).expect("a query").collect::<Result<_, _>>().expect("rows")
}

#[test]
fn a_gap_above_the_next_offset_halts_and_is_skipped_by_command() {
    let topics = Topics::new(Kafka::shared(), 2);
    topics.send(0, &chats(0..100, "a"));
    topics.once(&[]).expect_code(0);
    topics.send(0, &chats(100..200, "a"));
    topics.kafka.delete_records(&topics.chat, 0, 150);
    let halted = topics.once(&[]).expect_code(4);
    assert!(halted.contains("100..150") && halted.contains("partition 0"), "{halted}");
    assert!(halted.contains("offsets skip-gap") && halted.contains("--on-gap=record"), "{halted}");
    let shown = topics.command(&["offsets", "show", "chat"], &[]).expect_code(0);
    assert!(shown.contains("gap: 100..150 is gone"), "{shown}");

    let skipped = topics.command(&["offsets", "skip-gap", "chat"], &[]).expect_code(0);
    assert!(skipped.contains("offsets 100..150 are passed"), "{skipped}");
    topics.audit();
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 150);
    assert_eq!(gaps(&topics).last(), Some(&(0, 100, 150, false)));
    let shown = topics.command(&["offsets", "show", "chat"], &[]).expect_code(0);
    assert!(!shown.contains("gone"), "{shown}");
    let nothing = topics.command(&["offsets", "skip-gap", "chat"], &[]).expect_code(0);
    assert!(nothing.contains("nothing to do"), "{nothing}");
}

#[test]
fn a_gap_above_the_next_offset_is_recorded_by_a_setting() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    topics.once(&[]).expect_code(0);
    topics.send(0, &chats(100..200, "a"));
    topics.kafka.delete_records(&topics.chat, 0, 180);
    topics.once(&["--on-gap", "record", "--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 120);
    assert!(gaps(&topics).contains(&(0, 100, 180, false)), "{:?}", gaps(&topics));
}

#[test]
fn a_gap_below_the_next_offset_closes_the_open_windows_early() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    topics.once(&[]).expect_code(0);
    let replay = topics.number("SELECT replay_offset FROM telemetra_position");
    assert!((1..90).contains(&replay), "{replay}");
    topics.kafka.delete_records(&topics.chat, 0, 90);
    topics.send(0, &chats(100..300, "a"));
    let said = topics.once(&["--drain"]).expect_code(0);
    assert!(said.contains("closed early") && said.contains(&format!("{replay}..90")), "{said}");
    topics.audit();
    assert_eq!(topics.counted() + topics.number("SELECT sum(late) FROM telemetra_batch_range"), 300);
    assert_eq!(gaps(&topics), [(0, replay, 90, true)]);
    assert!(topics.number("SELECT count(*) FROM chat_summary_minute WHERE incomplete") > 0);
}

/// The topic is deleted and made anew with so many events; the job had read a hundred.
fn check_made_anew(events: i64) {
    let topics = Topics::new(Kafka::shared(), 2);
    topics.send(0, &chats(0..100, "a"));
    topics.once(&[]).expect_code(0);
    topics.kafka.delete_topic(&topics.chat);
    topics.kafka.create_topic(&topics.chat, 1);
    topics.send(0, &chats(200..200 + events, "a"));
    let halted = topics.once(&[]).expect_code(4);
    assert!(halted.contains("made anew") && halted.contains("offset 100 of partition 0"), "{halted}");
    assert!(halted.contains("offsets reset chat"), "{halted}");
    // Nothing of it was read.
    assert_eq!(topics.counted(), 100);

    let reset = topics.command(&["offsets", "reset", "chat"], &[]).expect_code(0);
    assert!(reset.contains("goes on at offset 0"), "{reset}");
    topics.audit();
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 100 + events);
    let shown = topics.command(&["offsets", "show", "chat"], &[]).expect_code(0);
    assert!(shown.contains("0 (topic made anew, 2nd)"), "{shown}");
    let status = topics.telemetra.run(&["status"]).expect_code(0);
    assert!(status.contains("made anew"), "{status}");
}

#[test]
fn a_topic_made_anew_and_shorter_halts_until_it_is_accepted() {
    check_made_anew(50);
}

#[test]
fn a_topic_made_anew_and_longer_halts_until_it_is_accepted() {
    check_made_anew(250);
}

#[test]
fn a_topic_made_anew_while_the_job_runs_halts_it() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    let instance = topics.start(&[]);
    topics.await_number("SELECT sum(counted) FROM telemetra_batch_range", 100);
    topics.kafka.delete_topic(&topics.chat);
    topics.kafka.create_topic(&topics.chat, 1);
    topics.send(0, &chats(200..350, "a"));
    instance.expect("made anew");
    assert_eq!(instance.wait().code(), Some(4));
    assert_eq!(topics.counted(), 100);
}

#[test]
fn a_topic_that_is_gone_halts() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..100, "a"));
    topics.once(&[]).expect_code(0);
    topics.kafka.delete_topic(&topics.chat);
    for words in [&["run", "chat", "--once"][..], &["offsets", "reset", "chat"]] {
        let halted = topics.command(words, &[]).expect_code(4);
        assert!(halted.contains("does not exist any more"), "{halted}");
    }
}

#[test]
fn a_log_that_lost_its_end_halts_and_goes_on_from_there() {
    let kafka = Kafka::start(Setup::default());
    let topics = Topics::new(&kafka, 1);
    produce_at_once(&kafka, &topics.chat, 0, &chats(0..60, "a"));
    topics.send(0, &chats(60..100, "a"));
    topics.once(&[]).expect_code(0);
    kafka.kill(1);
    // The disk lost the last batch: what a broker without it that is elected leader looks like.
    let folder = kafka.partition_folder(1, &topics.chat, 0);
    let segment = folder.join("00000000000000000000.log");
    let bytes = fs::read(&segment).expect("the log");
    let first = 12 + u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize;
    assert!(first < bytes.len(), "two batches");
    fs::write(&segment, &bytes[..first]).expect("the log is shortened");
    kafka.start_again(1);
    topics.send(0, &chats(100..250, "a"));
    let halted = topics.once(&[]).expect_code(4);
    assert!(halted.contains("lost records") && halted.contains("60..100"), "{halted}");
    let reset = topics.command(&["offsets", "reset", "chat"], &[]).expect_code(0);
    assert!(reset.contains("goes on at offset 60"), "{reset}");
    topics.once(&["--drain"]).expect_code(0);
    topics.audit();
    assert_eq!(topics.counted(), 250);
}

#[test]
fn a_compacted_topic_is_refused() {
    let kafka = Kafka::shared();
    let mut topics = Topics::new(kafka, 1);
    topics.chat = kafka.unique_topic("compacted");
    kafka.create_topic_with(&topics.chat, 1, &[("cleanup.policy", "compact")]);
    let halted = topics.once(&[]).expect_code(4);
    assert!(halted.contains("is compacted") && halted.contains("cleanup.policy=delete"), "{halted}");
}

#[test]
fn a_topic_that_becomes_compacted_is_refused_from_then_on() {
    let topics = Topics::new(Kafka::shared(), 1);
    topics.send(0, &chats(0..10, "a"));
    topics.once(&[]).expect_code(0);
    topics.kafka.alter_topic_config(&topics.chat, "cleanup.policy", "compact");
    // The node follows within moments.
    let halted = eventually("the policy is seen", || {
        let ran = topics.once(&[]);
        (ran.0.status.code() != Some(0)).then(|| ran.expect_code(4))
    });
    assert!(halted.contains("is compacted"), "{halted}");
}
