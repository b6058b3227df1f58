//! The export of one batch's refused records: for each piece of a file, and each partition of a topic, one file that can
//! be fed back unchanged, and one beside it with the reasons.
//!
//! ```text
//! orders.b12.s3.csv             the head of the file, then each record, byte for byte, with a line end
//! orders.b12.s3.reasons.jsonl   for each of these records its place and its codes
//! shop.b12.p0.jsonl             each record of a topic, one a line: line ends in it, which mean nothing in JSON, as spaces
//! shop.b12.p0.reasons.jsonl     for each line topic, partition, offset and codes
//! ```
//! Names and bytes follow from the store alone, so that an export cut short is made again as it would have been.
//! A name stands in the folder only once all its bytes are on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::json;
use telemetra_connectors::Rejected;
use telemetra_core::limits::RECORD_BYTES_MAX;

/// Most bytes of a file's name in the name of its export.
const STEM_BYTES_MAX: usize = 150;

/// Writes the refused records of a batch to `folder`. `page` returns those behind a (partition, offset), in order,
/// and none at their end.
///
/// # Errors
/// What the file system or `page` says; what is written by then is made again.
pub fn export(
    folder: &Path,
    mut page: impl FnMut(Option<(u32, u64)>) -> anyhow::Result<Vec<Rejected>>,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let (mut open, mut after): (Option<Pair>, _) = (None, None);
    loop {
        let records = page(after)?;
        let Some(last) = records.last() else { break };
        after = Some((last.partition, last.offset));
        for record in &records {
            let base = base(record);
            if let Some(done) = open.take_if(|pair| pair.base != base) {
                done.finish()?;
            }
            let pair = match &mut open {
                Some(pair) => pair,
                None => open.insert(Pair::begin(folder, base, record)?),
            };
            pair.write(record)?;
        }
    }
    if let Some(done) = open {
        done.finish()?;
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("syncing the folder {}", folder.display()))
}

/// The name of the export that holds a record, without its ending.
fn base(record: &Rejected) -> String {
    let batch = record.batch_id;
    let partition = record.partition;
    match (&record.file, record.seq) {
        (Some(file), seq) => {
            let seq = seq.unwrap_or_default();
            let of_folder = if partition == 0 { String::new() } else { format!(".p{partition}") };
            format!("{}.b{batch}{of_folder}.s{seq}", stem(file))
        }
        (None, _) => format!("{}.b{batch}.p{partition}", stem(record.topic.as_deref().unwrap_or("topic"))),
    }
}

/// What of a name can stand in any other; the numbers behind it keep two apart.
fn stem(name: &str) -> String {
    let name = [".gz", ".zst", ".csv"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let mut stem: String = name.chars().map(safe).collect();
    let end = (0..=STEM_BYTES_MAX.min(stem.len())).rev().find(|&end| stem.is_char_boundary(end));
    stem.truncate(end.unwrap_or(0));
    // Names that begin so are passed over by whoever reads a folder.
    let seen = stem.trim_start_matches(['.', '_', '-']);
    if seen.is_empty() { "records".into() } else { seen.into() }
}

/// Whether the store holds only the beginning of what was refused.
fn is_truncated(record: &Rejected) -> bool {
    let is_whole_file = record.file.is_some() && record.head.is_none();
    let is_too_long = record.codes.split('|').any(|code| code == "record_too_long");
    record.raw.len() >= RECORD_BYTES_MAX && (is_whole_file || is_too_long)
}

/// An export being written, and its reasons.
struct Pair {
    base: String,
    records: Growing,
    reasons: Growing,
}

impl Pair {
    fn begin(folder: &Path, base: String, first: &Rejected) -> anyhow::Result<Self> {
        let ending = if first.file.is_some() { "csv" } else { "jsonl" };
        let mut records = Growing::begin(folder, &format!("{base}.{ending}"))?;
        if let Some(head) = &first.head {
            records.line(head)?;
        }
        let reasons = Growing::begin(folder, &format!("{base}.reasons.jsonl"))?;
        Ok(Self { base, records, reasons })
    }

    fn write(&mut self, record: &Rejected) -> anyhow::Result<()> {
        if record.file.is_some() && record.head.is_none() {
            // The beginning of a file that is one record, line ends and all.
            self.records.bytes(&record.raw)?;
        } else if record.topic.is_some() && record.raw.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            let space = |&byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
            self.records.line(&record.raw.iter().map(space).collect::<Vec<_>>())?;
        } else {
            self.records.line(&record.raw)?;
        }
        let codes: Vec<&str> = record.codes.split('|').collect();
        let mut reason = json!({"batch": record.batch_id, "codes": codes});
        let place = match (&record.file, &record.bytes) {
            (Some(file), bytes) => json!({
                "file": file,
                "line": record.line,
                "byte_from": bytes.as_ref().map(|bytes| bytes.start),
                "byte_to": bytes.as_ref().map(|bytes| bytes.end),
            }),
            (None, _) => json!({
                "topic": record.topic, "partition": record.partition, "offset": record.offset,
            }),
        };
        if is_truncated(record) {
            reason["truncated"] = true.into();
        }
        if let (Some(reason), Some(place)) = (reason.as_object_mut(), place.as_object()) {
            reason.extend(place.clone());
        }
        self.reasons.line(reason.to_string().as_bytes())
    }

    fn finish(self) -> anyhow::Result<()> {
        // Whoever finds records finds their reasons.
        self.reasons.finish()?;
        self.records.finish()
    }
}

/// A file under a temporary name.
struct Growing {
    file: BufWriter<File>,
    at: PathBuf,
    name: PathBuf,
}

impl Growing {
    fn begin(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let at = folder.join(format!(".{name}.tmp"));
        let begin = || -> io::Result<File> {
            // Never what somebody else put there, a link for instance.
            match fs::remove_file(&at) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            OpenOptions::new().write(true).create_new(true).open(&at)
        };
        let file = begin().with_context(|| format!("writing {}", at.display()))?;
        Ok(Self { file: BufWriter::new(file), at, name: folder.join(name) })
    }

    fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| format!("writing {}", self.at.display()))
    }

    fn line(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.bytes(bytes)?;
        self.bytes(b"\n")
    }

    fn finish(self) -> anyhow::Result<()> {
        let Self { file, at, name } = self;
        let finish = || -> io::Result<()> {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&at, &name)
        };
        finish().with_context(|| format!("writing {}", name.display()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::quarantine) fn rejected(offset: u64, seq: u32, head: Option<&str>, raw: &str) -> Rejected {
        Rejected {
            topic: None,
            partition: 0,
            offset,
            file: Some(format!("day {seq}.csv.gz")),
            line: Some(offset + 2),
            bytes: Some(10..20),
            seq: Some(seq),
            head: head.map(|head| head.as_bytes().into()),
            codes: "price_range".into(),
            raw: raw.into(),
            batch_id: 7,
            rejected_at_ms: 0,
            replayed_at_ms: None,
        }
    }

    fn one_by_one(records: Vec<Rejected>) -> impl FnMut(Option<(u32, u64)>) -> anyhow::Result<Vec<Rejected>> {
        move |after| {
            let next = records.iter().find(|it| after.is_none_or(|after| (it.partition, it.offset) > after));
            Ok(next.cloned().into_iter().collect())
        }
    }

    #[test]
    fn records_stand_behind_the_head_of_their_file_whatever_was_left_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().join("error");
        let records = || {
            one_by_one(vec![
                rejected(0, 0, Some("h"), "a\r"),
                rejected(2, 0, Some("h"), "b"),
                rejected(3, 1, None, "x\n,"),
            ])
        };
        export(&folder, records()).expect("it can be written");
        fs::write(folder.join(".day_0.b7.s0.csv.tmp"), "half of somethi").expect("written");
        fs::remove_file(folder.join("day_0.b7.s0.csv")).expect("it is there");
        export(&folder, records()).expect("it can be written");
        let mut names: Vec<_> = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name of ours"))
            .collect();
        names.sort();
        let expected =
            ["day_0.b7.s0.csv", "day_0.b7.s0.reasons.jsonl", "day_1.b7.s1.csv", "day_1.b7.s1.reasons.jsonl"];
        assert_eq!(names, expected);
        let text = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
        assert_eq!((text(names[0].as_str()), text(names[2].as_str())), ("h\na\r\nb\n".into(), "x\n,".into()));
        let reason = text(names[1].as_str()).lines().next().expect("a line").to_owned();
        let expected = r#"{"batch":7,"byte_from":10,"byte_to":20,"codes":["price_range"],"file":"day 0.csv.gz","line":2}"#;
        assert_eq!(reason, expected);
    }

    #[test]
    fn records_of_a_topic_stand_one_a_line_in_a_file_for_each_partition() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let of_topic = |partition, offset, raw: &str| Rejected {
            topic: Some("shop.orders".into()),
            partition,
            file: None,
            line: None,
            bytes: None,
            seq: None,
            ..rejected(offset, 0, None, raw)
        };
        let records =
            vec![of_topic(0, 7, "{\"a\":\r\n1}"), of_topic(0, 9, "x"), of_topic(1_000_002, 7, "[]")];
        export(folder.path(), one_by_one(records)).expect("it can be written");
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(text("shop.orders.b7.p0.jsonl"), "{\"a\":  1}\nx\n");
        assert_eq!(text("shop.orders.b7.p1000002.jsonl"), "[]\n");
        let expected =
            r#"{"batch":7,"codes":["price_range"],"offset":9,"partition":0,"topic":"shop.orders"}"#;
        assert_eq!(text("shop.orders.b7.p0.reasons.jsonl").lines().nth(1), Some(expected));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4);
    }

    #[test]
    fn what_is_only_a_beginning_is_marked() {
        let check = |head, codes: &str, length: usize, expected| {
            let mut record = rejected(0, 0, head, &"x".repeat(length));
            record.codes = codes.into();
            assert_eq!(is_truncated(&record), expected, "{codes}, {length} bytes");
        };
        check(None, "header_missing:price", RECORD_BYTES_MAX, true);
        check(None, "header_missing:price", RECORD_BYTES_MAX - 1, false);
        check(Some("h"), "record_too_long", RECORD_BYTES_MAX, true);
        check(Some("h"), "price_range", RECORD_BYTES_MAX, false);
    }

    #[test]
    fn names_are_safe_and_bounded() {
        let check = |name: &str, expected: &str| assert_eq!(stem(name), expected);
        check("orders.csv", "orders");
        check("orders.csv.zst", "orders");
        check("a\u{1b}[2J b.csv", "a__2J_b");
        check(" .csv", "records");
        check("..hidden", "hidden");
        assert_eq!(stem(&"ü".repeat(200)).len(), STEM_BYTES_MAX);
    }
}
