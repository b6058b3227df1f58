//! Going on where another process stopped.

use super::*;

#[test]
fn goes_on_inside_plain_and_compressed_files() {
    for (name, bytes) in [("a", lines(0, 50_000).into_bytes()), ("a.gz", gzip(&lines(0, 50_000)))] {
        let mut bench = Bench::new();
        bench.write(name, bytes);
        bench.write("b", lines(50_000, 10));
        assert_eq!(bench.step(0, 30_001, 20_003).len(), 30_001);
        let recorded = bench.recorded(P0, 20_003, 30_001);
        assert_eq!(recorded.segments.len(), 1);
        bench.restart(&[recorded]);
        assert_eq!(bench.end(), 50_010);
        let seen = bench.read(P0, 20_003, 50_010);
        assert_eq!(seen.len(), 30_007);
        assert!(seen.iter().all(|seen| seen.3 == format!("{{\"n\":{}}}", seen.0)));
        assert_eq!((seen[0].2, seen[30_000].2), (20_004, 4));
        assert_eq!(
            bench.source.segments(P0, 49_999..50_001).iter().map(|it| it.seq).collect::<Vec<_>>(),
            [0, 1]
        );
    }
}

#[test]
fn follows_the_recorded_sequence_not_names() {
    let mut bench = Bench::new();
    bench.write("b", "1\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    bench.write("a", "2\n3\n");
    assert_eq!(bench.step(1, 1, 0), ["2"]);
    let recorded = bench.recorded(P0, 0, 2);
    bench.write("0", "4\n");
    bench.append("a", "5\n");
    bench.append("b", "6\n");
    bench.restart(&[recorded]);
    assert_eq!(bench.texts(0), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn what_was_read_is_known_after_a_restart() {
    let mut bench = Bench::new();
    bench.write("a", "1\n");
    bench.write("b", "2\n");
    assert_eq!(bench.step(0, 2, 2), ["1", "2"]);
    let recorded = bench.recorded_all(&["a", "b"]);
    fs::remove_file(bench.path("a")).expect("removed");
    bench.write("copy-of-a.gz", gzip("1\n"));
    bench.append("b", "3\n");
    bench.restart(&[recorded]);
    assert_eq!(bench.texts(2), ["3"]);
    assert_eq!(bench.source.reporter().report().duplicates_count, 1);
    assert_eq!(bench.source.segments(P0, 2..3)[0].seq, 2);
}

#[test]
fn a_file_that_is_gone_or_another_is_a_gap() {
    let check = |name: &str, change: fn(&Bench), gaps: &[std::ops::Range<u64>], texts: &[&str]| {
        let mut bench = Bench::new();
        bench.write("a", "1\n2\n");
        bench.write("b", "3\n4\n5\n");
        assert_eq!(bench.step(0, 4, 1).len(), 4);
        let recorded = bench.recorded(P0, 1, 4);
        change(&bench);
        bench.restart(&[recorded]);
        let views = bench.poll();
        assert_eq!(views[0].gaps, gaps, "{name}");
        let from = gaps.last().map_or(4, |gap| gap.end.max(4));
        assert_eq!(bench.texts(from), texts, "{name}");
    };
    check("nothing", |_| (), &[], &["5"]);
    check("replay gone", |bench| fs::remove_file(bench.path("a")).expect("removed"), &[1..2], &["5"]);
    check("half read gone", |bench| fs::remove_file(bench.path("b")).expect("removed"), &[2..5], &[]);
    check("another", |bench| bench.write("b", "3\n4\n6\n"), &[2..5], &["3", "4", "6"]);
    check("shorter", |bench| bench.write("b", "3\n4\n"), &[2..5], &["3", "4"]);
    check("grown", |bench| bench.append("b", "6\n"), &[], &["5", "6"]);
    check("packed", |bench| bench.write("b", gzip("3\n4\n5\n")), &[], &["5"]);
}

#[test]
fn a_folder_that_is_away_is_no_gap() {
    let mut bench = Bench::new();
    bench.write("a", "1\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    let recorded = bench.recorded(P0, 0, 1);
    bench.source = source_of(bench.path("absent"), bench.options.clone());
    assert!(matches!(bench.source.resume(&[recorded]), Err(SourceError::Retry { .. })));
}

#[test]
fn a_ledger_with_a_hole_halts() {
    let mut bench = Bench::new();
    bench.write("a", "1\n");
    bench.write("b", "2\n");
    assert_eq!(bench.step(0, 2, 0).len(), 2);
    let mut recorded = bench.recorded(P0, 0, 2);
    recorded.segments.remove(0);
    bench.source = source_of(bench.dir.path().into(), bench.options.clone());
    assert!(matches!(bench.source.resume(&[recorded]), Err(SourceError::Halt(_))));
}

#[test]
fn each_file_is_a_partition_in_event_time_order() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    let recorded = bench.recorded(P0, 0, 1);
    bench.options.order = FolderOrder::EventTime;
    bench.write("b", "3\n");
    bench.write("c", "4\n5\n");
    bench.restart(&[recorded]);
    let shown = |views: Vec<PartitionView>| -> Vec<_> {
        views.iter().map(|view| (view.id.partition, view.end, view.is_file_of_folder)).collect()
    };
    assert_eq!(shown(bench.poll()), [(0, 2, false), (1, 1, true), (2, 2, true)]);
    let id = |partition| PartitionId { input: 0, partition };
    assert_eq!(bench.source.cut(id(2), 0, 9, u64::MAX, 1).expect("cut"), [0..2]);
    assert_eq!(bench.read(id(2), 1, 2)[0].3, "5");
    let (of_b, of_c) = (bench.recorded(id(1), 1, 1), bench.recorded(id(2), 1, 2));
    bench.source.committed(id(2), 1, 2);
    assert_eq!(shown(bench.poll()), [(0, 2, false), (1, 1, true), (2, 2, true)]);
    bench.source.committed(id(1), 1, 1);
    assert_eq!(shown(bench.poll()), [(0, 2, false), (2, 2, true)]);
    // A restart does not list what is done, and takes the next number for what is new.
    bench.write("d", "6\n");
    let of_a = bench.recorded(P0, 0, 1);
    bench.restart(&[of_a.clone(), of_b.clone(), of_c.clone()]);
    assert_eq!(shown(bench.poll()), [(0, 2, false), (2, 2, true), (3, 1, true)]);
    // Back in name order, files that were begun are finished as they were.
    bench.options.order = FolderOrder::Name;
    bench.restart(&[of_a, of_b, of_c]);
    assert_eq!(shown(bench.poll()), [(0, 3, false), (2, 2, true)]);
}

impl Bench {
    /// What the ledger would hold of files that were all read and are not read again.
    fn recorded_all(&self, names: &[&str]) -> Resume {
        // A source that has dropped them from memory can no longer say, but one that sees them anew can.
        let mut other = source_of(self.dir.path().into(), self.options.clone());
        other.resume(&[]).expect("nothing to resume");
        let end = other.poll(self.now_ms).expect("polled")[0].end;
        let segments = other.segments(P0, 0..end);
        assert_eq!(segments.iter().map(|segment| segment.file.as_str()).collect::<Vec<_>>(), names);
        Resume { id: P0, replay: end, next: end, mark: Default::default(), segments }
    }
}

#[test]
fn an_input_without_a_folder_keeps_its_number() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("a"), "1\n2\n").expect("written");
    let inputs = || {
        let named = [("chat", None), ("viewer", Some(dir.path().to_owned()))];
        named.map(|(name, path)| FolderInput { name, path }).into()
    };
    let options = FolderOptions { arrival: Arrival::Rename, ..FolderOptions::default() };
    let mut source = FolderSource::new(inputs(), options.clone());
    source.resume(&[]).expect("nothing to take up");
    let views = source.poll(0).expect("polled");
    let viewer = PartitionId { input: 1, partition: 0 };
    assert_eq!(views.iter().map(|view| (view.id, view.end)).collect::<Vec<_>>(), [(viewer, 2)]);
    assert_eq!(source.inputs().iter().map(|input| input.name).collect::<Vec<_>>(), ["chat", "viewer"]);
    assert_eq!((source.files("viewer"), source.files("chat")), (1, 0));
    let read_before = Resume { id: P0, replay: 0, next: 1, mark: Default::default(), segments: Vec::new() };
    let refused = FolderSource::new(inputs(), options.clone()).resume(&[read_before]);
    assert!(matches!(refused, Err(SourceError::Halt(why)) if why.contains("read chat events before")));
}

#[test]
fn a_file_replaced_while_nobody_looked_is_read() {
    // Same name, same size, read to its end before, by now other content.
    let check = |record: fn(&mut Segment), change: fn(&Bench, i64), expected: &[&str]| {
        let mut bench = Bench::new();
        bench.write("a", "1\n");
        bench.write("b", "2\n");
        let time_ms = bench.now_ms;
        assert_eq!(bench.end(), 2);
        let mut recorded = bench.recorded(P0, 2, 2);
        recorded.segments.iter_mut().for_each(record);
        bench.now_ms += 60_000;
        change(&bench, time_ms);
        bench.restart(&[recorded]);
        assert_eq!(bench.texts(2), expected);
    };
    let replace = |bench: &Bench, _| bench.write("a", "3\n");
    check(|_| (), replace, &["3"]);
    check(|_| (), |bench, _| bench.touch("a", bench.now_ms), &[]);
    // Without a recorded time the size alone tells nothing.
    let forget = |segment: &mut Segment| segment.modified_ns = None;
    let replace_at_time = |bench: &Bench, time_ms| {
        bench.write("a", "3\n");
        bench.touch("a", time_ms);
    };
    check(forget, replace_at_time, &["3"]);
    check(forget, |_, _| (), &[]);
}
