//! Faults by the dozen against the real binary and a real PostgreSQL: the rows equal those of an undisturbed run.
//!
//! ```text
//! input ──► undisturbed run ─────────────────────────────► expected rows
//!    └────► round: 1 to 4 instances, faults by seed ──► the same rows, an audit that balances
//! ```
//! | file | owns |
//! |---|---|
//! | `world` | input, server, expected rows |
//! | `kinds`, `strike` | what can go wrong, and how it is brought about |
//! | `round` | instances on one job until it is done |
//! | `instance`, `ledger` | one process; the job's row as a reader sees it |
//! | `report` | counts and times |
//! | `shop` | commerce: files instead of rounds |
//! | `topics` | chat from Kafka: transactions, nodes and leaders instead of rounds |
//! | `asking`, `watch` | a store asked, and an instance waited for, in `shop` and `topics` |
//!
//! TELEMETRA_FAULTS_MINUTES makes it long, TELEMETRA_FAULTS_SEED chooses the faults (`make faults`). The seed fixes
//! what is drawn, not the moment at which the machine lets it happen.

mod alone;
mod asking;
mod instance;
mod kinds;
mod ledger;
mod report;
mod round;
mod shop;
mod strike;
mod topics;
mod watch;
mod world;

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use telemetra_services::postgres::Setup;

use self::{kinds::Kind, report::Report, round::Round, world::World};

/// Longest time in which an instance must be ready again after a `kill -9`, in long runs; measured are fractions of a
/// second, and what this is to find is a wait for a lease or a time limit.
const RESTART_MAX: Duration = Duration::from_secs(20);
/// Rounds after which every kind must have happened.
const ROUNDS_MAX: usize = 30;

/// A number that an environment variable holds.
fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Draws faults until each of `kinds` has happened and `minutes` are over.
struct Director<'a> {
    world: &'a World,
    kinds: &'a [Kind],
    until: Option<Instant>,
    rng: StdRng,
    report: Report,
    /// What is still to happen before anything happens again.
    bag: Vec<Kind>,
}

impl Director<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.bag = self.kinds.to_vec();
        self.bag.shuffle(&mut self.rng);
        for number in 1.. {
            if self.bag.is_empty() && self.until.is_none_or(|until| Instant::now() >= until) {
                return Ok(());
            }
            if self.bag.is_empty() {
                self.bag = self.kinds.to_vec();
                self.bag.shuffle(&mut self.rng);
            }
            if self.until.is_none() && number > ROUNDS_MAX {
                return Err(format!("{:?} did not happen in {ROUNDS_MAX} rounds", self.bag));
            }
            self.round(number)?;
        }
        unreachable!("there is always another round")
    }

    fn round(&mut self, number: usize) -> Result<(), String> {
        let is_long = self.until.is_some();
        let instances = if is_long { self.rng.random_range(1..=4) } else { [2, 1, 3, 4][(number - 1) % 4] };
        let drawn = self.bag.split_off(self.bag.len().saturating_sub(4));
        let is_proxied = drawn.iter().any(|kind| kind.needs_proxy());
        let seed = self.rng.random();
        let mut round = Round::start(self.world, instances, is_proxied, seed);
        for (at, kind) in drawn.iter().enumerate().rev() {
            let happened = round.strike(*kind, is_long).inspect_err(|_| round.tell(&mut self.report))?;
            if !happened {
                // The job was done before: the rest is for another round.
                self.bag.extend(&drawn[..=at]);
                break;
            }
        }
        round.finish(&mut self.report)
    }
}

/// Runs rounds with `kinds`, prints the report and fails if anything was wrong.
#[expect(clippy::print_stdout, reason = "the report is for whoever runs it with --nocapture")]
fn direct(kinds: &[Kind], minutes: Option<f64>, seed: u64) {
    let world = World::new(Setup { fsync: minutes.is_some(), ..Setup::default() });
    println!("seed {seed}, minutes {}", minutes.unwrap_or_default());
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
    let (rng, report) = (StdRng::seed_from_u64(seed), Report::default());
    let mut director = Director { world: &world, kinds, until, rng, report, bag: Vec::new() };
    let ran = director.run();
    println!("{}", director.report);
    ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    if let Some(restart) = director.report.restart_max().filter(|_| minutes.is_some()) {
        println!("verdict: ready again {restart:.3?} after a kill -9 at most, {RESTART_MAX:?} allowed");
        assert!(restart <= RESTART_MAX, "seed {seed}: a restart took {restart:?} to readiness");
    }
    for kind in kinds {
        assert!(director.report.happened(*kind) > 0, "{kind:?} never happened");
    }
}

#[test]
fn rounds_with_every_kind_of_fault_end_with_the_rows_of_an_undisturbed_run() {
    let minutes = variable("TELEMETRA_FAULTS_MINUTES");
    let drawn = || if minutes.is_some() { rand::random() } else { 4 };
    let seed = variable("TELEMETRA_FAULTS_SEED").unwrap_or_else(drawn);
    // The one that waits for a lease is in a test of its own while the others are short.
    let is_drawn = |kind: &Kind| minutes.is_some() || *kind != Kind::Freeze;
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(is_drawn).collect();
    direct(&kinds, minutes, seed);
}

#[test]
fn a_frozen_holder_is_taken_over_from_and_writes_nothing_any_more() {
    direct(&[Kind::Freeze], None, 1);
}
