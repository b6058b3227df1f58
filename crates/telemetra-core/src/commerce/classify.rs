//! Which candidates of a batch are new rows, duplicates or conflicts.
//!
//! Same id and payload: a duplicate. Same id, other payload: a conflict; the first stays. What the store itself refused
//! takes no part. (DESIGN §6, "Duplicates")

use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};

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

/// Judges all candidates in their order; `stored` has an entry for each.
///
/// # Panics
/// If `stored` has another length.
pub fn classify(rows: &CommerceRows, stored: &[Stored]) -> Vec<Verdict> {
    assert_eq!(rows.len(), stored.len(), "an entry for each candidate");
    let mut first: HashMap<&str, Payload<'_>, RandomState> =
        HashMap::with_capacity_and_hasher(stored.len(), RandomState::default());
    rows.iter()
        .zip(stored)
        .map(|(candidate, stored)| match stored {
            Stored::Same => Verdict::Duplicate,
            Stored::Other => Verdict::Conflict,
            Stored::Refused => Verdict::Refused,
            Stored::Unknown => match first.entry(candidate.event_id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(candidate.payload);
                    Verdict::New
                }
                Entry::Occupied(known) if *known.get() == candidate.payload => Verdict::Duplicate,
                Entry::Occupied(_) => Verdict::Conflict,
            },
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
