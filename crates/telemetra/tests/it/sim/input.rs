//! What arrives when: the generators of histories, live flow and files.

use std::ops::Range;

use telemetra_engine::{
    ids::PartitionId,
    sim::{dice::Dice, log::Log},
};

use super::product::Product;

/// The instant at which tests begin, seconds since the Unix epoch.
pub(super) const NOW_S: i64 = 1_000_000;
/// The same in milliseconds.
pub(super) const NOW: i64 = NOW_S * 1_000;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An event that the law of counts sums.
    Chat,
    /// An event that it does not.
    Viewer,
    /// A record that is refused.
    Refused,
    /// An offset without a record.
    Empty,
}

/// One offset of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// Event time; without meaning unless it is an event.
    pub(super) time_ms: i64,
    pub(super) stream: u64,
    pub(super) arrives_ms: i64,
}

/// A file: when it settles, and how many items it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileOf {
    pub(super) settles_ms: i64,
    pub(super) items: usize,
}

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) id: PartitionId,
    pub(super) items: Vec<Item>,
    /// A transaction that holds the end at an item during these instants.
    pub(super) hung: Option<(usize, Range<i64>)>,
    /// It is a folder of these files.
    pub(super) files: Option<Vec<FileOf>>,
    pub(super) born_ms: i64,
}

impl Part {
    /// A partition of the chat input.
    pub(super) fn chat(number: u32, items: Vec<Item>) -> Self {
        Self::of(PartitionId { input: 0, partition: number }, items)
    }

    /// A partition of the viewer input.
    pub(super) fn viewer(number: u32, items: Vec<Item>) -> Self {
        Self::of(PartitionId { input: 1, partition: number }, items)
    }

    fn of(id: PartitionId, items: Vec<Item>) -> Self {
        Self { id, items, hung: None, files: None, born_ms: i64::MIN }
    }

    /// A folder whose files are cut from `items` by event time, each `span_s` long, and settle `late_s` after
    /// their end.
    pub(super) fn folder(input: u8, items: Vec<Item>, span_s: i64, late_s: i64) -> Self {
        let mut files: Vec<(i64, FileOf)> = Vec::new();
        for item in &items {
            let number = item.arrives_ms.div_euclid(span_s * 1_000);
            match files.last_mut() {
                // Disorder reaches into the file before.
                Some((last, file)) if *last >= number => file.items += 1,
                _ => {
                    let settles_ms = (number + 1) * span_s * 1_000 + late_s * 1_000;
                    files.push((number, FileOf { settles_ms, items: 1 }));
                }
            }
        }
        let files = files.into_iter().map(|(_, file)| file).collect();
        Self { files: Some(files), ..Self::of(PartitionId { input, partition: 0 }, items) }
    }

    /// Its log, in the records of a product.
    pub(super) fn log<L: telemetra_core::logic::Logic>(&self, product: &Product<L>) -> Log {
        let bytes = |nth: usize, item: &Item| (product.record)(self.id.input, item, nth as u64);
        if let Some(files) = &self.files {
            let mut log = Log::folder(self.id);
            let mut items = self.items.iter().enumerate();
            for (number, file) in files.iter().enumerate() {
                let records: Vec<_> =
                    items.by_ref().take(file.items).map(|(nth, item)| bytes(nth, item)).collect();
                log.file(file.settles_ms, &format!("part-{number:05}.jsonl"), &records);
            }
            return log;
        }
        let mut log = Log::stream(self.id);
        log.born_at(self.born_ms);
        for (nth, item) in self.items.iter().enumerate() {
            match item.kind {
                Kind::Empty => log.hole(item.arrives_ms),
                _ => log.record(item.arrives_ms, &bytes(nth, item)),
            };
        }
        if let Some((offset, during)) = &self.hung {
            log.hang(*offset as u64, during.clone());
        }
        log
    }
}

/// A history that has all arrived before the tests begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hist {
    pub(super) kind: Kind,
    pub(super) from_s: i64,
    pub(super) to_s: i64,
    /// Records a second.
    pub(super) rate: f64,
    /// How far behind the latest an event may lie, seconds.
    pub(super) disorder_s: f64,
    /// Share of refused records, of a thousand.
    pub(super) refused: u64,
    /// Share of offsets without a record, of a thousand.
    pub(super) empty: u64,
    pub(super) streams: u64,
}

impl Hist {
    /// In order but for eight seconds, nothing refused, two streams.
    pub(super) fn of(kind: Kind, from_s: i64, to_s: i64, rate: f64) -> Self {
        Self { kind, from_s, to_s, rate, disorder_s: 8.0, refused: 0, empty: 0, streams: 2 }
    }

    /// The items, all there from the first.
    pub(super) fn items(&self, dice: &mut Dice) -> Vec<Item> {
        let mut items = Vec::new();
        let mut at_s = self.from_s as f64;
        while at_s < self.to_s as f64 {
            at_s += dice.exponential(1.0 / self.rate);
            let time_s = (at_s - dice.unit() * self.disorder_s).floor() as i64;
            let share = dice.below(1_000);
            let kind = match share {
                _ if share < self.refused => Kind::Refused,
                _ if share < self.refused + self.empty => Kind::Empty,
                _ => self.kind,
            };
            items.push(Item {
                kind,
                time_ms: time_s * 1_000,
                stream: dice.below(self.streams),
                arrives_ms: 0,
            });
        }
        items
    }
}

/// Records that arrive one by one, about `every_s` apart (evenly if ten seconds or more), stamped `behind_s`
/// before they arrive, and up to two seconds more.
pub(super) fn live(
    dice: &mut Dice,
    kind: Kind,
    during_s: Range<i64>,
    every_s: f64,
    behind_s: i64,
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at_s = during_s.start as f64;
    while at_s < during_s.end as f64 {
        at_s += if every_s >= 10.0 { every_s } else { dice.exponential(every_s) };
        let stamp_s = (at_s - 0.3 - dice.unit() * 2.0 - behind_s as f64).floor() as i64;
        items.push(Item { kind, time_ms: stamp_s * 1_000, stream: 0, arrives_ms: (at_s * 1_000.0) as i64 });
    }
    items
}

/// The same items, stamped in order and there from the first, one a second from `from_s` on.
pub(super) fn every_second(kind: Kind, during_s: Range<i64>) -> Vec<Item> {
    during_s.map(|at_s| Item { kind, time_ms: at_s * 1_000, stream: 0, arrives_ms: 0 }).collect()
}

/// The same items, arriving when they happened.
pub(super) fn arriving(items: Vec<Item>) -> Vec<Item> {
    items.into_iter().map(|item| Item { arrives_ms: item.time_ms, ..item }).collect()
}
