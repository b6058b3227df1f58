//! What a stage costs this process: CPU time of all its threads, time on the clock, peak memory.
//!
//! CPU time comes in hundredths of a second (proc_pid_stat(5)): stages take a second or so.

use std::{fs, time::Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What a stage came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Events that went through it.
    pub(crate) events: u64,
    /// User and system time, seconds.
    pub(crate) cpu_s: f64,
    /// Time on the clock, seconds.
    pub(crate) wall_s: f64,
    /// Most memory the process ever held, kB.
    pub(crate) peak_kb: u64,
    /// Of commerce on its way to a store: those that became rows.
    pub(crate) accepted: u64,
    /// Of the live stage alone.
    pub(crate) rhythm: Option<Rhythm>,
}

/// How a job that is fed while it runs settles down; taken over the second half of its time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rhythm {
    /// Events read.
    pub(crate) events_per_s: f64,
    /// From one batch to the next, milliseconds, on average.
    pub(crate) interval_ms: f64,
    /// CPU time over time on the clock.
    pub(crate) cpu_share: f64,
    /// Rows of open windows that were rewritten.
    pub(crate) provisional_rows_per_s: f64,
    /// Rows that became final.
    pub(crate) final_rows_per_s: f64,
    /// Windows open at the end.
    pub(crate) open_windows: usize,
}

/// Sums up what some stretches of work cost.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    cpu_s: f64,
    wall_s: f64,
}

impl Meter {
    /// Does some work and adds its cost.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (cpu_s, begun) = (cpu_s()?, Instant::now());
        let result = work()?;
        self.cpu_s += self::cpu_s()? - cpu_s;
        self.wall_s += begun.elapsed().as_secs_f64();
        Ok(result)
    }

    /// The costs, and the peak of the process.
    pub(crate) fn outcome(&self, events: u64) -> anyhow::Result<Outcome> {
        let peak_kb = peak_kb("self")?;
        Ok(Outcome { events, cpu_s: self.cpu_s, wall_s: self.wall_s, peak_kb, ..Outcome::default() })
    }
}

/// CPU time of this process so far, ended threads included, seconds.
pub(crate) fn cpu_s() -> anyhow::Result<f64> {
    // utime and stime.
    ticks_s(14)
}

/// CPU time of the children of this process that have ended and were waited for, seconds.
pub(crate) fn cpu_of_ended_s() -> anyhow::Result<f64> {
    // cutime and cstime.
    ticks_s(16)
}

/// The sum of a field, counted from 1, and the next one.
fn ticks_s(field: usize) -> anyhow::Result<f64> {
    /// Ticks a second in what Linux tells programs, on every machine.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").context("CPU time is read from /proc: Linux only")?;
    // The second field, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(')').context("/proc/self/stat has a name in brackets")?;
    let ticks = fields.split_whitespace().skip(field - 3).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? as f64 / TICKS)
}

/// The most memory that a process, by its number or `self`, ever held, kB.
pub(crate) fn peak_kb(process: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}
