//! Prints how a job that was fed while it ran settled down: the second half of its time.

use anyhow::Context;

use crate::{
    cost::Outcome,
    live,
    watch::{Delay, Seen},
};

/// Prints what a stage told of itself, and what a reader of its store saw from `begun_ms` to `ended_ms`.
pub(crate) fn print(outcome: &Outcome, seen: &Seen, begun_ms: i64, ended_ms: i64) -> anyhow::Result<()> {
    let rhythm = outcome.rhythm.as_ref().context("a live stage tells its rhythm")?;
    row("events a second", &format!("{:.0}", rhythm.events_per_s));
    row("batch interval, ms", &format!("{:.0}", rhythm.interval_ms));
    let batch_ms = rhythm.cpu_share * rhythm.interval_ms;
    row("CPU", &format!("{batch_ms:.1} ms a batch, {:.1} % of a core", rhythm.cpu_share * 100.0));
    row(
        "rows written a second",
        &format!("{:.0} provisional, {:.0} final", rhythm.provisional_rows_per_s, rhythm.final_rows_per_s),
    );
    row("open windows at the end", &rhythm.open_windows.to_string());
    row("peak memory, MB", &format!("{:.1}", outcome.peak_kb as f64 / 1024.0));
    let half_ms = begun_ms.midpoint(ended_ms);
    let quarter_ms = (ended_ms - begun_ms) / 4;
    let behind = |from_ms: i64, to_ms: i64| {
        let behind_ms = seen.behind_ms(from_ms, to_ms, live::DELAY_MS).context("no batch was seen")?;
        anyhow::Ok(format!("{:.1}", behind_ms as f64 / 1e3))
    };
    row("store behind the clock at most, 2nd quarter, s", &behind(half_ms - quarter_ms, half_ms)?);
    row("the same, 4th quarter", &behind(ended_ms - quarter_ms, ended_ms)?);
    let shown = |delay: Option<Delay>| {
        delay.map_or("none".into(), |delay| {
            let (p50_s, p99_s) = (delay.p50_ms as f64 / 1e3, delay.p99_ms as f64 / 1e3);
            format!("p50 {p50_s:.2} s, p99 {p99_s:.2} s ({} rows, {} closings)", delay.rows, delay.closings)
        })
    };
    row("window's end to its final row", &shown(seen.final_rows(half_ms)));
    row("window's end to its moment", &shown(seen.moments(half_ms)));
    Ok(())
}

/// Prints one figure.
pub(crate) fn row(name: &str, value: &str) {
    println!("  {name:<46} {value}");
}
