//! When files are read, and which.

use super::*;

fn names(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.1.as_str()).collect()
}

#[test]
fn a_file_written_in_place_is_read_when_it_has_settled() {
    let mut bench = Bench::with(FolderOptions::default());
    bench.write("a", "1\n");
    assert_eq!(bench.end(), 0);
    assert_eq!(bench.source.unsettled(), [bench.path("a").display().to_string()]);
    bench.append("a", "2\n");
    assert_eq!(bench.end(), 0);
    assert_eq!(bench.end(), 0);
    assert_eq!(bench.end(), 2);
    assert_eq!(bench.source.unsettled(), [""; 0]);
    // A time in the future settles like any other.
    bench.write("b", "3\n");
    bench.touch("b", bench.now_ms + 999_999_999);
    assert_eq!([bench.end(), bench.end(), bench.end()], [2, 2, 3]);
}

#[test]
fn a_file_renamed_in_is_read_at_once() {
    let mut bench = Bench::with(FolderOptions::default());
    bench.write("a.tmp", "1\n");
    assert_eq!(bench.end(), 0);
    fs::rename(bench.path("a.tmp"), bench.path("a")).expect("renamed");
    assert_eq!(bench.end(), 1);
    // The writer's own files are passed over until they are finished.
    for stored in [write::Stored::Plain, write::Stored::Gzip, write::Stored::Zstd] {
        let name = format!("b{}", stored.suffix());
        let before = bench.end();
        let mut file = write::AtomicFile::create(bench.dir.path(), &name, stored).expect("created");
        writeln!(file, "{name}").expect("written");
        file.flush().expect("flushed");
        assert_eq!(bench.end(), before);
        file.finish().expect("finished");
        assert_eq!(bench.end(), before + 1);
        assert_eq!(bench.read(P0, before, before + 1)[0].3, name);
    }
    let unfinished = write::AtomicFile::create(bench.dir.path(), "c", write::Stored::Plain).expect("created");
    drop(unfinished);
    assert_eq!(fs::read_dir(bench.dir.path()).expect("listed").count(), 4);
}

#[test]
fn once_takes_old_files_at_first_sight_and_none_that_come_later() {
    let mut bench = Bench::with(FolderOptions { once: true, ..FolderOptions::default() });
    bench.write("old", "1\n");
    bench.touch("old", bench.now_ms - 1_000);
    bench.write("young", "2\n");
    assert_eq!(bench.end(), 1);
    bench.write("later", "3\n");
    bench.touch("later", 0);
    bench.append("old", "4\n");
    assert_eq!(bench.source.unsettled(), [bench.path("young").display().to_string()]);
    for _ in 0..4 {
        bench.poll();
    }
    let texts = bench.texts(0);
    assert!(bench.source.unsettled().is_empty());
    // Nothing of `old` was handed out when it was touched, so it was taken anew, whole.
    assert_eq!(texts, ["1", "4", "2"]);
}

#[test]
fn what_grows_after_the_freeze_is_left_when_it_was_begun() {
    let mut bench = Bench::with(FolderOptions { once: true, ..FolderOptions::default() });
    bench.write("a", "1\n2\n");
    bench.touch("a", 0);
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    bench.append("a", "3\n");
    assert_eq!(bench.end(), 1, "waits until it has settled");
    bench.poll();
    assert_eq!(bench.end(), 2);
    assert_eq!(bench.step(1, 9, 0), ["2"]);
    assert_eq!(bench.end(), 2);
}

#[test]
fn what_is_no_file_of_records_is_passed_over() {
    let mut bench = Bench::new();
    bench.write("_SUCCESS", "x\n");
    bench.write(".hidden", "x\n");
    bench.write("b.part", "x\n");
    fs::create_dir(bench.path("sub")).expect("made");
    bench.write("sub/c", "x\n");
    std::os::unix::fs::symlink(bench.path("_SUCCESS"), bench.path("link")).expect("linked");
    let fifo = std::process::Command::new("mkfifo").arg(bench.path("fifo")).status();
    assert!(fifo.is_ok_and(|status| status.success()));
    bench.write("empty", "");
    bench.write("blank", "\n \n");
    bench.write("a", "1\n");
    assert_eq!(bench.texts(0), ["1"]);
    bench.append("empty", "2\n");
    bench.append("blank", "3\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    assert_eq!(bench.texts(1), ["3", "2"]);
}

#[test]
fn late_names_go_before_what_is_not_begun() {
    let mut bench = Bench::new();
    bench.write("b", "1\n2\n");
    bench.write("d", "3\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    bench.write("a", "4\n");
    bench.write("c", "5\n");
    let end = bench.end();
    assert_eq!(names(&bench.read(P0, 0, end)), ["b", "b", "a", "c", "d"]);
    // What was handed out keeps its place even before it is committed.
    let ranges = bench.source.cut(P0, 1, 2, u64::MAX, 1).expect("cut");
    assert_eq!(ranges, [1..3]);
    bench.write("0", "6\n");
    let end = bench.end();
    assert_eq!(names(&bench.read(P0, 0, end)), ["b", "b", "a", "0", "c", "d"]);
}

#[test]
fn a_missing_folder_is_named_and_waited_for() {
    let mut bench = Bench::new();
    let path = bench.path("absent");
    bench.source = source_of(path.clone(), bench.options);
    let error = bench.try_poll().expect_err("there is no folder");
    assert!(matches!(error, SourceError::Retry { .. }) && error.to_string().contains("absent"));
    fs::create_dir(&path).expect("made");
    assert_eq!(bench.end(), 0);
}

#[test]
fn a_backlog_is_indexed_only_as_far_as_is_needed() {
    let mut bench = Bench::new();
    bench.options.ahead_records = 10;
    bench.restart(&[]);
    for number in 0..20 {
        bench.write(&format!("{number:02}"), lines(number * 4, 4));
    }
    let end = bench.end();
    assert!((10..80).contains(&end), "{end}");
    let report = bench.source.reporter().report();
    assert_eq!((report.records_unread, report.files_ahead), (end, 20 - end / 4));
    let mut at = 0;
    while at < 80 {
        let texts = bench.step(at, 7, 0);
        assert!(!texts.is_empty());
        for text in texts {
            assert_eq!(text, format!("{{\"n\":{at}}}"));
            at += 1;
        }
    }
}

#[test]
fn many_files_are_looked_at_in_turn() {
    let mut bench = Bench::new();
    for number in 0..3_000 {
        fs::write(bench.path(&format!("{number:04}")), format!("{number}\n")).expect("written");
    }
    assert_eq!(bench.end(), 3_000);
    let mut at = 0;
    while at < 3_000 {
        at += bench.step(at, 1_000, at + 1_000).len() as u64;
    }
    bench.append("0007", "more\n");
    bench.touch("0007", 1_000);
    bench.poll();
    bench.poll();
    bench.poll();
    assert_eq!(bench.texts(3_000), ["more"]);
}

#[test]
fn what_was_handed_out_is_not_ahead() {
    let mut bench = Bench::new();
    bench.options.ahead_bytes = 100;
    // Two threads may have begun both files before the bytes of the first are known.
    bench.options.threads = 1;
    bench.restart(&[]);
    bench.write("a", lines(1_000, 20));
    bench.write("b", lines(2_000, 20));
    assert_eq!(bench.end(), 20);
    // Of more bytes than are wanted ahead few are left, whether the others are committed or not.
    assert_eq!(bench.source.cut(P0, 0, 11, u64::MAX, 1).expect("cut"), [0..11]);
    assert_eq!(bench.end(), 40);
    bench.restart(&[]);
    assert_eq!(bench.end(), 20);
    assert_eq!(bench.step(0, 10, 0).len(), 10);
    assert_eq!(bench.end(), 20, "a hundred bytes are ahead");
    assert_eq!(bench.step(10, 1, 0).len(), 1);
    assert_eq!(bench.end(), 40);
}
