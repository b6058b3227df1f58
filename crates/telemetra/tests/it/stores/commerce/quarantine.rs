//! Refused records: listed by what a person knows of them, exported once, replayed at most once.

use telemetra_connectors::{Replayed, Wanted};
use telemetra_engine::sink::SinkError;

use super::*;

/// Offsets of what is wanted.
#[track_caller]
fn check<S: Store>(shop: &Shop<S>, wanted: Wanted, expected: &[u64]) {
    let wanted = Wanted { limit: if wanted.limit == 0 { 100 } else { wanted.limit }, ..wanted };
    let found = shop.store.reader().rejected("commerce", &wanted).expect("a sound store answers");
    assert_eq!(found.iter().map(|it| it.offset).collect::<Vec<_>>(), expected, "{wanted:?}");
}

fn refused_records_are_listed<S: Store>() {
    let mut shop = Shop::<S>::new();
    // Offsets      0   1   2 3   4 5
    shop.commit("a=1 a=2 | ! b=1 | ! !");
    shop.commit("! b=2");
    let all = Wanted::default;
    check(&shop, all(), &[1, 2, 4, 5, 6, 7]);
    let code = |code: &str| Wanted { code: Some(code.into()), ..all() };
    check(&shop, code("duplicate_conflict"), &[1, 7]);
    check(&shop, code("price_range"), &[2, 4, 5, 6]);
    check(&shop, code("missing_field"), &[2, 4, 5, 6]);
    check(&shop, code("missing_field:user_id"), &[2, 4, 5, 6]);
    check(&shop, code("missing_field:user"), &[]);
    check(&shop, code("missing%"), &[]);
    check(&shop, code("user_id"), &[]);
    check(&shop, Wanted { file: Some("2.csv".into()), ..all() }, &[4, 5]);
    check(&shop, Wanted { batch_id: Some(2), ..code("price_range") }, &[6]);
    check(&shop, Wanted { after: Some((0, 2)), limit: 2, ..all() }, &[4, 5]);
    check(&shop, Wanted { from_ms: Some(i64::MAX), ..all() }, &[]);
    check(&shop, Wanted { to_ms: Some(T0), ..all() }, &[]);
    check(
        &shop,
        Wanted { from_ms: Some(T0), to_ms: Some(i64::MAX), pending_only: true, ..all() },
        &[1, 2, 4, 5, 6, 7],
    );
    let found = shop.store.reader().rejected("commerce", &Wanted { limit: 2, ..all() });
    let found = found.expect("a sound store answers");
    let rejected_at_ms = found[1].rejected_at_ms;
    assert!(rejected_at_ms > T0);
    let expected = Rejected {
        topic: None,
        partition: 0,
        offset: 2,
        file: Some("1.csv".into()),
        line: Some(4),
        bytes: Some(20..29),
        seq: Some(1),
        head: Some(Arc::from(&b"head"[..])),
        codes: "missing_field:user_id|price_range".into(),
        raw: b"e,,\xff".to_vec(),
        batch_id: 1,
        rejected_at_ms,
        replayed_at_ms: None,
    };
    assert_eq!(found[1], expected);
    assert_eq!(shop.store.reader().rejected("other", &Wanted { limit: 9, ..all() }).expect("it answers"), []);
}

fn exports_are_made_once<S: Store>() {
    let mut shop = Shop::<S>::new();
    shop.commit("a=1 !");
    shop.commit("b=1 a=1");
    shop.commit("a=2");
    let pending =
        |limit| shop.store.reader().exports_pending("commerce", limit).expect("a sound store answers");
    assert_eq!((pending(10), pending(1)), (vec![1, 3], vec![1]));
    let mut quarantine = shop.store.open_quarantine().expect("the store is there");
    quarantine.mark_exported("commerce", 1).expect("it can be marked");
    quarantine.mark_exported("commerce", 1).expect("it can be marked again");
    assert_eq!(pending(10), [3]);
    assert!(matches!(quarantine.mark_exported("commerce", 2), Err(SinkError::Halt(_))));
    shop.assert_balanced();
}

fn a_record_is_replayed_at_most_once<S: Store>() {
    let mut shop = Shop::<S>::new();
    shop.commit("a=1 b=1");
    shop.commit("a=2 b=9 a=1");
    // What stood in the way of b is gone, and with it the row that the first batch accepted.
    let mut quarantine = shop.store.open_quarantine().expect("the store is there");
    let wanted = Wanted { limit: 10, ..Wanted::default() };
    let rejected = shop.store.reader().rejected("commerce", &wanted).expect("a sound store answers");
    let rows = candidates(&rejected);
    let replay =
        |quarantine: &mut telemetra_connectors::Quarantine, rows| quarantine.replay("commerce", rows);
    let found = replay(&mut quarantine, &rows).expect("it can be replayed");
    assert_eq!(found, [Replayed::Conflict, Replayed::Conflict]);
    shop.store.sql("UPDATE user_events SET event_id = 'old' WHERE event_id = 'b'");
    let found = replay(&mut quarantine, &rows).expect("it can be replayed");
    assert_eq!(found, [Replayed::Conflict, Replayed::Accepted]);
    shop.assert_balanced();
    let found = replay(&mut quarantine, &rows).expect("it can be replayed");
    assert_eq!(found, [Replayed::Conflict, Replayed::NotPending]);
    shop.assert_balanced();
    assert_eq!(shop.store.text("SELECT event_id, batch_id FROM user_events ORDER BY id"), "a 1\nold 1\nb 2");
    check(&shop, Wanted { pending_only: true, ..Wanted::default() }, &[2]);
    let again = shop.store.reader().rejected("commerce", &wanted).expect("a sound store answers");
    assert!(again[0].replayed_at_ms.is_none() && again[1].replayed_at_ms.is_some_and(|at| at > T0));
    // Even if its row is gone.
    shop.store.sql("UPDATE user_events SET event_id = 'gone' WHERE event_id = 'b'");
    let found = replay(&mut quarantine, &rows).expect("it can be replayed");
    assert_eq!(found, [Replayed::Conflict, Replayed::NotPending]);
    // A batch goes on beside it, and finds what was replayed.
    assert_eq!(shop.commit("b=9 gone=9"), [1, 1, 0, 0]);
    shop.assert_balanced();
    assert!(matches!(quarantine.replay("other", &rows), Err(SinkError::Halt(_))));
}

fn duplicates_among_the_replayed_are_told<S: Store>() {
    let mut shop = Shop::<S>::new();
    shop.commit("x=1 x=2 x=3 y=1 y=2");
    shop.store.sql("UPDATE user_events SET event_id = event_id || '-old'");
    let wanted = Wanted { limit: 10, ..Wanted::default() };
    let rejected = shop.store.reader().rejected("commerce", &wanted).expect("a sound store answers");
    let mut given = rejected.clone();
    // The third says the same as the second, and offset 3 is in no quarantine.
    given[1].raw = given[0].raw.clone();
    given.insert(2, Rejected { offset: 3, raw: b"z=1".to_vec(), ..given[0].clone() });
    let mut quarantine = shop.store.open_quarantine().expect("the store is there");
    let found = quarantine.replay("commerce", &candidates(&given)).expect("it can be replayed");
    assert_eq!(found, [Replayed::Accepted, Replayed::Duplicate, Replayed::NotPending, Replayed::Accepted]);
    assert_eq!(shop.store.text("SELECT count(*) FROM rejected_events WHERE replayed_at IS NOT NULL"), "2");
    shop.assert_balanced();
}

on_both![
    refused_records_are_listed,
    exports_are_made_once,
    a_record_is_replayed_at_most_once,
    duplicates_among_the_replayed_are_told,
];
