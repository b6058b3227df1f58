//! kcat over a whole topic, writing nothing: what librdkafka needs to get at the records.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::fill::Broker;
use crate::{
    cost::{Outcome, cpu_of_ended_s, peak_kb},
    table::tell_run,
};

/// Reads `topic` until all its `events` have come.
pub(super) fn read(stage: &str, broker: &Broker, topic: &str, events: u64) -> anyhow::Result<Outcome> {
    let mut command =
        broker.kafka.kcat_command(&["-C", "-t", topic, "-o", "beginning", "-c", &events.to_string(), "-q"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (cpu_s, begun) = (cpu_of_ended_s()?, Instant::now());
    let mut child = command.spawn()?;
    let (mut peak, pid) = (0, child.id().to_string());
    let status = loop {
        // Its peak is told as long as it runs; the last answer stands.
        peak = peak_kb(&pid).unwrap_or(peak);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "{stage}: {status}");
    let (cpu_s, wall_s) = (cpu_of_ended_s()? - cpu_s, begun.elapsed().as_secs_f64());
    let outcome = Outcome { events, cpu_s, wall_s, peak_kb: peak, ..Outcome::default() };
    tell_run(stage, &outcome);
    Ok(outcome)
}
