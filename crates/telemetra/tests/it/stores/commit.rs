//! One batch, one transaction: what is written, and what halts with nothing written.

use telemetra_core::{
    chat::rows::{Ask, ChatRows, WindowRow},
    watermark::Watermark,
};
use telemetra_engine::{
    ids::Offset,
    sink::{BatchKind, Commit, Gap, SinkError, Tally},
    source::Segment,
};

use super::{Store, on_both, story::*};

/// Everything that a batch could change, as text.
fn dump(store: &impl Store) -> String {
    let tables = [
        ("chat_summary_minute", "stream_id, window_start"),
        ("moments", "id"),
        ("dead_letters", "\"offset\""),
        ("late_events", "\"offset\""),
        ("telemetra.batch", "batch_id"),
        ("telemetra.batch_range", "batch_id, input"),
        ("telemetra.file", "input, seq"),
        ("telemetra.gap", "from_offset"),
        ("telemetra.position", "input"),
        ("telemetra.result_table", "name"),
    ];
    let dump = |(table, order)| store.text(&format!("SELECT * FROM {table} ORDER BY {order}"));
    let job = "SELECT last_batch, epoch, records, late, dead, in_windows, final_count, updated_at FROM telemetra.job";
    tables.map(dump).join("\n") + &store.text(job)
}

fn a_batch_is_written_as_it_is<S: Store>() {
    let store = S::with_story();
    let check = |sql: &str, expected: &str| assert_eq!(store.text(sql), expected, "{sql}");
    check(
        "SELECT stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count,
             negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, z_score, is_anomaly, is_final,
             incomplete, revision, batch_id FROM chat_summary_minute ORDER BY window_start",
        "\
a 2024-12-31T23:59:50.000Z 2025-01-01T00:00:10.000Z 10 3 0.25 2 1 0.5 [\"Kappa\",\"LUL\"] \
{\"Kappa\":3,\"LUL\":1} NULL NULL 0 1 0 2 2
a 2025-01-01T00:00:00.000Z 2025-01-01T00:00:20.000Z 17 3 0.25 2 1 0.85 [\"Kappa\",\"LUL\"] \
{\"Kappa\":3,\"LUL\":1} NULL NULL 0 1 0 3 3
a 2025-01-01T00:00:10.000Z 2025-01-01T00:00:30.000Z 6 3 0.25 2 1 0.3 [\"Kappa\",\"LUL\"] \
{\"Kappa\":3,\"LUL\":1} 12.5 4.5 1 1 0 2 3
a 2025-01-01T00:00:20.000Z 2025-01-01T00:00:40.000Z 4 3 0.25 2 1 0.2 [\"Kappa\",\"LUL\"] \
{\"Kappa\":3,\"LUL\":1} NULL NULL 0 0 0 1 3
a 2025-01-01T00:00:30.000Z 2025-01-01T00:00:50.000Z 4 3 0.25 2 1 0.2 [\"Kappa\",\"LUL\"] \
{\"Kappa\":3,\"LUL\":1} NULL NULL 0 0 0 1 3",
    );
    check(
        "SELECT id, stream_id, timestamp, moment_type, description, intensity, metadata, detected_at, batch_id
         FROM moments",
        "1 a 2025-01-01T00:00:10.000Z chat_spike a peak 0.3 \
         {\"avg_viewers\":12.5,\"chat_count\":6,\"unique_chatters\":3,\"z_score\":4.5} 2025-01-01T00:00:30.000Z 3",
    );
    check(
        "SELECT job, input, topic, \"partition\", \"offset\", file, line, code, raw, batch_id FROM dead_letters
         ORDER BY \"offset\"",
        "chat chat NULL 0 0 part-00.jsonl 1 json_syntax {\u{fffd} 1\n\
         chat chat NULL 0 11 part-00.jsonl 12 json_syntax {\u{fffd} 1\n\
         chat chat NULL 0 15 part-00.jsonl 16 json_syntax {\u{fffd} 2",
    );
    check(
        "SELECT job, input, topic, \"partition\", \"offset\", file, line, stream_id, event_time, watermark, raw, batch_id
         FROM late_events",
        "chat chat NULL 0 22 part-00.jsonl 23 a 2024-12-31T23:59:55.000Z 2025-01-01T00:00:15.000Z {} 3",
    );
    check(
        "SELECT input, first_offset, replay_offset, next_offset FROM telemetra.position ORDER BY input",
        "chat 0 25 26\nviewer 5 7 8",
    );
    check(
        "SELECT last_batch, records, late, dead, in_windows, window_misses, final_count, final_rows FROM telemetra.job",
        "3 28 1 3 21 1 33 3",
    );
}

fn a_row_that_does_not_differ_is_not_rewritten<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    let rows = ChatRows { windows: vec![row(20, 4, false), row(30, 4, false)], moments: Vec::new() };
    sink.commit(&Commit { rows, open_count: 8, ..batch(4, Some(35), Some(35)) })
        .expect("a sound store answers");
    assert_eq!(store.text("SELECT rows_written FROM telemetra.batch WHERE batch_id = 4"), "0");
    let revisions = "SELECT revision, batch_id FROM chat_summary_minute WHERE NOT is_final
                     ORDER BY window_start";
    assert_eq!(store.text(revisions), "1 3\n1 3");
}

fn what_breaks_a_promise_halts_and_writes_nothing<S: Store>() {
    let check = |change: fn(&mut Commit<ChatRows>), words: &str| {
        let store = S::new();
        let (mut sink, _) = store.take_over();
        let [first, second, mut third] = story();
        sink.commit(&first).expect("a sound store answers");
        sink.commit(&second).expect("a sound store answers");
        let before = dump(&store);
        change(&mut third);
        match sink.commit(&third) {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
            other => panic!("{words}: {other:?}"),
        }
        assert_eq!(dump(&store), before, "{words}");
    };
    // The law of counts, and what each of its numbers rests on.
    check(|batch| batch.open_count += 1, "counts: batch 3");
    check(|batch| batch.window_misses += 1, "counts: batch 3");
    check(|batch| batch.window_misses = 0, "batch_sums: batch 3");
    check(|batch| batch.final_count -= 1, "final_rows: batch 3");
    check(|batch| batch.rows.windows[0].chat_count += 1, "final_rows: batch 3");
    check(|batch| batch.ranges[0].tally.in_windows -= 1, "counts: batch 3");
    check(|batch| batch.ranges[0].tally.in_windows += 1, "tally: partition 0/0");
    // Every offset becomes one thing.
    check(|batch| batch.ranges[0].tally.counted += 1, "tally: partition 0/0, batch 3, offsets 20..26");
    check(|batch| batch.ranges[0].tally.empty += 1, "tally: partition 0/0");
    check(|batch| batch.late_events.clear(), "late_events: partition 0/0");
    check(|batch| batch.dead_letters.push(dead(24)), "dead_letters: partition 0/0");
    check(|batch| batch.late_events[0].place.offset = 30, "late_events: partition 0/0");
    // Ranges lead from position to position.
    check(|batch| batch.ranges[0].from -= 1, "tiling: partition 0/0, batch 3, offsets 19..26");
    check(|batch| batch.positions[0].position.next += 1, "tiling: partition 0/0");
    check(|batch| batch.positions.clear(), "tiling: batch 3");
    check(|batch| batch.positions[0].position.replay = 27, "positions: partition 0/0");
    // Final rows are final.
    check(|batch| batch.rows.windows.insert(0, row(-10, 11, false)), "the final row of stream \"a\"");
    check(|batch| batch.rows.windows.insert(0, row(-10, 11, true)), "the final row of stream \"a\"");
    check(|batch| batch.rows.windows.insert(0, row(-10, 10, false)), "the final row of stream \"a\"");
    // The same moment, twice: each store says it in its own words.
    check(|batch| batch.rows.moments.push(batch.rows.moments[0].clone()), "");
    // A segment once recorded is a place in a file for good.
    check(|batch| batch.segments[0].1.seq = 0, "/0 is recorded as bytes 0..2000 of part-00");
    check(|batch| batch.segments = vec![(CHAT, segment(0, 21))], "segment 0");
    check(|batch| batch.segments[0].1 = Segment { file: "b".into(), ..segment(0, 20) }, "segment 0");
    check(|batch| batch.segments[0].1 = Segment { line: 2, ..segment(0, 20) }, "segment 0");
    check(|batch| batch.segments[0].1 = Segment { first_offset: 1, ..segment(0, 20) }, "segment 0");
    check(|batch| batch.segments[0].1 = Segment { fingerprint: "01".into(), ..segment(0, 20) }, "segment 0");
    // Judged by another watermark, or going back.
    check(|batch| batch.watermark_before = Watermark::at(T0), "was judged by watermark");
    check(|batch| batch.watermark = Watermark::at(T0), "batches: batch 3");
    check(|batch| batch.ranges[0].partition.input = 7, "tiling: partition 0/0: next offset is 26");
}

fn of_a_recorded_segment_only_times_change<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    let seen = Segment { modified_ns: None, span_ms: Some((T0 - 1, T0 + 9)), ..segment(0, 20) };
    sink.commit(&Commit { segments: vec![(CHAT, seen)], open_count: 8, ..batch(4, Some(35), Some(35)) })
        .expect("a sound store answers");
    let sql = "SELECT seq, name, byte_from, byte_to, line, first_offset, records, fingerprint, modified_ns,
                   smallest_ms, largest_ms FROM telemetra.file WHERE input = 'chat' AND seq = 0";
    let expected = format!("0 part-00.jsonl 0 2000 1 0 20 00ff NULL {} {}", T0 - 1, T0 + 9);
    assert_eq!(store.text(sql), expected);
}

fn closing_early_makes_every_row_final_as_it_stands<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    let close = Commit {
        kind: BatchKind::ClosedEarly,
        close_early: true,
        final_count: 8,
        new_meaning: Some("another".into()),
        ..batch(4, Some(35), Some(40))
    };
    sink.commit(&close).expect("a sound store answers");
    let rows = "SELECT chat_count, is_final, incomplete, revision, batch_id FROM chat_summary_minute
                ORDER BY window_start";
    assert_eq!(store.text(rows), "10 1 0 2 2\n17 1 0 3 3\n6 1 0 2 3\n4 1 1 2 4\n4 1 1 2 4");
    drop(sink);
    let (_sink, recovered) = store.take_over();
    assert_eq!(recovered.meaning.as_deref(), Some("another"));
    assert_eq!(recovered.open_rows, []);
    // 30..50 s ends after the watermark.
    assert_eq!(recovered.closed_early.iter().map(|row| row.start_ms - T0).collect::<Vec<_>>(), [30_000]);
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

fn what_closing_early_leaves_out_is_a_miss<S: Store>() {
    let store = S::with_story();
    // Two of the four messages of 30..50 s were not in the row yet.
    store
        .sql("UPDATE chat_summary_minute SET chat_count = 2 WHERE window_start = '2025-01-01T00:00:30.000Z'");
    let (mut sink, _) = store.take_over();
    let close = Commit { kind: BatchKind::ClosedEarly, close_early: true, ..batch(4, Some(35), Some(50)) };
    sink.commit(&Commit { final_count: 6, window_misses: 2, ..close }).expect("a sound store answers");
    assert_eq!(
        store.text("SELECT window_misses, early_misses FROM telemetra.batch WHERE batch_id = 4"),
        "2 2"
    );
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
}

fn a_gap_ahead_is_part_of_the_tiling_and_one_in_the_replay_is_not<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    let gap = |offsets, in_replay| Gap { partition: CHAT, offsets, cause: "retention".into(), in_replay };
    let passed = Commit {
        kind: BatchKind::Gap,
        open_count: 8,
        gaps: vec![gap(26..40, false), gap(13..15, true)],
        positions: vec![position(CHAT, Some(26), 40)],
        ..batch(4, Some(35), Some(35))
    };
    sink.commit(&passed).expect("a sound store answers");
    let gaps =
        "SELECT from_offset, to_offset, in_replay, cause, batch_id FROM telemetra.gap ORDER BY from_offset";
    assert_eq!(store.text(gaps), "13 15 1 retention 4\n26 40 0 retention 4");
    assert!(store.audit().is_balanced(), "{:?}", store.audit());
    drop(sink);
    let (_sink, recovered) = store.take_over();
    assert_eq!(recovered.positions[0].next, 40);
}

fn baselines_are_the_latest_final_rows_before_a_start<S: Store>() {
    let store = S::new();
    let (mut sink, _) = store.take_over();
    let mut windows: Vec<WindowRow> = (0..15).map(|n| row(n * 10, n, true)).collect();
    windows.push(row(150, 99, false));
    windows.push(WindowRow { stream: "b".into(), ..row(0, 7, true) });
    let tally = Tally { records: 106, counted: 106, in_windows: 106, ..Tally::default() };
    let commit = Commit {
        final_count: 112,
        open_count: 100,
        ranges: vec![range(CHAT, 0..106, tally)],
        positions: vec![position(CHAT, None, 106)],
        rows: ChatRows { windows, moments: Vec::new() },
        ..batch(1, None, Some(165))
    };
    sink.commit(&commit).expect("a sound store answers");
    let mut check = |stream: &str, before: i64, expected: &[i64]| {
        let ask = Ask { baselines: vec![(stream.into(), T0 + before * 1_000)], ..Ask::default() };
        let expected: Vec<_> = expected.iter().map(|&n| (T0 + n * 10_000, n)).collect();
        assert_eq!(sink.answer(&ask).expect("a sound store answers").baselines, [expected]);
    };
    check("a", 30, &[0, 1, 2]);
    check("a", 140, &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    check("a", 1_000, &[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    check("a", 0, &[]);
    check("missing", 1_000, &[]);
}

fn dead_offsets_are_those_in_the_range<S: Store>() {
    let store = S::with_story();
    let (mut sink, _) = store.take_over();
    let mut check = |id, range, expected: &[Offset]| {
        assert_eq!(sink.dead_offsets(id, range).expect("a sound store answers"), expected);
    };
    check(CHAT, 0..26, &[0, 11, 15]);
    check(CHAT, 1..15, &[11]);
    check(VIEWER, 0..26, &[]);
}

on_both!(
    a_batch_is_written_as_it_is,
    a_row_that_does_not_differ_is_not_rewritten,
    what_breaks_a_promise_halts_and_writes_nothing,
    of_a_recorded_segment_only_times_change,
    closing_early_makes_every_row_final_as_it_stands,
    what_closing_early_leaves_out_is_a_miss,
    a_gap_ahead_is_part_of_the_tiling_and_one_in_the_replay_is_not,
    baselines_are_the_latest_final_rows_before_a_start,
    dead_offsets_are_those_in_the_range,
);
