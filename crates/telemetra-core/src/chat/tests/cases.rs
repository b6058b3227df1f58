//! Single cases: full panes, the memory budget, moments, what an empty start asks for.

use super::{chat, fold, reference::*};
use crate::{
    chat::{Chat, Open, rows::Answer},
    hash::hash64,
    limits::EMOTES_PER_PANE_MAX,
    logic::{EmitRequest, Logic, MergeError},
    watermark::Watermark,
};

fn says(stream: &'static str, time_ms: i64, user: u64, emotes: Vec<String>) -> TestEvent {
    TestEvent { stream, time_ms, what: What::Chat { user, sentiment: 0, emotes } }
}

fn absorb(chat: &Chat, open: &mut Open, events: &[TestEvent], splits: usize) {
    let parts = (0..splits).map(|at| fold(chat, events.iter().skip(at).step_by(splits))).collect();
    let overlay = chat.merge(open, parts).expect("no budget");
    chat.absorb(open, overlay, Watermark::NONE);
}

/// Names and counts of the only pane of the only stream.
fn emotes_of(open: &Open) -> Vec<(String, u64)> {
    let fresh = Default::default();
    let names = crate::chat::emotes::EmoteView { open: &open.emotes, fresh: &fresh };
    let pane = &open.streams[0].panes[0];
    let mut all: Vec<_> = pane.emotes.iter().map(|&(id, count)| (names.name(id).to_owned(), count)).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_full_pane_keeps_the_names_with_the_smallest_hash_in_any_order_and_split() {
    let chat = chat(6);
    let name = |at: u64| format!("emote_{}", at * 7_919 % 3_500);
    let message = |at: u64| says("ann", 0, at, vec![name(at), name(at / 3), name(at / 3)]);
    let events: Vec<_> = (0..7_000).map(message).collect();
    let mut expected = std::collections::BTreeMap::<String, u64>::new();
    for at in 0..7_000 {
        *expected.entry(name(at)).or_default() += 1;
        *expected.entry(name(at / 3)).or_default() += 2;
    }
    let mut expected: Vec<_> = expected.into_iter().collect();
    expected.sort_by_key(|(name, _)| hash64(name.as_bytes()));
    expected.truncate(EMOTES_PER_PANE_MAX);
    expected.sort_unstable();

    let mut at_once = chat.open(Vec::new());
    absorb(&chat, &mut at_once, &events, 1);
    let mut in_splits = chat.open(Vec::new());
    absorb(&chat, &mut in_splits, &events, 3);
    let mut backwards = chat.open(Vec::new());
    let reversed: Vec<_> = events.iter().rev().cloned().collect();
    reversed.chunks(900).for_each(|batch| absorb(&chat, &mut backwards, batch, 2));
    let digest = |open| chat.check(open, Watermark::NONE, None).digest;
    for open in [&at_once, &in_splits, &backwards] {
        assert_eq!(emotes_of(open), expected);
        assert_eq!(digest(open), digest(&at_once));
    }
}

#[test]
fn dead_emote_names_are_forgotten() {
    let chat = chat(6);
    let mut open = chat.open(Vec::new());
    for minute in 0..20 {
        let at_ms = minute * 60_000;
        let names = |from: i64| (from..from + 500).map(|name| format!("{minute}_{name}")).collect();
        let events = [says("ann", at_ms, 1, names(0)), says("ann", at_ms + 10_000, 1, names(400))];
        let overlay = chat.merge(&open, vec![fold(&chat, &events)]).expect("no budget");
        let check = chat.check(&open, Watermark::NONE, None);
        chat.absorb(&mut open, overlay, Watermark::at(at_ms));
        let kept = chat.check(&open, Watermark::at(at_ms), None);
        assert_ne!(check, kept);
        assert_eq!((kept.digest, kept.count), (open.digest, open.count));
    }
    assert!(open.emotes.len() < 6_000, "{} names", open.emotes.len());
}

#[test]
fn what_exceeds_the_budget_names_the_largest_streams_and_changes_nothing() {
    let chat = Chat { open_bytes_max: 20_000, ..chat(6) };
    let mut open = chat.open(Vec::new());
    absorb(&chat, &mut open, &[says("ann", 0, 1, vec![])], 1);
    let before = chat.check(&open, Watermark::NONE, Some(0));
    let mut events: Vec<_> = (0..2_000).map(|user| says("cleo", 0, user, vec![])).collect();
    events.extend((0..10).map(|user| says("bob", 0, user, vec![])));
    let error = chat.merge(&open, vec![fold(&chat, &events)]).expect_err("too much");
    let MergeError::OverBudget { need_bytes, limit_bytes, largest } = error;
    assert_eq!(limit_bytes, 20_000);
    assert!(need_bytes > 2_000 * 16, "{need_bytes}");
    assert_eq!(largest.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["cleo", "bob", "ann"]);
    assert!(largest.iter().map(|(_, bytes)| bytes).sum::<usize>() <= need_bytes);
    assert_eq!(chat.check(&open, Watermark::NONE, Some(0)), before);
}

#[test]
fn a_peak_is_one_moment() {
    let chat = Chat { anomaly_threshold: 3.0, ..chat(1) };
    let open = chat.open(Vec::new());
    let counts = [4, 4, 4, 4, 4, 30, 4];
    let events: Vec<_> = counts
        .iter()
        .zip(0..)
        .flat_map(|(&count, pane)| (0..count).map(move |user| says("ann", pane * 10_000, user, vec![])))
        .collect();
    let mut overlay = chat.merge(&open, vec![fold(&chat, &events)]).expect("no budget");
    let (from, to) = (Watermark::NONE, Watermark::at(70_000));
    let request = EmitRequest {
        batch_id: 1,
        from,
        to,
        largest_ms: Some(60_000),
        start_ms: None,
        provisional_rows_max: 0,
    };
    assert_eq!(chat.ask(&open, &overlay, &request).baselines, [("ann".to_owned(), 0)]);
    let rows = chat
        .emit(&open, &mut overlay, Answer { baselines: vec![vec![]], ..Answer::default() }, &request)
        .rows;
    let scores: Vec<_> = rows.windows.iter().map(|row| row.z_score).collect();
    assert_eq!(scores[..6], [None, None, None, None, None, Some(13.0)]);
    let [moment] = &rows.moments[..] else { panic!("{:?}", rows.moments) };
    assert_eq!(
        (moment.start_ms, moment.end_ms, moment.chat_count, moment.unique_chatters),
        (50_000, 60_000, 30, 30)
    );
    assert_eq!(moment.intensity, 3.0);
    assert_eq!(moment.description, "Chat rose to 30 messages in 10 s, 13.0 deviations above the usual 4.0.");
}

#[test]
fn a_known_baseline_is_not_asked_for_again() {
    let chat = chat(1);
    let mut open = chat.open(Vec::new());
    let events: Vec<_> = (0..4).map(|pane| says("ann", pane * 10_000, 1, vec![])).collect();
    let mut overlay = chat.merge(&open, vec![fold(&chat, &events)]).expect("no budget");
    let request = |batch_id, from, to| EmitRequest {
        batch_id,
        from,
        to,
        largest_ms: None,
        start_ms: None,
        provisional_rows_max: 0,
    };
    let first = request(1, Watermark::NONE, Watermark::at(10_000));
    assert_eq!(chat.ask(&open, &overlay, &first).baselines.len(), 1);
    chat.emit(&open, &mut overlay, Answer::default(), &first);
    chat.absorb(&mut open, overlay, first.to);
    let overlay = chat.merge(&open, Vec::new()).expect("no budget");
    assert_eq!(chat.ask(&open, &overlay, &request(2, first.to, Watermark::at(30_000))).baselines, []);
    let mut replayed = chat.open(Vec::new());
    let overlay = chat.merge(&replayed, vec![fold(&chat, &events[1..])]).expect("no budget");
    chat.absorb(&mut replayed, overlay, first.to);
    let overlay = chat.merge(&replayed, Vec::new()).expect("no budget");
    let asked = chat.ask(&replayed, &overlay, &request(2, first.to, Watermark::at(30_000)));
    assert_eq!(asked.baselines, [("ann".to_owned(), 10_000)]);
}

/// Ten seconds of a stream whose windows are 20 s long: what is asked, written, and left to the row of another program.
#[test]
fn a_window_from_before_the_start_never_takes_the_place_of_an_adopted_row() {
    let chat = chat(2);
    let mut open = chat.open(Vec::new());
    let events = [says("ann", 23_000, 1, vec![]), says("ann", 31_000, 2, vec![])];
    let request = |to, start_ms| EmitRequest {
        batch_id: 1,
        from: Watermark::at(13_000),
        to: Watermark::at(to),
        largest_ms: Some(31_000),
        start_ms,
        provisional_rows_max: usize::MAX,
    };
    // Windows 10..30, 20..40 and 30..50; the job begins at 23 s.
    let mut overlay = chat.merge(&open, vec![fold(&chat, &events)]).expect("no budget");
    let begun = request(30_000, Some(23_000));
    let ask = chat.ask(&open, &overlay, &begun);
    let [first, second] = [("ann".to_owned(), 10_000), ("ann".to_owned(), 20_000)];
    assert_eq!(ask.beside, [first.clone(), second]);
    let answer = Answer { baselines: vec![vec![]], adopted: vec![first] };
    let emitted = chat.emit(&open, &mut overlay, answer, &begun);
    let told: Vec<_> =
        emitted.rows.windows.iter().map(|row| (row.start_ms, row.is_final, row.incomplete)).collect();
    assert_eq!(told, [(20_000, false, true), (30_000, false, false)]);
    assert_eq!((emitted.final_rows, emitted.final_count, emitted.provisional_rows), (0, 0, 2));
    // Two events in two windows each: one is left out, three are open.
    assert_eq!((emitted.left_out, emitted.open.count), (1, 3));
    chat.absorb(&mut open, overlay, begun.to);

    // An answer that nobody asked for changes nothing of the windows after the start.
    let mut overlay = chat.merge(&open, Vec::new()).expect("no budget");
    let later = EmitRequest { from: begun.to, ..request(50_000, Some(20_000)) };
    assert_eq!(chat.ask(&open, &overlay, &later).beside, []);
    let answer = Answer { baselines: vec![], adopted: vec![("ann".to_owned(), 30_000)] };
    let emitted = chat.emit(&open, &mut overlay, answer, &later);
    assert_eq!((emitted.final_rows, emitted.left_out, emitted.open.count), (2, 0, 0));
    assert!(emitted.rows.windows.iter().all(|row| row.is_final && !row.incomplete));
}
