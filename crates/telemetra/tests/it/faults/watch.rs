//! Waits beside a running instance, and what it takes of the machine.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::instance::Instance;

/// Longest wait for anything, also with millions of records.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Waits until `is_met`; `false` if the instance left before.
pub(super) fn wait(instance: &mut Instance, mut is_met: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + WAIT_MAX;
    while !is_met() {
        if instance.left().is_some() {
            return false;
        }
        assert!(Instant::now() < until, "in vain for {WAIT_MAX:?}:\n{}", instance.log());
        std::thread::park_timeout(LOOK_EVERY);
    }
    true
}

/// Lets so much time pass; `false` if the instance left meanwhile.
pub(super) fn pass(instance: &mut Instance, us: u64) -> bool {
    let until = Instant::now() + Duration::from_micros(us);
    wait(instance, || Instant::now() >= until) && instance.left().is_none()
}

/// Most memory that a process had at once; 0 where the system does not tell.
pub(super) fn peak_rss_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
