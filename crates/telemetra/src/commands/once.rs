//! The report of `run --once`: one snapshot and what the run cost.

use std::time::Duration;

use serde::Serialize;

use crate::{
    out::{grouped, plain},
    process,
    snapshot::{Numbers, Snapshot, Unmoved},
    terminal::instant,
};

/// What `--json` prints: the last snapshot and the cost of the process.
#[derive(Clone, Debug, Serialize)]
pub struct OnceReport<'a> {
    /// The counts.
    #[serde(flatten)]
    pub snapshot: &'a Snapshot,
    /// From the start of the run to its end.
    pub seconds: f64,
    /// User and system time of the process so far, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// Most memory that was resident at once, bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

impl<'a> OnceReport<'a> {
    /// A report of a run that took `elapsed`.
    pub fn new(snapshot: &'a Snapshot, elapsed: Duration) -> Self {
        Self {
            snapshot,
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: process::cpu_seconds(),
            peak_rss_bytes: process::peak_rss_bytes(),
        }
    }

    /// For people. Why it halted, if it did, is told beside it.
    pub fn text(&self) -> String {
        let Self { snapshot, seconds, .. } = self;
        let rate = if *seconds > 0.0 { snapshot.records as f64 / seconds } else { 0.0 };
        let mut text = format!(
            "{} records read in {seconds:.1} s ({} a second)\n{}",
            grouped(snapshot.records),
            grouped(rate as u64),
            outcome(&snapshot.numbers)
        );
        if !snapshot.closed_early.is_empty() {
            text.push_str(&format!("  closed early: {}\n", plain(&snapshot.closed_early)));
        }
        for warning in &snapshot.warnings {
            text.push_str(&format!("  not read: {}\n", plain(warning)));
        }
        let Unmoved { files, causes } = &snapshot.unmoved;
        if !causes.is_empty() {
            text.push_str(&format!(
                "  not moved away: {} files, read and stored. Mend this, and the next run moves them:\n",
                grouped(*files)
            ));
        }
        for cause in causes {
            text.push_str(&format!("    {}\n", plain(cause)));
        }
        for notice in &snapshot.notices {
            text.push_str(&format!("  {}\n", plain(notice)));
        }
        text
    }
}

/// What became of the records, in whole lines.
fn outcome(numbers: &Numbers) -> String {
    match numbers {
        Numbers::Chat(chat) => format!(
            "  counted {}, late {}, dead letters {}, windows missed {}\n  \
             windows {} final, {} still open; watermark {}\n",
            grouped(chat.counted),
            grouped(chat.late),
            grouped(chat.dead_letters),
            grouped(chat.window_misses),
            grouped(chat.final_windows),
            grouped(chat.open_windows),
            chat.watermark_ms.map_or("none".into(), instant),
        ),
        Numbers::Commerce(shop) => format!(
            "  accepted {}, duplicates {}, conflicts {}, quarantined {}\n  \
             files {} read, {} duplicates, {} without a record, {} faulty{}\n",
            grouped(shop.accepted),
            grouped(shop.duplicates),
            grouped(shop.conflicts),
            grouped(shop.quarantined),
            grouped(shop.files.read),
            grouped(shop.files.duplicates),
            grouped(shop.files.empty),
            grouped(shop.files.faulty),
            match shop.files.drifted {
                0 => String::new(),
                drifted => format!(", {} with columns that nobody reads", grouped(drifted)),
            },
        ),
    }
}
