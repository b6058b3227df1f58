//! Whatever the CSV files and however they are cut: the records that a splitter of whole texts finds.

use proptest::{collection::vec, prelude::*};
use telemetra_core::limits::RECORD_BYTES_MAX;

use super::{super::csv::tests::naive, *};

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        6 => "[a,\" \r]{0,20}",
        3 => Just("1,\"a\nb\",2".to_owned()),
        2 => Just("x\",\"y".to_owned()),
        2 => Just("1,\"a".to_owned()),
        2 => Just("1,\"a\"".to_owned()),
        2 => Just(String::new()),
        1 => (100_000usize..400_000).prop_map(|size| "x".repeat(size)),
        1 => (100_000usize..400_000).prop_map(|size| format!("1,\"{}\"", ("x".repeat(9_000) + "\n").repeat(size / 9_000))),
        1 => (RECORD_BYTES_MAX - 3..RECORD_BYTES_MAX + 300_000).prop_map(|size| "y".repeat(size)),
        1 => (RECORD_BYTES_MAX - 9..RECORD_BYTES_MAX).prop_map(|size| format!("\"{}\"", "z".repeat(size))),
    ];
    (text, prop_oneof![4 => Just("\n"), 1 => Just("\r\n")]).prop_map(|(text, end)| (text + end).into_bytes())
}

/// Text, whether it has a byte order mark, how it is stored, and what is added to it later.
fn file() -> impl Strategy<Value = (Vec<u8>, bool, u8, Vec<u8>)> {
    (vec(line(), 0..9), "[a\",]{0,9}", any::<bool>(), 0u8..4, vec(line(), 0..3)).prop_map(
        |(lines, tail, has_mark, stored, added)| {
            ([lines.concat(), tail.into_bytes()].concat(), has_mark, stored, added.concat())
        },
    )
}

/// File, line, bytes of a record.
type Read = (String, u64, Vec<u8>);

impl Bench {
    /// Cuts and reads what there is from `at` on; returns it with where it ended.
    fn read_on(&mut self, mut at: Offset, batch: u64, bytes: u64, pieces: usize) -> (Vec<Read>, Offset) {
        let end = self.end();
        let mut seen = Vec::new();
        while at < end {
            for range in self.source.cut(P0, at, batch, bytes, pieces).expect("cut") {
                assert_eq!(range.start, at);
                let mut reader = self.source.open(P0, range.clone()).expect("opened");
                let mut chunk = Chunk::default();
                while reader.next_chunk(&mut chunk).expect("read") {
                    assert_eq!(chunk.head.as_deref(), Some(&b"id,\"b\nc\""[..]));
                    for span in &chunk.records {
                        assert_eq!(span.offset, at);
                        at += 1;
                        let file = chunk.file.as_deref().expect("a file").to_owned();
                        seen.push((file, span.line, chunk.record(span).bytes.to_vec()));
                    }
                }
                assert_eq!(range.end, at);
            }
            self.source.committed(P0, at, at);
        }
        (seen, at)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_any_csv_folder_gives_its_records(
        files in vec(file(), 1..4),
        batch in 1u64..9,
        bytes in prop_oneof![Just(u64::MAX), 1u64..600_000],
        pieces in 1usize..4,
    ) {
        let mut bench = Bench::csv();
        bench.options.processed = None;
        bench.restart(&[]);
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for (number, (text, has_mark, stored, added)) in files.iter().enumerate() {
            let head = format!("id,\"b\nc\"\n{number}\n");
            let mark = if *has_mark { "\u{feff}" } else { "" };
            let text = [mark.as_bytes(), head.as_bytes(), text].concat();
            let name = format!("{number}.csv");
            match stored {
                // An incompressible tail keeps the ratio of what repeats itself within bounds.
                0 if text.len() < 1 << 20 => bench.write(&name, zstd::encode_all(&text[..], 1).expect("compressed")),
                1 if text.len() < 1 << 20 => bench.write(&name, gzip(&String::from_utf8_lossy(&text))),
                _ => bench.write(&name, &text),
            }
            // The head is two lines, and no record of the sequence.
            let without_mark = &text[mark.len()..];
            let found = naive(without_mark, RECORD_BYTES_MAX).into_iter().skip(1);
            first.extend(found.map(|(line, _, bytes, _)| (name.clone(), line, bytes)));
            if *stored > 1 {
                let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
                let found = naive(added, RECORD_BYTES_MAX).into_iter();
                later.extend(found.map(|(line, _, bytes, _)| (name.clone(), lines + line, bytes)));
            }
        }
        let (seen, at) = bench.read_on(0, batch, bytes, pieces);
        prop_assert!(seen == first);
        // What is added later is a section of its own, under the same head.
        for (number, (_, _, stored, added)) in files.iter().enumerate() {
            if *stored > 1 && !added.is_empty() {
                bench.append(&format!("{number}.csv"), &String::from_utf8_lossy(added));
            }
        }
        let (seen, _) = bench.read_on(at, batch, bytes, pieces);
        prop_assert!(seen == later);
    }
}
