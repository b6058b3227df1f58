//! Single faults whose moment is known: a holder that dies within its lease, and a store that is away for a while.

use std::fs;

use telemetra_services::{
    eventually,
    postgres::{Database, Setup},
};

use super::{
    instance::{Instance, Left},
    world::{World, count},
};

#[test]
fn a_holder_that_is_killed_is_taken_over_from_though_its_lease_goes_on() {
    let world = World::new(Setup::default());
    let database = world.server.create_database();
    let args = world.serving(&database.address(), "input");
    let mut first = Instance::spawn(&world.telemetra, &args);
    first.expect("the job is taken over");
    let mut second = Instance::spawn(&world.telemetra, &args);
    second.expect("standing by to take it over");
    // It gives no sign of life any more, outside of any transaction, and its lease goes on for longer than this test.
    let is_idle =
        "SELECT count(*) FROM telemetra.job JOIN pg_stat_activity ON pid = holder_pid WHERE state = 'idle'";
    let lease = "UPDATE telemetra.job SET lease_until = clock_timestamp() + interval '1 day'";
    let mut client = database.client();
    eventually("the holder is between two transactions", || {
        first.freeze();
        let is_idle = count(&mut client, is_idle) == 1;
        if !is_idle {
            first.thaw();
        }
        is_idle.then_some(())
    });
    client.batch_execute(lease).expect("nobody holds the row");
    assert_eq!(count(&mut client, "SELECT epoch FROM telemetra.job"), 1);
    first.kill();
    second.expect("the job is taken over");
    second.signal(libc::SIGTERM);
    second.expect_left(Left::Done);
    assert_eq!(count(&mut client, "SELECT epoch FROM telemetra.job"), 2);
    finish(&world, &database);
}

#[test]
fn a_run_that_stays_serves_on_after_its_store_was_away() {
    let world = World::new(Setup::default());
    let database = world.server.create_database();
    let live = world.telemetra.path().join("live");
    let files: Vec<_> = ["chat", "viewer"].map(|kind| files_of(&world, kind)).into_iter().flatten().collect();
    for kind in ["chat", "viewer"] {
        fs::create_dir_all(live.join(kind)).expect("a folder");
    }
    let bring = |some: &[(String, usize)]| {
        for (name, _) in some {
            let from = world.telemetra.path().join("input").join(name);
            fs::hard_link(from, live.join(name)).expect("both are in one folder");
        }
        some.iter().map(|(_, records)| *records).sum::<usize>()
    };
    // A file each of the earlier ones first: chat and viewers keep step with each other.
    let (before, after): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(name, _)| name.as_str() < half(name));
    let known = "SELECT coalesce(sum(records), 0)::bigint FROM telemetra.batch";
    let all_read = |records: usize| {
        eventually("all is read", || {
            (count(&mut database.client(), known) == i64::try_from(records).expect("thousands")).then_some(())
        });
    };

    let mut records = bring(&before);
    let mut instance = Instance::spawn(&world.telemetra, &world.serving(&database.address(), "live"));
    instance.expect("the job is taken over");
    all_read(records);
    world.server.stop_immediate();
    records += bring(&after);
    instance.expect("a step failed: ");
    world.server.start_again();
    instance.expect("back after ");
    all_read(records);
    instance.signal(libc::SIGTERM);
    instance.expect_left(Left::Done);
    finish(&world, &database);
}

/// What separates the earlier from the later files of a folder, by name.
fn half(name: &str) -> &'static str {
    if name.starts_with("chat") { "chat/chat-20250101T0005" } else { "viewer/viewer-20250101T0005" }
}

/// The files of a folder of the input with their records, blank lines not counted.
fn files_of(world: &World, kind: &str) -> Vec<(String, usize)> {
    let folder = fs::read_dir(world.telemetra.path().join("input").join(kind)).expect("the folder is there");
    let files = folder.map(|entry| {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        let records = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        (format!("{kind}/{}", entry.file_name().to_string_lossy()), records)
    });
    files.collect()
}

/// Lets the job come to its end: its rows are those of an undisturbed run.
fn finish(world: &World, database: &Database) {
    let mut last = Instance::spawn(&world.telemetra, &world.once(&database.address()));
    last.expect_left(Left::Done);
    let wrong = world.wrong_rows(database);
    assert!(wrong.is_empty(), "{} wrong rows: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    world.check_ledger(database).unwrap_or_else(|error| panic!("{error}"));
}
