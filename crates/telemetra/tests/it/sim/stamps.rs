//! Wrong, future and late stamps.

use telemetra_engine::sim::dice::Dice;

use super::{
    drive::{Drive, Sim},
    input::{Hist, Item, Kind, NOW, NOW_S, Part, live},
    product::sums,
};

fn chat(time_s: i64) -> Item {
    Item { kind: Kind::Chat, time_ms: time_s * 1_000, stream: 0, arrives_ms: 0 }
}

/// A few messages, the third stamped 90 s after the clock reads.
fn with_future() -> Vec<Item> {
    [-20, -19, 90, -18, -17].map(|at_s| chat(NOW_S + at_s)).to_vec()
}

#[test]
fn a_future_record_stays_refused_though_the_clock_has_passed_it() {
    let mut items = with_future();
    items.push(Item { arrives_ms: NOW + 100_000, ..chat(NOW_S + 95) });
    let sim = Sim::new(&sums(), &[Part::chat(0, items)]);
    let mut job = sim.job(NOW).expect("it starts");
    job.step(NOW).expect("it reads");
    job.settle().expect("it is written");
    let before = sim.text();
    sim.store(|store| {
        let letters: Vec<_> = store.dead_letters.values().map(|(_, letter)| letter.code.as_str()).collect();
        assert_eq!(letters, ["future"]);
    });
    drop(job);
    // Two minutes on, the stamp lies in the past; the replay must not ask again.
    let later = NOW + 120_000;
    let mut job = sim.job(later).expect("the replay comes out the same");
    assert_eq!(job.report().replayed, 5);
    assert_eq!(sim.text(), before);
    job.step(later).expect("it reads on");
    job.settle().expect("it is written");
    sim.check();
    sim.store(|store| assert_eq!((store.dead_letters.len(), store.totals.in_windows), (1, 5)));
}

#[test]
fn one_stamp_fifty_nine_seconds_ahead_makes_nobody_miss_a_window() {
    let flow = |seed| live(&mut Dice::new(seed), Kind::Chat, NOW_S..NOW_S + 300, 0.2, 0);
    for at in [10, 400, 900] {
        let mut wrong = flow(1);
        wrong[at].time_ms = wrong[at].arrives_ms + 59_000;
        let sim = Sim::new(&sums(), &[Part::chat(0, wrong), Part::chat(1, flow(2))]);
        let outcome = sim.run_until(420);
        sim.check();
        assert_eq!((outcome.late, outcome.window_misses, outcome.dead), (0, 0, 0), "stamp {at}: {outcome:?}");
        assert_eq!(outcome.unread, 0);
    }
}

#[test]
fn one_stamp_three_hours_ahead_in_a_backlog_holds_nobody_up() {
    let from_s = NOW_S - 8 * 3_600;
    let history = |seed, rate| Hist::of(Kind::Chat, from_s, from_s + 1_800, rate).items(&mut Dice::new(seed));
    for (cap, crashes) in [(None, 0), (Some(997), 30), (Some(120), 0)] {
        let honest = [Part::chat(0, history(1, 3.0)), Part::chat(1, history(2, 1.0))];
        let drive = Drive { caps: vec![cap], crashes, seed: 5, ..Drive::default() };
        let undisturbed = drive.run(&Sim::new(&sums(), &honest)).expect("nothing stops it");
        for at in [1, 700, 5_000] {
            let mut parts = honest.clone();
            let time_ms = parts[0].items[at].time_ms + 3 * 3_600_000;
            parts[0].items.insert(at, Item { time_ms, ..chat(0) });
            let sim = Sim::new(&sums(), &parts);
            let outcome = drive.run(&sim).expect("nothing stops it");
            sim.check();
            let case = format!("stamp at {at}, cap {cap:?}: {outcome:?}, without it {undisturbed:?}");
            assert_eq!((outcome.late, outcome.window_misses, outcome.unread), (0, 0, 0), "{case}");
            assert!(outcome.batches <= undisturbed.batches * 3 / 2 + 5, "{case}");
            assert!(outcome.final_rows + 12 >= undisturbed.final_rows, "{case}");
            assert!(outcome.replay_max <= undisturbed.replay_max * 3 / 2 + 6_000, "{case}");
        }
    }
}

#[test]
fn an_event_late_for_three_of_its_six_windows_is_counted_in_the_others() {
    // The watermark of the first batch is 10 s before its newest event: at a pane boundary.
    let base_s = (NOW_S - 600) / 10 * 10;
    let first = [chat(base_s), chat(base_s + 50), chat(base_s + 100)];
    let second = |offset_s: i64| Item { arrives_ms: NOW + 5_000, ..chat(base_s + offset_s) };
    let check = |offset_s: i64, late: usize, misses: i64| {
        let sim = Sim::new(&sums(), &[Part::chat(0, [first.to_vec(), vec![second(offset_s)]].concat())]);
        let outcome = sim.run_until(20);
        sim.check();
        assert_eq!((outcome.late, outcome.window_misses), (late, misses), "at {offset_s} s");
    };
    // The watermark is base + 90: windows that end at 90 and before are closed.
    check(95, 0, 0);
    check(65, 0, 3);
    check(60, 0, 3);
    check(59, 0, 4);
    check(40, 0, 5);
    check(39, 1, 0);
}
