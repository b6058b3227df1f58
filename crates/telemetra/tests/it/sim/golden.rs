//! The same inputs as a slow executable model of the planning rules, which shares no code with the engine: the
//! same watermark after every step, the same final rows, the same late events. See fixtures/model/README.md.

use std::ops::Range;

use serde::Deserialize;
use telemetra_engine::sim::dice::Dice;

use super::{
    drive::Sim,
    input::{FileOf, Item, Kind, NOW, NOW_S, Part},
    product::sums,
};
use crate::support::fixture;

#[derive(Deserialize)]
struct Case {
    name: String,
    cap: Option<u64>,
    steps: i64,
    /// Steps before which the instance dies.
    crashes: Vec<i64>,
    parts: Vec<CasePart>,
    expected: Expected,
}

#[derive(Deserialize)]
struct CasePart {
    kind: char,
    pieces: Vec<Piece>,
    #[serde(default)]
    stamps: Vec<(usize, i64)>,
    files: Option<Vec<(i64, usize)>>,
    hung: Option<(usize, i64, i64)>,
}

#[derive(Deserialize)]
struct Piece {
    seed: u64,
    from_s: i64,
    to_s: i64,
    every_ms: u64,
    disorder_s: u64,
    behind_s: i64,
    live: bool,
    refused: u64,
    streams: u64,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Expected {
    /// After each step, seconds after the beginning.
    watermarks: Vec<Option<i64>>,
    /// Stream, start, count.
    r#final: Vec<(String, i64, i64)>,
    /// Partition, offset.
    late: Vec<(u32, u64)>,
    dead: usize,
    misses: i64,
    /// Next offset of each partition.
    read: Vec<u64>,
}

impl Piece {
    fn items(&self, kind: Kind) -> Vec<Item> {
        let mut dice = Dice::new(self.seed);
        let mut items = Vec::new();
        let during: Range<i64> = (NOW_S + self.from_s) * 1_000..(NOW_S + self.to_s) * 1_000;
        let mut at_ms = during.start;
        while at_ms < during.end {
            at_ms += 1 + dice.below(2 * self.every_ms).cast_signed();
            let share = dice.below(1_000);
            let back_ms = dice.below(self.disorder_s * 1_000 + 1).cast_signed();
            let stream = dice.below(self.streams);
            let time_ms = ((at_ms - back_ms).div_euclid(1_000) - self.behind_s) * 1_000;
            let kind = if share < self.refused { Kind::Refused } else { kind };
            items.push(Item { kind, time_ms, stream, arrives_ms: if self.live { at_ms } else { 0 } });
        }
        items
    }
}

impl CasePart {
    fn part(&self, number: u32) -> Part {
        let kind = if self.kind == 'c' { Kind::Chat } else { Kind::Viewer };
        let mut items: Vec<_> = self.pieces.iter().flat_map(|piece| piece.items(kind)).collect();
        for &(index, shift_s) in &self.stamps {
            items[index].time_ms += shift_s * 1_000;
        }
        // Numbers tell the partitions apart, whichever input they belong to.
        let part = if kind == Kind::Chat { Part::chat(number, items) } else { Part::viewer(number, items) };
        let file = |&(settles_s, items): &(i64, usize)| FileOf { settles_ms: NOW + settles_s * 1_000, items };
        Part {
            files: self.files.as_ref().map(|files| files.iter().map(file).collect()),
            hung: self.hung.map(|(index, from_s, to_s)| (index, NOW + from_s * 1_000..NOW + to_s * 1_000)),
            ..part
        }
    }
}

fn run(case: &Case) -> Expected {
    let parts: Vec<_> = (0..).zip(&case.parts).map(|(number, part)| part.part(number)).collect();
    let mut sim = Sim::new(&sums(), &parts);
    sim.rules.records_per_trigger = case.cap;
    // What clocks make of a split that began further on is no more than nearly what one reader makes of it.
    sim.rules.workers = 1;
    sim.rules.keep_late_files = true;
    let mut job = sim.job(NOW).expect("it starts");
    let mut watermarks = Vec::new();
    for step in 0..case.steps {
        let now_ms = NOW + step * 1_000;
        if case.crashes.contains(&step) {
            drop(job);
            job = sim.job(now_ms).expect("it starts again");
        }
        job.step(now_ms).expect("it reads");
        watermarks.push(sim.store(|store| store.watermark.ms().map(|ms| (ms - NOW) / 1_000)));
    }
    sim.check();
    sim.store(|store| Expected {
        watermarks,
        r#final: {
            let rows = store.rows.iter().filter(|(_, row)| row.is_final);
            rows.map(|((key, start_ms), row)| (key.clone(), (start_ms - NOW) / 1_000, row.count)).collect()
        },
        late: {
            let mut late: Vec<_> =
                store.late_events.keys().map(|(id, offset)| (id.partition, *offset)).collect();
            late.sort_unstable();
            late
        },
        dead: store.dead_letters.len(),
        misses: store.totals.window_misses,
        read: parts.iter().map(|part| store.positions.get(&part.id).map_or(0, |at| at.next)).collect(),
    })
}

#[test]
fn the_model_says_the_same() {
    let text =
        std::fs::read_to_string(fixture("model/cases.json")).expect("the fixture is in the repository");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the fixture is as README.md says");
    assert!(cases.len() >= 12);
    let mut differ = Vec::new();
    for case in &cases {
        println!("{}", case.name);
        let got = run(case);
        let expected = &case.expected;
        let step = got.watermarks.iter().zip(&expected.watermarks).position(|(got, said)| got != said);
        if let Some(step) = step {
            let (got, said) = (got.watermarks[step], expected.watermarks[step]);
            differ
                .push(format!("{}: watermark {got:?} after step {step}, the model says {said:?}", case.name));
        } else if got != *expected {
            let (got, said) = (
                (got.late.len(), got.dead, got.misses, got.read),
                (expected.late.len(), expected.dead, expected.misses, &expected.read),
            );
            differ.push(format!("{}: late, dead, misses, read {got:?}, the model says {said:?}", case.name));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
