//! `status`: where the jobs of a store stand, as their last commits left them.
//!
//! Only what is committed is known here. A partition below the watermark is idle, so the lowest at or above it
//! holds the watermark; one without an event holds it where there is none yet.

use serde_json::{Value, json};
use telemetra_engine::{
    ids::shown_partition,
    status::{JobStatus, PositionStatus},
};

use super::{run::Pipeline, run_loop::now_ms};
use crate::{
    exit::Exit,
    out::{self, grouped, plain, table, whole},
    settings::Settings,
    terminal::{age, instant},
    wiring,
};

/// One job and whether an instance of it runs.
#[derive(Clone, Debug)]
pub struct JobNow {
    /// What was committed.
    pub status: JobStatus,
    /// Whether an instance runs now.
    pub is_running: bool,
}

/// `status`.
///
/// # Errors
/// When the store cannot be read, or has no job of the name asked for.
pub fn status(settings: &Settings, json: bool) -> anyhow::Result<Exit> {
    let jobs = wiring::status(settings)?;
    let store = settings.store.to_string();
    out::line(&if json {
        serde_json::to_string_pretty(&as_json(&store, &jobs))?
    } else {
        text(&store, &jobs, now_ms())
    });
    Ok(Exit::Done)
}

/// The partition that holds the watermark, and why, as far as committed positions tell.
fn holder(job: &JobStatus) -> Option<(&PositionStatus, String)> {
    let Some(watermark_ms) = job.watermark.ms() else {
        let unseen = job.positions.iter().find(|at| at.clock.largest_ms.is_none())?;
        return Some((unseen, "no event yet".into()));
    };
    let active = job.positions.iter().filter_map(|at| Some((at.clock.largest_ms?, at)));
    let (largest_ms, at) = active
        .filter(|(largest_ms, _)| *largest_ms >= watermark_ms)
        .min_by_key(|(largest_ms, _)| *largest_ms)?;
    let read_up = if at.head_since_ms.is_some() { ", all of it read" } else { "" };
    Some((at, format!("its largest event time is {}{read_up}", instant(largest_ms))))
}

fn name(at: &PositionStatus) -> String {
    let input = at.topic.as_ref().unwrap_or(&at.input);
    format!("{}/{}", plain(input), shown_partition(at.partition))
}

/// `now_ms` is the wall clock.
fn text(store: &str, jobs: &[JobNow], now_ms: i64) -> String {
    let mut text = format!("store {}\n", plain(store));
    if jobs.is_empty() {
        text.push_str("no job has run here yet\n");
    }
    for JobNow { status: job, is_running } in jobs {
        let stands = match (&job.halt_cause, is_running) {
            (Some(cause), _) => format!("halted: {}", whole(cause)),
            (None, true) => "running".into(),
            (None, false) => "not running".into(),
        };
        let ago = |ms: i64| format!("{} ({} ago)", instant(ms), age(now_ms - ms));
        let batch = match job.last_batch {
            0 => "nothing committed yet".into(),
            batch => format!("batch {}, updated {}", grouped(batch), ago(job.updated_at_ms)),
        };
        text.push_str(&format!(
            "\njob {}: {stands}\n  {batch} (instance {}, {})\n",
            plain(&job.job),
            job.epoch,
            plain(&job.holder)
        ));
        if is_commerce(job) {
            text.push_str(&commerce_lines(job));
        } else {
            text.push_str(&chat_lines(job, ago));
        }
    }
    text
}

fn is_commerce(job: &JobStatus) -> bool {
    job.pipeline == Pipeline::Commerce.name()
}

fn chat_lines(job: &JobStatus, ago: impl Fn(i64) -> String) -> String {
    let watermark = job.watermark.ms().map_or("none yet".into(), ago);
    let held = holder(job)
        .map_or(String::new(), |(at, reason)| format!("\n            held by {}: {reason}", name(at)));
    format!(
        "  watermark {watermark}{held}\n  \
         records {}; late {}; dead letters {}; windows {} final, {} open\n{}",
        grouped(job.records.records),
        grouped(job.records.late),
        grouped(job.records.dead),
        grouped(job.final_rows),
        grouped(job.provisional_rows),
        positions(job)
    )
}

fn commerce_lines(job: &JobStatus) -> String {
    let mut rows = vec![["  partition", "next offset"].map(str::to_owned).to_vec()];
    rows.extend(job.positions.iter().map(|at| vec![format!("  {}", name(at)), grouped(at.next)]));
    format!(
        "  records {}; accepted {}, duplicates {}, conflicts {}, quarantined {}\n{}",
        grouped(job.records.records),
        grouped(job.applied.accepted),
        grouped(job.applied.duplicates),
        grouped(job.applied.conflicts),
        grouped(quarantined(job)),
        if job.positions.is_empty() { String::new() } else { table(&rows) }
    )
}

/// Refused by the rules, and by the store.
fn quarantined(job: &JobStatus) -> u64 {
    job.records.dead + job.applied.refused
}

fn positions(job: &JobStatus) -> String {
    if job.positions.is_empty() {
        return String::new();
    }
    let heading = ["  partition", "next offset", "replays from", "largest event time"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for at in &job.positions {
        let largest = at.clock.largest_ms.map_or("no event yet".into(), instant);
        rows.push(vec![format!("  {}", name(at)), grouped(at.next), grouped(at.replay), largest]);
    }
    table(&rows)
}

fn as_json(store: &str, jobs: &[JobNow]) -> Value {
    let job = |JobNow { status: job, is_running }: &JobNow| {
        let mut shown = json!({
            "job": job.job,
            "pipeline": job.pipeline,
            "is_running": is_running,
            "halt_cause": job.halt_cause,
            "epoch": job.epoch,
            "instance": job.holder,
            "last_batch": job.last_batch,
            "updated_at_ms": job.updated_at_ms,
            "records": job.records.records,
        });
        let own = if is_commerce(job) { commerce_json(job) } else { chat_json(job) };
        if let (Value::Object(shown), Value::Object(own)) = (&mut shown, own) {
            shown.extend(own);
        }
        shown
    };
    json!({"store": store, "jobs": jobs.iter().map(job).collect::<Vec<Value>>()})
}

fn chat_json(job: &JobStatus) -> Value {
    let position = |at: &PositionStatus| {
        json!({
            "input": at.input,
            "topic": at.topic,
            "partition": at.partition,
            "first_offset": at.first,
            "replay_offset": at.replay,
            "next_offset": at.next,
            "largest_ms": at.clock.largest_ms,
            "head_since_ms": at.head_since_ms,
        })
    };
    json!({
        "watermark_ms": job.watermark.ms(),
        "holder": holder(job).map(|(at, reason)| json!({"name": name(at), "reason": reason})),
        "late": job.records.late,
        "dead_letters": job.records.dead,
        "final_windows": job.final_rows,
        "open_windows": job.provisional_rows,
        "positions": job.positions.iter().map(position).collect::<Vec<Value>>(),
    })
}

fn commerce_json(job: &JobStatus) -> Value {
    let position = |at: &PositionStatus| {
        json!({
            "input": at.input,
            "topic": at.topic,
            "partition": at.partition,
            "first_offset": at.first,
            "next_offset": at.next,
        })
    };
    json!({
        "accepted": job.applied.accepted,
        "duplicates": job.applied.duplicates,
        "conflicts": job.applied.conflicts,
        "quarantined": quarantined(job),
        "positions": job.positions.iter().map(position).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use telemetra_core::watermark::{PartitionClock, Watermark};
    use telemetra_engine::{
        sink::{Applied, Totals},
        status::RecordTotals,
    };

    use super::*;

    fn job(watermark_ms: Option<i64>, largest_ms: [Option<i64>; 2]) -> JobStatus {
        let position = |(input, largest_ms): (&str, Option<i64>)| PositionStatus {
            log_id: None,
            input: input.into(),
            topic: None,
            partition: 0,
            first: 0,
            replay: 1,
            next: 2,
            clock: PartitionClock { largest_ms, ..PartitionClock::default() },
            head_since_ms: None,
        };
        JobStatus {
            job: "chat\u{1b}".into(),
            pipeline: "chat".into(),
            meaning: String::new(),
            halt_cause: None,
            epoch: 1,
            holder: "process 1".into(),
            last_batch: 1,
            watermark: Watermark::from(watermark_ms),
            open_count: 0,
            totals: Totals::default(),
            records: RecordTotals::default(),
            applied: Applied::default(),
            final_rows: 0,
            provisional_rows: 0,
            created_at_ms: 0,
            updated_at_ms: 0,
            positions: ["chat", "viewer"].into_iter().zip(largest_ms).map(position).collect(),
        }
    }

    fn check(watermark_ms: Option<i64>, largest_ms: [Option<i64>; 2], expected: Option<&str>) {
        let job = job(watermark_ms, largest_ms);
        let found = holder(&job).map(|(at, reason)| format!("{} {reason}", name(at)));
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn the_slowest_that_is_not_passed_holds_the_watermark() {
        check(None, [Some(5), None], Some("viewer/0 no event yet"));
        check(None, [Some(5), Some(6)], None);
        let held = Some("viewer/0 its largest event time is 1970-01-01T00:00:20Z");
        check(Some(10_000), [Some(30_000), Some(20_000)], held);
        check(Some(10_000), [Some(5_000), Some(20_000)], held);
        check(Some(30_000), [Some(5_000), Some(20_000)], None);
    }

    #[test]
    fn partitions_of_topics_are_named_by_topic_and_number() {
        let check = |partition, expected: &str| {
            let mut job = job(None, [None, None]);
            job.positions.truncate(1);
            let at = &mut job.positions[0];
            (at.topic, at.partition) = (Some("telemetra.events.chat".into()), partition);
            let now = JobNow { status: job, is_running: false };
            let shown = text("s", std::slice::from_ref(&now), 0);
            assert!(shown.contains(&format!("held by {expected}: no event yet\n")), "{shown}");
            assert!(shown.contains(&format!("  {expected}  ")), "{shown}");
            // A machine is told the ledger's own number.
            assert_eq!(as_json("s", &[now])["jobs"][0]["positions"][0]["partition"], partition);
        };
        check(3, "telemetra.events.chat/3");
        check(1_000_003, "telemetra.events.chat/3 (topic made anew, 2nd)");
    }

    #[test]
    fn commerce_is_told_in_its_own_words() {
        let commerce = JobStatus {
            pipeline: "commerce".into(),
            applied: Applied { accepted: 5, duplicates: 3, conflicts: 2, refused: 1 },
            records: RecordTotals { records: 15, late: 0, dead: 4 },
            ..job(None, [None, None])
        };
        let now = JobNow { status: commerce, is_running: false };
        let shown = text("s", std::slice::from_ref(&now), 0);
        let line =
            "records 15; accepted 5, duplicates 3, conflicts 2, quarantined 5\n  partition  next offset";
        assert!(shown.contains(line) && !shown.contains("window") && !shown.contains("watermark"), "{shown}");
        let json = as_json("s", &[now]);
        let job = &json["jobs"][0];
        assert_eq!((&job["quarantined"], &job["positions"][0]["next_offset"]), (&5.into(), &2.into()));
        assert!(job.get("late").is_none(), "{json}");
    }

    #[test]
    fn names_and_states_are_told() {
        let now = JobNow { status: job(Some(0), [Some(0), None]), is_running: true };
        let shown = text("s", &[now], 60_000);
        assert!(shown.contains("job chat\\u{1b}: running"), "{shown}");
        assert!(shown.contains("watermark 1970-01-01T00:00:00Z (60 s ago)"), "{shown}");
        assert!(text("s", &[], 0).contains("no job has run here yet"));
    }
}
