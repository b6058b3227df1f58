//! Arrival and file system: a test for each case, with real files.

use super::*;

/// As [`Bench::csv`], for files that are written in place.
fn settling() -> Bench {
    let mut bench = Bench::csv();
    bench.options.arrival = Arrival::Settle;
    bench.restart(&[]);
    bench
}

#[test]
fn atomic_rename() {
    let mut bench = settling();
    bench.write("a.csv.tmp", "id\n1\n");
    assert_eq!(bench.end(), 0);
    fs::rename(bench.path("a.csv.tmp"), bench.path("a.csv")).expect("renamed");
    assert_eq!(bench.all_shown(0), ["id|a.csv:2 3..4 1"]);
    // Told that all arrive so, what is visible is read at once.
    let mut bench = Bench::csv();
    bench.write("a.csv", "id\n1\n");
    assert_eq!(bench.end(), 1);
}

#[test]
fn written_in_place() {
    let mut bench = settling();
    bench.write("a.csv", "id\n1\n2");
    assert_eq!(bench.end(), 0);
    bench.append("a.csv", "3\n4");
    // The record that has no newline yet is held, as all of the file, until it has settled.
    assert_eq!([bench.end(), bench.end()], [0, 0]);
    assert_eq!(bench.all_shown(0), ["id|a.csv:2 3..4 1", "id|a.csv:3 5..7 23", "id|a.csv:4 8..9 4"]);
}

#[test]
fn grows_later() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    bench.write("a.csv", "\u{feff}id,a\n1,x\n");
    assert_eq!(bench.step(0, 9, 1), ["1,x"]);
    bench.append("a.csv", "2,\"y\n");
    // Under the first head; a quote open at the old end would have been the old section's affair.
    assert_eq!(bench.all_shown(1), ["id,a|a.csv:3 12..16 2,\"y"]);
    assert_eq!(bench.step(1, 9, 2), ["2,\"y"]);
    bench.append("a.csv", "3\"\n4,z\n");
    assert_eq!(bench.all_shown(2), ["id,a|a.csv:4 17..19 3\"", "id,a|a.csv:5 20..23 4,z"]);
    let segments = bench.source.segments(P0, 0..4);
    assert_eq!(segments.iter().map(|it| (it.bytes.clone(), it.line)).collect::<Vec<_>>(), [(17..24, 4)]);
}

#[test]
fn grows_later_and_is_read_on_by_another_process() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    bench.write("a.csv", "id,a\n1,x\n");
    assert_eq!(bench.step(0, 9, 0), ["1,x"]);
    bench.append("a.csv", "2,\"y\n");
    assert_eq!(bench.step(1, 9, 0), ["2,\"y"]);
    let recorded = bench.recorded(P0, 1, 2);
    bench.append("a.csv", "3\"\n");
    bench.restart(&[recorded]);
    assert_eq!(bench.all_shown(1), ["id,a|a.csv:3 9..13 2,\"y", "id,a|a.csv:4 14..16 3\""]);
}

#[test]
fn a_fault_that_grew_is_found_as_it_was_by_another_process() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    bench.write("b.csv", "i");
    assert_eq!(bench.step(0, 9, 0), ["i"]);
    let recorded = bench.recorded(P0, 0, 1);
    bench.append("b.csv", "d\n1\n");
    bench.restart(&[recorded]);
    assert_eq!(bench.shown(0, 1), ["b.csv:1 0..1 i!header_missing"]);
    assert_eq!(bench.all_shown(1), ["id|b.csv:2 3..4 1"]);
}

#[test]
fn truncated_or_replaced_while_reading() {
    let check = |change: fn(&Bench), expected: &[&str]| {
        let mut bench = Bench::csv();
        let rows: String = (0..100_000).map(|number| format!("{number}\n")).collect();
        bench.write("a.csv", format!("id\n{rows}"));
        bench.write("b.csv", "id\nb\n");
        let end = bench.end();
        assert_eq!(bench.source.cut(P0, 0, end, u64::MAX, 1).expect("cut"), [0..end]);
        let mut reader = bench.source.open(P0, 0..end).expect("opened");
        let mut chunk = Chunk::default();
        assert!(reader.next_chunk(&mut chunk).expect("read"));
        change(&bench);
        assert!(matches!(reader.next_chunk(&mut chunk), Err(SourceError::Changed(_))));
        drop(reader);
        // The batch was dropped, so it is read as it is now.
        assert_eq!(bench.texts(0), expected);
    };
    check(|bench| bench.write("a.csv", "id\n1\n"), &["1", "b"]);
    check(|bench| fs::remove_file(bench.path("a.csv")).expect("removed"), &["b"]);
    let replace = |bench: &Bench| {
        bench.write("_new", "id\n7\n");
        fs::rename(bench.path("_new"), bench.path("a.csv")).expect("renamed");
    };
    check(replace, &["7", "b"]);
}

#[test]
fn same_file_again_or_renamed_copy() {
    let mut bench = Bench::csv();
    bench.write("a.csv", "id\n1\n");
    assert_eq!(bench.step(0, 9, 1), ["1"]);
    bench.write("a.csv", "id\n1\n");
    bench.write("b.csv", "id\n1\n");
    bench.write("c.csv.gz", gzip("id\n1\n"));
    bench.write("d.csv.zst", zstd("id\n1\n"));
    // The same beginning is not the same content.
    bench.write("e.csv", "id\n1\n2\n");
    assert_eq!(bench.all_shown(1), ["id|e.csv:2 3..4 1", "id|e.csv:3 5..6 2"]);
    assert_eq!(bench.report().duplicates_count, 4);
}

#[test]
fn same_name_with_new_content() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    bench.write("a.csv", "id\n1\n");
    assert_eq!(bench.step(0, 9, 1), ["1"]);
    bench.write("a.csv", "a,id\n2,3\n");
    assert_eq!(bench.all_shown(1), ["a,id|a.csv:2 5..8 2,3"]);
    assert_eq!(bench.source.segments(P0, 1..2)[0].seq, 1);
    // Half read, what is left of it is gone.
    bench.write("b.csv", "id\n1\n2\n3\n");
    assert_eq!(bench.step(1, 2, 3), ["2,3", "1"]);
    bench.write("b.csv", "id\n4\n5\n6\n7\n");
    assert_eq!(bench.poll()[0].gaps, [3..5]);
}

#[test]
fn deleted_during_read() {
    let mut bench = Bench::csv();
    bench.write("a.csv", "id\n1\n2\n3\n");
    assert_eq!(bench.step(0, 1, 1), ["1"]);
    fs::remove_file(bench.path("a.csv")).expect("removed");
    let views = bench.poll();
    assert_eq!((views[0].end, views[0].gaps.clone()), (3, vec![1..3]), "what was not read is named");
}

#[test]
fn old_mtime() {
    let mut bench = Bench::csv();
    bench.write("new.csv", "id\n1\n");
    assert_eq!(bench.step(0, 9, 1), ["1"]);
    bench.write("old.csv", "id\n2\n");
    bench.touch("old.csv", 0);
    assert_eq!(bench.texts(1), ["2"]);
}

#[test]
fn huge() {
    let mut bench = Bench::csv();
    // 40 MB in records of 100 bytes, one of which has no end for a long while.
    let row = format!("{}\n", "x".repeat(99));
    let text = format!("id\n{}{}\n{}", row.repeat(200_000), "y".repeat(9 << 20), row.repeat(200_000));
    bench.write("a.csv", text);
    assert_eq!(bench.end(), 400_001);
    let ranges = bench.source.cut(P0, 0, 100_000, u64::MAX, 1).expect("cut");
    assert_eq!(ranges, [0..100_000]);
    let mut reader = bench.source.open(P0, 199_999..200_002).expect("opened");
    let (mut chunk, mut seen) = (Chunk::default(), Vec::new());
    while reader.next_chunk(&mut chunk).expect("read") {
        assert!(chunk.bytes.capacity() < 4 << 20);
        seen.extend(chunk.records.iter().map(|span| (span.line, span.end - span.start, span.truncated)));
    }
    assert_eq!(seen, [(200_001, 99, false), (200_002, 1 << 20, true), (200_003, 99, false)]);
}

#[test]
fn millions_of_files_are_not_held_at_once() {
    let mut bench = Bench::csv();
    bench.options.ahead_records = 1_000;
    bench.restart(&[]);
    for number in 0..20_000 {
        fs::write(bench.path(&format!("{number:05}.csv")), format!("id\n{number}\n")).expect("written");
    }
    let (mut at, mut polls) = (0, 0);
    while at < 20_000 {
        let end = bench.end();
        polls += 1;
        assert!((at..=at + 1_002).contains(&end), "{end} at {at}");
        let pieces = bench.source.folders[0].as_ref().map(|folder| folder.sequences[&0].pieces.len());
        assert!(pieces.is_some_and(|pieces| pieces <= 1_002), "{pieces:?} are held");
        // The others are read alike.
        if polls > 5 {
            break;
        }
        for range in bench.source.cut(P0, at, u64::MAX, u64::MAX, 2).expect("cut") {
            let seen = bench.read(P0, range.start, range.end);
            assert!(seen.iter().all(|seen| seen.3 == seen.0.to_string()));
            at = range.end;
        }
        bench.source.committed(P0, at, at);
    }
    assert_eq!(bench.report().files_moved, at);
    assert_eq!(bench.names("done").len() as u64, at);
}

#[test]
fn gz_and_zst_by_magic_bytes() {
    let mut bench = Bench::csv();
    bench.write("a.csv", [gzip("id\n1,\""), gzip("\n\"\n2\n")].concat());
    bench.write("b.gz", "id\n3\n");
    bench.write("c.txt", [zstd("id\n4\n"), zstd("5\n")].concat());
    // A bomb, and tails that are cut off or spoilt: nothing of them is handed out.
    bench.write("d.gz", gzip(&format!("id\n{}", "0\n".repeat(4 << 20))));
    let (whole, packed) = (gzip(&lines(0, 1_000)), zstd(&lines(0, 2_000)));
    bench.write("e.gz", &whole[..whole.len() - 5]);
    bench.write("f.zst", &packed[..packed.len() - 5]);
    let mut spoilt = gzip("id\n6\n");
    let at = spoilt.len() - 6;
    spoilt[at] ^= 1;
    bench.write("g.gz", spoilt);
    let head = "id|";
    let expected =
        ["a.csv:2 3..8 1,\"\n\"", "a.csv:4 9..10 2", "b.gz:2 3..4 3", "c.txt:2 3..4 4", "c.txt:3 5..6 5"];
    assert_eq!(bench.all_shown(0), expected.map(|seen| format!("{head}{seen}")));
    let report = bench.report();
    assert_eq!((report.files_refused, report.warnings.len()), (4, 4), "{:?}", report.warnings);
}
