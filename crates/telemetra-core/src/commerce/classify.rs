//! Which candidates of a batch are new rows, duplicates or conflicts.
//!
//! Same id and payload: a duplicate. Same id, other payload: a conflict; the first stays. What the store itself refused
//! takes no part. (DESIGN §6, "Duplicates")

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::rows::{CommerceRows, Payload};

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It becomes a row.
    New,
    /// Its row is there already.
    Duplicate,
    /// Another row has its id.
    Conflict,
    /// The store itself refuses it.
    Refused,
}

/// What the store says of a candidate before the batch is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// No row has its id.
    #[default]
    Unknown,
    /// Its row is there with the same payload.
    Same,
    /// The row under its id has another payload.
    Other,
    /// The store refuses the row.
    Refused,
}

/// Judges a candidate by what the store says of it and by the first of its id that becomes a row, if one came before.
pub fn judge(payload: &Payload<'_>, stored: Stored, first: Option<&Payload<'_>>) -> Verdict {
    match (stored, first) {
        (Stored::Same, _) => Verdict::Duplicate,
        (Stored::Other, _) => Verdict::Conflict,
        (Stored::Refused, _) => Verdict::Refused,
        (Stored::Unknown, None) => Verdict::New,
        (Stored::Unknown, Some(first)) if first == payload => Verdict::Duplicate,
        (Stored::Unknown, Some(_)) => Verdict::Conflict,
    }
}

/// Judges all candidates in their order; `stored` has an entry for each.
///
/// # Panics
/// If `stored` has another length.
pub fn classify(rows: &CommerceRows, stored: &[Stored]) -> Vec<Verdict> {
    assert_eq!(rows.len(), stored.len(), "an entry for each candidate");
    let hasher = RandomState::default();
    // Numbers of the candidates that are the first of their id.
    let mut firsts = HashTable::with_capacity(stored.len());
    rows.iter()
        .zip(stored)
        .enumerate()
        .map(|(number, (candidate, &stored))| {
            if stored != Stored::Unknown {
                return judge(&candidate.payload, stored, None);
            }
            let is_same = |&first: &usize| rows.get(first).event_id == candidate.event_id;
            let hash = |&first: &usize| hasher.hash_one(rows.get(first).event_id);
            match firsts.entry(hasher.hash_one(candidate.event_id), is_same, hash) {
                Entry::Vacant(vacant) => {
                    vacant.insert(number);
                    judge(&candidate.payload, stored, None)
                }
                Entry::Occupied(first) => {
                    judge(&candidate.payload, stored, Some(&rows.get(*first.get()).payload))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::rows::{Block, EventType},
        *,
    };
    use crate::record::Origin;

    fn check(candidates: &[(&str, i64)], stored: &[Stored], expected: &[Verdict]) {
        let mut block = Block::default();
        for (offset, (id, price_cents)) in (0..).zip(candidates) {
            let payload = Payload {
                user_id: "u",
                product_id: "p",
                product_name: "n",
                category: "c",
                price_cents: *price_cents,
                event_type: EventType::View,
                time_us: 0,
            };
            block.push(id, &payload, &Origin { offset, ..Origin::default() });
        }
        assert_eq!(classify(&CommerceRows::new(vec![block]), stored), expected);
    }

    #[test]
    fn the_first_of_an_id_stays() {
        use Stored::{Other, Refused, Same, Unknown};
        use Verdict::{Conflict, Duplicate, New};
        check(&[("a", 1), ("b", 1), ("a", 1), ("a", 2)], &[Unknown; 4], &[New, New, Duplicate, Conflict]);
        check(&[("a", 1), ("a", 2)], &[Same, Other], &[Duplicate, Conflict]);
        // What is refused takes no part: the next of its id is the first.
        check(
            &[("a", 1), ("a", 2), ("a", 1)],
            &[Refused, Unknown, Unknown],
            &[Verdict::Refused, New, Conflict],
        );
        check(&[], &[], &[]);
    }
}
