//! Arrival and file system: each run is another process, which knows what the store tells it.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    process::Command,
    time::{Duration, SystemTime},
};

use telemetra_services::eventually;

use super::*;
use crate::support::Instance;

/// Exit code of a run that could only go on with a wrong number.
const HALTED: i32 = 4;

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).expect("compressed");
    out.finish().expect("compressed")
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("compressed")
}

#[test]
fn a_file_that_is_renamed_in_is_read_and_none_that_is_being_written() {
    let folder = Folder::new();
    for name in [".a.csv", "_a.csv", "a.csv.tmp", "a.csv.part", "a.csv._COPYING_"] {
        folder.write(name, file(&["hidden"]));
    }
    let said = folder.run(&[], 0);
    assert!(said.contains("0 records read") && !said.contains("not read"), "{said}");
    fs::rename(folder.path("a.csv.tmp"), folder.path("a.csv")).expect("renamed");
    folder.run(&[], 0);
    assert_eq!((folder.events(), folder.processed()), (vec!["hidden a.csv:2".into()], vec!["a.csv".into()]));
}

#[test]
fn a_file_written_in_place_is_read_once_it_has_settled_whatever_its_stamp() {
    let folder = Folder::new();
    // No newline at its end: it is a record only when nothing more comes.
    folder.write("a.csv", file(&["a"]) + &good("b"));
    // A stamp ahead of the clock never grows old: that size and time stay as they are is what counts.
    let ahead = SystemTime::now() + Duration::from_secs(3_600);
    let writer = File::options().append(true).open(folder.path("a.csv")).expect("it is there");
    writer.set_times(FileTimes::new().set_modified(ahead)).expect("its time is set");
    folder.telemetra.run(&["run", "commerce", "--once"]).expect_code(0);
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:3"]);
}

#[test]
fn a_file_that_grew_is_read_on_from_where_it_was() {
    let folder = Folder::new();
    folder.write("a.csv", file(&["a", "b"]));
    folder.run(&[], 0);
    folder.write("a.csv", file(&["a", "b", "c"]));
    let said = folder.run(&[], 0);
    assert!(said.contains("1 records read") && said.contains("accepted 1, duplicates 0"), "{said}");
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:3", "c a.csv:4"]);
    assert_eq!(folder.processed(), ["a.1.csv", "a.csv"]);
}

#[test]
fn the_same_file_again_and_copies_under_other_names_or_compressed_are_counted_and_not_read() {
    let folder = Folder::new();
    let text = file(&["a", "b"]);
    folder.write("a.csv", &text);
    folder.run(&[], 0);
    folder.write("a.csv", &text);
    folder.write("b.csv", &text);
    folder.write("c.csv.gz", gzip(&text));
    folder.write("d.csv.zst", zstd(&text));
    let said = folder.run(&[], 0);
    assert!(said.contains("0 records read") && said.contains("files 0 read, 4 duplicates"), "{said}");
    assert_eq!(folder.rows("SELECT COUNT(*) FROM user_events"), ["2"]);
    assert_eq!(folder.processed(), ["a.csv", "b.csv", "c.csv.gz", "d.csv.zst"]);
}

#[test]
fn the_same_name_with_new_content_is_a_new_file() {
    let folder = Folder::new();
    folder.write("a.csv", file(&["a"]));
    folder.run(&[], 0);
    folder.write("a.csv", file(&["b", "a"]));
    let said = folder.run(&[], 0);
    assert!(said.contains("accepted 1, duplicates 1"), "{said}");
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:2"]);
    assert_eq!(folder.processed(), ["a.1.csv", "a.csv"]);
}

/// A folder of which a run that was killed has read some of the one file, and not all.
fn half_read() -> Folder {
    let folder = Folder::new();
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    folder.write("a.csv", file(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
    let args = ["run", "commerce", "--arrival", "rename", "--max-records-per-trigger", "1"];
    let instance = Instance::of(folder.telemetra.command(&args));
    instance.expect("the job is taken over");
    eventually("some of it was read", || {
        let read =
            folder.telemetra.open_store().query_row("SELECT COUNT(*) FROM user_events", [], |row| row.get(0));
        (read.unwrap_or(0) > 2).then_some(())
    });
    instance.signal(libc::SIGKILL);
    instance.wait();
    assert_eq!(folder.processed(), [""; 0]);
    folder
}

#[test]
fn a_half_read_file_that_has_other_content_halts_and_goes_on_when_it_is_put_back() {
    let folder = half_read();
    let text = fs::read(folder.path("a.csv")).expect("it is there");
    folder.write("a.csv", file(&["other"]));
    let said = folder.run(&[], HALTED);
    let read = folder.rows("SELECT COUNT(*) FROM user_events").remove(0);
    let lost = format!("data/raw, partition 0: offsets {read}..20000");
    assert!(said.contains(&lost) && said.contains("were not read and are no longer there"), "{said}");
    folder.write("a.csv", text);
    folder.run(&[], 0);
    assert_eq!(folder.rows("SELECT COUNT(*), COUNT(DISTINCT event_id) FROM user_events"), ["20000 20000"]);
}

#[test]
fn a_half_read_file_that_was_deleted_is_a_gap_named_by_its_offsets() {
    let folder = half_read();
    fs::remove_file(folder.path("a.csv")).expect("it is there");
    let read = folder.rows("SELECT COUNT(*) FROM user_events").remove(0);
    let said = folder.run(&[], HALTED);
    assert!(said.contains(&format!("offsets {read}..20000")), "{said}");
    let said = folder.run(&[("TELEMETRA_ON_GAP", "record")], 0);
    assert!(said.contains("0 records read"), "{said}");
    let gap = folder.rows("SELECT from_offset, to_offset FROM telemetra_gap");
    assert_eq!(gap, [format!("{read} 20000")]);
}

#[test]
fn an_old_mtime_does_not_matter() {
    let folder = Folder::new();
    folder.write("b.csv", file(&["b"]));
    folder.run(&[], 0);
    folder.write("a.csv", file(&["a"]));
    let old = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    let handle = File::options().append(true).open(folder.path("a.csv")).expect("it is there");
    handle.set_times(old).expect("its time is set");
    folder.run(&[], 0);
    assert_eq!(folder.events(), ["b b.csv:2", "a a.csv:2"]);
}

#[test]
fn a_symlink_a_fifo_a_socket_and_names_that_are_no_text_are_named_and_the_others_are_read() {
    let folder = Folder::new();
    let outside = folder.telemetra.path().join("outside.csv");
    fs::write(&outside, file(&["outside"])).expect("written");
    symlink(&outside, folder.path("link.csv")).expect("linked");
    symlink("/dev/zero", folder.path("device.csv")).expect("linked");
    let made = Command::new("mkfifo").arg(folder.path("fifo.csv")).status();
    assert!(made.is_ok_and(|status| status.success()));
    let _socket = UnixListener::bind(folder.path("socket.csv")).expect("bound");
    fs::write(folder.path("").join(OsStr::from_bytes(b"\xff.csv")), file(&["bytes"])).expect("written");
    folder.write("name\u{1b}[2J.csv", file(&["escaped"]));
    fs::hard_link(&outside, folder.path("hard.csv")).expect("linked");
    // One and no more: whoever starts it is told that something was left.
    let said = folder.run(&[], 1);
    for name in [
        "link.csv: a symbolic link",
        "device.csv: a symbolic link",
        "fifo.csv: it is no",
        "socket.csv: it is no",
    ] {
        assert!(said.contains(&format!("data/raw/{name}")), "no {name:?} in\n{said}");
    }
    assert!(said.contains("the name is not UTF-8") && !said.contains('\u{1b}'), "{said}");
    assert_eq!(folder.rows("SELECT event_id FROM user_events ORDER BY id"), ["outside", "escaped"]);
}

#[test]
fn gz_and_zst_are_told_by_magic_bytes_and_a_corrupt_tail_holds_all_of_it_back() {
    let folder = Folder::new();
    let (one, two) = (file(&["a"]), good("b"));
    folder.write("a.csv", [gzip(&one), gzip(&two)].concat());
    folder.write("b.gz", file(&["c"]));
    let whole = zstd(&file(&["d", "e"]));
    folder.write("d.zst", &whole[..whole.len() - 3]);
    let bomb = gzip(&(file(&["f"]) + &"\n".repeat(64 << 20)));
    folder.write("f.gz", bomb);
    let said = folder.run(&[], 1);
    assert!(said.contains("d.zst: ") && said.contains("f.gz: "), "{said}");
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:3", "c b.gz:2"]);
    assert_eq!(folder.processed(), ["a.csv", "b.gz"]);
    folder.write("d.zst", whole);
    fs::remove_file(folder.path("f.gz")).expect("it is there");
    folder.run(&[], 0);
    assert_eq!(folder.events()[3..], ["d d.zst:2", "e d.zst:3"]);
}

#[test]
fn a_huge_record_is_refused_and_the_file_goes_on() {
    let folder = Folder::new();
    let long = good("x").replace(",n,", &format!(",{},", "n".repeat(2 << 20)));
    folder.write("a.csv", format!("{}{long}\n{}\n", file(&["a"]), good("b")));
    folder.run(&[], 0);
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:4"]);
    let refused = folder.rows("SELECT line, codes, length(raw) FROM rejected_events");
    assert_eq!(refused, [format!("3 record_too_long {}", 1 << 20)]);
}

#[test]
fn a_huge_record_may_be_cut_inside_a_character() {
    for before in ["", "x"] {
        let folder = Folder::new();
        let long = format!("{before}{}", "ü".repeat(1 << 20));
        folder.write("a.csv", format!("{}{long}\n{}\n", file(&["a"]), good("b")));
        folder.run(&[], 0);
        assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:4"]);
        assert_eq!(folder.rows("SELECT codes FROM rejected_events"), ["record_too_long"]);
    }
}

#[test]
fn an_unclosed_quote_does_not_swallow_the_file() {
    let folder = Folder::new();
    let open = good("x").replace(",n,", ",\"n,");
    folder.write("a.csv", format!("{}{open}\n{}\n", file(&["a"]), good("b")));
    folder.run(&[], 0);
    assert_eq!(folder.events(), ["a a.csv:2", "b a.csv:4"]);
    assert_eq!(folder.rows("SELECT line, codes FROM rejected_events"), ["3 quoting"]);
}
