//! Two instances of one job, a store or a folder that is away, and how an instance leaves: by signal, in order,
//! losing nothing.

use std::fs;

use crate::support::{Instance, telemetra_with_events};

#[test]
fn a_second_instance_waits_and_takes_over_at_once_when_the_first_is_killed() {
    let telemetra = telemetra_with_events();
    let first = Instance::start(&telemetra);
    first.expect("the job is taken over");
    let second = Instance::start(&telemetra);
    second.expect("the job cannot start yet");
    first.signal(libc::SIGKILL);
    assert!(!first.wait().success());
    second.expect("the job is taken over");
    second.signal(libc::SIGTERM);
    second.expect("stopped in order");
    assert!(second.wait().success());
    telemetra.run(&["audit"]).expect_code(0);
    let db = telemetra.open_store();
    let epoch: i64 = db.query_row("SELECT epoch FROM telemetra_job", [], |row| row.get(0)).expect("a job");
    assert_eq!(epoch, 2);
}

#[test]
fn a_store_that_is_away_is_waited_for_with_once_too() {
    let telemetra = telemetra_with_events();
    let flags = ["--chat-dir", "chat", "--once", "--store", "sqlite:later/telemetra.db"];
    let instance = Instance::start_with(&telemetra, &flags);
    instance.expect("the job cannot start yet: ");
    fs::create_dir(telemetra.path().join("later")).expect("a folder");
    instance.expect("back after ");
    instance.expect("the job is taken over");
    assert!(instance.wait().success());
    telemetra.run(&["audit", "--store", "sqlite:later/telemetra.db"]).expect_code(0);
}

#[test]
fn a_folder_that_is_away_is_named_by_once_and_waited_for_otherwise() {
    let telemetra = telemetra_with_events();
    let said = telemetra
        .run(&["run", "chat", "--once", "--chat-dir", "chat", "--viewer-dir", "absent"])
        .expect_code(1);
    assert!(said.contains("the folder absent (--viewer-dir) does not exist"), "{said}");
    assert!(!telemetra.store().exists(), "nothing was begun");
    let instance = Instance::start_with(&telemetra, &["--chat-dir", "chat", "--viewer-dir", "absent"]);
    instance.expect("absent");
    fs::create_dir(telemetra.path().join("absent")).expect("a folder");
    instance.expect("the job is taken over");
    // A signal ends a pause too: that of another, whose store never comes.
    let other = Instance::start_with(&telemetra, &["--chat-dir", "chat", "--store", "sqlite:never/x.db"]);
    other.expect("the job cannot start yet: ");
    for instance in [instance, other] {
        instance.signal(libc::SIGTERM);
        instance.expect("stopped in order");
        assert!(instance.wait().success());
    }
}

#[test]
fn a_signal_ends_in_order_and_writes_every_open_window() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let telemetra = telemetra_with_events();
        let instance = Instance::start(&telemetra);
        instance.expect("the job is taken over");
        instance.signal(signal);
        assert!(instance.wait().success());
        // Whatever it had read is whole; a run to the end makes it all.
        telemetra.run(&["run", "chat", "--once", "--chat-dir", "chat", "--arrival", "rename"]).expect_code(0);
        telemetra.run(&["audit"]).expect_code(0);
        let db = telemetra.open_store();
        let counted = "SELECT SUM(counted) FROM telemetra_batch_range";
        let counted: i64 = db.query_row(counted, [], |row| row.get(0)).expect("a sum");
        let open = "SELECT SUM(chat_count) FROM chat_summary_minute WHERE NOT is_final";
        let open: i64 = db.query_row(open, [], |row| row.get(0)).expect("a sum");
        let said: i64 =
            db.query_row("SELECT open_count FROM telemetra_job", [], |row| row.get(0)).expect("a job");
        assert_eq!((counted, open), (300, said), "every provisional row is written before an exit");
    }
}
