//! The generator of shop events: same seed, same bytes; every record becomes what it is said to; the sums are exact.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::{
    commerce::{
        Commerce, Scratch, Zone,
        classify::{Stored, Verdict, classify},
    },
    hash::hash64,
    logic::Logic,
    record::{Origin, Record, Reject},
};

fn dirty() -> CommercePlan {
    CommercePlan {
        users: 500,
        products: 50,
        invalid_share: 0.2,
        duplicate_share: 0.1,
        conflict_share: 0.1,
        ..CommercePlan::default()
    }
}

fn lines(plan: &CommercePlan, format: Format, count: usize) -> (Vec<(CommerceItem, Vec<u8>)>, CommerceSums) {
    let mut generator = CommerceGenerator::new(plan.clone()).unwrap();
    let items = (0..count).map(|_| {
        let (mut line, due_ms) = (b"before".to_vec(), generator.next_ms());
        let item = generator.next(format, &mut line);
        assert_eq!(item.written_ms, due_ms);
        assert_eq!(line.drain(..6).collect::<Vec<_>>(), b"before");
        (item, line)
    });
    let items = items.collect();
    (items, *generator.sums())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digest = |plan: &CommercePlan, format| {
        let (items, sums) = lines(plan, format, 2_000);
        (hash64(&items.into_iter().flat_map(|(_, line)| line).collect::<Vec<_>>()), sums)
    };
    assert_eq!(digest(&dirty(), Format::Csv), digest(&dirty(), Format::Csv));
    assert_ne!(digest(&dirty(), Format::Csv), digest(&CommercePlan { seed: 2, ..dirty() }, Format::Csv));
}

/// Runs records through decode, fold, merge and classify as one batch, and compares what becomes of each.
fn check(plan: &CommercePlan, format: Format, zone: &str) {
    let (items, sums) = lines(plan, format, 20_000);
    let commerce = Commerce { format, timezone: Zone::named(zone).unwrap() };
    let mut scratch = Scratch::default();
    let mut partial = commerce.begin();
    let mut seen = HashSet::new();
    for (offset, (item, line)) in items.iter().enumerate() {
        assert!(!line.contains(&b'\n'));
        let head = Some(CommerceGenerator::HEAD.as_bytes());
        let record = Record { head, ..Record::of_bytes(line) };
        match (commerce.decode(record, &mut scratch), item.kind) {
            (Err(Reject(codes)), CommerceKind::Invalid(expected)) => {
                assert_eq!(codes, expected, "{}", String::from_utf8_lossy(line));
                seen.insert(expected);
            }
            (Ok(event), CommerceKind::New | CommerceKind::Duplicate | CommerceKind::Conflict) => {
                let origin = Origin { offset: offset as u64, raw: line, ..Origin::default() };
                commerce.fold(&mut partial, 0, &event, &origin);
            }
            (decoded, kind) => {
                panic!("{kind:?}: {decoded:?} of {}", String::from_utf8_lossy(line));
            }
        }
    }
    let rows = commerce.merge(&(), vec![partial]).unwrap();
    let verdicts = classify(&rows, &vec![Stored::Unknown; rows.len()]);
    let mut found = CommerceSums { records: 20_000, invalid: sums.invalid, ..CommerceSums::default() };
    for (candidate, verdict) in rows.iter().zip(verdicts) {
        let expected = items[candidate.origin.offset as usize].0.kind;
        match verdict {
            Verdict::New => {
                assert_eq!(expected, CommerceKind::New);
                found.accepted += 1;
                found.cents += candidate.payload.price_cents.unsigned_abs();
                found.by_event_type[candidate.payload.event_type as usize] += 1;
            }
            Verdict::Duplicate => {
                assert_eq!(expected, CommerceKind::Duplicate);
                found.duplicates += 1;
            }
            _ => {
                assert_eq!(expected, CommerceKind::Conflict);
                found.conflicts += 1;
            }
        }
    }
    assert_eq!(found, sums);
    assert_eq!(sums.records, sums.accepted + sums.duplicates + sums.conflicts + sums.invalid);
    assert!(seen.len() > 25, "only {} kinds of refusals", seen.len());
    for (share, count) in
        [(0.2, sums.invalid), (0.1, sums.duplicates), (0.1, sums.conflicts), (0.6, sums.accepted)]
    {
        assert!((count as f64 / 20_000.0 - share).abs() < 0.01, "{sums:?}");
    }
    for (share, count) in [0.6, 0.3, 0.1].into_iter().zip(sums.by_event_type) {
        assert!((count as f64 / sums.accepted as f64 - share).abs() < 0.02, "{sums:?}");
    }
}

#[test]
fn every_record_becomes_what_it_is_said_to() {
    check(&dirty(), Format::Csv, "UTC");
    check(&dirty(), Format::Csv, "Pacific/Kiritimati");
    check(&CommercePlan { seed: 9, ..dirty() }, Format::Json, "UTC");
}

#[test]
fn the_rate_is_exact() {
    for rate in [0.5, 7.0, 1_000.0, 12_345.0] {
        let plan = CommercePlan { events_per_second: rate, ..dirty() };
        let mut generator = CommerceGenerator::new(plan.clone()).unwrap();
        let mut line = Vec::new();
        while generator.next_ms() < plan.start_ms + 4_000 {
            line.clear();
            generator.next(Format::Csv, &mut line);
        }
        assert_eq!(generator.sums().records as f64, rate * 4.0);
    }
}

#[test]
fn rows_look_like_a_shop() {
    let (items, sums) = lines(&CommercePlan::default(), Format::Csv, 20_000);
    assert_eq!(sums.accepted, 20_000);
    let mut products: HashMap<String, Vec<String>> = HashMap::new();
    let mut bytes = 0;
    for (_, line) in &items {
        bytes += line.len();
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&**line);
        let record = reader.records().next().unwrap().unwrap();
        let id = &record[0];
        assert!(id.len() == 36 && id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        let named = vec![record[3].to_owned(), record[4].to_owned()];
        assert_eq!(*products.entry(record[2].to_owned()).or_insert(named.clone()), named);
    }
    assert!((105..=120).contains(&(bytes / items.len())), "{} bytes a row", bytes / items.len());
    let categories: HashSet<_> = products.values().map(|named| &named[1]).collect();
    assert_eq!(categories.len(), 8);
}

#[test]
fn a_wrong_plan_is_refused_with_every_fault() {
    let check = |plan: CommercePlan, faults: usize| {
        assert_eq!(CommerceGenerator::new(plan).err().map_or(0, |faults| faults.len()), faults);
    };
    check(dirty(), 0);
    check(CommercePlan { users: 0, products: 0, start_ms: -1, ..dirty() }, 3);
    check(CommercePlan { invalid_share: 0.6, duplicate_share: 0.6, ..dirty() }, 1);
    check(CommercePlan { events_per_second: f64::NAN, ..dirty() }, 1);
    // Everything comes again: the first must still be new.
    let (_, sums) = lines(
        &CommercePlan { duplicate_share: 1.0, invalid_share: 0.0, conflict_share: 0.0, ..dirty() },
        Format::Csv,
        100,
    );
    assert_eq!((sums.accepted, sums.duplicates), (1, 99));
}
