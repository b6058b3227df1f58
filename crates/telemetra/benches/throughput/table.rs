//! The table of stages: one line each, over all rounds of a stage.

use crate::cost::Outcome;

/// Characters of the longest name.
const NAME: usize = 38;

/// Says on standard error what a run of a stage came to: a table may take its time, and never come.
pub(crate) fn tell_run(stage: &str, outcome: &Outcome) {
    let Outcome { wall_s, cpu_s, peak_kb, .. } = outcome;
    eprintln!("  {stage}: {wall_s:.2} s, CPU {cpu_s:.2} s, {:.1} MB", *peak_kb as f64 / 1024.0);
}

/// Likewise of what this process does not do itself.
pub(crate) fn tell_wall(stage: &str, wall_s: f64) {
    eprintln!("  {}: {wall_s:.2} s", stage.trim_start());
}

/// Prints the head of a table of `what`: events, rows.
pub(crate) fn print_head(what: &str) {
    let (rate, cost) = (format!("{what}s/CPU-s"), format!("ns/{what}"));
    println!("{:<NAME$} {rate:>14} {cost:>9} {:>8} {:>8}", "stage", "wall s", "peak MB");
}

/// Prints the outcome in the middle by CPU time, with the highest peak; nothing if there is none.
pub(crate) fn print_stage(stage: &str, outcomes: &[Outcome]) {
    let mut by_cost: Vec<&Outcome> = outcomes.iter().collect();
    by_cost.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
    let Some(outcome) = by_cost.get(by_cost.len() / 2) else { return };
    let peak_kb = outcomes.iter().map(|outcome| outcome.peak_kb).max().unwrap_or(0);
    println!(
        "{stage:<NAME$} {:>14.0} {:>9.0} {:>8.2} {:>8.1}",
        outcome.events as f64 / outcome.cpu_s,
        outcome.cpu_s * 1e9 / outcome.events as f64,
        outcome.wall_s,
        peak_kb as f64 / 1024.0
    );
}

/// Prints the time on the clock of what this process does not do itself.
pub(crate) fn print_wall(stage: &str, walls_s: impl IntoIterator<Item = f64>) {
    if let Some(wall_s) = median(walls_s) {
        println!("{stage:<NAME$} {:>14} {:>9} {wall_s:>8.2} {:>8}", "", "", "");
    }
}

/// Prints how many times the second of each pair goes into the first.
pub(crate) fn print_ratio(name: &str, pairs: impl IntoIterator<Item = (f64, f64)>, goal: &str) {
    if let Some(ratio) = median(pairs.into_iter().map(|(of, by)| of / by)) {
        println!("{name:<NAME$} {:>14} {:>9} {ratio:>8.2} (goal: {goal})", "", "");
    }
}

/// The one in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
