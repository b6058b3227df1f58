//! What a run has left, and that all of it agrees: generator, tables, exports, moved files, log.
//!
//! An export is held against the very lines of the input that its sidecar names, so that neither is believed alone.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use postgres::{fallible_iterator::FallibleIterator, types::ToSql};
use serde_json::Value;
use telemetra_core::hash::hash64;

use super::Shop;

/// A set of records whose order does not show.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Set {
    count: u64,
    digest: u64,
}

impl Set {
    fn add(&mut self, record: &[u8]) {
        self.count += 1;
        self.digest = self.digest.wrapping_add(hash64(record));
    }
}

/// What does not depend on where batches end, nor on the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Rows with all their columns and their origin.
    accepted: Set,
    /// Sum of their prices.
    cents: i64,
    /// Places, codes and raw bytes.
    rejected: Set,
}

impl Shop<'_> {
    /// Checks all that a run to the end must have left, and returns what other runs must have left too.
    pub(super) fn check(&self) -> Found {
        self.telemetra.run(&[vec!["audit".to_owned()], self.store_args()].concat()).expect_code(0);
        let sums = self.input.sums;
        self.check_status();
        let found = self.found();
        assert_eq!((found.accepted.count, found.cents), (sums.accepted, sums.cents));
        assert_eq!(found.rejected.count, sums.conflicts + sums.invalid);
        assert_eq!(self.exported(), found.rejected, "exports and table");
        self.check_moved();
        self.check_log();
        found
    }

    fn check_status(&self) {
        let args = ["status", "--json"].map(str::to_owned).to_vec();
        let status = self.telemetra.run(&[args, self.store_args()].concat());
        status.expect_code(0);
        let status: Value = serde_json::from_str(&status.stdout()).expect("it is JSON");
        let sums = self.input.sums;
        for (counted, made) in [
            ("records", sums.records),
            ("accepted", sums.accepted),
            ("duplicates", sums.duplicates),
            ("conflicts", sums.conflicts),
            ("quarantined", sums.invalid),
        ] {
            assert!(made > 0, "{counted}: {sums:?}");
            assert_eq!(status["jobs"][0][counted], made, "{counted}: {status}");
        }
    }

    fn found(&self) -> Found {
        let cents = if self.database.is_some() { "CAST(price * 100 AS bigint)" } else { "price" };
        let at = match self.database {
            Some(_) => "to_char(event_timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
            None => "event_timestamp",
        };
        let columns =
            ["event_id", "user_id", "product_id", "product_name", "category", "event_type", "origin"];
        let sql = format!(
            "SELECT CAST({cents} AS text), {at}, CAST(origin_position AS text), {} FROM user_events",
            columns.join(", ")
        );
        let (mut accepted, mut sum) = (Set::default(), 0);
        self.each(&sql, 3 + columns.len(), |row| {
            sum += row[0].parse::<i64>().expect("a number");
            let at: Timestamp = row[1].parse().expect("an instant");
            row[1] = at.as_microsecond().to_string();
            accepted.add(row.join("\0").as_bytes());
        });
        let raw = if self.database.is_some() { "encode(raw, 'hex')" } else { "lower(hex(raw))" };
        let numbers = ["line", "byte_from", "byte_to"].map(|name| format!("CAST({name} AS text)")).join(", ");
        let mut rejected = Set::default();
        self.each(&format!("SELECT file, {numbers}, codes, {raw} FROM rejected_events"), 6, |row| {
            rejected.add(row.join("\0").as_bytes());
        });
        Found { accepted, cents: sum, rejected }
    }

    /// Calls `take` with each row of texts; they are never in memory all at once.
    fn each(&self, sql: &str, columns: usize, mut take: impl FnMut(&mut [String])) {
        let Some(database) = &self.database else {
            let db = self.telemetra.open_store();
            let mut statement = db.prepare(sql).expect("it is SQL");
            let mut rows = statement.query([]).expect("the table is there");
            while let Some(row) = rows.next().expect("a row") {
                let mut texts: Vec<String> = (0..columns).map(|at| row.get(at).expect("a text")).collect();
                take(&mut texts);
            }
            return;
        };
        let mut client = database.client();
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = client.query_raw(sql, none).expect("the table is there");
        while let Some(row) = rows.next().expect("a row") {
            let mut texts: Vec<String> = (0..columns).map(|at| row.get(at)).collect();
            take(&mut texts);
        }
    }

    /// The refused records that stand in `data/error`: each once, as it stands in its file, beside its reasons.
    fn exported(&self) -> Set {
        // By file and batch: the export and its sidecar.
        let mut pairs: BTreeMap<(String, u64), [Option<PathBuf>; 2]> = BTreeMap::new();
        for path in files(&self.telemetra.path().join("data/error")) {
            let name = name(&path);
            let parts = |base: &str| {
                let (rest, _) = base.rsplit_once(".s")?;
                let (file, batch) = rest.rsplit_once(".b")?;
                Some((file.to_owned(), batch.parse().ok()?))
            };
            let reasons = name.strip_suffix(".reasons.jsonl");
            let base = reasons.or_else(|| name.strip_suffix(".csv")).filter(|base| !base.starts_with('.'));
            let key = base.and_then(parts).unwrap_or_else(|| panic!("{name} was left over in data/error"));
            pairs.entry(key).or_default()[usize::from(reasons.is_some())] = Some(path);
        }
        let mut exported = Set::default();
        let mut source = Source::default();
        let mut after = (String::new(), 0);
        for ((file, batch), pair) in pairs {
            let [records, reasons] = pair.map(|path| {
                let path = path.unwrap_or_else(|| panic!("{file}, batch {batch}: half a pair"));
                fs::read(&path).expect("a file")
            });
            let mut records = lines(&records);
            assert!(records.len() > 1, "{file}, batch {batch}: nothing in it");
            let head = records.remove(0);
            let reasons = lines(&reasons);
            assert_eq!(records.len(), reasons.len(), "{file}, batch {batch}");
            for (record, reason) in records.into_iter().zip(reasons) {
                let reason: Value = serde_json::from_slice(reason).expect("a line is JSON");
                assert_eq!(reason["batch"], batch, "{file}: {reason}");
                let of = reason["file"].as_str().expect("it has a file").to_owned();
                source.open(&self.input.folder(), &of);
                let line = reason["line"].as_u64().expect("it has a line");
                assert_eq!(source.line(line), record, "{of}:{line}");
                assert_eq!(source.line(1), head, "{of}");
                if after.0 == of {
                    assert!(line > after.1, "{of}:{line} comes again, or after {}", after.1);
                }
                let number = |key: &str| reason[key].as_u64().expect("a number").to_string();
                let codes: Vec<_> = reason["codes"].as_array().expect("codes").iter().map(text).collect();
                let raw = record.iter().map(|byte| format!("{byte:02x}")).collect();
                let fields = [
                    of.clone(),
                    number("line"),
                    number("byte_from"),
                    number("byte_to"),
                    codes.join("|"),
                    raw,
                ];
                exported.add(fields.join("\0").as_bytes());
                after = (of, line);
            }
        }
        exported
    }

    /// Each file of the input lies in `data/processed` under its own name, and nothing else anywhere.
    fn check_moved(&self) {
        let left = files(&self.telemetra.path().join("data/raw"));
        assert!(left.is_empty(), "not moved: {left:?}");
        let known = |folder: &Path| -> Vec<(String, u64)> {
            let files = files(folder).into_iter();
            files.map(|path| (name(&path), fs::metadata(&path).expect("it is there").ino())).collect()
        };
        assert_eq!(known(&self.telemetra.path().join("data/processed")), known(&self.input.folder()));
    }

    /// Every line of the log is whole, no batch has two, and none tells what was not.
    fn check_log(&self) {
        let path = self.telemetra.path().join("logs/streaming_metrics.log");
        let text = fs::read_to_string(&path).expect("the log is there");
        assert!(text.ends_with('\n'), "the last line is torn");
        let (mut last, mut records) = (0, 0);
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let batch = line["batch"].as_u64().expect("a batch");
            assert!(batch > last, "batch {batch} after {last}");
            last = batch;
            records += line["records"].as_u64().expect("records");
        }
        assert!(records > 0 && records <= self.input.sums.records, "{records} records");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a code is a text")
}

/// The files of a folder by name, hidden ones too.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("it is a file").to_str().expect("a name of ours").to_owned()
}

/// Lines without their ends; the last one has an end too.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let bytes = bytes.strip_suffix(b"\n").expect("its last line is whole");
    bytes.split(|&byte| byte == b'\n').collect()
}

/// A file of the input, decoded.
#[derive(Default)]
struct Source {
    name: String,
    bytes: Vec<u8>,
    /// Where lines begin, and where the next would.
    starts: Vec<usize>,
}

impl Source {
    fn open(&mut self, folder: &Path, name: &str) {
        if self.name == name {
            return;
        }
        let stored = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.bytes.clear();
        if name.ends_with(".gz") {
            let mut decoder = flate2::read::MultiGzDecoder::new(&*stored);
            decoder.read_to_end(&mut self.bytes).expect("it is whole");
        } else if name.ends_with(".zst") {
            zstd::stream::copy_decode(&*stored, &mut self.bytes).expect("it is whole");
        } else {
            self.bytes = stored;
        }
        let ends = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        self.starts = [0].into_iter().chain(ends).collect();
        name.clone_into(&mut self.name);
    }

    /// A line by its number from 1, without its end.
    fn line(&self, number: u64) -> &[u8] {
        let at = usize::try_from(number).expect("a small number");
        &self.bytes[self.starts[at - 1]..self.starts[at] - 1]
    }
}
