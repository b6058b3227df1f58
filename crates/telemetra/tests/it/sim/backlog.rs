//! Histories of unequal partitions: nothing is late, no pane stays open for long, the replay stays short.

use telemetra_engine::sim::dice::Dice;

use super::{
    drive::{Drive, Outcome, Sim},
    input::{Hist, Item, Kind, NOW, NOW_S, Part, arriving, live},
    product::sums,
};

const FROM_S: i64 = NOW_S - 8 * 3_600;

fn history(seed: u64, kind: Kind, from_s: i64, seconds: i64, rate: f64) -> Vec<Item> {
    Hist { refused: 10, ..Hist::of(kind, from_s, from_s + seconds, rate) }.items(&mut Dice::new(seed))
}

/// Two busy partitions of unequal length, one an hour ahead, and two of viewers, one of them sparse.
fn unequal(seconds: i64) -> Vec<Part> {
    vec![
        Part::chat(0, history(1, Kind::Chat, FROM_S, seconds, 10.0)),
        Part::chat(1, history(2, Kind::Chat, FROM_S, seconds / 2, 2.0)),
        Part::chat(2, history(3, Kind::Chat, FROM_S + 3_600, seconds, 3.0)),
        Part::viewer(0, history(4, Kind::Viewer, FROM_S, seconds, 0.05)),
        Part::viewer(1, history(5, Kind::Viewer, FROM_S, seconds, 1.0)),
    ]
}

fn check_clean(name: &str, sim: &Sim<telemetra_engine::sim::sums::Sums>, outcome: &Outcome) {
    println!("{name}: {outcome:?}");
    sim.check();
    assert_eq!((outcome.late, outcome.window_misses, outcome.unread), (0, 0, 0), "{name}: {outcome:?}");
}

#[test]
fn unequal_histories_lose_nothing_at_any_batch_size() {
    for (cap, seconds) in
        [(Some(7), 100), (Some(120), 600), (Some(997), 1_800), (Some(50_000), 1_800), (None, 1_800)]
    {
        for crashes in [0, 50] {
            let mut sim = Sim::new(&sums(), &unequal(seconds));
            sim.pieces = Some(3);
            let caps = vec![cap, cap.map(|cap| 7.max(cap / 3))];
            let outcome =
                Drive { caps, crashes, seed: 3, ..Drive::default() }.run(&sim).expect("nothing stops it");
            check_clean(&format!("cap {cap:?}, crashes {crashes}"), &sim, &outcome);
        }
    }
}

#[test]
fn a_folder_an_hour_ahead_or_sparse_keeps_panes_and_replay_bounded() {
    let hours_s = 3 * 3_600;
    let folder = |seed, input, from_s, rate| {
        let kind = if input == 0 { Kind::Chat } else { Kind::Viewer };
        let items = history(seed, kind, from_s, hours_s, rate);
        Part::folder(input, arriving(items), 60, 0)
    };
    for (name, ahead_s, rate) in [("an hour ahead", 3_600, 1.0), ("sparse", 0, 0.01), ("both", 3_600, 0.01)] {
        let chat_ahead = [folder(1, 0, FROM_S + ahead_s, 5.0), folder(2, 1, FROM_S, rate)];
        let viewer_ahead = [folder(1, 0, FROM_S, 5.0), folder(2, 1, FROM_S + ahead_s, rate)];
        for (who, parts) in [("chat", chat_ahead), ("viewer", viewer_ahead)] {
            let mut sim = Sim::new(&sums(), &parts);
            // A folder read to its end holds the watermark until it is idle; meanwhile this bounds the other.
            sim.rules.replay_records_max = 8_000;
            let drive = Drive { caps: vec![Some(2_000)], ..Drive::default() };
            let outcome = drive.run(&sim).expect("nothing stops it");
            check_clean(&format!("{who} {name}"), &sim, &outcome);
            assert!(outcome.replay_max <= 8_000 + 2 * 2_000, "{who} {name}: {outcome:?}");
            // Four hours are 1,440 panes; the hour that only one covers is open while the other is not idle.
            assert!(outcome.open_panes_max < 400, "{who} {name}: {outcome:?}");
        }
    }
}

#[test]
fn an_empty_partition_beside_a_backlog_does_not_throttle_it() {
    let big = || Part::chat(0, history(1, Kind::Chat, FROM_S, 3_600, 10.0));
    let run = |parts: &[Part]| {
        let sim = Sim::new(&sums(), parts);
        let drive = Drive { caps: vec![Some(5_000)], ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        check_clean("beside", &sim, &outcome);
        outcome
    };
    let alone = run(&[big()]);
    let beside = run(&[big(), Part::chat(1, Vec::new()), Part::viewer(0, Vec::new())]);
    // Beside others a batch has a horizon, which needs a few batches to grow.
    assert!(beside.batches <= alone.batches + 8, "{beside:?}, alone {alone:?}");
    assert_eq!(beside.final_rows, alone.final_rows, "the empty ones hold nobody");
}

#[test]
fn a_partition_a_day_slow_that_joins_a_backlog_does_not_throttle_it() {
    let big = Part::chat(0, history(1, Kind::Chat, FROM_S, 7_200, 10.0));
    let mut slow = Part::chat(1, live(&mut Dice::new(9), Kind::Chat, NOW_S + 1..NOW_S + 60, 1.0, 86_400));
    slow.born_ms = NOW + 1_000;
    let run = |parts: &[Part]| {
        let sim = Sim::new(&sums(), parts);
        let drive =
            Drive { caps: vec![Some(2_000)], records_per_s: 10_000, until_s: Some(70), ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        sim.check();
        assert_eq!(outcome.unread, 0);
        outcome
    };
    let (alone, beside) = (run(std::slice::from_ref(&big)), run(&[big.clone(), slow.clone()]));
    println!("alone {alone:?}\nbeside {beside:?}");
    assert_eq!(beside.late, slow.items.len(), "it is late, alone");
    assert!(beside.steps <= alone.steps + 80, "{beside:?}, alone {alone:?}");
    assert!(beside.final_rows + 50 >= alone.final_rows, "{beside:?}, alone {alone:?}");
}

#[test]
fn history_after_a_pause_shorter_than_the_idle_timeout_is_not_late() {
    let two = |seed, kind, rate| {
        let first = history(seed, kind, FROM_S, 600, rate);
        let more = history(seed + 10, kind, FROM_S + 600, 600, rate);
        // The second piece comes 25 s after the first was read.
        let more = more.into_iter().map(|item| Item { arrives_ms: NOW + 25_000, ..item });
        first.into_iter().chain(more).collect()
    };
    for cap in [None, Some(300)] {
        let sim = Sim::new(
            &sums(),
            &[Part::chat(0, two(1, Kind::Chat, 3.0)), Part::viewer(0, two(2, Kind::Viewer, 0.2))],
        );
        let drive = Drive { caps: vec![cap], until_s: Some(50), ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        check_clean("pause", &sim, &outcome);
        assert!(outcome.final_rows > 2 * 100, "{outcome:?}");
    }
}

#[test]
fn a_long_replay_lets_only_who_holds_the_watermark_be_read() {
    // One ended after a minute and holds the watermark until it is idle; the other goes on for two hours.
    let busy = history(1, Kind::Chat, FROM_S, 7_200, 5.0);
    let ended = history(2, Kind::Chat, FROM_S, 60, 1.0);
    let parts = [Part::chat(0, busy), Part::chat(1, ended)];
    let run = |replay_records_max, read_on| {
        let mut sim = Sim::new(&sums(), &parts);
        (sim.rules.replay_records_max, sim.rules.read_on) = (replay_records_max, read_on);
        let drive = Drive { caps: vec![Some(500)], ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        check_clean("ended", &sim, &outcome);
        outcome.replay_max
    };
    let (free, bounded, read_on) = (run(10_000_000, false), run(3_000, false), run(3_000, true));
    println!("replay without a bound {free}, bounded {bounded}, with a bound but --once {read_on}");
    assert!(free > 30_000 && bounded <= 3_500 && read_on == free);
}

#[test]
fn a_partition_not_yet_seen_holds_the_watermark() {
    // Its first records are refused, so batches go by before its first event tells where it is in time.
    let refused = Item { kind: Kind::Refused, time_ms: 0, stream: 0, arrives_ms: 0 };
    let unseen = std::iter::repeat_n(refused, 500).chain(history(2, Kind::Chat, FROM_S, 600, 1.0));
    let ahead = history(1, Kind::Chat, FROM_S + 3_600, 600, 1.0);
    let parts = [Part::chat(0, ahead), Part::chat(1, unseen.collect())];
    let sim = Sim::new(&sums(), &parts);
    let drive = Drive { caps: vec![Some(50)], ..Drive::default() };
    let outcome = drive.run(&sim).expect("nothing stops it");
    check_clean("unseen", &sim, &outcome);
    assert!(outcome.final_rows > 100 && outcome.dead >= 500, "{outcome:?}");
}
