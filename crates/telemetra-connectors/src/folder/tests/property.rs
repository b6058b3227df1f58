//! Whatever the folder and however it is cut: exactly its records, in order, at their lines.

use proptest::{collection::vec, prelude::*};
use telemetra_core::limits::RECORD_BYTES_MAX;

use super::*;

/// A reader that holds everything and knows nothing of chunks.
fn naive(name: &str, bytes: &[u8]) -> Vec<(String, u64, Vec<u8>)> {
    let mut text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut records = Vec::new();
    let mut line = 0;
    while !text.is_empty() {
        line += 1;
        let end = text.iter().position(|&byte| byte == b'\n');
        let whole = &text[..end.unwrap_or(text.len())];
        text = end.map_or(&[], |end| &text[end + 1..]);
        let record = if end.is_some() { whole.strip_suffix(b"\r").unwrap_or(whole) } else { whole };
        if !record.iter().all(|byte| b" \t\n\r\x0b\x0c".contains(byte)) {
            records.push((name.to_owned(), line, record[..record.len().min(RECORD_BYTES_MAX)].to_vec()));
        }
    }
    records
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        6 => vec(any::<u8>(), 0..40),
        2 => Just(Vec::new()),
        1 => Just(b" \t ".to_vec()),
        1 => (100_000usize..400_000).prop_map(|size| vec![b'x'; size]),
        1 => (RECORD_BYTES_MAX - 3..RECORD_BYTES_MAX + 300_000).prop_map(|size| vec![b'y'; size]),
        1 => (RECORD_BYTES_MAX - 3..RECORD_BYTES_MAX + 300_000).prop_map(|size| vec![b' '; size]),
    ];
    (text, prop_oneof![4 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..])]).prop_map(|(mut text, end)| {
        text.extend_from_slice(end);
        text
    })
}

fn file() -> impl Strategy<Value = (Vec<u8>, u8)> {
    let text = (vec(line(), 0..12), vec(any::<u8>(), 0..9), any::<bool>());
    let text = text.prop_map(|(lines, tail, has_mark)| {
        let mark: &[u8] = if has_mark { b"\xef\xbb\xbf" } else { b"" };
        [mark, &lines.concat(), &tail].concat()
    });
    (text, 0u8..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_any_folder_gives_its_records(
        files in vec(file(), 1..6),
        batch in 1u64..9,
        bytes in prop_oneof![Just(u64::MAX), 1u64..600_000],
        pieces in 1usize..4,
    ) {
        let mut bench = Bench::new();
        let mut expected = Vec::new();
        let mut known = std::collections::HashSet::new();
        for (number, (text, stored)) in files.iter().enumerate() {
            // Magic bytes, another encoding or an equal file would be another case.
            let block = &text[..text.len().min(limits::POINT_BYTES)];
            let is_wide = block.iter().filter(|&&byte| byte == 0).count() > block.len() / 10
                || text.starts_with(b"\xff\xfe")
                || text.starts_with(b"\xfe\xff");
            if is_wide || text.starts_with(&[0x1f, 0x8b]) || !known.insert(text.clone()) {
                continue;
            }
            let name = format!("{number}.jsonl");
            match stored {
                0 => bench.write(&name, zstd::encode_all(&text[..], 1).expect("compressed")),
                1 => {
                    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    out.write_all(text).expect("compressed");
                    bench.write(&name, out.finish().expect("compressed"));
                }
                _ => bench.write(&name, text),
            }
            let is_refused = *stored < 2 && bench.path(&name).metadata().expect("there").len() * 200 < text.len() as u64;
            if !(is_refused && text.len() > 1 << 20) {
                expected.extend(naive(&name, text));
            }
        }
        let end = bench.end();
        prop_assert_eq!(end, expected.len() as u64);
        let mut seen = Vec::new();
        let mut at = 0;
        while at < end {
            let ranges = bench.source.cut(P0, at, batch, bytes, pieces).expect("cut");
            prop_assert!(!ranges.is_empty() && ranges.len() <= pieces);
            prop_assert_eq!(ranges[0].start, at);
            for range in &ranges {
                prop_assert_eq!(range.start, at);
                at = range.end;
                let mut reader = bench.source.open(P0, range.clone()).expect("opened");
                let mut chunk = Chunk::default();
                while reader.next_chunk(&mut chunk).expect("read") {
                    for span in &chunk.records {
                        prop_assert_eq!(span.offset, seen.len() as u64);
                        let text = &chunk.bytes[span.start as usize..span.end as usize];
                        let file = chunk.file.as_deref().expect("a file").to_owned();
                        seen.push((file, span.line, text.to_vec()));
                    }
                }
            }
            if bytes == u64::MAX {
                prop_assert_eq!(at, end.min(ranges[0].start + batch));
            }
            bench.source.committed(P0, at, at);
        }
        prop_assert!(seen == expected);
    }
}
