//! `kill -9` of `run chat`, nodes that go and come back, leaders that move, while a producer commits and gives up.
//!
//! TELEMETRA_KILLS_RECORDS makes it long and fills both stores, TELEMETRA_FAULTS_SEED chooses the moments (`make kills`).
//! The seed fixes what is drawn, not the moment at which the machine lets it happen.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use telemetra_services::{
    eventually,
    kafka::{Kafka, Node, Setup},
    postgres::Postgres,
};

use super::{CHAT_PARTITIONS, Input, Job, NEVER, producer::Producer};
use crate::faults::{
    instance::{Instance, Left},
    variable,
    watch::{pass, peak_rss_kb, wait},
};

/// Chat events of an input unless the environment says otherwise.
const CHAT: u64 = 30_000;
/// Batches of an input, so that a run can be killed in every part of the way.
const BATCHES: u64 = 100;
/// Transactions of an input that are committed.
const TRANSACTIONS: u64 = 300;

const ASK_EVERY: Duration = Duration::from_millis(10);

/// What is done to the run or to what it reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    /// The run is killed, after nothing that can be seen.
    KillAny,
    /// It is killed soon after its start.
    KillStart,
    /// It is killed when a reader of the store sees another batch.
    KillCommit,
    /// A node dies; the run goes on with the others; it comes back.
    NodeDies,
    /// A node dies and the run is killed meanwhile.
    NodeDiesAndKill,
    /// A node is stopped in order, and comes back.
    NodeStops,
    /// A partition gets another leader while all nodes are there.
    LeaderMoves,
}

/// How often each is done: twenty kills, five restarts of nodes, five moves.
const DEEDS: [(Deed, usize); 7] = [
    (Deed::KillAny, 6),
    (Deed::KillStart, 6),
    (Deed::KillCommit, 7),
    (Deed::NodeDies, 2),
    (Deed::NodeDiesAndKill, 1),
    (Deed::NodeStops, 2),
    (Deed::LeaderMoves, 5),
];

/// What was done, for whoever reads along.
#[derive(Default, Debug)]
struct Done {
    deeds: BTreeMap<Deed, u64>,
    kills: u64,
    /// Most memory that an instance had.
    peak_rss_kb: u64,
    /// Longest time that a node was away.
    away_max: Duration,
}

/// A run that is struck.
struct Struck<'a> {
    job: &'a Job<'a>,
    instance: Instance,
    producer: Producer,
    /// Events of the input, both kinds.
    events: u64,
    /// How many deeds there are.
    count: u64,
    rng: StdRng,
    done: Done,
}

impl Struck<'_> {
    /// The share of the input, in thousandths, at which a deed is done.
    fn share(&self, at: u64) -> u64 {
        1_000 * at / (self.count + 1)
    }

    /// Waits until so much of the input is counted as belongs before a deed.
    fn reach(&mut self, at: u64) {
        let goal = self.events * self.share(at) / 1_000;
        self.await_counted(goal);
    }

    fn await_counted(&mut self, goal: u64) {
        // A sum over the whole ledger: not all the time.
        let mut ask_at = Instant::now();
        self.wait(|job| {
            let is_due = Instant::now() >= ask_at;
            ask_at = if is_due { Instant::now() + ASK_EVERY } else { ask_at };
            is_due && job.sum("counted") >= goal
        });
    }

    /// Waits until the store says so; a run that stays does not leave.
    fn wait(&mut self, mut is_met: impl FnMut(&Job) -> bool) {
        let (job, producer) = (self.job, &mut self.producer);
        let is_there = wait(&mut self.instance, || {
            producer.check();
            is_met(job)
        });
        assert!(is_there, "it left:\n{}", self.instance.log());
    }

    fn pass(&mut self, us_max: u64) {
        let us = self.rng.random_range(0..us_max);
        assert!(pass(&mut self.instance, us), "it left:\n{}", self.instance.log());
    }

    fn wait_for_commit(&mut self) {
        const BATCH: &str = "SELECT COALESCE(MAX(batch_id), 0) FROM telemetra.batch";
        let before = self.job.number(BATCH);
        self.wait(|job| job.number(BATCH) > before);
    }

    fn strike(&mut self, at: u64, deed: Deed) {
        // As far as the deed after the next, so that there is something to read meanwhile.
        self.producer.allow(self.share(at + 2));
        if deed != Deed::KillStart {
            self.reach(at);
        }
        match deed {
            Deed::KillAny => {
                self.pass(100_000);
                self.kill();
            }
            Deed::KillStart => {
                self.pass(200_000);
                self.kill();
            }
            Deed::KillCommit => {
                self.producer.allow(self.share(at + 3));
                self.wait_for_commit();
                self.pass(2_000);
                self.kill();
            }
            Deed::NodeDies | Deed::NodeDiesAndKill | Deed::NodeStops => self.restart_node(at, deed),
            Deed::LeaderMoves => self.move_leader(),
        }
        *self.done.deeds.entry(deed).or_default() += 1;
    }

    fn kill(&mut self) {
        self.done.peak_rss_kb = self.done.peak_rss_kb.max(peak_rss_kb(self.instance.pid()));
        self.instance.kill();
        self.done.kills += 1;
        self.instance = Instance::spawn(&self.job.telemetra, &self.job.run(&[]));
    }

    /// A node that leads something goes and comes back; in between the run reads on.
    fn restart_node(&mut self, at: u64, deed: Deed) {
        let kafka = self.job.kafka;
        let partition = self.rng.random_range(0..CHAT_PARTITIONS);
        let node = eventually("a partition has a leader", || kafka.leader(&self.job.chat, partition));
        let gone_at = Instant::now();
        match deed {
            Deed::NodeStops => kafka.stop(node),
            _ => kafka.kill(node),
        }
        if deed == Deed::NodeDiesAndKill {
            self.pass(500_000);
            self.kill();
        }
        self.reach(at + 1);
        let leader = eventually("another node leads", || {
            kafka.leader(&self.job.chat, partition).filter(|&leader| leader != node)
        });
        assert_ne!(leader, node);
        kafka.start_again(node);
        self.done.away_max = self.done.away_max.max(gone_at.elapsed());
    }

    fn move_leader(&mut self) {
        let kafka = self.job.kafka;
        let partition = self.rng.random_range(0..CHAT_PARTITIONS);
        let leader = eventually("a partition has a leader", || kafka.leader(&self.job.chat, partition));
        let others: Vec<Node> = kafka.nodes().filter(|&node| node != leader).collect();
        let to = *others.choose(&mut self.rng).expect("there are three");
        kafka.move_leader(&self.job.chat, partition, to);
    }
}

/// A number of chat events that makes the test long.
fn long() -> Option<u64> {
    variable("TELEMETRA_KILLS_RECORDS")
}

#[expect(clippy::print_stdout, reason = "the report is for whoever runs it with --nocapture")]
fn check(kafka: &Kafka, input: &Input, server: Option<&'static Postgres>) {
    let name = if server.is_some() { "PostgreSQL" } else { "SQLite" };
    let drawn = || if long().is_some() { rand::random() } else { 5 };
    let seed = variable("TELEMETRA_FAULTS_SEED").unwrap_or_else(drawn);
    println!("{name}, seed {seed}: {} events", input.events);
    let expected = input.rows(server);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut deeds: Vec<Deed> =
        DEEDS.into_iter().flat_map(|(deed, times)| std::iter::repeat_n(deed, times)).collect();
    deeds.shuffle(&mut rng);

    let begun = Instant::now();
    let chat = long().unwrap_or(CHAT);
    let job = Job::new(kafka, server, input.events.div_ceil(BATCHES));
    let mut struck = Struck {
        instance: Instance::spawn(&job.telemetra, &job.run(&[])),
        producer: Producer::start(input, &job, chat / TRANSACTIONS),
        job: &job,
        events: input.events,
        count: deeds.len() as u64,
        rng,
        done: Done::default(),
    };
    for (at, deed) in (0..).zip(deeds) {
        struck.strike(at, deed);
    }
    struck.producer.allow(1_000);
    struck.await_counted(input.events);
    let Struck { mut instance, producer, mut done, .. } = struck;
    println!("{name}: {}", producer.finish().lines().last().unwrap_or_default());
    instance.signal(libc::SIGTERM);
    instance.expect_left(Left::Done);
    let mut last = Instance::spawn(&job.telemetra, &job.run(&["--once", "--drain"]));
    let pid = last.pid();
    wait(&mut last, || {
        done.peak_rss_kb = done.peak_rss_kb.max(peak_rss_kb(pid));
        false
    });
    last.expect_left(Left::Done);
    println!("{name}: {:.1?}, {done:?}", begun.elapsed());
    assert!(done.kills >= 20, "{done:?}");
    let sums = ["counted", "late", "window_misses", "dead"].map(|column| job.sum(column));
    assert_eq!(sums, [input.events, 0, 0, 0], "{name}, seed {seed}: counted, late, missed, refused");
    job.audit();
    let found = job.rows();
    let wrong =
        found.iter().collect::<BTreeSet<_>>().symmetric_difference(&expected.iter().collect()).count();
    println!("{name}: counted {}, rows {}, wrong rows {wrong}", sums[0], found.len());
    assert!(
        found.iter().all(|row| row[0] != NEVER),
        "{name}, seed {seed}: an event that was given up is counted"
    );
    let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(
        wrong == 0 && found.len() == expected.len(),
        "{name}, seed {seed}: {wrong} wrong rows, {first:?}"
    );
}

#[test]
fn events_in_transactions_are_counted_once_through_kills_restarts_of_nodes_and_moves_of_leaders() {
    let input = Input::new(long().unwrap_or(CHAT));
    let kafka = Kafka::start(Setup { nodes: 3, ..Setup::default() });
    check(&kafka, &input, None);
    if long().is_some() {
        check(&kafka, &input, Some(Postgres::shared()));
    }
}
