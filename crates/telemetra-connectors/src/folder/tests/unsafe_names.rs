//! What lies in a folder and is no file to read: refused, named, and never hung upon.

use std::os::unix::{fs::symlink, net::UnixListener};

use super::{
    super::{index::Refusal, stamp},
    *,
};

fn fifo(bench: &Bench, name: &str) {
    let made = std::process::Command::new("mkfifo").arg(bench.path(name)).status();
    assert!(made.is_ok_and(|status| status.success()));
}

#[test]
fn symlink_fifo_device_and_socket_are_refused() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    bench.write("_b", "id\n2\n");
    symlink(bench.path("_b"), bench.path("link")).expect("linked");
    symlink("/dev/zero", bench.path("device")).expect("linked");
    symlink(bench.path("absent"), bench.path("dangling")).expect("linked");
    fifo(&bench, "fifo");
    let _listener = UnixListener::bind(bench.path("socket")).expect("bound");
    // A hard link is a file like any other.
    fs::hard_link(bench.path("_b"), bench.path("hard")).expect("linked");
    assert_eq!(bench.all_shown(0), ["id|a:2 3..4 1", "id|hard:2 3..4 2"]);
    let report = bench.report();
    let mut warnings = report.warnings.clone();
    warnings.sort();
    let base = bench.dir.path().display();
    let link = "a symbolic link is not followed";
    let other = "it is no regular file";
    let expected = [("dangling", link), ("device", link), ("fifo", other), ("link", link), ("socket", other)];
    assert_eq!(warnings, expected.map(|(name, why)| format!("{base}/{name}: {why}")));
    assert_eq!(report.files_refused, 5);
}

#[test]
fn what_takes_the_place_of_a_file_is_not_opened() {
    let bench = Bench::csv();
    bench.write("a", "id\n1\n");
    symlink(bench.path("a"), bench.path("link")).expect("linked");
    fifo(&bench, "fifo");
    let _listener = UnixListener::bind(bench.path("socket")).expect("bound");
    for path in
        [bench.path("link"), bench.path("fifo"), bench.path("socket"), "/dev/zero".into(), bench.path("")]
    {
        assert!(stamp::open(&path).is_err(), "{}", path.display());
    }
    assert!(stamp::open(&bench.path("a")).is_ok());
}

#[test]
fn a_file_that_turns_into_a_link_or_a_fifo_is_not_read() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    for name in ["a", "b"] {
        bench.write(name, format!("id\n{name}\n"));
    }
    assert_eq!(bench.end(), 2);
    bench.write("_c", "id\n3\n");
    for name in ["a", "b"] {
        fs::remove_file(bench.path(name)).expect("removed");
    }
    symlink(bench.path("_c"), bench.path("a")).expect("linked");
    fifo(&bench, "b");
    assert!(bench.try_read(P0, 0, 1).is_err());
    assert!(bench.try_read(P0, 1, 2).is_err());
    assert_eq!(bench.end(), 0);
}

#[test]
fn a_recorded_name_that_climbs_out_halts() {
    let check = |name: &str, is_fit: bool| {
        let mut bench = Bench::csv();
        bench.write("a", "id\n1\n");
        assert_eq!(bench.end(), 1);
        let mut recorded = bench.recorded(P0, 0, 1);
        recorded.segments[0].file = name.to_owned();
        let resumed = source_of(bench.dir.path().into(), bench.options.clone()).resume(&[recorded]);
        assert_eq!(resumed.is_ok(), is_fit, "{name:?}");
        assert!(is_fit || matches!(resumed, Err(SourceError::Halt(_))));
    };
    check("a", true);
    check("..a", true);
    for name in ["../a", "/etc/passwd", "sub/a", "..", ".", "", "a\0"] {
        check(name, false);
    }
}

#[test]
fn names_that_are_hidden_or_unfinished_are_skipped() {
    let mut bench = Bench::csv();
    for (number, name) in [".x", "_x", "x.tmp", "x.part", "x.csv._COPYING_", "x.tmp.csv"].iter().enumerate() {
        bench.write(name, format!("id\n{number}\n"));
    }
    symlink(bench.path("_x"), bench.path("_link")).expect("linked");
    assert_eq!(bench.all_shown(0), ["id|x.tmp.csv:2 3..4 5"]);
    assert_eq!(bench.report().warnings, [""; 0]);
}

#[test]
fn names_are_printed_escaped() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let mut bench = Bench::csv();
    let name = "a\u{1b}[31m\n.csv";
    bench.write(name, "");
    fs::write(bench.path("").join(OsStr::from_bytes(b"\xff\x07.csv")), "id\n1\n").expect("written");
    bench.write("b\r.gz", &gzip("id\n1\n")[..20]);
    bench.write("c", "id\n1\n");
    bench.write("c\n", "id\n1\n");
    assert_eq!(bench.end(), 1);
    let report = bench.report();
    let base = bench.dir.path().display();
    assert_eq!(report.warnings[0], format!("{base}/\u{fffd}\\u{{7}}.csv: the name is not UTF-8"));
    assert!(report.warnings[1].starts_with(&format!("{base}/b\\r.gz: compressed data")), "{report:?}");
    assert_eq!(report.duplicates[0].file, format!("{base}/c\\n"));
    // Bytes are kept as they are: it was moved under its own name.
    assert!(bench.names("done").contains(&name.to_owned()));
    assert!(bench.report().warnings.iter().all(|warning| !warning.contains(char::is_control)));
}

#[test]
fn eacces_is_retried_while_others_go_on() {
    let mut bench = Bench::csv();
    bench.options.arrival = Arrival::Settle;
    bench.restart(&[]);
    bench.write("a", "id\n1\n");
    bench.poll();
    bench.options.arrival = Arrival::Rename;
    // As if opening it were denied, which a test that may run as root cannot arrange.
    let denied = Refusal::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    let folder = bench.source.folders[0].as_mut().expect("a folder");
    assert!(!folder.take_in(&"a".into(), Err(denied), 0, &mut Vec::new()));
    // The report is of the poll that follows, which tries again.
    bench.write("b.tmp", "id\n2\n");
    bench.source.poll(bench.now_ms).expect("polled");
    fs::rename(bench.path("b.tmp"), bench.path("b")).expect("renamed");
    assert_eq!(bench.all_shown(0), ["id|a:2 3..4 1", "id|b:2 3..4 2"]);
}
