//! `quarantine list` and `quarantine replay`: what was refused, and another try at it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use telemetra_connectors::{Rejected, Replayed, Wanted};
use telemetra_engine::ids::shown_partition;

use crate::{
    cli::QuarantineArgs,
    exit::Exit,
    out::{self, grouped, plain, table},
    quarantine::candidates,
    settings::{Fault, Faults, Origin, Settings},
    terminal::instant,
    wiring,
};

/// Records of a list unless another number is asked for.
const LIST_LIMIT: usize = 100;
/// Records replayed in one transaction.
const REPLAY_RECORDS: usize = 5_000;

/// `quarantine list`.
///
/// # Errors
/// When the store cannot be read.
pub fn list(settings: &Settings, args: &QuarantineArgs) -> anyhow::Result<Exit> {
    let job = settings.job_or("commerce");
    let mut wanted = match wanted(args) {
        Ok(wanted) => wanted,
        Err(faults) => return Ok(refuse(&faults)),
    };
    let (mut reader, _) = wiring::open_quarantine(settings)?;
    let mut left = args.limit.unwrap_or(LIST_LIMIT);
    let mut shown = Vec::new();
    while left > 0 {
        wanted.limit = left;
        let page = reader.rejected(&job, &wanted)?;
        let Some(last) = page.last() else { break };
        wanted.after = Some((last.partition, last.offset));
        left -= page.len().min(left);
        if args.json {
            page.iter().for_each(|record| out::line(&as_json(record).to_string()));
        } else {
            shown.extend(page.iter().map(row));
        }
    }
    if !args.json {
        let heading = ["batch", "place", "codes", "replayed", "record"].map(str::to_owned).to_vec();
        let found = shown.len();
        out::line(&table(&[vec![heading], shown].concat()));
        let rest = if left == 0 { "; --limit shows more" } else { "" };
        let records = if found == 1 { "record" } else { "records" };
        out::line(&format!("{} {records}{rest}", grouped(found as u64)));
    }
    Ok(Exit::Done)
}

/// `quarantine replay`.
///
/// # Errors
/// When the store cannot be read or written. What became a row by then stays one.
pub fn replay(settings: &Settings, args: &QuarantineArgs) -> anyhow::Result<Exit> {
    let job = settings.job_or("commerce");
    let mut wanted = match wanted(args) {
        Ok(wanted) => Wanted { pending_only: true, ..wanted },
        Err(faults) => return Ok(refuse(&faults)),
    };
    let (mut reader, mut quarantine) = wiring::open_quarantine(settings)?;
    if let [status] = &reader.jobs(Some(&job))?[..]
        && status.meaning != settings.commerce_meaning()
    {
        anyhow::bail!(
            "job {job} ran with other settings than these, most likely another EVENT_TIMEZONE than {}: records would \
             be judged by another rule; give the run's settings, or run the job once with these",
            settings.commerce.timezone.name()
        );
    }
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut outcome = Outcome::default();
    while left > 0 {
        wanted.limit = left.min(REPLAY_RECORDS);
        let page = reader.rejected(&job, &wanted)?;
        let Some(last) = page.last() else { break };
        wanted.after = Some((last.partition, last.offset));
        left -= page.len().min(left);
        let tried = candidates(&page, &settings.commerce.timezone);
        tried.refused.into_iter().for_each(|codes| outcome.refused(codes));
        for came_to in quarantine.replay(&job, &tried.rows)? {
            outcome.add(came_to);
        }
    }
    out::line(&if args.json { serde_json::to_string_pretty(&outcome.as_json())? } else { outcome.text() });
    Ok(Exit::Done)
}

/// What a replay came to.
#[derive(Debug, Default)]
struct Outcome {
    accepted: u64,
    duplicates: u64,
    conflicts: u64,
    /// Made a row by somebody else meanwhile.
    not_pending: u64,
    refused: BTreeMap<String, u64>,
}

impl Outcome {
    fn add(&mut self, came_to: Replayed) {
        match came_to {
            Replayed::Accepted => self.accepted += 1,
            Replayed::Duplicate => self.duplicates += 1,
            Replayed::Conflict => self.conflicts += 1,
            Replayed::NotPending => self.not_pending += 1,
            Replayed::Refused(code) => self.refused(code),
        }
    }

    fn refused(&mut self, codes: String) {
        *self.refused.entry(codes).or_default() += 1;
    }

    fn text(&self) -> String {
        let refused: u64 = self.refused.values().sum();
        let mut text = format!(
            "{} became rows, {} were duplicates, {} conflicts, {} are still refused",
            grouped(self.accepted),
            grouped(self.duplicates),
            grouped(self.conflicts),
            grouped(refused)
        );
        if self.not_pending > 0 {
            text.push_str(&format!(", {} were replayed meanwhile", grouped(self.not_pending)));
        }
        for (codes, count) in &self.refused {
            text.push_str(&format!("\n  {} {}", grouped(*count), plain(codes)));
        }
        text
    }

    fn as_json(&self) -> Value {
        json!({
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "not_pending": self.not_pending,
            "refused": self.refused,
        })
    }
}

fn wanted(args: &QuarantineArgs) -> Result<Wanted, Faults> {
    let mut faults = Vec::new();
    let mut instant = |flag: &str, text: &Option<String>| {
        let text = text.as_ref()?;
        let at = text.parse::<Timestamp>().map(Timestamp::as_millisecond);
        if at.is_err() {
            faults.push(Fault {
                origin: Origin::Flag(flag.into()),
                what: format!("`{}` is not an instant", plain(text)),
                next: "write 2025-01-01T00:00:00Z".into(),
            });
        }
        at.ok()
    };
    let (from_ms, to_ms) = (instant("from", &args.from), instant("to", &args.to));
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    Ok(Wanted { code: args.code.clone(), file: args.file.clone(), from_ms, to_ms, ..Wanted::default() })
}

fn refuse(faults: &Faults) -> Exit {
    out::note(&format!("error: {faults}"));
    Exit::Settings
}

fn row(record: &Rejected) -> Vec<String> {
    let place = match (&record.file, record.line) {
        (Some(file), Some(line)) => format!("{}:{line}", plain(file)),
        (Some(file), None) => plain(file).into_owned(),
        (None, _) => {
            let topic = plain(record.topic.as_deref().unwrap_or("?")).into_owned();
            format!("{topic}/{}/{}", shown_partition(record.partition), record.offset)
        }
    };
    vec![
        record.batch_id.to_string(),
        place,
        plain(&record.codes).into_owned(),
        record.replayed_at_ms.map_or("no".into(), instant),
        readable(&record.raw),
    ]
}

/// Bytes for the eye, on one line: what is no text as `\xff`.
fn readable(raw: &[u8]) -> String {
    let mut text = String::new();
    for chunk in raw.utf8_chunks() {
        text.push_str(&plain(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Bytes that are text stand in `raw`, others in `raw_hex`: whoever reads either has them exactly.
fn as_json(record: &Rejected) -> Value {
    let codes: Vec<&str> = record.codes.split('|').collect();
    let text = str::from_utf8(&record.raw).ok();
    let hex = || record.raw.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut json = json!({
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "file": record.file,
        "line": record.line,
        "byte_from": record.bytes.as_ref().map(|bytes| bytes.start),
        "byte_to": record.bytes.as_ref().map(|bytes| bytes.end),
        "codes": codes,
        "raw": text,
        "batch": record.batch_id,
        "rejected_at": instant(record.rejected_at_ms),
        "replayed_at": record.replayed_at_ms.map(instant),
    });
    if text.is_none() {
        json["raw_hex"] = hex().into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_and_control_characters_are_escaped() {
        let check = |raw: &[u8], expected: &str| assert_eq!(readable(raw), expected);
        check("café, 1".as_bytes(), "café, 1");
        check(b"caf\xe9,\xff\xfe\x1b[2J", "caf\\xe9,\\xff\\xfe\\u{1b}[2J");
    }

    #[test]
    fn what_a_replay_came_to_is_told_with_reasons() {
        let mut outcome = Outcome::default();
        let refused = || Replayed::Refused("price_range\u{1b}".into());
        for came_to in [Replayed::Accepted, Replayed::Conflict, refused(), refused(), Replayed::NotPending] {
            outcome.add(came_to);
        }
        let expected = "1 became rows, 0 were duplicates, 1 conflicts, 2 are still refused, \
                        1 were replayed meanwhile\n  2 price_range\\u{1b}";
        assert_eq!(outcome.text(), expected);
    }
}
