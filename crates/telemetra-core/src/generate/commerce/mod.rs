//! Shop events from a seed: rows that must be accepted, come twice, conflict or be refused, and their exact sums.
//!
//! | file | owns |
//! |---|---|
//! | `event` | what event number n is: a function of seed and number |
//! | `catalogue` | categories, products, prices |
//! | `earlier` | events already written, to come again |
//! | `faults` | records that must be refused, with the codes each must get |
//! | `write` | eight fields to a line of CSV or JSON |
//!
//! The sums hold for a run that reads the records in the order in which they were made, or at least those of one
//! `event` in that order: then what was written first is what stays.

mod catalogue;
mod earlier;
mod event;
mod faults;
#[cfg(test)]
mod tests;
mod write;

use self::{catalogue::Catalogue, earlier::Earlier, event::ShopEvent, faults::Fault, write::Fields};
use super::{
    line::{self, Stamp},
    random::Random,
};
use crate::commerce::{Format, rows::EventType};

/// What a [`CommerceGenerator`] is to produce. Shares are of all records, 0..=1, and sum up to at most 1.
#[derive(Clone, Debug, PartialEq)]
pub struct CommercePlan {
    /// Decides everything that the other fields leave open.
    pub seed: u64,
    /// Records a second, exactly. 0.001..=100,000,000.
    pub events_per_second: f64,
    /// When the first event happens, milliseconds since the Unix epoch; 1970-2098. Stamps name no zone.
    pub start_ms: i64,
    /// People who shop; a few do so much. 1..=100,000,000.
    pub users: u32,
    /// Products on offer; a few are wanted much. 1..=1,000,000.
    pub products: u32,
    /// Records that break a rule.
    pub invalid_share: f64,
    /// Records of an event already written, with the same payload, spelled alike or otherwise.
    pub duplicate_share: f64,
    /// Records with the id of an event already written and another payload.
    pub conflict_share: f64,
}

impl Default for CommercePlan {
    fn default() -> Self {
        Self {
            seed: 1,
            events_per_second: 100.0,
            start_ms: 1_735_689_600_000,
            users: 50_000,
            products: 2_000,
            invalid_share: 0.0,
            duplicate_share: 0.0,
            conflict_share: 0.0,
        }
    }
}

impl CommercePlan {
    /// Names every field that is out of its range.
    ///
    /// # Errors
    /// One sentence a fault.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let shares = [self.invalid_share, self.duplicate_share, self.conflict_share];
        let year_2099_ms = 4_070_908_800_000;
        let rules = [
            (
                (0.001..=1e8).contains(&self.events_per_second),
                "the rate must be 0.001 to 100,000,000 a second",
            ),
            ((0..year_2099_ms).contains(&self.start_ms), "the start must lie in 1970-2098"),
            ((1..=100_000_000).contains(&self.users), "users must be 1 to 100,000,000"),
            ((1..=1_000_000).contains(&self.products), "products must be 1 to 1,000,000"),
            (shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share must be 0 to 1"),
            (shares.iter().sum::<f64>() <= 1.0, "invalid, duplicate and conflict must not exceed 1 together"),
        ];
        let faults: Vec<_> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| (*rule).into()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommerceKind {
    /// It becomes a row.
    New,
    /// Its row is there already.
    Duplicate,
    /// Another row has its id.
    Conflict,
    /// It is refused with exactly these codes.
    Invalid(&'static str),
}

/// What was written into the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommerceItem {
    /// Number of its event; a duplicate and a conflict have that of the row they meet.
    pub event: u64,
    /// Number of the user who is named where the event was first written.
    pub user: u64,
    /// When it is to be written, milliseconds since the Unix epoch; never goes back.
    pub written_ms: i64,
    /// What must become of it.
    pub kind: CommerceKind,
}

impl CommerceItem {
    /// Appends the id of its event's user, by which a topic's partitions are chosen: all records of one event come into
    /// one partition, also those that conflict because they name another user, or none.
    #[inline]
    pub fn key(&self, key: &mut Vec<u8>) {
        line::text(key, "user_");
        line::number(key, self.user);
    }
}

/// What must have become of all records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommerceSums {
    /// All of them: accepted + duplicates + conflicts + invalid.
    pub records: u64,
    /// Rows.
    pub accepted: u64,
    /// Records whose row was there already.
    pub duplicates: u64,
    /// Records of which another row has the id; in quarantine.
    pub conflicts: u64,
    /// Records that break a rule; in quarantine.
    pub invalid: u64,
    /// Sum of prices over the rows, hundredths.
    pub cents: u64,
    /// Rows by event type, in the order of [`EventType::ALL`].
    pub by_event_type: [u64; 3],
}

impl CommerceSums {
    fn add(&mut self, kind: CommerceKind, event: &ShopEvent) {
        self.records += 1;
        match kind {
            CommerceKind::New => {
                self.accepted += 1;
                self.cents += event.cents;
                let is_type = |of: &EventType| *of == event.event_type;
                self.by_event_type[EventType::ALL.iter().position(is_type).expect("all are listed")] += 1;
            }
            CommerceKind::Duplicate => self.duplicates += 1,
            CommerceKind::Conflict => self.conflicts += 1,
            CommerceKind::Invalid(_) => self.invalid += 1,
        }
    }
}

/// An endless sequence of records; the plan alone decides it.
#[derive(Clone, Debug)]
pub struct CommerceGenerator {
    plan: CommercePlan,
    catalogue: Catalogue,
    random: Random,
    earlier: Earlier,
    stamp: Stamp,
    fields: Fields,
    sums: CommerceSums,
}

impl CommerceGenerator {
    /// The first line of a CSV file, without its line end.
    pub const HEAD: &'static str =
        "event_id,user_id,product_id,product_name,category,price,event_type,timestamp";

    /// Begins the sequence of `plan`.
    ///
    /// # Errors
    /// Every fault of the plan, one sentence each ([`CommercePlan::check`]).
    pub fn new(plan: CommercePlan) -> Result<Self, Vec<String>> {
        plan.check()?;
        Ok(Self {
            catalogue: Catalogue::new(plan.seed, plan.products),
            random: Random::new(plan.seed, u64::MAX),
            earlier: Earlier::default(),
            stamp: Stamp::new(),
            fields: Fields::default(),
            sums: CommerceSums::default(),
            plan,
        })
    }

    /// When the next record is to be written, milliseconds; never goes back.
    pub fn next_ms(&self) -> i64 {
        self.time_ms(self.sums.records)
    }

    /// What must have become of the records so far.
    pub fn sums(&self) -> &CommerceSums {
        &self.sums
    }

    /// Appends the next record to `line`, without a line end; it holds none.
    pub fn next(&mut self, format: Format, line: &mut Vec<u8>) -> CommerceItem {
        let number = self.sums.records;
        let written_ms = self.time_ms(number);
        let (event, kind) = self.choose(format, number);
        let mut shop = self.event(event);
        let user = shop.user.into();
        match kind {
            Choice::New => {
                self.fields.spell(&shop, &mut self.stamp);
                self.fields.write(format, line);
                self.earlier.add(event, &mut self.random);
            }
            Choice::Duplicate => {
                self.fields.spell(&shop, &mut self.stamp);
                self.fields.spell_otherwise(self.random.below(4));
                self.fields.write(format, line);
            }
            Choice::Conflict => {
                shop.change(&mut self.random);
                self.fields.spell(&shop, &mut self.stamp);
                self.fields.write(format, line);
            }
            Choice::Invalid(fault) => {
                self.fields.spell(&shop, &mut self.stamp);
                fault.write(&mut self.fields, format, line);
            }
        }
        let kind = match kind {
            Choice::New => CommerceKind::New,
            Choice::Duplicate => CommerceKind::Duplicate,
            Choice::Conflict => CommerceKind::Conflict,
            Choice::Invalid(fault) => CommerceKind::Invalid(fault.codes()),
        };
        self.sums.add(kind, &shop);
        CommerceItem { event, user, written_ms, kind }
    }

    /// Event and kind of record `number`.
    fn choose(&mut self, format: Format, number: u64) -> (u64, Choice) {
        let plan = &self.plan;
        let (invalid, duplicate) = (plan.invalid_share, plan.invalid_share + plan.duplicate_share);
        let again = duplicate + plan.conflict_share;
        let at = self.random.unit();
        if at < invalid {
            return (number, Choice::Invalid(Fault::pick(format, &mut self.random)));
        }
        // Before there is a row nothing can come again.
        match (at < again).then(|| self.earlier.pick(&mut self.random)).flatten() {
            Some(event) if at < duplicate => (event, Choice::Duplicate),
            Some(event) => (event, Choice::Conflict),
            None => (number, Choice::New),
        }
    }

    fn event(&self, number: u64) -> ShopEvent {
        ShopEvent::new(self.plan.seed, number, self.time_ms(number), self.plan.users, &self.catalogue)
    }

    fn time_ms(&self, number: u64) -> i64 {
        self.plan.start_ms + (number as f64 * 1_000.0 / self.plan.events_per_second) as i64
    }
}

#[derive(Clone, Copy)]
enum Choice {
    New,
    Duplicate,
    Conflict,
    Invalid(Fault),
}
