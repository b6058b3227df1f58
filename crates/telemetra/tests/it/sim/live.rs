//! Live flow. A partition that gives nothing, or nothing good, or little, or late, must not keep the windows of
//! the others from becoming final; and nobody's honest events may be late for it.
//!
//! A partition without events holds nobody. One that stops holds the watermark for its idle time-out (30 s) and
//! no longer, so a window is final within about delay (10 s) + time-out + a trigger of its end.

use telemetra_engine::sim::dice::Dice;

use super::{
    drive::{Drive, Outcome, Sim},
    input::{Item, Kind, NOW, NOW_S, Part, live},
    product::sums,
};

/// How long the flow goes on, seconds.
const FLOW_S: i64 = 600;
/// No window waits longer than this for a partition that is idle.
const FINAL_WITHIN_S: i64 = 45;

fn flow(seed: u64, kind: Kind, every_s: f64) -> Vec<Item> {
    live(&mut Dice::new(seed), kind, NOW_S..NOW_S + FLOW_S, every_s, 0)
}

fn busy() -> Part {
    Part::chat(0, flow(1, Kind::Chat, 0.05))
}

fn viewers() -> Part {
    Part::viewer(0, flow(2, Kind::Viewer, 1.0))
}

/// Runs the flow and a hundred seconds more; nothing may be left unread, and the rows must be right.
fn run(name: &str, parts: &[Part], cap: Option<u64>) -> Outcome {
    let sim = Sim::new(&sums(), parts);
    let drive =
        Drive { until_s: Some(FLOW_S + 100), caps: vec![cap], records_per_s: 20_000, ..Drive::default() };
    let outcome = drive.run(&sim).expect("nothing stops it");
    println!("{name}: {outcome:?}");
    sim.check();
    assert_eq!(outcome.unread, 0, "{name}");
    assert!(outcome.final_rows > 55, "{name}: windows become final");
    outcome
}

/// Nobody is held up and nothing is late.
fn check_unhindered(name: &str, parts: &[Part], cap: Option<u64>) -> Outcome {
    let outcome = run(name, parts, cap);
    assert_eq!((outcome.late, outcome.window_misses), (0, 0), "{name}");
    assert!(outcome.finality_s <= FINAL_WITHIN_S, "{name}: {outcome:?}");
    outcome
}

#[test]
fn an_empty_partition_holds_nobody() {
    check_unhindered("empty", &[busy(), Part::chat(1, Vec::new()), viewers()], None);
}

#[test]
fn a_partition_of_refused_records_holds_nobody() {
    let refused = |every_s| Part::chat(1, flow(3, Kind::Refused, every_s));
    let outcome = check_unhindered("refused", &[busy(), refused(0.2), viewers()], None);
    assert!(outcome.dead > 2_000);
    check_unhindered("refused, one a second", &[busy(), refused(1.0), viewers()], None);
}

#[test]
fn a_partition_that_turns_to_refused_records_or_bursts_of_them_holds_nobody() {
    let head = live(&mut Dice::new(3), Kind::Chat, NOW_S..NOW_S + 60, 0.2, 0);
    let tail = live(&mut Dice::new(4), Kind::Refused, NOW_S + 60..NOW_S + FLOW_S, 0.2, 0);
    let turned = Part::chat(1, [head.clone(), tail].concat());
    check_unhindered("refused after events", &[busy(), turned, viewers()], None);
    for kind in [Kind::Refused, Kind::Empty] {
        let bursts = (0..(FLOW_S - 60) / 20).flat_map(|number| {
            let arrives_ms = NOW + (60 + 20 * number) * 1_000;
            (0..300).map(move |_| Item { kind, time_ms: 0, stream: 0, arrives_ms })
        });
        let part = Part::chat(1, head.iter().copied().chain(bursts).collect());
        check_unhindered("bursts", &[busy(), part], Some(120));
    }
}

#[test]
fn a_partition_that_ended_holds_nobody_not_even_after_a_restart() {
    let ended =
        |seed, every_s, seconds| live(&mut Dice::new(seed), Kind::Chat, NOW_S..NOW_S + seconds, every_s, 0);
    let parts = [busy(), Part::chat(1, ended(5, 0.5, 150))];
    check_unhindered("ended", &parts, None);
    // A restart every now and then: the idle clock is committed, it does not start anew.
    let sim = Sim::new(&sums(), &parts);
    let drive = Drive {
        until_s: Some(FLOW_S + 100),
        crashes: 50,
        records_per_s: 20_000,
        seed: 1,
        ..Drive::default()
    };
    let outcome = drive.run(&sim).expect("nothing stops it");
    sim.check();
    assert!(outcome.crashes > 20, "{outcome:?}");
    assert_eq!((outcome.late, outcome.window_misses), (0, 0));
    assert!(outcome.finality_s <= FINAL_WITHIN_S + 5, "{outcome:?}");
}

#[test]
fn when_all_end_the_last_windows_become_final() {
    let ended =
        |seed, every_s, seconds| live(&mut Dice::new(seed), Kind::Chat, NOW_S..NOW_S + seconds, every_s, 0);
    let sim = Sim::new(&sums(), &[Part::chat(0, ended(6, 0.05, 200)), Part::chat(1, ended(7, 0.5, 150))]);
    let outcome = sim.run_until(400);
    sim.check();
    assert_eq!((outcome.late, outcome.window_misses, outcome.open_rows), (0, 0, 0), "{outcome:?}");
    assert!(outcome.idle_advances > 0 && outcome.finality_s <= FINAL_WITHIN_S, "{outcome:?}");
}

#[test]
fn a_partition_that_lags_is_waited_for_and_nothing_of_it_is_late() {
    let slow = |every_s, behind_s| {
        Part::chat(1, live(&mut Dice::new(8), Kind::Chat, NOW_S..NOW_S + FLOW_S, every_s, behind_s))
    };
    for (every_s, behind_s, within_s) in [(1.0, 80, 125), (29.0, 0, 50), (45.0, 0, 80)] {
        let outcome = run("slow", &[busy(), slow(every_s, behind_s)], None);
        assert_eq!((outcome.late, outcome.window_misses), (0, 0), "{every_s} {behind_s}");
        assert!(outcome.finality_s <= within_s, "every {every_s}, {behind_s} behind: {outcome:?}");
    }
    // Slower than the time-out and behind: what it loses is late and listed, never missing.
    let outcome = run("slow and idle", &[busy(), slow(45.0, 80)], None);
    assert!(outcome.late > 0 && outcome.finality_s <= 80, "{outcome:?}");
}

#[test]
fn a_hung_transaction_holds_nobody_longer_than_the_idle_timeout() {
    let mut part = Part::chat(1, flow(9, Kind::Chat, 0.2));
    let first = part.items.iter().position(|item| item.arrives_ms > NOW + 100_000).expect("it goes on");
    part.hung = Some((first, NOW + 100_000..NOW + 300_000));
    let outcome = run("hung", &[busy(), part], None);
    assert!(outcome.late > 300 && outcome.finality_s <= FINAL_WITHIN_S, "{outcome:?}");
}

#[test]
fn a_partition_a_day_slow_that_joins_is_late_alone() {
    let day_s = 86_400;
    let old = live(&mut Dice::new(10), Kind::Chat, NOW_S + 60..NOW_S + FLOW_S, 1.0, day_s);
    let mut part = Part::chat(1, old);
    for born_ms in [i64::MIN, NOW + 59_000] {
        part.born_ms = born_ms;
        let outcome = run("a day slow", &[busy(), viewers(), part.clone()], None);
        assert_eq!(outcome.late, part.items.len(), "all of it, and nothing else");
        assert!(outcome.finality_s <= FINAL_WITHIN_S, "{outcome:?}");
        assert!(outcome.replay_max < 10_000, "{outcome:?}");
    }
}

#[test]
fn a_flush_of_old_events_is_late_alone() {
    let mut items = live(&mut Dice::new(11), Kind::Chat, NOW_S..NOW_S + 50, 1.0, 0);
    let honest = items.len();
    items.extend((0..20_000).map(|n| Item {
        kind: Kind::Chat,
        time_ms: NOW - 3_600_000 + n * 50,
        stream: 0,
        arrives_ms: NOW + 100_000,
    }));
    let outcome = run("flush", &[busy(), Part::chat(1, items.clone())], Some(400));
    assert_eq!(outcome.late, items.len() - honest);
    assert!(outcome.finality_s <= 60, "{outcome:?}");
}

#[test]
fn a_small_cap_is_shared_so_that_nobody_starves() {
    for cap in [7, 20, 60] {
        let outcome = check_unhindered("cap", &[busy(), Part::chat(1, Vec::new()), viewers()], Some(cap));
        assert!(outcome.replay_max < 3_000, "{outcome:?}");
    }
}
