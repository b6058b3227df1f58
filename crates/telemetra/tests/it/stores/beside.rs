//! Beside the old job's rows: a window in which the job began is incomplete, and never takes an adopted row's place.

use telemetra_core::{
    chat::{
        Chat,
        rows::{Answer, Ask, ChatRows, WindowRow},
        sentiment::Sentiment,
    },
    logic::{EmitRequest, Logic},
    record::{Origin, Record},
    watermark::Watermark,
};
use telemetra_engine::sink::{Commit, Sink, SinkError, Tally};

use super::{Pg, Store, on_both, story::*};

const ROWS: &str =
    "SELECT stream_id, window_start, chat_count, is_final, incomplete, batch_id FROM chat_summary_minute
    ORDER BY stream_id, window_start";

fn incomplete(start: i64, chat_count: i64, is_final: bool) -> WindowRow {
    WindowRow { incomplete: true, ..row(start, chat_count, is_final) }
}

/// Four events in the windows 0..20 and 10..30; the job began at second 5.
fn begun(windows: Vec<WindowRow>) -> Commit<ChatRows> {
    let tally = Tally { records: 4, counted: 4, in_windows: 4, ..Tally::default() };
    Commit {
        start_ms: Some(T0 + 5_000),
        open_count: 8,
        ranges: vec![range(CHAT, 0..4, tally)],
        positions: vec![position(CHAT, None, 4)],
        segments: vec![(CHAT, segment(0, 4))],
        rows: ChatRows { windows, moments: Vec::new() },
        ..batch(1, None, Some(12))
    }
}

fn a_window_in_which_the_job_began_is_incomplete<S: Store>() {
    let store = S::new();
    let (mut sink, _) = store.take_over();
    sink.commit(&begun(vec![row(0, 4, false), row(10, 4, false)])).expect("it adds up");
    // The start became known to lie later: nothing else of the row changed.
    let known = |windows| ChatRows { windows, moments: Vec::new() };
    let batch = |number, rows| Commit {
        start_ms: Some(T0 + 6_000),
        open_count: 8,
        rows,
        ..batch(number, Some(12), Some(12))
    };
    sink.commit(&batch(2, known(vec![incomplete(0, 4, false)]))).expect("it adds up");
    sink.commit(&batch(3, known(vec![incomplete(0, 4, false)]))).expect("it adds up");
    let expected = "a 2025-01-01T00:00:00.000Z 4 0 1 2\na 2025-01-01T00:00:10.000Z 4 0 0 1";
    assert_eq!(store.text(ROWS), expected);
    let last = Commit {
        final_count: 4,
        open_count: 4,
        watermark: Watermark::at(T0 + 20_000),
        ..batch(4, known(vec![incomplete(0, 4, true)]))
    };
    sink.commit(&last).expect("it adds up");
    let closed = "a 2025-01-01T00:00:00.000Z 4 1 1 4\na 2025-01-01T00:00:10.000Z 4 0 0 1";
    assert_eq!(store.text(ROWS), closed);
    drop(sink);
    assert!(store.audit().is_balanced(), "{:#?}", store.audit());
    let (mut sink, _) = store.take_over();
    let again = known(vec![row(0, 4, true)]);
    let rewritten = Commit { open_count: 4, final_count: 4, ..batch(5, again) };
    let rewritten = Commit { watermark_before: Watermark::at(T0 + 20_000), ..rewritten };
    let rewritten = Commit { watermark: Watermark::at(T0 + 20_000), ..rewritten };
    match sink.commit(&rewritten) {
        Err(SinkError::Halt(text)) => assert!(text.contains("would change"), "{text}"),
        other => panic!("a final row became complete: {other:?}"),
    }
}

on_both![a_window_in_which_the_job_began_is_incomplete,];

fn ask(windows: &[(&str, i64)]) -> Ask {
    let window = |&(stream, start): &(&str, i64)| (stream.to_owned(), T0 + start * 1_000);
    Ask { beside: windows.iter().map(window).collect(), ..Ask::default() }
}

fn adopted(sink: &mut Box<dyn Sink<Chat>>, windows: &[(&str, i64)]) -> Vec<(String, i64)> {
    let Answer { baselines, mut adopted } = sink.answer(&ask(windows)).expect("a sound store answers");
    assert!(baselines.is_empty());
    adopted.sort_unstable();
    adopted
}

const OLD_ROWS: &str = "INSERT INTO chat_summary_minute (stream_id, window_start, window_end, chat_count, unique_chatters,
        positive_count, negative_count, chat_rate, top_emotes, emote_counts, is_anomaly, is_final, incomplete, revision,
        processed_at)
    SELECT stream, at, at + interval '20 seconds', 99, 9, 0, 0, 4.95, '{Old}', '{}', false, false, false, 0, at
    FROM unnest(ARRAY['a', 'b']) stream, unnest(ARRAY['2025-01-01Z', '2025-01-01 00:00:20Z']::timestamptz[]) at";

#[test]
fn the_server_says_which_rows_are_adopted() {
    let store = Pg::new();
    let (mut sink, _) = store.take_over();
    store.sql(OLD_ROWS);
    sink.commit(&begun(vec![incomplete(10, 4, false)])).expect("it adds up");
    let all = [("b", 20), ("a", 0), ("a", 10), ("a", 20), ("a", 30), ("b", 10), ("c", 0)];
    let expected = ask(&[("a", 0), ("a", 20), ("b", 20)]).beside;
    assert_eq!(adopted(&mut sink, &all), expected);
    // Both questions at once; adopted rows take no part in baselines.
    let both = Ask { baselines: vec![("a".into(), T0 + 50_000)], ..ask(&[("a", 0)]) };
    let answer = sink.answer(&both).expect("a sound store answers");
    assert_eq!((answer.baselines, answer.adopted), (vec![vec![]], ask(&[("a", 0)]).beside));
    assert_eq!(sink.answer(&Ask::default()).expect("nothing is asked"), Answer::default());
}

#[test]
fn another_programs_row_that_came_after_the_question_is_kept() {
    let store = Pg::new();
    let (mut sink, _) = store.take_over();
    assert_eq!(adopted(&mut sink, &[("a", 0)]), []);
    store.sql(OLD_ROWS);
    let before = store.text(ROWS);
    match sink.commit(&begun(vec![incomplete(0, 4, false), row(10, 4, false)])) {
        Err(SinkError::NotApplied(text)) => assert!(text.contains("another program wrote"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.text(ROWS), before);
    // A whole window takes its place, as ever.
    sink.commit(&begun(vec![row(0, 4, false), row(10, 4, false)])).expect("it adds up");
    assert!(store.text(ROWS).starts_with("a 2025-01-01T00:00:00.000Z 4 0 0 1\n"), "{}", store.text(ROWS));
}

/// The pipeline itself, its answers from the server: stream `a` has adopted windows before and after the start.
#[test]
fn what_is_left_to_adopted_rows_balances() {
    let store = Pg::new();
    let (mut sink, _) = store.take_over();
    store.sql(OLD_ROWS);
    let chat = Chat {
        window: window(),
        sentiment: Sentiment::new(Default::default()),
        stream_chars_max: 255,
        anomaly_threshold: 3.0,
        open_bytes_max: usize::MAX,
    };
    let mut partial = chat.begin();
    let mut scratch = Default::default();
    for second in [12, 13, 27, 31] {
        let text = format!(
            r#"{{"timestamp":"2025-01-01T00:00:{second}Z","stream_id":"a","user_id":"u","message":"hi"}}"#
        );
        let record = Record::of_text(&text);
        let event = chat.decode(0, record, &mut scratch).expect("a good record");
        chat.fold(&mut partial, window().pane_of(T0 + second * 1_000), &event, &Origin::default());
    }
    let mut open = chat.open(Vec::new());
    let mut from = Watermark::NONE;
    let mut partials = vec![partial];
    for (number, to) in [(1, 15), (2, 31), (3, 60)] {
        let to = Watermark::at(T0 + to * 1_000);
        let mut overlay = chat.merge(&open, std::mem::take(&mut partials)).expect("no budget");
        let request = EmitRequest {
            batch_id: number,
            from,
            to,
            largest_ms: Some(T0 + 31_000),
            start_ms: Some(T0 + 12_000),
            provisional_rows_max: 100,
        };
        let answer = sink.answer(&chat.ask(&open, &overlay, &request)).expect("a sound store answers");
        let emitted = chat.emit(&open, &mut overlay, answer, &request);
        let tally = Tally { records: 4, counted: 4, in_windows: 4, ..Tally::default() };
        let is_first = number == 1;
        sink.commit(&Commit {
            start_ms: request.start_ms,
            watermark_before: from,
            watermark: to,
            open_count: emitted.open.count,
            final_count: emitted.final_count,
            window_misses: emitted.left_out,
            ranges: if is_first { vec![range(CHAT, 0..4, tally)] } else { Vec::new() },
            positions: if is_first { vec![position(CHAT, None, 4)] } else { Vec::new() },
            segments: if is_first { vec![(CHAT, segment(0, 4))] } else { Vec::new() },
            rows: emitted.rows,
            ..batch(number, None, None)
        })
        .expect("the law of counts holds");
        chat.absorb(&mut open, overlay, to);
        from = to;
    }
    assert_eq!(
        store.text(ROWS),
        "a 2025-01-01T00:00:00.000Z 99 0 0 NULL\na 2025-01-01T00:00:10.000Z 3 1 1 2\n\
         a 2025-01-01T00:00:20.000Z 2 1 0 3\na 2025-01-01T00:00:30.000Z 1 1 0 3\n\
         b 2025-01-01T00:00:00.000Z 99 0 0 NULL\nb 2025-01-01T00:00:20.000Z 99 0 0 NULL"
    );
    assert_eq!(store.text("SELECT window_misses, final_count, open_count FROM telemetra.job"), "2 6 0");
    drop(sink);
    let report = store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
}
