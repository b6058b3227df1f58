//! Tests of `audit`: it must be able to fail.

use super::*;
use crate::sim::hand::{Hand, ID, log};

fn store() -> Store {
    let mut hand = Hand::new(log(&[5, 12, 71, -1, 80, 95, 3]));
    hand.step(4, 61).expect("a good batch");
    hand.step(7, 85).expect("a good batch");
    hand.sink.read(Clone::clone)
}

#[track_caller]
fn check(why: &str, tamper: impl FnOnce(&mut Store)) {
    let mut store = store();
    assert_eq!(audit(&store), [""; 0]);
    tamper(&mut store);
    let faults = audit(&store);
    assert!(faults.iter().any(|fault| fault.contains(why)), "{faults:?}");
}

#[test]
fn every_table_that_was_tampered_with_shows() {
    check("law:", |store| {
        let final_row = store.rows.values_mut().find(|row| row.is_final).expect("some windows closed");
        final_row.count += 1;
    });
    check("law:", |store| {
        store.rows.retain(|_, row| !row.is_final);
    });
    check("leaves a hole", |store| store.batches[1].ranges[0].from = 5);
    check("ranges end at", |store| store.positions.get_mut(&ID).expect("it was read").next = 8);
    check("replay 9 beyond", |store| store.positions.get_mut(&ID).expect("it was read").replay = 9);
    check("does not add up", |store| store.batches[0].ranges[0].tally.late = 1);
    check("does not follow", |store| {
        store.batches[1].watermark_before = telemetra_core::watermark::Watermark::NONE;
    });
    check("in place of", |store| drop(store.batches.remove(0)));
    check("last batch committed", |store| store.last_batch = 3);
    check("(0, 0) listed", |store| store.dead_letters.clear());
    check("(0, 0) listed", |store| store.late_events.clear());
    check("of which it read nothing", |store| {
        let (_, letter) = store.dead_letters[&(ID, 3)].clone();
        store.dead_letters.insert((ID, 9), (7, letter));
    });
    check("both dead and late", |store| {
        let (_, letter) = store.dead_letters[&(ID, 3)].clone();
        store.dead_letters.insert((ID, 6), (2, letter));
    });
    check("has is_final", |store| store.watermark = telemetra_core::watermark::Watermark::at(500_000));
    check("totals", |store| store.totals.in_windows += 1);
    check("violation: it went wrong", |store| store.violations.push("it went wrong".into()));
}
