//! `kill -9` of `run commerce` at random moments and at those that matter: nothing is lost, doubled, torn or left over.
//!
//! TELEMETRA_KILLS_RECORDS makes it long, TELEMETRA_FAULTS_SEED chooses the moments (`make kills`). The seed fixes what
//! is drawn, not the microsecond at which the machine lets it happen.

use std::{collections::BTreeMap, fs, time::Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use telemetra_services::postgres::{Postgres, Setup};

use super::{Input, Shop, variable};
use crate::faults::{
    instance::{Instance, Left},
    watch::{pass, peak_rss_kb, wait},
};

/// Kills of a run.
const KILLS: u64 = 20;
/// Records of an input unless the environment says otherwise.
const RECORDS: u64 = 100_000;
/// Batches of an input, so that a run can be killed in every part of the way.
const BATCHES: u64 = 100;

/// What a kill follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Moment {
    /// Nothing that can be seen.
    Any,
    /// The start of the process.
    Start,
    /// A reader of the store sees another batch.
    Commit,
    /// A file of `data/error` is being written.
    Export,
    /// A file was moved, the next ones perhaps not.
    Move,
}

const MOMENTS: [Moment; 5] = [Moment::Any, Moment::Start, Moment::Commit, Moment::Export, Moment::Move];

/// How a run was killed, for whoever reads along.
#[derive(Default, Debug)]
struct Killed {
    moments: BTreeMap<Moment, u64>,
    /// Kills that left an export half written.
    exports_cut: u64,
    /// Most memory that an instance had.
    peak_rss_kb: u64,
}

impl Shop<'_> {
    /// Runs to the end through [`KILLS`] kills, spread over the input.
    fn run_killed(&self, rng: &mut StdRng, batch: u64) -> Killed {
        let mut killed = Killed::default();
        // Each moment once in every five kills, so that half of them have seen all.
        let mut five = || {
            let mut five = MOMENTS;
            five.shuffle(rng);
            five
        };
        let moments: Vec<Moment> = (0..KILLS / MOMENTS.len() as u64).flat_map(|_| five()).collect();
        for (at, moment) in moments.into_iter().enumerate() {
            let goal = self.input.sums.records * at as u64 / (KILLS + 1);
            let mut instance = Instance::spawn(&self.telemetra, &self.once(batch));
            let has_come = self.wait_for(moment, goal, &mut instance, rng);
            killed.peak_rss_kb = killed.peak_rss_kb.max(peak_rss_kb(instance.pid()));
            if !has_come {
                // It came to its end before.
                instance.expect_left(Left::Done);
                break;
            }
            instance.kill();
            *killed.moments.entry(moment).or_default() += 1;
            killed.exports_cut += u64::from(self.is_export_cut());
        }
        let mut last = Instance::spawn(&self.telemetra, &self.once(batch));
        let pid = last.pid();
        wait(&mut last, || {
            killed.peak_rss_kb = killed.peak_rss_kb.max(peak_rss_kb(pid));
            false
        });
        last.expect_left(Left::Done);
        killed
    }

    /// Waits until `goal` records are committed and `moment` has come; `false` if the run was at its end before.
    fn wait_for(&self, moment: Moment, goal: u64, instance: &mut Instance, rng: &mut StdRng) -> bool {
        if moment == Moment::Start {
            return pass(instance, rng.random_range(0..200_000));
        }
        if !wait(instance, || self.next_offset() >= goal) {
            return false;
        }
        match moment {
            Moment::Any | Moment::Start => pass(instance, rng.random_range(0..100_000)),
            Moment::Commit => {
                let before = self.next_offset();
                wait(instance, || self.next_offset() > before) && pass(instance, rng.random_range(0..2_000))
            }
            Moment::Export => wait(instance, || self.is_export_cut()),
            Moment::Move => {
                let moved = || self.entries("data/processed").len();
                let before = moved();
                wait(instance, || moved() > before) && pass(instance, rng.random_range(0..1_000))
            }
        }
    }

    /// Whether an export stands under a temporary name.
    fn is_export_cut(&self) -> bool {
        self.entries("data/error").iter().any(|name| name.ends_with(".tmp"))
    }

    fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.telemetra.path().join(folder));
        let names = entries.into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// A number of records that makes the test long.
fn long() -> Option<u64> {
    variable("TELEMETRA_KILLS_RECORDS")
}

#[expect(clippy::print_stdout, reason = "the report is for whoever runs it with --nocapture")]
fn check(server: Option<&Postgres>) {
    let name = if server.is_some() { "PostgreSQL" } else { "SQLite" };
    let drawn = || if long().is_some() { rand::random() } else { 5 };
    let seed = variable("TELEMETRA_FAULTS_SEED").unwrap_or_else(drawn);
    let input = Input::new(long().unwrap_or(RECORDS));
    println!("{name}, seed {seed}: {:?}", input.sums);
    let undisturbed = Shop::new(&input, None);
    let report = undisturbed.run_undisturbed();
    let expected = undisturbed.check();
    println!("{name}: undisturbed on SQLite {} s, {} bytes", report["seconds"], report["peak_rss_bytes"]);
    drop(undisturbed);

    let shop = Shop::new(&input, server.map(Postgres::create_database));
    let begun = Instant::now();
    let killed = shop.run_killed(&mut StdRng::seed_from_u64(seed), input.sums.records / BATCHES);
    println!("{name}: {:.1?}, {killed:?}", begun.elapsed());
    assert_eq!(shop.check(), expected, "{name}, seed {seed}");
    println!("{name}: {expected:?}");
    // Too few, and this has shown nothing. A short run may be over before its last kills.
    let kills: u64 = killed.moments.values().sum();
    let least = if long().is_some() { KILLS } else { KILLS / 2 };
    let is_every_moment_seen = killed.moments.len() == MOMENTS.len();
    assert!(kills >= least && is_every_moment_seen, "{name}, seed {seed}: {killed:?}");
}

#[test]
fn shop_events_killed_twenty_times_on_sqlite_are_all_there_once() {
    check(None);
}

#[test]
fn shop_events_killed_twenty_times_on_postgresql_are_all_there_once() {
    match long() {
        Some(_) => check(Some(&Postgres::start(Setup { fsync: true, ..Setup::default() }))),
        None => check(Some(Postgres::shared())),
    }
}
