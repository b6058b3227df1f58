//! Files are known by what they hold.

use super::*;

fn duplicates(bench: &Bench) -> Vec<String> {
    let report = bench.source.reporter().report();
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    report.duplicates.iter().map(|duplicate| name(&duplicate.file)).collect()
}

#[test]
fn a_copy_is_not_read_again() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n");
    bench.write("b", "1\n2\n");
    bench.write("c.gz", gzip("1\n2\n"));
    assert_eq!(bench.step(0, 2, 2), ["1", "2"]);
    bench.write("d.zst", zstd("1\n2\n"));
    assert_eq!(bench.end(), 2);
    assert_eq!(duplicates(&bench), ["b", "c.gz", "d.zst"]);
    // The same size is not the same content.
    bench.write("e", "1\n3\n");
    assert_eq!(bench.texts(2), ["1", "3"]);
}

#[test]
fn a_copy_is_read_when_the_first_went_unread() {
    let mut bench = Bench::new();
    bench.write("a", "1\n");
    bench.write("b", "1\n");
    assert_eq!(bench.end(), 1);
    fs::remove_file(bench.path("a")).expect("removed");
    let end = bench.end();
    assert_eq!(bench.read(P0, 0, end)[0].1, "b");
}

#[test]
fn what_a_file_grew_by_is_a_further_segment() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2");
    bench.write("b", "3\n");
    assert_eq!(bench.step(0, 3, 3), ["1", "2", "3"]);
    bench.append("a", "\n4\n");
    assert_eq!(bench.end(), 4);
    let seen = bench.read(P0, 3, 4);
    assert_eq!(seen, [(3, "a".to_owned(), 3, "4".to_owned())]);
    let segment = &bench.source.segments(P0, 3..4)[0];
    assert_eq!((segment.seq, segment.bytes.clone(), segment.line), (2, 3..6, 2));
    // It grows while that is not begun: one segment holds all that is new.
    bench.append("a", "5\n");
    assert_eq!(bench.texts(3), ["4", "5"]);
    assert_eq!(bench.source.segments(P0, 3..5).len(), 1);
    // Blank lines add nothing but count as lines.
    assert_eq!(bench.step(3, 9, 5), ["4", "5"]);
    bench.append("a", "\n\n");
    assert_eq!(bench.end(), 5);
    bench.append("a", "6");
    let end = bench.end();
    assert_eq!(bench.read(P0, 5, end), [(5, "a".to_owned(), 7, "6".to_owned())]);
}

#[test]
fn a_compressed_file_grows_by_a_member() {
    let mut bench = Bench::new();
    bench.write("a.gz", gzip("1\n2\n"));
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    bench.write("a.gz", [gzip("1\n2\n"), gzip("3\n")].concat());
    assert_eq!(bench.texts(1), ["2", "3"]);
}

#[test]
fn other_content_under_a_known_name() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n");
    assert_eq!(bench.step(0, 2, 1), ["1", "2"]);
    // It was read to its end: a new file.
    bench.write("a", "3\n4\n5\n");
    assert_eq!(bench.texts(2), ["3", "4", "5"]);
    bench.append("a", "6\n");
    assert_eq!(bench.texts(2), ["3", "4", "5", "6"]);
    // It was not: what was unread would be lost.
    assert_eq!(bench.step(2, 1, 2), ["3"]);
    bench.write("a", "7\n8\n9\n0\n");
    assert_eq!(bench.poll()[0].gaps, [3..6]);
    assert_eq!(bench.poll()[0].gaps, [3..6], "and stays so");
    bench.write("a", "3\n4\n5\n6\n");
    assert_eq!(bench.texts(3), ["4", "5", "6"]);
}

#[test]
fn other_content_is_read_behind_the_gap_that_it_made() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n3\n");
    assert_eq!(bench.step(0, 1, 1), ["1"]);
    // The next record is handed out, and whether it was committed is not known yet.
    assert_eq!(bench.source.cut(P0, 1, 1, u64::MAX, 1).expect("cut"), [1..2]);
    bench.write("a", "7\n8\n");
    assert_eq!(bench.poll()[0].gaps, [1..3]);
    bench.source.committed(P0, 2, 2);
    assert_eq!(bench.poll()[0].gaps, [2..3]);
    bench.source.committed(P0, 3, 3);
    assert_eq!(bench.texts(3), ["7", "8"]);
}

#[test]
fn what_was_begun_and_touched_is_judged_however_much_is_ahead() {
    let mut bench = Bench::new();
    bench.options.ahead_records = 1;
    bench.restart(&[]);
    bench.write("a", "1\n2\n3\n");
    assert_eq!(bench.step(0, 1, 1), ["1"]);
    bench.append("a", "4\n");
    assert_eq!(bench.texts(1), ["2", "3", "4"]);
    bench.write("a", "7\n8\n");
    assert_eq!(bench.poll()[0].gaps, [1..3]);
}

#[test]
fn a_file_changed_before_it_was_begun_is_read_as_it_is() {
    let mut bench = Bench::new();
    bench.write("a", "1\n");
    bench.write("b", "2\n");
    assert_eq!(bench.end(), 2);
    let ranges = bench.source.cut(P0, 0, 2, u64::MAX, 1).expect("cut");
    assert_eq!(ranges, [0..2]);
    bench.write("b", "3\n4\n");
    assert!(matches!(bench.try_read(P0, 0, 2), Err(SourceError::Changed(_))));
    assert_eq!(bench.texts(0), ["1", "3", "4"]);
}

#[test]
fn a_file_renamed_in_the_midst_is_read_on() {
    let mut bench = Bench::new();
    bench.write("current", "1\n2\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    // Rotated and continued between two polls.
    fs::rename(bench.path("current"), bench.path("old")).expect("renamed");
    bench.append("old", "3\n");
    bench.write("current", "4\n");
    let views = bench.poll();
    assert_eq!(views[0].gaps, []);
    let end = bench.end();
    let texts: Vec<_> = bench.read(P0, 1, end).into_iter().map(|seen| seen.3).collect();
    assert_eq!(texts, ["2", "4", "3"]);
}

#[test]
fn a_file_removed_in_the_midst_is_a_gap() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n3\n");
    bench.write("b", "4\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    fs::remove_file(bench.path("a")).expect("removed");
    let views = bench.poll();
    assert_eq!((views[0].end, views[0].gaps.clone()), (4, vec![1..3]));
    // It comes back.
    bench.write("a", "1\n2\n3\n");
    assert_eq!(bench.poll()[0].gaps, []);
    assert_eq!(bench.step(1, 9, 1), ["2", "3", "4"]);
}

#[test]
fn what_cannot_be_decompressed_is_named_and_not_read() {
    let mut bench = Bench::new();
    let whole = gzip(&lines(0, 1_000));
    bench.write("cut.gz", &whole[..whole.len() - 20]);
    let whole = zstd(&lines(0, 2_000));
    bench.write("cut.zst", &whole[..whole.len() - 20]);
    let mut spoilt = gzip(&lines(5, 1_000));
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 0xff;
    bench.write("spoilt.gz", spoilt);
    bench.write("bomb.gz", gzip(&"[]\n".repeat(4 << 20)));
    bench.write("z", "1\n");
    assert_eq!(bench.texts(0), ["1"]);
    let warnings = bench.source.reporter().report().warnings;
    let named = ["bomb.gz", "cut.gz", "cut.zst", "spoilt.gz"];
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(named.iter().zip(&warnings).all(|(name, warning)| warning.contains(name)));
    // Once it is mended, it is read.
    bench.write("cut.gz", gzip("0\n"));
    assert_eq!(bench.texts(0), ["0", "1"]);
}

#[test]
fn members_and_frames_are_one_stream() {
    let mut bench = Bench::new();
    bench.write("a.gz", [gzip("1\n2"), gzip("3\n")].concat());
    bench.write("b.zst", [zstd("4\n5"), zstd("6\n")].concat());
    assert_eq!(bench.texts(0), ["1", "23", "4", "56"]);
}

#[test]
fn a_rewrite_that_keeps_size_and_time_is_noticed() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n");
    let (written, time_ms) = (bench.changed("a"), bench.now_ms);
    assert_eq!(bench.texts(0), ["1", "2"]);
    // The file system's clock may not have ticked yet.
    while bench.changed("a") == written {
        fs::write(bench.path("a"), "123\n").expect("written");
        bench.touch("a", time_ms);
    }
    assert_eq!(bench.texts(0), ["123"]);
}

#[test]
fn a_file_renamed_unchanged_is_read_on() {
    let mut bench = Bench::new();
    bench.write("b", "1\n2\n3\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    fs::rename(bench.path("b"), bench.path("a")).expect("renamed");
    assert_eq!(bench.poll()[0].gaps, []);
    assert_eq!(bench.step(1, 1, 0), ["2"]);
    assert_eq!(bench.texts(2), ["3"]);
}

impl Bench {
    /// When the file system changed anything of a file last.
    fn changed(&self, name: &str) -> (i64, i64) {
        use std::os::unix::fs::MetadataExt;
        let data = fs::metadata(self.path(name)).expect("there");
        (data.ctime(), data.ctime_nsec())
    }
}

#[test]
fn a_file_in_utf_16_is_named_and_not_read() {
    let mut bench = Bench::new();
    let wide =
        |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(bytes).collect() };
    bench.write("big", wide("\u{feff}[1]\n", u16::to_be_bytes));
    bench.write("little", wide("\u{feff}名前\n", u16::to_le_bytes));
    bench.write("packed.zst", zstd::encode_all(&wide("[2]\n", u16::to_le_bytes)[..], 1).expect("compressed"));
    bench.write("unmarked", wide("[3]\n", u16::to_be_bytes));
    bench.write("z", "four and \0\n");
    assert_eq!(bench.texts(0), ["four and \0"]);
    let warnings = bench.source.reporter().report().warnings;
    let named = ["big", "little", "packed.zst", "unmarked"];
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    for (name, warning) in named.iter().zip(&warnings) {
        assert!(warning.contains(name) && warning.contains("ENCODING_UTF16"), "{warning}");
    }
    bench.write("big", "[1]\n");
    assert_eq!(bench.texts(0), ["[1]", "four and \0"]);
}

#[test]
fn a_file_that_was_begun_is_read_on_whatever_it_holds() {
    let mut bench = Bench::new();
    bench.write("a", "\0 and more\n");
    assert_eq!(bench.step(0, 1, 0), ["\0 and more"]);
    bench.append("a", "\0\0\0\0\n");
    assert_eq!(bench.step(1, 1, 0), ["\0\0\0\0"]);
    let recorded = bench.recorded(P0, 0, 2);
    bench.restart(&[recorded]);
    assert_eq!(bench.texts(0), ["\0 and more", "\0\0\0\0"]);
}

#[test]
fn the_inode_alone_makes_no_rename() {
    let mut bench = Bench::new();
    bench.write("a", "1\n2\n");
    assert_eq!(bench.step(0, 1, 0), ["1"]);
    // As if `a` were replaced by a copy of itself, and its inode given to a new file.
    fs::rename(bench.path("a"), bench.path("b")).expect("renamed");
    bench.write("b", "7\n8\n9\n");
    bench.write("a", "1\n2\n");
    assert_eq!(bench.step(1, 9, 1), ["2", "7", "8", "9"]);
    bench.append("a", "3\n");
    assert_eq!(bench.texts(5), ["3"]);
}
