//! The commerce fixtures, from the bytes of their files to rows, refusals and ledger, in batches of any size.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{
    super::classify::{Stored, Verdict, classify},
    *,
};

/// A record of a file: its physical line and where it stands.
struct Place {
    line: u64,
    bytes: Range<usize>,
}

/// Records of a file by a walk over its bytes: a quote opens a field only where one begins.
fn places(file: &[u8]) -> Vec<Place> {
    let (mut places, mut start, mut start_line, mut line) = (Vec::new(), 0, 1, 1);
    let (mut is_quoted, mut was_quoted, mut begins_field) = (false, false, true);
    for (at, byte) in file.iter().chain(b"\n").enumerate() {
        line += u64::from(*byte == b'\n');
        match byte {
            b'"' if begins_field => is_quoted = true,
            // The second quote of a pair opens what the first one closed.
            b'"' if is_quoted => is_quoted = false,
            b'"' if at > 0 && file[at - 1] == b'"' && was_quoted => is_quoted = true,
            b'\n' if !is_quoted => {
                let end = if file[start..at].ends_with(b"\r") { at - 1 } else { at };
                if start < end {
                    places.push(Place { line: start_line, bytes: start..end });
                }
                (start, start_line) = (at + 1, line);
            }
            _ => {}
        }
        was_quoted = (is_quoted || was_quoted) && !matches!(byte, b',' | b'\n');
        begins_field = !is_quoted && matches!(byte, b',' | b'\n');
    }
    places
}

type Table = Vec<Vec<String>>;

fn table(text: &str) -> Table {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(Into::into).collect()).collect()
}

#[derive(Default)]
struct Outcome {
    accepted: Table,
    rejected: Table,
    /// Per file: lines, accepted, duplicates, conflicts, quarantined.
    ledger: BTreeMap<String, [u64; 5]>,
    /// Rows by id, as a store would know them.
    stored: BTreeMap<String, String>,
}

fn row(candidate: &rows::Candidate<'_>) -> Vec<String> {
    let it = candidate.payload;
    let instant = jiff::Timestamp::from_microsecond(it.time_us).unwrap();
    [
        candidate.event_id,
        it.user_id,
        it.product_id,
        it.product_name,
        it.category,
        &format!("{}.{:02}", it.price_cents / 100, it.price_cents % 100),
        it.event_type.as_str(),
        &format!("{instant:.6}"),
    ]
    .map(Into::into)
    .into()
}

impl Outcome {
    fn refuse(&mut self, file: &str, line: u64, codes: &str) {
        self.rejected.push(vec![file.into(), line.to_string(), codes.into()]);
        self.ledger.get_mut(file).unwrap()[4] += 1;
    }

    /// What a store does with a batch.
    fn write(&mut self, rows: &CommerceRows) {
        let known = rows.iter().map(|candidate| match self.stored.get(candidate.event_id) {
            None => Stored::Unknown,
            Some(payload) if *payload == format!("{:?}", candidate.payload) => Stored::Same,
            Some(_) => Stored::Other,
        });
        let verdicts = classify(rows, &known.collect::<Vec<_>>());
        for (candidate, verdict) in rows.iter().zip(verdicts) {
            let file = candidate.origin.file.unwrap().to_string();
            let counts = self.ledger.get_mut(&file).unwrap();
            match verdict {
                Verdict::New => {
                    counts[1] += 1;
                    self.accepted.push(row(&candidate));
                    self.stored.insert(candidate.event_id.into(), format!("{:?}", candidate.payload));
                }
                Verdict::Duplicate => counts[2] += 1,
                Verdict::Conflict => {
                    counts[3] += 1;
                    let line = candidate.origin.line.unwrap().to_string();
                    self.rejected.push(vec![file, line, "duplicate_conflict".into()]);
                }
                Verdict::Refused => unreachable!("this store refuses nothing"),
            }
        }
    }
}

/// Runs all files in batches of `batch_records`, each in splits of a third.
fn run(files: &[(&str, &[u8])], batch_records: usize) -> Outcome {
    let commerce = commerce(Format::Csv, "UTC");
    let mut outcome = Outcome::default();
    let mut scratch = Scratch::default();
    let mut records = Vec::new();
    for (name, bytes) in files {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut places = places(bytes).into_iter();
        let head = places.next().unwrap();
        let name: Arc<str> = (*name).into();
        records.extend(places.map(|place| (name.clone(), &bytes[head.bytes.clone()], place, bytes)));
        outcome.ledger.insert(name.to_string(), [0; 5]);
    }
    let numbered: Vec<_> = (0..).zip(records).collect();
    for batch in numbered.chunks(batch_records) {
        let mut partials = Vec::new();
        for split in batch.chunks(batch_records.div_ceil(3)) {
            let mut partial = commerce.begin();
            for (offset, (file, head, place, bytes)) in split {
                let raw = &bytes[place.bytes.clone()];
                outcome.ledger.get_mut(&**file).unwrap()[0] += 1;
                let record = Record { head: Some(head), ..Record::of_bytes(raw) };
                let origin = Origin {
                    offset: *offset,
                    file: Some(file),
                    line: Some(place.line),
                    raw,
                    ..Origin::default()
                };
                match commerce.decode(record, &mut scratch) {
                    Ok(event) => commerce.fold(&mut partial, 0, &event, &origin),
                    Err(Reject(codes)) => outcome.refuse(file, place.line, &codes),
                }
            }
            partials.insert(0, partial);
        }
        outcome.write(&commerce.merge(&(), partials).unwrap());
    }
    outcome
}

fn check(files: &[(&str, &[u8])], accepted: &str, rejected: &str, ledger: &str) {
    // A conflict of a batch comes behind the refusals of that batch here: order by place.
    let by_place = |mut rows: Table| {
        rows.sort_by_key(|row| (row[0].clone(), row[1].parse::<u64>().unwrap()));
        rows
    };
    // `expected.accepted.csv` stands in order of event_id.
    let by_id = |mut rows: Table| {
        rows.sort();
        rows
    };
    for batch_records in [7, 100_000] {
        let outcome = run(files, batch_records);
        assert_eq!(by_id(outcome.accepted), by_id(table(accepted)));
        assert_eq!(by_place(outcome.rejected), by_place(table(rejected)));
        // The fixture's ledger counts conflicts beside the quarantined.
        let counts = outcome.ledger.into_iter().map(|(file, counts)| {
            [file].into_iter().chain(counts.map(|it| it.to_string())).collect::<Vec<_>>()
        });
        assert_eq!(counts.collect::<Table>(), table(ledger));
    }
}

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../../../../fixtures/", $path))
    };
}

macro_rules! expected {
    ($path:literal) => {
        include_str!(concat!("../../../../../fixtures/", $path))
    };
}

#[test]
fn commerce_dirty() {
    check(
        &[
            ("a_rules.csv", fixture!("commerce_dirty/raw/a_rules.csv")),
            ("b_dialect.csv", fixture!("commerce_dirty/raw/b_dialect.csv")),
            ("c_header_only.csv", fixture!("commerce_dirty/raw/c_header_only.csv")),
        ],
        expected!("commerce_dirty/expected.accepted.csv"),
        expected!("commerce_dirty/expected.rejected.csv"),
        expected!("commerce_dirty/expected.ledger.csv"),
    );
}

#[test]
fn commerce_small() {
    check(
        &[
            ("events_00000.csv", fixture!("commerce_small/raw/events_00000.csv")),
            ("events_00001.csv", fixture!("commerce_small/raw/events_00001.csv")),
            ("events_00002.csv", fixture!("commerce_small/raw/events_00002.csv")),
            ("events_00003.csv", fixture!("commerce_small/raw/events_00003.csv")),
        ],
        expected!("commerce_small/expected.accepted.csv"),
        expected!("commerce_small/expected.rejected.csv"),
        expected!("commerce_small/expected.ledger.csv"),
    );
}
