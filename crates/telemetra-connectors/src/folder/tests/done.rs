//! Files that are done: moved, once, whatever happens.

use super::*;

/// Polls, reads all there is and commits it.
fn all(bench: &mut Bench, from: Offset) -> Vec<String> {
    let end = bench.end();
    bench.step(from, u64::MAX, end)
}

#[test]
fn a_file_is_moved_when_all_its_records_are_committed() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n2\n");
    bench.write("b", "id\n3\n");
    assert_eq!(bench.step(0, 1, 1), ["1"]);
    assert_eq!(bench.names("done"), [""; 0]);
    assert_eq!(bench.step(1, 1, 1), ["2"]);
    assert_eq!(bench.names("done"), [""; 0], "it may be read again");
    assert_eq!(bench.step(2, 1, 3), ["3"]);
    assert_eq!(bench.names("done"), ["a", "b"]);
    let views = bench.poll();
    assert_eq!((views[0].end, views[0].gaps.len()), (3, 0));
    let report = bench.report();
    assert_eq!((report.files_moved, report.warnings.len(), bench.source.files("chat")), (2, 0, 0));
    bench.write("c", "id\n4\n");
    assert_eq!(all(&mut bench, 3), ["4"]);
    assert_eq!(bench.names("done"), ["a", "b", "c"]);
}

#[test]
fn a_duplicate_is_moved_once_the_first_is_committed() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    bench.write("b", "id\n1\n");
    assert_eq!(bench.end(), 1);
    assert_eq!(bench.names("done"), [""; 0]);
    // The first goes before it was read: the copy is read instead.
    fs::remove_file(bench.path("a")).expect("removed");
    assert_eq!(bench.all_shown(0), ["id|b:2 3..4 1"]);
    bench.write("c.gz", gzip("id\n1\n"));
    assert_eq!(all(&mut bench, 0), ["1"]);
    // Without another poll: `--once` makes none.
    assert_eq!(bench.names("done"), ["b", "c.gz"]);
    // What was moved stays known.
    bench.write("d", "id\n1\n");
    assert_eq!(bench.end(), 1);
    assert_eq!(bench.names("done"), ["b", "c.gz", "d"]);
    assert_eq!(bench.report().duplicates_count, 3);
}

#[test]
fn the_same_name_arrives_again() {
    let mut bench = Bench::csv();
    bench.write("a.csv", "id\n1\n");
    assert_eq!(all(&mut bench, 0), ["1"]);
    // The same, more of it, and something else.
    bench.write("a.csv", "id\n1\n");
    assert_eq!(bench.end(), 1);
    assert_eq!((bench.names("done"), bench.report().duplicates_count), (vec!["a.csv".to_owned()], 1));
    bench.write("a.csv", "id\n1\n2\n");
    assert_eq!(all(&mut bench, 1), ["2"]);
    bench.write("a.csv", "id\n3\n");
    assert_eq!(all(&mut bench, 2), ["3"]);
    assert_eq!(bench.names("done"), ["a.1.csv", "a.2.csv", "a.csv"]);
    assert_eq!(fs::read_to_string(bench.path("done/a.2.csv")).expect("read"), "id\n3\n");
    bench.poll();
    assert_eq!(bench.report().files_moved, 4);
}

#[test]
fn moves_not_done_are_done_after_a_restart() {
    let mut bench = Bench::csv();
    let done = bench.options.processed.take();
    bench.restart(&[]);
    bench.write("a", "id\n1\n2\n");
    bench.write("b.gz", gzip("id\n3\n"));
    bench.write("c", "id\n4\n5\n");
    bench.write("copy", "id\n1\n2\n");
    bench.write("empty", "id\n");
    assert_eq!(bench.end(), 5);
    let recorded = Resume { replay: 4, next: 4, ..bench.recorded(P0, 4, 4) };
    bench.options.processed = done;
    bench.restart(&[recorded]);
    assert_eq!(bench.end(), 5);
    assert_eq!(bench.names("done"), ["a", "b.gz", "copy", "empty"]);
    // Half of it was read: it stays, and is read on.
    assert_eq!(all(&mut bench, 4), ["5"]);
    assert_eq!(bench.names("done"), ["a", "b.gz", "c", "copy", "empty"]);
}

#[test]
fn a_restart_behind_the_moves_finds_no_gap() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    bench.write("b", "id\n2\n");
    assert_eq!(bench.end(), 2);
    let recorded = bench.recorded(P0, 2, 2);
    assert_eq!(bench.step(0, 9, 2), ["1", "2"]);
    assert_eq!(bench.names("done"), ["a", "b"]);
    bench.restart(&[recorded]);
    bench.write("late-copy", "id\n2\n");
    let views = bench.poll();
    assert_eq!((views[0].end, views[0].gaps.len(), bench.report().duplicates_count), (2, 0, 1));
}

#[test]
fn a_file_that_grew_since_is_not_moved() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    assert_eq!(bench.end(), 1);
    let ranges = bench.source.cut(P0, 0, 9, u64::MAX, 1).expect("cut");
    assert_eq!(bench.read(P0, 0, ranges[0].end).len(), 1);
    bench.append("a", "2\n");
    bench.source.committed(P0, 1, 1);
    assert_eq!(bench.names("done"), [""; 0]);
    assert_eq!(all(&mut bench, 1), ["2"]);
    assert_eq!(bench.names("done"), ["a"]);
}

#[test]
fn a_file_that_grows_after_it_was_moved_is_named_and_read_on_when_put_back() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    let mut writer = File::options().append(true).open(bench.path("a")).expect("opened");
    assert_eq!(all(&mut bench, 0), ["1"]);
    writer.write_all(b"2\n").expect("written");
    assert_eq!(bench.end(), 1);
    let warnings = bench.report().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("done/a: it grew after"), "{warnings:?}");
    fs::rename(bench.path("done/a"), bench.path("a")).expect("renamed");
    assert_eq!(all(&mut bench, 1), ["2"]);
    assert_eq!(bench.names("done"), ["a"]);
}

#[test]
fn a_file_that_grew_where_it_was_moved_is_named_by_the_next_start() {
    let mut bench = Bench::csv();
    bench.write("a", "id\n1\n");
    bench.write("b.gz", gzip("id\n2\n"));
    bench.write("c", "id\n3\n4\n");
    assert_eq!(bench.end(), 4);
    let first = bench.recorded(P0, 4, 4);
    assert_eq!(all(&mut bench, 0), ["1", "2", "3", "4"]);
    // A shorter file of the same name is no reason to call the first one grown.
    bench.write("c", "id\n5\n");
    assert_eq!(bench.end(), 5);
    let second = bench.recorded(P0, 5, 5);
    let recorded = Resume { segments: [first.segments, second.segments].concat(), ..second };
    assert_eq!(all(&mut bench, 4), ["5"]);
    bench.append("done/a", "6\n");
    bench.restart(&[recorded]);
    bench.poll();
    let warnings = bench.report().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("done/a: it grew after"), "{warnings:?}");
    fs::rename(bench.path("done/a"), bench.path("a")).expect("renamed");
    assert_eq!(all(&mut bench, 5), ["6"]);
    bench.poll();
    assert_eq!((bench.names("done").contains(&"a".to_owned()), bench.report().warnings.len()), (true, 0));
}

#[test]
fn what_cannot_be_moved_is_told_apart_from_what_is_not_read_and_tried_again() {
    let mut bench = Bench::csv();
    // The name is taken by a file: no folder can be made.
    bench.options.processed = Some(bench.path("_done"));
    bench.write("_done", "");
    bench.restart(&[]);
    bench.write("a", "id\n1\n");
    let unmoved = |bench: &Bench| {
        let report = bench.report();
        assert_eq!(report.warnings, [""; 0]);
        (report.unmoved.count, report.unmoved.causes.len(), report.files_moved)
    };
    // It is known with the commit: the last one of a run has no poll after it.
    assert_eq!((all(&mut bench, 0), unmoved(&bench)), (vec!["1".to_owned()], (1, 1, 0)));
    bench.write("b", "id\n2\n");
    assert_eq!((all(&mut bench, 1), unmoved(&bench)), (vec!["2".to_owned()], (2, 1, 0)));
    let cause = &bench.report().unmoved.causes[0];
    assert!(cause.contains("_done: ") && cause.contains("exists"), "{cause}");
    bench.poll();
    assert_eq!(unmoved(&bench), (2, 1, 0));
    fs::remove_file(bench.path("_done")).expect("removed");
    bench.poll();
    assert_eq!((bench.names("_done"), unmoved(&bench)), (vec!["a".into(), "b".into()], (0, 0, 2)));
}

#[test]
fn the_folder_itself_is_no_place_to_move_to() {
    let mut bench = Bench::csv();
    std::os::unix::fs::symlink(".", bench.path("done")).expect("linked");
    bench.write("a", "id\n1\n");
    assert_eq!(all(&mut bench, 0), ["1"]);
    bench.poll();
    assert!(bench.report().unmoved.causes[0].contains("it is the folder that is read"));
    assert_eq!(fs::read_to_string(bench.path("a")).expect("still there"), "id\n1\n");
}

#[test]
fn a_head_alone_is_moved_once_nobody_has_written_to_it_for_minutes() {
    let mut bench = Bench::csv();
    bench.options.arrival = Arrival::Settle;
    bench.restart(&[]);
    bench.write("a", "id\n");
    bench.write("b", "");
    let settle = |bench: &mut Bench| {
        bench.now_ms += limits::SETTLE_MS;
        bench.end();
        bench.now_ms += limits::SETTLE_MS;
        bench.end()
    };
    assert_eq!((settle(&mut bench), bench.report().files_empty), (0, 2));
    assert_eq!(bench.names("done"), [""; 0]);
    // Its writer only paused.
    bench.append("a", "1\n");
    assert_eq!(settle(&mut bench), 1);
    assert_eq!(all(&mut bench, 0), ["1"]);
    assert_eq!(bench.names("done"), ["a"]);
    bench.now_ms += limits::EMPTY_KEPT_MS;
    bench.poll();
    assert_eq!(bench.names("done"), ["a", "b"]);
}

#[test]
fn what_is_held_back_stays() {
    let mut bench = Bench::csv();
    bench.write("cut.gz", &gzip("id\n1\n")[..20]);
    bench.write("fault", "1\n");
    assert_eq!(bench.step(0, 9, 1), ["1\n"]);
    bench.poll();
    assert_eq!(bench.names("done"), ["fault"]);
    assert!(bench.path("cut.gz").exists());
}
