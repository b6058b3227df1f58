//! Tests of `source`.

use super::*;

const ID: PartitionId = PartitionId { input: 0, partition: 0 };

fn inputs() -> Vec<Input> {
    vec![Input { name: "events", topic: None, place: "memory".to_owned() }]
}

/// Ten records of four bytes, with a hole at 3, the last arriving at 100.
fn stream() -> MemSource {
    let mut log = Log::stream(ID);
    for offset in 0..10 {
        match offset {
            3 => log.hole(0),
            _ => log.record(if offset == 9 { 100 } else { 0 }, format!("r{offset:03}").as_bytes()),
        };
    }
    log.lose(200, 0..2).lose(200, 6..7);
    let mut source = MemSource::new(inputs(), vec![log]);
    source.poll(0).expect("memory is always there");
    source
}

fn read(source: &MemSource, range: Range<Offset>) -> Result<Vec<(Offset, String)>, SourceError> {
    let mut reader = source.open(ID, range)?;
    let mut chunk = Chunk::default();
    let mut seen = Vec::new();
    while reader.next_chunk(&mut chunk)? {
        for span in &chunk.records {
            let bytes = chunk.bytes[span.start as usize..span.end as usize].to_vec();
            seen.push((span.offset, String::from_utf8(bytes).expect("the test's own text")));
        }
    }
    Ok(seen)
}

#[test]
fn cut_keeps_to_records_bytes_and_what_has_arrived() {
    let check = |from, records, bytes, pieces, expected: &[(Offset, Offset)]| {
        let cut = stream().cut(ID, from, records, bytes, pieces).expect("memory is always there");
        let cut: Vec<_> = cut.iter().map(|piece| (piece.start, piece.end)).collect();
        assert_eq!(cut, expected, "{records} records, {bytes} bytes, {pieces} pieces from {from}");
    };
    check(0, 100, 1_000, 1, &[(0, 9)]);
    check(0, 6, 1_000, 2, &[(0, 3), (3, 6)]);
    check(2, 2, 1_000, 5, &[(2, 3), (3, 4)]);
    check(0, 100, 8, 1, &[(0, 2)]);
    check(0, 100, 9, 1, &[(0, 3)]);
    check(0, 100, 0, 1, &[(0, 1)]); // never empty while something is there
    check(0, 0, 1_000, 1, &[]);
    check(9, 5, 1_000, 1, &[]);
}

#[test]
fn random_pieces_are_consecutive_and_end_where_asked() {
    let mut source = stream().with_random_pieces(5);
    for _ in 0..100 {
        let cut = source.cut(ID, 1, 7, 1_000, 4).expect("memory is always there");
        assert!(cut.len() <= 4 && cut.iter().all(|piece| piece.start < piece.end), "{cut:?}");
        assert_eq!(cut.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (1..8).collect::<Vec<_>>());
    }
}

#[test]
fn an_instance_after_a_crash_sees_the_same_log_and_the_clock_never_steps_back() {
    let mut first = stream();
    let end = |source: &mut MemSource, now_ms| source.poll(now_ms).expect("memory is always there")[0].end;
    assert_eq!((end(&mut first, 50), end(&mut first, 100)), (9, 10));
    let mut second = first.instance();
    drop(first);
    assert_eq!(end(&mut second, 50), 10, "what arrived stays");
    let seen = read(&second, 2..5).expect("it is there");
    assert_eq!(seen, [(2, "r002".to_owned()), (4, "r004".to_owned())]);
    assert_eq!(second.counters(), Counters { polls: 4, opens: 1, records: 2, bytes: 8 });
}

#[test]
fn what_is_lost_ends_a_cut_and_cannot_be_opened() {
    let mut source = stream();
    source.poll(200).expect("memory is always there");
    let cut =
        |source: &mut MemSource, from| source.cut(ID, from, 10, 1_000, 1).expect("memory is always there");
    assert!(cut(&mut source, 1).is_empty(), "1 is lost");
    let piece = cut(&mut source, 2);
    assert_eq!((piece[0].start, piece[0].end), (2, 6));
    assert!(matches!(read(&source, 5..8), Err(SourceError::Changed(_))));
    assert!(read(&source, 7..10).is_ok());
}

#[test]
fn a_folder_hands_over_chunks_of_one_file_with_lines() {
    let mut log = Log::folder(ID);
    let rows = |n: usize| vec![b"row".to_vec(); n];
    log.file(0, "a.jsonl", &rows(2)).file(0, "b.jsonl", &rows(3));
    let mut source = MemSource::new(inputs(), vec![log]);
    assert!(source.poll(0).expect("memory is always there")[0].is_folder);
    let mut reader = source.open(ID, 1..4).expect("it is there");
    let mut chunk = Chunk::default();
    let mut seen = Vec::new();
    while reader.next_chunk(&mut chunk).expect("it is there") {
        let file = chunk.file.as_deref().unwrap_or("-").to_owned();
        seen.push((file, chunk.segment, chunk.records.iter().map(|span| (span.offset, span.line)).collect()));
    }
    assert_eq!(
        seen,
        [("a.jsonl".to_owned(), 0, vec![(1, 2)]), ("b.jsonl".to_owned(), 1, vec![(2, 1), (3, 2)])]
    );
    drop(reader);

    let segments = source.segments(ID, 0..5);
    let resume = |segments| Resume { id: ID, replay: 0, next: 5, mark: Default::default(), segments };
    assert!(source.instance().resume(&[resume(segments.clone())]).is_ok());
    let mut other = segments;
    other[1].fingerprint = "0".to_owned();
    assert!(matches!(source.instance().resume(&[resume(other)]), Err(SourceError::Halt(_))));
}

#[test]
fn a_record_too_long_is_cut_and_marked() {
    let mut log = Log::stream(ID);
    log.record(0, &vec![b'x'; RECORD_BYTES_MAX]).record(0, &vec![b'x'; RECORD_BYTES_MAX + 1]);
    let source = MemSource::new(inputs(), vec![log]);
    let mut chunk = Chunk::default();
    let mut reader = source.open(ID, 0..2).expect("it is there");
    assert!(reader.next_chunk(&mut chunk).expect("it is there"));
    let seen: Vec<_> =
        chunk.records.iter().map(|span| ((span.end - span.start) as usize, span.truncated)).collect();
    assert_eq!(seen, [(RECORD_BYTES_MAX, false), (RECORD_BYTES_MAX, true)]);
}

#[test]
fn reading_fails_as_often_as_told() {
    let source = stream();
    source.set_faults(ReadFaults { retry: 4, changed: 4, crash: 10 }, 1);
    let mut kinds = [0; 4];
    for _ in 0..1_000 {
        kinds[match read(&source, 0..5) {
            Ok(_) => 0,
            Err(SourceError::Retry { .. }) => 1,
            Err(SourceError::Changed(_)) => 2,
            Err(SourceError::Halt(cause) | SourceError::Differs(cause)) => {
                assert_eq!(cause, CRASH);
                3
            }
        }] += 1;
    }
    assert!(kinds.iter().all(|&kind| kind > 50), "{kinds:?}");
}

#[test]
#[should_panic(expected = "told nothing below 4")]
fn reading_below_what_was_given_up_is_a_fault() {
    let mut source = stream();
    source.committed(ID, 4, 6);
    drop(source.instance().open(ID, 3..5));
}
