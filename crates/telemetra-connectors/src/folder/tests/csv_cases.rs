//! Contents of CSV files, a test for each case that concerns where records are or the file as a whole.

use telemetra_core::limits::RECORD_BYTES_MAX;

use super::*;

/// The records of one file, as [`Bench::shown`] without its name.
fn check(bytes: impl AsRef<[u8]>, expected: &[&str]) -> Bench {
    let mut bench = Bench::csv();
    bench.write("f", &bytes);
    let seen = bench.all_shown(0);
    assert_eq!(seen.iter().map(|seen| seen.replacen("f:", "", 1)).collect::<Vec<_>>(), expected);
    // A copy says the same when it is decompressed.
    let mut packed = Bench::csv();
    packed.write("f", zstd::encode_all(bytes.as_ref(), 1).expect("compressed"));
    assert_eq!(packed.all_shown(0), seen);
    bench
}

#[test]
fn utf_8_bom_is_stripped_at_byte_0_only() {
    check("\u{feff}id,a\n1,\u{feff}x\n", &["id,a|2 8..14 1,\u{feff}x"]);
    check("id,a\n\u{feff}1,x\n", &["id,a|2 5..11 \u{feff}1,x"]);
    check("\u{feff}\n\nid\n1\n", &["id|4 8..9 1"]);
}

#[test]
fn utf_16_bom_or_a_tenth_of_nul_bytes_is_a_fault_of_the_file() {
    let wide =
        |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(bytes).collect() };
    check(
        wide("\u{feff}id\n1\n", u16::to_be_bytes),
        &["1 0..12 \u{fffd}\u{fffd}\0i\0d\0\n\x001\0\n!encoding_utf16"],
    );
    check(wide("\u{feff}名\n", u16::to_le_bytes), &["1 0..6 \u{fffd}\u{fffd}\rT\n\0!encoding_utf16"]);
    let bench = check(wide("id\n", u16::to_le_bytes), &["1 0..6 i\0d\0\n\0!encoding_utf16"]);
    assert_eq!(bench.report().files_faulty, 1);
    // One NUL byte is a record's own affair.
    check("id,a\n1,x\0\n2,y\n", &["id,a|2 5..9 1,x\0", "id,a|3 10..13 2,y"]);
}

#[test]
fn crlf_ends_lines_and_a_lone_cr_is_data() {
    check("id,a\r\n1,x\r\n\r\n2,y\rz\r\n3", &["id,a|2 6..9 1,x", "id,a|4 13..18 2,y\rz", "id,a|5 20..21 3"]);
}

#[test]
fn cr_only_line_ends_are_a_fault_of_the_file() {
    check("id,a\r1,x\r2,y\r", &["1 0..13 id,a\r1,x\r2,y\r!line_ends"]);
}

#[test]
fn embedded_newlines_and_doubled_quotes() {
    let text = "id,a\n1,\"x\r\ny \"\"q\"\"\"\n2,\"\"\n\"3\",z\n";
    let head = "id,a|";
    let expected = ["2 5..19 1,\"x\r\ny \"\"q\"\"\"", "4 20..24 2,\"\"", "5 25..30 \"3\",z"];
    check(text, &expected.map(|seen| format!("{head}{seen}")).each_ref().map(String::as_str));
}

#[test]
fn text_after_a_closing_quote_and_bare_quotes_do_not_move_record_ends() {
    let text = "id,a\n1,\"x\"tail\n2,ba\"re\n3, \"x\n4\n";
    let expected = ["2 5..14 1,\"x\"tail", "3 15..22 2,ba\"re", "4 23..28 3, \"x", "5 29..30 4"];
    check(text, &expected.map(|seen| format!("id,a|{seen}")).each_ref().map(String::as_str));
}

#[test]
fn an_unclosed_quote_does_not_swallow_the_file() {
    check("id,a\n1,\"x\n2,y\n3,z", &["id,a|2 5..9 1,\"x", "id,a|3 10..13 2,y", "id,a|4 14..17 3,z"]);
    // Closed, but only behind more bytes than a record may have.
    let mut bench = Bench::csv();
    bench.write("f", format!("id\n1,\"x\n{}\"\n3\n", "2\n".repeat(RECORD_BYTES_MAX / 2)));
    let end = bench.end();
    assert_eq!(end, 1 + RECORD_BYTES_MAX as u64 / 2 + 1 + 1);
    assert_eq!(bench.shown(0, 2), ["id|f:2 3..7 1,\"x", "id|f:3 8..9 2"]);
    assert!(bench.shown(end - 1, end)[0].ends_with(" 3"));
}

#[test]
fn a_stray_quote_takes_its_own_line_alone() {
    let row = |number: usize| match number {
        10 => format!("{number},\"n,x\n"),
        4_900 => format!("{number},\"n\",x\n"),
        _ => format!("{number},n,x\n"),
    };
    let text: String = (0..5_000).map(row).collect();
    let mut bench = Bench::csv();
    bench.write("f", format!("id,a,b\n{text}"));
    let seen = bench.all_shown(0);
    assert_eq!(seen.len(), 5_000);
    assert!(seen[10].ends_with(" 10,\"n,x") && seen[11].ends_with(" 11,n,x"), "{:?}", &seen[10..12]);
    assert!(seen[4_900].ends_with(" 4900,\"n\",x"), "{}", seen[4_900]);
    // A field of several lines with text behind its quote: which of the two is wrong nobody knows.
    check("id,a\n1,\"x\ny\"z\n2,w\n", &["id,a|2 5..9 1,\"x", "id,a|3 10..13 y\"z", "id,a|4 14..17 2,w"]);
}

#[test]
fn a_record_that_is_too_long_is_cut_and_the_next_is_read() {
    let mut bench = Bench::csv();
    let long = "x".repeat(3 * RECORD_BYTES_MAX);
    bench.write("f", format!("id,a\n1,{long},\"y\nz\"\n2,b\n"));
    let seen = bench.all_shown(0);
    assert_eq!(seen.len(), 2);
    let end = 5 + RECORD_BYTES_MAX;
    assert_eq!(seen[0], format!("id,a|f:2 5..{end} 1,{}…", "x".repeat(28)));
    let at = 5 + 2 + long.len() + 7;
    assert_eq!(seen[1], format!("id,a|f:4 {at}..{} 2,b", at + 3));
}

#[test]
fn header_in_another_order_is_handed_out_as_it_is() {
    check("b,id\r\nx,1\n", &["b,id|2 6..9 x,1"]);
    check("\n \nb,\"i\nd\",id\n1\n", &["b,\"i\nd\",id|5 14..15 1"]);
}

#[test]
fn header_missing_is_a_fault_of_the_file() {
    check("1,x\n2,y\n", &["1 0..8 1,x\n2,y\n!header_missing"]);
    // Also where the file has nothing else: it may be a file of one record and no head.
    check("1,x", &["1 0..3 1,x!header_missing"]);
    check("\u{feff}x\ny\n", &["1 0..7 \u{feff}x\ny\n!header_missing"]);
}

#[test]
fn a_file_with_a_fault_is_one_record_however_long() {
    let mut bench = Bench::csv();
    bench.write("f", "x,y\n".repeat(RECORD_BYTES_MAX));
    let seen = bench.all_shown(0);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with(&format!("f:1 0..{RECORD_BYTES_MAX} x,y")), "{seen:?}");
    assert!(seen[0].ends_with("!header_missing…"), "{seen:?}");
    let segment = &bench.source.segments(P0, 0..1)[0];
    assert_eq!((segment.bytes.clone(), segment.records, segment.line), (0..4 << 20, 1, 1));
    // A head longer than any head.
    let mut bench = Bench::csv();
    bench.write("f", format!("id,{}\n1\n", "x".repeat(limits::HEAD_BYTES_MAX)));
    assert!(bench.all_shown(0)[0].ends_with("!record_too_long"));
}

#[test]
fn an_empty_file_or_a_header_only_is_no_record() {
    let mut bench = Bench::csv();
    for (name, text) in
        [("a", ""), ("b", "id,a\n"), ("c", "\u{feff}id,a\r\n\r\n"), ("d", " \n"), ("e", "\u{feff}")]
    {
        bench.write(name, text);
    }
    assert_eq!(bench.end(), 0);
    assert_eq!((bench.report().files_empty, bench.report().warnings.len()), (5, 0));
    assert_eq!(bench.names("done"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn what_has_a_fault_and_grows_is_looked_at_as_a_whole() {
    let mut bench = Bench::csv();
    bench.options.processed = None;
    bench.restart(&[]);
    bench.write("f", "i");
    assert_eq!(bench.step(0, 9, 1), ["i"]);
    bench.append("f", "d,a\n1,x\n");
    assert_eq!(bench.all_shown(1), ["id,a|f:2 5..8 1,x"]);
    assert_eq!(bench.step(1, 9, 2), ["1,x"]);
    // Mended, it grows as any other.
    bench.append("f", "2,y\n");
    assert_eq!(bench.all_shown(2), ["id,a|f:3 9..12 2,y"]);
}

#[test]
fn files_share_their_head_and_a_reader_in_the_midst_knows_it() {
    let mut bench = Bench::csv();
    let rows: String = (0..60_000).map(|number| format!("{number},\"quoted\nvalue\"\n")).collect();
    bench.write("a.csv", format!("id,a\n{rows}"));
    bench.write("b.csv.gz", gzip(&format!("b,id\n{rows}")));
    assert_eq!(bench.end(), 120_000);
    let ranges = bench.source.cut(P0, 5, 59_000, u64::MAX, 4).expect("cut");
    assert_eq!(ranges.len(), 4);
    for range in ranges {
        let seen = bench.shown(range.start, range.end);
        assert_eq!(seen.len() as u64, range.end - range.start);
        for (offset, seen) in (range.start..).zip(&seen) {
            assert!(seen.starts_with(&format!("id,a|a.csv:{} ", 2 + 2 * offset)), "{seen}");
            assert!(seen.ends_with(&format!(" {offset},\"quoted\nvalue\"")), "{seen}");
        }
    }
    assert!(bench.shown(100_000, 100_001)[0].starts_with("b,id|b.csv.gz:80002 "));
}
