//! What the rounds came to, for people: counts, and how long it took to go on. Times are told, never judged.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::kinds::Kind;

/// Counts and times over all rounds.
#[derive(Default)]
pub(super) struct Report {
    pub(super) rounds: usize,
    /// Instances started.
    pub(super) runs: usize,
    /// Instances that found themselves overtaken, and those that waited in vain.
    pub(super) fenced: usize,
    pub(super) busy: usize,
    pub(super) batches: i64,
    pub(super) epochs: i64,
    pub(super) rows_wrong: usize,
    happened: BTreeMap<Kind, usize>,
    /// From a fault to the next batch.
    pub(super) recovered: BTreeMap<Kind, Vec<Duration>>,
    /// From the death or the stop of the holder to a new epoch, by others that waited.
    pub(super) taken_over: BTreeMap<Kind, Vec<Duration>>,
    /// From the start of a new process to its first batch, nobody else being there; to its epoch; to readiness.
    pub(super) restarted: Vec<Duration>,
    pub(super) restarted_to_epoch: Vec<Duration>,
    pub(super) restarted_to_ready: Vec<Duration>,
    /// From the epoch to readiness: the replay and what belongs to it.
    pub(super) replayed: Vec<Duration>,
}

impl Report {
    pub(super) fn count(&mut self, kind: Kind) {
        *self.happened.entry(kind).or_default() += 1;
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
