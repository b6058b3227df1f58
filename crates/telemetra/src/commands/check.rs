//! `check`: what a run would find, told before it starts.
//!
//! Settings are valid once this runs; the wiring looks at store, folders and a sample of each input, and leaves all of
//! it as it was.

use serde::Serialize;

use super::run::Pipeline;
use crate::{
    exit::Exit,
    out::{self, grouped, plain, table, whole},
    settings::Settings,
    terminal::instant,
    wiring,
};

/// `check`.
///
/// # Errors
/// When it cannot look.
pub fn check(settings: &Settings, pipeline: Pipeline, sample: u64, json: bool) -> anyhow::Result<Exit> {
    let report = wiring::check(settings, pipeline, sample)?;
    out::line(&if json { serde_json::to_string_pretty(&report)? } else { report.text() });
    Ok(if report.is_good() { Exit::Done } else { Exit::Error })
}

/// What `check` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// What was looked at, with what was found: settings, store, tables, folders.
    pub findings: Vec<Finding>,
    /// What the sample of each input would become.
    pub inputs: Vec<SampleReport>,
}

/// One thing looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub found: String,
    /// Whether a run could start and do with it what it is asked to.
    pub is_good: bool,
}

/// What would become of the first records of an input.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SampleReport {
    /// The input.
    pub input: String,
    /// Records looked at.
    pub records: u64,
    /// Of them accepted.
    pub accepted: u64,
    /// Refused, by code, with the first place of each.
    pub refused: Vec<RefusedSample>,
    /// Event times of the accepted, milliseconds.
    pub span_ms: Option<(i64, i64)>,
}

/// Refusals under one code.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RefusedSample {
    /// The code.
    pub code: String,
    /// How many.
    pub count: u64,
    /// The first: `file:line`.
    pub first: String,
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

impl CheckReport {
    /// Whether a run could work as asked and would accept something of every input that has records.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.is_good)
            && self.inputs.iter().all(|input| input.records == 0 || input.accepted > 0)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut rows = Vec::new();
        for finding in &self.findings {
            let mark = if finding.is_good { "ok" } else { "FAILED" };
            rows.push(row(&[mark, &whole(&finding.what), &whole(&finding.found)]));
        }
        let mut text = table(&rows);
        for input in &self.inputs {
            text.push_str(&format!(
                "\n{}: {} records looked at, {} accepted, {} refused\n",
                plain(&input.input),
                grouped(input.records),
                grouped(input.accepted),
                grouped(input.records - input.accepted)
            ));
            if let Some((from, to)) = input.span_ms {
                text.push_str(&format!("  event times {} to {}\n", instant(from), instant(to)));
            }
            for refused in &input.refused {
                text.push_str(&format!(
                    "  {} × {}, first at {}\n",
                    grouped(refused.count),
                    plain(&refused.code),
                    plain(&refused.first)
                ));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_which_nothing_is_accepted_is_no_good() {
        let mut report = CheckReport { inputs: vec![SampleReport::default()], ..CheckReport::default() };
        assert!(report.is_good(), "an empty folder may fill");
        report.inputs[0].records = 5;
        assert!(!report.is_good());
    }
}
