//! What the page is shown: sums over streams, the busiest of them, the newest moments.

use super::{Store, on_both, story::*};

/// The story, and stream `b` in its last two windows with twice the count.
fn two_streams<S: Store>() -> S {
    let store = S::with_story();
    let sql = "CREATE TEMP TABLE more AS SELECT * FROM chat_summary_minute WHERE NOT is_final;
               UPDATE more SET stream_id = 'b', chat_count = 2 * chat_count, chat_rate = 2 * chat_rate;
               INSERT INTO chat_summary_minute SELECT * FROM more";
    store.sql(sql);
    store
}

fn rates_are_summed_by_window_start<S: Store>() {
    let store = two_streams::<S>();
    let mut reader = store.reader();
    assert_eq!(reader.newest_ms().expect("a sound store answers"), Some(T0 + 30_000));
    let mut check = |stream: Option<&str>, expected: &[(i64, i64, bool)]| {
        let points = reader.rates(T0 + 10_000, stream).expect("a sound store answers");
        let seen: Vec<_> = points
            .iter()
            .map(|at| (at.start_ms - T0, (at.rate * 20.0).round() as i64, at.is_final))
            .collect();
        assert_eq!(seen, expected, "{stream:?}");
    };
    check(None, &[(10_000, 6, true), (20_000, 12, false), (30_000, 12, false)]);
    check(Some("b"), &[(20_000, 8, false), (30_000, 8, false)]);
    check(Some("c"), &[]);
}

fn the_busiest_streams_come_first_with_their_newest_full_window<S: Store>() {
    let store = two_streams::<S>();
    let mut reader = store.reader();
    let mut check = |from_ms: i64, at_ms: i64, most: usize, expected: &[(&str, i64)]| {
        let streams = reader.streams(T0 + from_ms, T0 + at_ms, most).expect("a sound store answers");
        let seen: Vec<_> =
            streams.iter().map(|now| (now.stream.as_str(), (now.rate * 20.0).round() as i64)).collect();
        assert_eq!(seen, expected, "{from_ms} {at_ms} {most}");
    };
    check(0, 20_000, 9, &[("a", 4), ("b", 8)]);
    check(20_000, 30_000, 9, &[("b", 8), ("a", 4)]);
    check(20_000, 30_000, 1, &[("b", 8)]);
    check(0, 10_000, 9, &[("a", 6)]);
    let now = reader.streams(T0, T0 + 10_000, 1).expect("a sound store answers").remove(0);
    assert_eq!((now.chatters, now.sentiment, now.viewers), (3, Some(0.25), Some(12.5)));
    assert_eq!(now.emotes, ["Kappa", "LUL"]);
}

fn moments_come_newest_first<S: Store>() {
    let store = two_streams::<S>();
    let mut reader = store.reader();
    let moment = reader.moments(10).expect("a sound store answers").remove(0);
    assert_eq!((moment.stream.as_str(), moment.start_ms - T0), ("a", 10_000));
    assert_eq!((moment.z_score, moment.description.as_str()), (4.5, "a peak"));
    assert_eq!(reader.moments(0).expect("a sound store answers"), []);
}

fn an_empty_store_shows_nothing<S: Store>() {
    let store = S::new();
    drop(store.sink());
    let mut reader = store.reader();
    assert_eq!(reader.newest_ms().expect("a sound store answers"), None);
    assert_eq!(reader.rates(0, None).expect("a sound store answers"), []);
    assert_eq!(reader.streams(0, T0, 10).expect("a sound store answers"), []);
    assert_eq!(reader.owner("moments").expect("a sound store answers"), None);
}

on_both!(
    rates_are_summed_by_window_start,
    the_busiest_streams_come_first_with_their_newest_full_window,
    moments_come_newest_first,
    an_empty_store_shows_nothing,
);
