//! What the rounds came to, for people: counts, and how long it took to go on. Times are told; one is judged,
//! generously and in long runs only: that a restart is ready again.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::{Duration, Instant},
};

use super::{instance::Left, kinds::Kind, ledger::Seen};

/// Counts and times over all rounds.
#[derive(Default)]
pub(super) struct Report {
    pub(super) rounds: usize,
    /// Instances started.
    pub(super) runs: usize,
    /// Instances that found themselves overtaken, and those that waited in vain.
    fenced: usize,
    busy: usize,
    batches: i64,
    epochs: i64,
    pub(super) rows_wrong: usize,
    happened: BTreeMap<Kind, usize>,
    /// From a fault to the next batch.
    recovered: BTreeMap<Kind, Vec<Duration>>,
    /// From the death or the stop of the holder to a new epoch, by others that waited.
    taken_over: BTreeMap<Kind, Vec<Duration>>,
    /// From the start of a new process to its first batch, nobody else being there; to its epoch; to readiness.
    restarted: Vec<Duration>,
    restarted_to_epoch: Vec<Duration>,
    restarted_to_ready: Vec<Duration>,
    /// From the epoch to readiness: the replay and what belongs to it.
    replayed: Vec<Duration>,
}

/// A fault that happened.
pub(super) struct Suffered {
    pub(super) kind: Kind,
    pub(super) at: Instant,
    pub(super) epoch: i64,
    pub(super) batch: i64,
    pub(super) hits_holder: bool,
    pub(super) others_wait: bool,
}

/// An instance that has left.
pub(super) struct Ran {
    pub(super) pid: u32,
    pub(super) spawned_at: Instant,
    pub(super) ready_at: Option<Instant>,
    /// Started after a `kill -9`, with nobody beside it.
    pub(super) is_restart: bool,
    pub(super) left: Left,
}

impl Report {
    fn count(&mut self, kind: Kind) {
        *self.happened.entry(kind).or_default() += 1;
    }

    /// Adds counts and times of one round, as its watch has seen it.
    pub(super) fn measure(&mut self, seen: &[Seen], faults: &[Suffered], ran: &[Ran]) {
        self.fenced += ran.iter().filter(|ran| ran.left == Left::Fenced).count();
        self.busy += ran.iter().filter(|ran| ran.left == Left::Busy).count();
        let last = seen.last().map_or((0, 0), |last| (last.last_batch, last.epoch));
        (self.batches, self.epochs) = (self.batches + last.0, self.epochs + last.1);
        for fault in faults {
            self.count(fault.kind);
            if fault.hits_holder {
                self.measure_recovery(seen, fault);
            }
        }
        ran.iter().filter(|ran| ran.is_restart).for_each(|ran| self.measure_restart(seen, faults, ran));
    }

    fn measure_recovery(&mut self, seen: &[Seen], fault: &Suffered) {
        let after = || seen.iter().filter(|seen| seen.at > fault.at);
        let ends_epoch = fault.kind.ends_epoch();
        let is_on = |epoch: i64| !ends_epoch || epoch > fault.epoch;
        if let Some(next) = after().find(|seen| seen.last_batch > fault.batch && is_on(seen.epoch)) {
            self.recovered.entry(fault.kind).or_default().push(next.at - fault.at);
        }
        let taken_over = after().find(|seen| seen.epoch > fault.epoch);
        if let Some(next) = taken_over.filter(|_| ends_epoch && fault.others_wait) {
            self.taken_over.entry(fault.kind).or_default().push(next.at - fault.at);
        }
    }

    fn measure_restart(&mut self, seen: &[Seen], faults: &[Suffered], ran: &Ran) {
        let Some(first) = seen.iter().position(|seen| seen.pid == ran.pid) else { return };
        let before = first.checked_sub(1).map_or(0, |before| seen[before].last_batch);
        let batch = seen[first..].iter().find(|seen| seen.pid == ran.pid && seen.last_batch > before);
        let (Some(batch), Some(ready_at)) = (batch, ran.ready_at) else { return };
        // Another fault in between would be measured with it.
        if faults.iter().any(|fault| (ran.spawned_at..batch.at).contains(&fault.at)) {
            return;
        }
        self.restarted.push(batch.at - ran.spawned_at);
        self.restarted_to_epoch.push(seen[first].at - ran.spawned_at);
        self.restarted_to_ready.push(ready_at - ran.spawned_at);
        self.replayed.push(ready_at.saturating_duration_since(seen[first].at));
    }

    /// Longest time from the start of a process, after a `kill -9`, to readiness.
    pub(super) fn restart_max(&self) -> Option<Duration> {
        self.restarted_to_ready.iter().max().copied()
    }

    /// How often it has happened.
    pub(super) fn happened(&self, kind: Kind) -> usize {
        self.happened.get(&kind).copied().unwrap_or_default()
    }

    fn sum(&self, which: fn(Kind) -> bool) -> usize {
        self.happened.iter().filter(|(kind, _)| which(**kind)).map(|(_, count)| count).sum()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let recoveries: Vec<Duration> = self.recovered.values().flatten().copied().collect();
        writeln!(
            f,
            "rounds {}, runs {}, batches {}, epochs {}, fenced {}, waited in vain {}",
            self.rounds, self.runs, self.batches, self.epochs, self.fenced, self.busy
        )?;
        writeln!(
            f,
            "faults {}, kill -9 {}, server crashes {}, recoveries {}, wrong rows {}",
            self.sum(|_| true),
            self.sum(Kind::kills),
            self.happened(Kind::ServerCrash),
            recoveries.len(),
            self.rows_wrong
        )?;
        writeln!(f, "{:36} {:>6}  recovery", "fault", "times")?;
        for (kind, times) in &self.happened {
            let recovered = self.recovered.get(kind).map_or(&[][..], Vec::as_slice);
            writeln!(f, "  {:34} {times:>6}  {}", format!("{kind:?}"), Spread(recovered))?;
        }
        writeln!(f, "  {:34} {:>6}  {}", "all", "", Spread(&recoveries))?;
        for (kind, times) in &self.taken_over {
            writeln!(f, "taken over by another after {:?}: {}", kind, Spread(times))?;
        }
        writeln!(f, "restart after kill -9, to its epoch:       {}", Spread(&self.restarted_to_epoch))?;
        writeln!(f, "restart after kill -9, epoch to readiness: {}", Spread(&self.replayed))?;
        writeln!(f, "restart after kill -9, to readiness:       {}", Spread(&self.restarted_to_ready))?;
        writeln!(f, "restart after kill -9, to its first batch: {}", Spread(&self.restarted))
    }
}

/// Percentiles of times.
struct Spread<'a>(&'a [Duration]);

impl Display for Spread<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let mut times = self.0.to_vec();
        times.sort_unstable();
        let Some(most) = times.last() else { return write!(f, "none measured") };
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1].as_secs_f64();
        write!(
            f,
            "p50 {:.3} s, p99 {:.3} s, max {:.3} s (n={})",
            at(50),
            at(99),
            most.as_secs_f64(),
            times.len()
        )
    }
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
    assert_eq!(Spread(&times).to_string(), "p50 0.100 s, p99 0.198 s, max 0.200 s (n=200)");
    assert_eq!(Spread(&times[199..]).to_string(), "p50 0.001 s, p99 0.001 s, max 0.001 s (n=1)");
    assert_eq!(Spread(&[]).to_string(), "none measured");
}
