//! A store that is too slow for large batches: they shrink until they fit, grow again when it is fast again,
//! and the rows are those of a fast store.

use telemetra_engine::{
    error::JobError,
    limits::TOO_LARGE_RECORDS_MIN,
    sim::{
        dice::Dice,
        faults::{Fault, FaultPlan},
        sums::Sums,
    },
    step::Stepped,
};

use super::{
    drive::{Drive, Sim, SimJob},
    input::{Hist, Item, Kind, NOW, NOW_S, Part, every_second},
    product::sums,
};

/// A record a second, `count` of them.
fn seconds(count: i64) -> Vec<Item> {
    every_second(Kind::Chat, NOW_S - 100 - count..NOW_S - 100)
}

/// Records of the batches that were applied, runs of equal sizes counted: `(records, batches)`.
fn sizes(sim: &Sim<Sums>) -> Vec<(u64, usize)> {
    let mut sizes: Vec<(u64, usize)> = Vec::new();
    sim.store(|store| {
        for batch in &store.batches {
            let records = batch.ranges.iter().map(|range| range.tally.records).sum();
            match sizes.last_mut() {
                Some((last, count)) if *last == records => *count += 1,
                _ => sizes.push((records, 1)),
            }
        }
    });
    sizes
}

fn step(job: &mut SimJob<Sums>) -> Stepped {
    let stepped = job.step(NOW).expect("the store answers");
    if job.settle().expect("the store answers") { stepped } else { Stepped::Dropped }
}

#[test]
fn batches_shrink_until_they_fit_and_grow_again() {
    let parts = [Part::chat(0, seconds(60_000))];
    let fast = Sim::new(&sums(), &parts);
    fast.job(NOW).and_then(|mut job| job.step(NOW)).expect("it reads");
    assert_eq!(sizes(&fast), [(60_000, 1)]);

    let sim = Sim::new(&sums(), &parts);
    sim.sink.set_records_max(Some(2_000));
    let mut job = sim.job(NOW).expect("it starts");
    // 60,000, 30,000, 15,000, 7,500, 3,750: each is tried once.
    for tried in 1..=5 {
        assert_eq!(step(&mut job), Stepped::Dropped);
        let cap = 60_000 >> tried;
        assert_eq!(job.report().records_cap, Some(cap));
        let cause = &job.report().dropped_cause;
        assert!(cause.contains(&format!("{cap} at most are next")), "{cause}");
    }
    let steps: Vec<Stepped> = (0..11).map(|_| step(&mut job)).collect();
    assert_eq!(steps[..10], [Stepped::Batch { records: 1_875 }; 10]);
    assert_eq!(
        (steps[10], job.report().records_cap),
        (Stepped::Dropped, Some(1_875)),
        "3,750 do not fit yet"
    );
    sim.sink.set_records_max(None);
    while !matches!(step(&mut job), Stepped::Nothing) {}
    assert_eq!(job.report().dropped_batches, 6);
    // The rest, 3,750 to a batch from the eleventh on.
    assert_eq!(sizes(&sim), [(1_875, 20), (3_750, 6)]);
    sim.check();
    assert_eq!(sim.unread(NOW), 0);
}

#[test]
fn the_smaller_cap_goes_once_the_store_is_fast_again() {
    let mut sim = Sim::new(&sums(), &[Part::chat(0, seconds(50_000))]);
    sim.rules.records_per_trigger = Some(4_000);
    sim.sink.set_records_max(Some(1_000));
    let mut job = sim.job(NOW).expect("it starts");
    while step(&mut job) == Stepped::Dropped {}
    sim.sink.set_records_max(None);
    while !matches!(step(&mut job), Stepped::Nothing) {}
    assert_eq!(job.report().records_cap, None);
    assert_eq!(sizes(&sim), [(1_000, 10), (2_000, 10), (4_000, 5)]);
    sim.check();
}

#[test]
fn a_cap_on_bytes_bounds_batches_and_the_replay() {
    let mut sim = Sim::new(&sums(), &[Part::chat(0, seconds(40))]);
    let record_bytes = sim.source.logs().next().and_then(|log| log.get(0)).expect("a record").len() as u64;
    sim.rules.batch_bytes_max = 10 * record_bytes;
    let mut job = sim.job(NOW).expect("it starts");
    while !matches!(step(&mut job), Stepped::Nothing) {}
    assert_eq!(sizes(&sim), [(10, 4)]);
    drop(job);
    let before = sim.source.counters().opens;
    let job = sim.job(NOW).expect("it starts again");
    // Four rounds, each read by two workers.
    assert_eq!((job.report().replayed, sim.source.counters().opens - before), (40, 8));
}

#[test]
fn a_batch_that_cannot_be_smaller_is_tried_again_as_it_is() {
    let sim = Sim::new(&sums(), &[Part::chat(0, seconds(600))]);
    sim.sink.set_records_max(Some(500));
    let mut job = sim.job(NOW).expect("it starts");
    for _ in 0..3 {
        assert_eq!(step(&mut job), Stepped::Dropped);
        assert_eq!(job.report().records_cap, Some(TOO_LARGE_RECORDS_MIN));
    }
    sim.sink.set_records_max(None);
    assert_eq!(step(&mut job), Stepped::Batch { records: 600 });
    // One without records: rows took too long, fewer records would not make them fewer.
    sim.sink.set_faults(FaultPlan::script(&[Some(Fault::TooLarge)]));
    assert!(matches!(job.drain(NOW), Err(JobError::Retry(_))));
    assert_eq!(job.report().records_cap, Some(TOO_LARGE_RECORDS_MIN));
    job.drain(NOW).expect("it drains");
    sim.check();
    sim.store(|store| assert!(store.open_rows.is_empty()));
}

#[test]
fn a_small_cap_does_not_stretch_the_horizon() {
    // One sparse, one dense: the sparse one's splits end at the horizon in every batch.
    let history = |rate| Hist::of(Kind::Chat, NOW_S - 40_000, NOW_S - 20_000, rate).items(&mut Dice::new(1));
    let sim = Sim::new(&sums(), &[Part::chat(0, history(0.2)), Part::chat(1, history(5.0))]);
    sim.sink.set_records_max(Some(TOO_LARGE_RECORDS_MIN));
    let outcome = Drive::default().run(&sim).expect("nothing stops it");
    sim.check();
    println!("{outcome:?}");
    assert_eq!((outcome.late, outcome.unread), (0, 0), "{outcome:?}");
    assert!(outcome.dropped > 0 && outcome.open_panes_max < 100, "{outcome:?}");
}
