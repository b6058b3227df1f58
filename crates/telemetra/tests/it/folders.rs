//! Folders through the real binary: what a user does to files, settings and tables between two runs.

use std::{fs, path::PathBuf};

use crate::support::Telemetra;

/// A folder of chat files beside a store.
struct Chat {
    telemetra: Telemetra,
}

impl Chat {
    fn new() -> Self {
        let telemetra = Telemetra::new();
        fs::create_dir(telemetra.path().join("chat")).expect("a folder");
        Self { telemetra }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.telemetra.path().join("chat").join(name)
    }

    /// Writes a file of one message at each of `seconds` after 2025-01-01T00:00:00Z, by user `u<second>`.
    fn write(&self, name: &str, seconds: impl IntoIterator<Item = u64>) {
        let event = |second: u64| {
            let time_ms = 1_735_689_600_000 + second * 1_000;
            format!(
                "{{\"timestamp\":{time_ms},\"stream_id\":\"s\",\"user_id\":\"u{second}\",\"message\":\"love it\"}}\n"
            )
        };
        let text: String = seconds.into_iter().map(event).collect();
        // Renamed in, and old enough to be settled at first sight.
        let hidden = self.file(&format!(".{name}"));
        fs::write(&hidden, text).expect("a file");
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let file = fs::File::options().append(true).open(&hidden).expect("the file");
        file.set_times(fs::FileTimes::new().set_modified(old)).expect("its time can be set");
        fs::rename(&hidden, self.file(name)).expect("renamed in");
    }

    /// `run chat --once` with more flags; checks the exit code and returns all that was printed.
    fn run(&self, flags: &[&str], env: &[(&str, &str)], code: i32) -> String {
        let args = [&["run", "chat", "--once", "--chat-dir", "chat"], flags].concat();
        self.telemetra.run_env(&args, env).expect_code(code)
    }

    fn audit(&self, code: i32) -> String {
        self.telemetra.run(&["audit"]).expect_code(code)
    }

    fn number(&self, sql: &str) -> i64 {
        let db = self.telemetra.open_store();
        db.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

#[test]
fn a_tampered_chat_count_fails_the_audit() {
    let chat = Chat::new();
    chat.write("a.jsonl", 0..300);
    chat.run(&["--drain"], &[], 0);
    chat.audit(0);
    let db = rusqlite::Connection::open(chat.telemetra.store()).expect("the store");
    let tamper = "UPDATE chat_summary_minute SET chat_count = chat_count + 1 \
                  WHERE window_start = (SELECT MIN(window_start) FROM chat_summary_minute)";
    assert_eq!(db.execute(tamper, []).expect("an update"), 1);
    drop(db);
    let said = chat.audit(3);
    assert!(said.contains("NOT balanced"), "{said}");
}

#[test]
fn a_file_gone_from_the_replay_range_closes_its_windows_early() {
    let chat = Chat::new();
    chat.write("a.jsonl", 0..200);
    chat.run(&[], &[], 0);
    assert!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE NOT is_final") > 0);
    fs::remove_file(chat.file("a.jsonl")).expect("the file can be removed");
    chat.write("b.jsonl", 300..500);
    let said = chat.run(&["--drain"], &[], 0);
    assert!(said.contains("WARN closed early") && said.contains("offsets 130..200"), "{said}");
    chat.audit(0);
    assert_eq!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE NOT is_final"), 0);
    assert!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE incomplete") > 0);
    assert_eq!(chat.number("SELECT COUNT(*) FROM telemetra_gap"), 1);
    assert_eq!(chat.number("SELECT SUM(counted) FROM telemetra_batch_range"), 400);
}

#[test]
fn a_broken_file_is_named_nothing_is_drained_and_the_run_fails() {
    let chat = Chat::new();
    chat.write("a.jsonl", 0..200);
    fs::write(chat.file(".b"), b"\x1f\x8b no gzip behind its magic").expect("a file");
    fs::rename(chat.file(".b"), chat.file("b.jsonl.gz")).expect("renamed in");
    let said = chat.run(&["--drain"], &[], 1);
    assert!(said.contains("WARN") && said.contains("not read: chat/b.jsonl.gz"), "{said}");
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    assert_eq!(chat.number("SELECT SUM(counted) FROM telemetra_batch_range"), 200);
    assert!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE NOT is_final") > 0, "{said}");
    fs::remove_file(chat.file("b.jsonl.gz")).expect("the file can be removed");
    chat.run(&["--drain"], &[], 0);
    chat.audit(0);
}

#[test]
fn a_changed_tokenizer_with_open_panes_is_refused_and_accepted_closes_early() {
    let chat = Chat::new();
    let whitespace = [("SENTIMENT_TOKENIZER", "whitespace")];
    chat.write("a.jsonl", 0..200);
    chat.run(&[], &[], 0);
    chat.write("b.jsonl", 200..400);
    let said = chat.run(&[], &whitespace, 4);
    assert!(said.contains("--accept-changed-meaning") && said.contains("--drain"), "{said}");
    let status = chat.telemetra.run(&["status"]).expect_code(0);
    assert!(status.contains("halted"), "{status}");
    chat.run(&["--accept-changed-meaning"], &whitespace, 0);
    chat.run(&["--drain"], &whitespace, 0);
    chat.audit(0);
    assert!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE incomplete") > 0);
    assert_eq!(chat.number("SELECT SUM(counted) + SUM(late) FROM telemetra_batch_range"), 400);
}

#[test]
fn after_a_drain_another_tokenizer_needs_no_leave() {
    let chat = Chat::new();
    chat.write("a.jsonl", 0..200);
    chat.run(&["--drain"], &[], 0);
    chat.write("b.jsonl", 300..400);
    chat.run(&["--drain"], &[("SENTIMENT_TOKENIZER", "whitespace")], 0);
    chat.audit(0);
    assert_eq!(chat.number("SELECT COUNT(*) FROM chat_summary_minute WHERE incomplete"), 0);
}

#[test]
fn events_from_the_end_of_a_drain_on_are_counted_and_none_is_missed() {
    let chat = Chat::new();
    // The last event lies in the pane 190..200 s, whose last window ends at 250 s.
    chat.write("a.jsonl", 0..200);
    chat.run(&["--drain"], &[], 0);
    chat.write("b.jsonl", 250..400);
    chat.run(&["--drain"], &[], 0);
    chat.audit(0);
    assert_eq!(chat.number("SELECT SUM(counted) FROM telemetra_batch_range"), 350);
    assert_eq!(chat.number("SELECT SUM(window_misses) + SUM(late) FROM telemetra_batch_range"), 0);
}

#[test]
fn three_files_of_the_same_time_give_the_same_rows_or_a_halt_that_names_both_ways_on() {
    let write = |chat: &Chat| {
        for (name, first) in [("a.jsonl", 0), ("b.jsonl", 1), ("c.jsonl", 2)] {
            chat.write(name, (first..900).step_by(3));
        }
    };
    let everything = Chat::new();
    write(&everything);
    everything.run(&["--drain"], &[], 0);
    let sum = "SELECT SUM(chat_count) FROM chat_summary_minute";
    assert_eq!(everything.number(sum), 900 * 6);

    for batch in ["7", "1"] {
        for way_on in ["--late-files=keep", "--folder-order=event-time"] {
            let chat = Chat::new();
            write(&chat);
            let said = chat.run(&["--max-records-per-trigger", batch], &[], 4);
            assert!(
                said.contains("--folder-order=event-time") && said.contains("--late-files=keep"),
                "{said}"
            );
            assert!(said.contains("b.jsonl"), "{said}");
            chat.audit(0);
            chat.run(&["--drain", "--max-records-per-trigger", batch, way_on], &[], 0);
            chat.audit(0);
            assert_eq!(chat.number("SELECT SUM(records) FROM telemetra_batch_range"), 900, "{way_on}");
            // Windows that the first file closed stay final; what came for them is listed.
            assert!(chat.number("SELECT COUNT(*) FROM late_events") > 0, "{way_on}");
        }
        let merged = Chat::new();
        write(&merged);
        merged.run(&["--drain", "--max-records-per-trigger", batch, "--folder-order=event-time"], &[], 0);
        merged.audit(0);
        assert_eq!(merged.number(sum), 900 * 6, "event-time order from the start, batches of {batch}");
    }
}

#[test]
fn a_folder_read_in_event_time_order_goes_on_after_a_restart() {
    let chat = Chat::new();
    chat.write("a.jsonl", (0..600).step_by(2));
    chat.write("b.jsonl", (1..600).step_by(2));
    let flags = ["--folder-order=event-time", "--max-records-per-trigger", "50"];
    chat.run(&flags, &[], 0);
    chat.write("c.jsonl", 600..700);
    chat.run(&[&flags[..], &["--drain"]].concat(), &[], 0);
    chat.audit(0);
    assert_eq!(chat.number("SELECT SUM(chat_count) FROM chat_summary_minute"), 700 * 6);
}
