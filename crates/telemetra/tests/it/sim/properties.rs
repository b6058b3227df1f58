//! Any split and any crash give the same rows, while disorder stays within the delay and nothing idles.

use proptest::prelude::*;
use telemetra_core::logic::Logic;
use telemetra_engine::sim::{dice::Dice, faults::FaultPlan, source::ReadFaults};

use super::{
    chat::chat,
    drive::{Drive, Sim},
    input::{Hist, Kind, NOW_S, Part},
    product::{Product, sums},
};

/// One partition of history: kind, records a second, start, refused and empty of a thousand.
type Shape = (bool, f64, i64, u64, u64);

fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), 0.05..3.0f64, prop::sample::select(vec![0, 0, 60, 300]), 0..100u64, 0..100u64)
}

fn parts(shapes: &[Shape], seed: u64) -> Vec<Part> {
    let mut dice = Dice::new(seed);
    let part = |(number, &(is_chat, rate, later_s, refused, empty)): (usize, &Shape)| {
        let kind = if is_chat { Kind::Chat } else { Kind::Viewer };
        let from_s = NOW_S - 7_200 + later_s;
        let items = Hist { refused, empty, ..Hist::of(kind, from_s, from_s + 300, rate) }.items(&mut dice);
        let number = u32::try_from(number).expect("a handful of partitions");
        if is_chat { Part::chat(number, items) } else { Part::viewer(number, items) }
    };
    shapes.iter().enumerate().map(part).collect()
}

/// Runs, then writes every row.
fn rows<L: Logic>(
    product: &Product<L>,
    parts: &[Part],
    drive: &Drive,
    with_faults: bool,
    rows_max: usize,
) -> Result<String, TestCaseError> {
    let mut sim = Sim::new(product, parts);
    // Crashes and retries take time; nothing may idle.
    sim.rules.idle_timeout_ms = i64::MAX / 4;
    sim.rules.provisional_rows_max = rows_max;
    if with_faults {
        sim.pieces = Some(drive.seed);
        sim.sink.set_faults(FaultPlan::swarm(drive.seed));
        sim.source.set_faults(ReadFaults { retry: 40, changed: 40, crash: 80 }, drive.seed);
    }
    let outcome = drive.run(&sim).map_err(|error| TestCaseError::fail(error.to_string()))?;
    sim.sink.set_faults(FaultPlan::none());
    sim.source.set_faults(ReadFaults::default(), 0);
    let mut job = sim.job(outcome.end_ms).map_err(|error| TestCaseError::fail(error.to_string()))?;
    job.flush(outcome.end_ms).map_err(|error| TestCaseError::fail(error.to_string()))?;
    sim.check();
    prop_assert_eq!((outcome.late, outcome.window_misses, outcome.unread), (0, 0, 0));
    Ok(sim.text())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_split_and_any_crash_give_the_same_rows(
        shapes in prop::collection::vec(shape(), 1..5),
        seed in any::<u64>(),
        caps in prop::collection::vec(prop::sample::select(vec![Some(7), Some(120), Some(997), None]), 1..3),
        rows_max in prop::sample::select(vec![1usize, 5, 5_000]),
        crashes in prop::sample::select(vec![0u64, 20, 200]),
        settles in any::<bool>(),
    ) {
        let parts = parts(&shapes, seed);
        let drive = Drive { seed, crashes, caps, settles, ..Drive::default() };
        let undisturbed = rows(&sums(), &parts, &Drive::default(), false, 5_000)?;
        prop_assert_eq!(undisturbed, rows(&sums(), &parts, &drive, true, rows_max)?);
        let undisturbed = rows(&chat(), &parts, &Drive::default(), false, 5_000)?;
        prop_assert_eq!(undisturbed, rows(&chat(), &parts, &drive, true, rows_max)?);
    }
}
