//! Cutting and reading ranges.

use telemetra_core::limits::RECORD_BYTES_MAX;

use super::*;

#[test]
fn seven_records_are_seven_across_files() {
    let mut bench = Bench::new();
    bench.write("a", "1\n\n2\r\n \r\n3");
    bench.write("b", "\n\n");
    bench.write("c", "\u{feff}4\n5\n6\n7\n8\n9\n");
    bench.write("d", "10");
    assert_eq!(bench.end(), 10);
    let ranges = bench.source.cut(P0, 0, 7, u64::MAX, 2).expect("cut");
    assert_eq!(ranges.first().map(|range| range.start), Some(0));
    assert_eq!(ranges.last().map(|range| range.end), Some(7));
    let seen = bench.read(P0, 0, 7);
    let seen: Vec<_> = seen.iter().map(|(_, file, line, text)| format!("{file}:{line} {text}")).collect();
    assert_eq!(seen, ["a:1 1", "a:3 2", "a:5 3", "c:1 4", "c:2 5", "c:3 6", "c:4 7"]);
    assert_eq!(bench.source.segments(P0, 2..4).iter().map(|it| it.seq).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn large_files_are_cut_at_points() {
    let mut bench = Bench::new();
    bench.write("a", lines(0, 200_000));
    assert_eq!(bench.end(), 200_000);
    let ranges = bench.source.cut(P0, 10, 150_000, u64::MAX, 4).expect("cut");
    assert_eq!(ranges.len(), 4);
    assert_eq!((ranges[0].start, ranges[3].end), (10, 150_010));
    for range in ranges {
        let seen = bench.read(P0, range.start, range.end);
        assert_eq!(seen.len() as u64, range.end - range.start);
        let whole = |seen: &Seen| seen.3 == format!("{{\"n\":{}}}", seen.0) && seen.2 == seen.0 + 1;
        assert!(seen.iter().all(whole));
    }
    // The cap on bytes ends at the first point behind it.
    let ranges = bench.source.cut(P0, 0, u64::MAX, 1_000_000, 1).expect("cut");
    let bytes: usize = bench.read(P0, 0, ranges[0].end).iter().map(|seen| seen.3.len() + 1).sum();
    assert!((1_000_000..1_000_000 + (256 << 10)).contains(&bytes), "{bytes}");
}

#[test]
fn the_cap_on_bytes_holds_within_a_compressed_file() {
    let mut bench = Bench::new();
    bench.write("a", gzip(&lines(0, 200_000)));
    assert_eq!(bench.end(), 200_000);
    // Going to its midst means decoding what is before: the batch ends there, and is one range.
    let ranges = bench.source.cut(P0, 0, u64::MAX, 1_000_000, 4).expect("cut");
    assert_eq!((ranges.len(), ranges[0].start), (1, 0));
    let bytes: usize = bench.read(P0, 0, ranges[0].end).iter().map(|seen| seen.3.len() + 1).sum();
    assert!((1_000_000..1_000_000 + (256 << 10)).contains(&bytes), "{bytes}");
}

#[test]
fn a_line_of_many_megabytes_is_cut_in_bounded_memory() {
    let mut bench = Bench::new();
    let long = "x".repeat(5 << 20);
    bench.write("a", format!("1\n{long}\n2\n{long}"));
    assert_eq!(bench.end(), 4);
    let mut reader = bench.source.open(P0, 0..4).expect("opened");
    let (mut chunk, mut seen) = (Chunk::default(), Vec::new());
    while reader.next_chunk(&mut chunk).expect("read") {
        assert!(chunk.bytes.capacity() < 4 << 20);
        seen.extend(chunk.records.iter().map(|span| (span.line, span.end - span.start, span.truncated)));
    }
    let max = RECORD_BYTES_MAX as u32;
    assert_eq!(seen, [(1, 1, false), (2, max, true), (3, 1, false), (4, max, true)]);
}

#[test]
fn ranges_of_a_compressed_file_follow_each_other() {
    let mut bench = Bench::new();
    bench.write("a.gz", gzip(&lines(0, 60_000)));
    bench.write("b.zst", [zstd(&lines(60_000, 30_000)), zstd(&lines(90_000, 10_000))].concat());
    assert_eq!(bench.end(), 100_000);
    // Compressed files are cut at their ends only.
    assert_eq!(bench.source.cut(P0, 0, u64::MAX, u64::MAX, 2).expect("cut"), [0..60_000, 60_000..100_000]);
    let mut at = 0;
    while at < 100_000 {
        let to = (at + 12_345).min(100_000);
        let mut reader = bench.source.open(P0, at..to).expect("opened");
        let mut chunk = Chunk::default();
        // The range is left in its second chunk, as a split that ends at its horizon.
        for taken in [usize::MAX, 5_000] {
            if reader.next_chunk(&mut chunk).expect("read") {
                for span in chunk.records.iter().take(taken) {
                    let text = &chunk.bytes[span.start as usize..span.end as usize];
                    assert_eq!(String::from_utf8_lossy(text), format!("{{\"n\":{at}}}"));
                    assert_eq!(span.offset, at);
                    at += 1;
                }
            }
        }
    }
}

#[test]
fn a_file_touched_while_it_is_read_fails_the_range() {
    let mut bench = Bench::new();
    bench.write("a", lines(0, 50_000));
    bench.end();
    let mut reader = bench.source.open(P0, 0..50_000).expect("opened");
    let mut chunk = Chunk::default();
    assert!(reader.next_chunk(&mut chunk).expect("read"));
    bench.append("a", "more\n");
    assert!(matches!(reader.next_chunk(&mut chunk), Err(SourceError::Changed(_))));
    drop(reader);
    assert_eq!(bench.end(), 50_001);
    fs::remove_file(bench.path("a")).expect("removed");
    assert!(matches!(bench.try_read(P0, 0, 1), Err(SourceError::Changed(_))));
}
