//! Tests of `reference`: a right store has no difference, a wrong one has.

use super::*;
use crate::sim::{
    hand::{Hand, ID, log},
    sums::Sums,
};

/// What the store should be like, for logs of [`Sums`] records.
fn differences(hand: &Hand, store: &Store) -> Vec<String> {
    let text = |view: &RowView<'_>| {
        let log = hand.source.log(ID).expect("the only partition");
        Sums::text(view.members.iter().filter_map(|member| log.get(member.offset)), view.earlier)
    };
    let reference = Reference {
        source: &hand.source,
        future_skew_ms: 60_000,
        known: &|_, record| Sums::known(record),
        text: Some(&text),
        earlier_rows: 1,
    };
    reference.differences(store)
}

/// 12 s comes when 61 s was committed: it misses five of its six windows; 3 s is late.
fn hand() -> Hand {
    let mut hand = Hand::new(log(&[5, 8, 71, -1, 12, 80, 95, 3]));
    hand.step(4, 61).expect("a good batch");
    hand.step(7, 85).expect("a good batch");
    hand.step(8, 121).expect("a good batch");
    hand
}

#[test]
fn a_right_store_has_no_difference() {
    let hand = hand();
    hand.sink.read(|store| {
        assert_eq!(differences(&hand, store), [""; 0]);
        assert_eq!((store.totals.window_misses, store.late_events.len()), (5, 1));
        assert!(!store.findings.is_empty(), "a window grew");
    });
}

#[test]
fn any_split_gives_the_same_rows_while_nothing_is_late() {
    let times = [5, 8, 3, 14, 22, 19, 31, 47, 40, 58, 66, 80, 77, 95];
    let run = |steps: &[(u64, i64)]| {
        let mut hand = Hand::new(log(&times));
        steps.iter().for_each(|&(to, watermark_s)| hand.step(to, watermark_s).expect("a good batch"));
        hand.sink.read(|store| assert_eq!(differences(&hand, store), [""; 0]));
        hand.sink.read(Store::text)
    };
    let whole = run(&[(14, 85)]);
    assert_eq!(whole, run(&[(1, -5), (6, 12), (10, 48), (11, 56), (14, 85)]));
    assert_ne!(whole, run(&[(14, 75)]));
}

#[test]
fn a_wrong_store_has_differences() {
    let check = |why: &str, tamper: &dyn Fn(&mut Store)| {
        let hand = hand();
        let mut store = hand.sink.read(Clone::clone);
        tamper(&mut store);
        let faults = differences(&hand, &store);
        assert!(faults.iter().any(|fault| fault.contains(why)), "{why}: {faults:?}");
    };
    fn first(store: &mut Store) -> &mut super::super::store::StoredRow {
        store.rows.values_mut().next().expect("there are rows")
    }
    check("its ranges", &|store| first(store).count += 1);
    check("its ranges say", &|store| first(store).text.push('x'));
    check("misses 1 events", &|store| {
        // As if the window 30..90 had been written without the event that came in the second batch.
        let row = store.rows.get_mut(&("a".to_owned(), 30_000)).expect("the window exists");
        (row.batch_id, row.count) = (1, 1);
    });
    check("is missing", &|store| drop(store.rows.pop_first()));
    check("refused true", &|store| store.dead_letters.clear());
    check("late true", &|store| store.late_events.clear());
    check("late false", &|store| {
        store.batches[2].watermark_before = telemetra_core::watermark::Watermark::at(0);
    });
    check("5 misses recorded", &|store| {
        store.batches[1].watermark_before = telemetra_core::watermark::Watermark::at(59_000);
    });
    check("future true", &|store| store.batches[0].planned_at_ms = 0);
    check("replay is 0", &|store| store.positions.get_mut(&ID).expect("it was read").replay = 0);
}
