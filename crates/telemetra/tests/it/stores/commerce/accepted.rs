//! New rows, duplicates and conflicts: the first of an id stays, and a duplicate never makes a good row fail.

use telemetra_connectors::postgres::{Address, PostgresSink};
use telemetra_engine::sink::SinkError;
use telemetra_services::{
    postgres::Postgres,
    proxy::{Fault, Proxy},
};

use super::*;

fn in_one_batch<S: Store>() {
    let mut shop = Shop::<S>::new();
    assert_eq!(shop.commit("a=150 ! b=7 | . a=150 b=8 c=1"), [3, 1, 1, 0]);
    assert_eq!(shop.rows(), "a 1.50 1 0.csv 2\nb 0.07 1 0.csv 4\nc 0.01 1 1.csv 8");
    let codes = "missing_field:user_id|price_range";
    assert_eq!(
        shop.rejected(),
        format!("1 {codes} e,,\u{fffd} 0.csv 3 10 19 1\n5 duplicate_conflict b=8 1.csv 7 50 59 1")
    );
    shop.assert_balanced();
}

fn across_batches<S: Store>() {
    let mut shop = Shop::<S>::new();
    assert_eq!(shop.commit("a=1 b=1"), [2, 0, 0, 0]);
    assert_eq!(shop.commit("b=1 a=2 c=1 a=1 c=1"), [1, 3, 1, 0]);
    assert_eq!(shop.commit("a=1 b=1"), [0, 2, 0, 0]);
    assert_eq!(shop.commit(""), [0; 4]);
    assert_eq!(shop.store.text("SELECT event_id, batch_id FROM user_events ORDER BY id"), "a 1\nb 1\nc 2");
    // Another user, type, product or time is another payload.
    let others = "a=1/x a=1/u/purchase a=1/u/view/x a=1/u/view/p/1";
    assert_eq!(shop.commit(others), [0, 0, 4, 0]);
    shop.assert_balanced();
    let sums = "SELECT accepted, duplicates, conflicts, refused, records FROM telemetra.job";
    assert_eq!(shop.store.text(sums), "3 5 5 0 13");
}

fn one_duplicate_among_ten_thousand_good_rows<S: Store>() {
    let mut shop = Shop::<S>::new();
    let mut words: Vec<String> = (0..10_000).map(|number| format!("e{number}={}", number + 1)).collect();
    words.insert(5_000, "e77=78".into());
    assert_eq!(shop.commit(&words.join(" ")), [10_000, 1, 0, 0]);
    // Ids follow the order of arrival.
    let sql =
        "SELECT count(*) FROM user_events a JOIN user_events b ON b.origin_position = a.origin_position + 1
               WHERE b.id <= a.id";
    assert_eq!(shop.store.text(sql), "0");
    // All of them again, with one that is new.
    words.push("new=1".into());
    assert_eq!(shop.commit(&words.join(" ")), [1, 10_001, 0, 0]);
    shop.assert_balanced();
}

fn the_ledger_is_kept_by_file<S: Store>() {
    let mut shop = Shop::<S>::new();
    shop.commit("a=1 b=1 ! | a=1 | | a=2 c=3");
    shop.commit("c=3 ! !");
    let files = shop.store.reader().files("commerce", None, 10).expect("a sound store answers");
    let shown: Vec<_> = files
        .iter()
        .map(|it| {
            let sums = [it.records, it.read, it.accepted, it.duplicates, it.conflicts, it.quarantined];
            format!("{} {}", it.name, sums.map(|sum| sum.to_string()).join(" "))
        })
        .collect();
    let expected = [
        "0.csv 3 3 2 0 0 1",
        "1.csv 1 1 0 1 0 0",
        "2.csv 0 0 0 0 0 0",
        "3.csv 2 2 1 0 1 0",
        "4.csv 3 3 0 1 0 2",
    ];
    assert_eq!(shown, expected);
    let page = shop.store.reader().files("commerce", Some((0, 1)), 2).expect("a sound store answers");
    assert_eq!(page, files[2..4]);
}

fn a_commit_in_doubt_is_answered_by_the_batch_row<S: Store>() {
    let mut shop = Shop::<S>::new();
    let (first, other) = (shop.batch("a=1 a=1 a=2 !"), AttemptId(99));
    assert_eq!(shop.sink.was_applied(1, first.attempt).expect("a sound store answers"), None);
    let applied = shop.sink.commit(&first).expect("it adds up");
    assert_eq!(shop.sink.was_applied(1, first.attempt).expect("a sound store answers"), Some(applied));
    assert_eq!(numbers(applied), [1, 1, 1, 0]);
    assert!(shop.sink.was_applied(1, other).is_err());
}

#[test]
fn a_commit_whose_reply_is_lost_counts_once() {
    let database = Postgres::shared().create_database();
    let proxy = Proxy::start(Postgres::shared().port());
    let address = format!("{}?sslmode=disable", database.address_at(proxy.port()));
    let address = Address::parse(&address).expect("the address is ours");
    let mut shop = Shop::on(Pg(database));
    shop.sink = Box::new(PostgresSink::open_commerce(&address, "commerce").expect("the server is there"));
    shop.sink.take_over(&inputs(), "meaning").expect("this process may take over from itself");
    for (words, fault, applied) in [
        ("a=1 a=1 b=2", Fault::CutReply, Some([2, 1, 0, 0])),
        ("c=1 a=2", Fault::CutBeforeCommit, None),
        ("c=1 a=2", Fault::AbortCommit, None),
    ] {
        let batch = shop.batch(words);
        proxy.by_dice(7, &[(fault, 1.0)]);
        let result = shop.sink.commit(&batch);
        proxy.by_dice(7, &[]);
        match result {
            Err(SinkError::NotApplied(_)) if applied.is_none() => {}
            Err(SinkError::InDoubt(_)) => {
                let found =
                    shop.sink.was_applied(batch.batch_id, batch.attempt).expect("the server is there");
                assert_eq!(found.map(numbers), applied, "{fault:?}");
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        if applied.is_some() {
            shop.done(&batch);
        }
    }
    assert_eq!(shop.commit("c=1 a=2"), [1, 0, 1, 0]);
    shop.assert_balanced();
}

fn each_pipeline_has_its_own_tables<S: Store>() {
    let store = S::with_story();
    let mut shop = Shop::on(store);
    shop.commit("a=1 ! a=2");
    let reports = shop.store.reader().audit(None).expect("it can be audited");
    let names: Vec<_> = reports.iter().map(|report| (report.job.as_str(), report.is_balanced())).collect();
    assert_eq!(names, [("chat", true), ("commerce", true)]);
    let jobs = shop.store.reader().jobs(Some("commerce")).expect("a sound store answers");
    assert_eq!((jobs[0].pipeline.as_str(), numbers(jobs[0].applied)), ("commerce", [1, 0, 1, 0]));
    let refused = |store: &S, job: &str, words: &str| {
        let opened = store.open_commerce(job);
        let taken = opened.and_then(|mut sink| sink.take_over(&inputs(), "meaning"));
        match taken {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{other:?}"),
        }
    };
    refused(&shop.store, "second", "table user_events belongs to job commerce");
    refused(&S::with_story(), "chat", "job chat runs pipeline chat: choose another --job");
}

fn a_successor_goes_on<S: Store>() {
    let mut shop = Shop::<S>::new();
    shop.commit("a=1 b=1");
    let Shop { store, sink, .. } = shop;
    drop(sink);
    let mut sink = store.open_commerce("commerce").expect("the store is there");
    let recovered = sink.take_over(&inputs(), "meaning").expect("nobody holds the job");
    assert_eq!((recovered.epoch, recovered.last_batch, recovered.positions[0].next), (2, 1, 2));
    assert_eq!((recovered.segments.len(), recovered.open_rows.len()), (1, 0));
    let mut shop = Shop { store, sink, batch_id: 1, next: 2, files: 1 };
    assert_eq!(shop.commit("b=1 c=1"), [1, 1, 0, 0]);
    assert_eq!(shop.sink.dead_offsets(FOLDER, 0..9).expect("a sound store answers"), [] as [u64; 0]);
    shop.commit("! d=1 !");
    assert_eq!(shop.sink.dead_offsets(FOLDER, 0..9).expect("a sound store answers"), [4, 6]);
}

on_both![
    in_one_batch,
    across_batches,
    one_duplicate_among_ten_thousand_good_rows,
    the_ledger_is_kept_by_file,
    a_commit_in_doubt_is_answered_by_the_batch_row,
    each_pipeline_has_its_own_tables,
    a_successor_goes_on,
];
