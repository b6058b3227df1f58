//! Events to a partial: what one split adds to each (stream, pane).
//!
//! This is the hot path. Once a stream, pane, chatter or emote name was seen, folding an event that names it
//! allocates nothing. Chatters' tables are larger than the near caches, so each event only notes its chatter, and
//! notes are entered many at a time: the processor then waits for several table rows at once.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    emotes,
    event::{Body, ChatEvent},
    users::{self, Masks},
};
use crate::{hash::hash64, limits::EMOTES_PER_PANE_MAX, names::Names};

pub(super) type FastMap<K, V> = HashMap<K, V, RandomState>;

/// What one split folds into. It is about one split only; merging takes any number of them in any order.
#[derive(Debug, Default)]
pub struct Partial {
    pub(super) streams: Names,
    pub(super) emotes: Names,
    pub(super) cells: Vec<Cell>,
    pub(super) blocks: Vec<PartialBlock>,
    /// Per stream the pane and cell of its last event.
    last: Vec<(i64, u32)>,
    cell_of: FastMap<(u32, i64), u32>,
    block_of: FastMap<(u32, i64), u32>,
    /// Chatters not yet entered in `blocks`; at most [`SEEN_MAX`].
    seen: Vec<Seen>,
}

/// Chatters noted before they are entered in their tables.
const SEEN_MAX: usize = 256;

/// A chatter wrote in a pane.
#[derive(Clone, Copy, Debug)]
struct Seen {
    chatter: u64,
    block: u32,
    /// [`users::bit`] of the pane.
    bit: u64,
}

/// What a split adds to one pane of one stream.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) stream: u32,
    pub(super) pane: i64,
    block: u32,
    pub(super) numbers: Numbers,
    /// Count by number of the name in the partial; at most about twice what a pane keeps.
    pub(super) emotes: FastMap<u32, u64>,
}

/// The chatters of 64 panes of one stream.
#[derive(Debug)]
pub(super) struct PartialBlock {
    pub(super) stream: u32,
    pub(super) number: i64,
    pub(super) masks: Masks,
}

/// The plain sums of a pane or window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) chat: i64,
    pub(super) positive: i64,
    pub(super) negative: i64,
    /// Sum of scores, 10^-12 units.
    pub(super) sentiment: i128,
    pub(super) viewer_sum: u128,
    pub(super) viewer_samples: u64,
}

impl Numbers {
    pub(super) fn add(&mut self, other: &Numbers) {
        self.chat += other.chat;
        self.positive += other.positive;
        self.negative += other.negative;
        self.sentiment += other.sentiment;
        self.viewer_sum += other.viewer_sum;
        self.viewer_samples += other.viewer_samples;
    }

    pub(super) fn remove(&mut self, other: &Numbers) {
        self.chat -= other.chat;
        self.positive -= other.positive;
        self.negative -= other.negative;
        self.sentiment -= other.sentiment;
        self.viewer_sum -= other.viewer_sum;
        self.viewer_samples -= other.viewer_samples;
    }
}

impl Partial {
    /// Adds one event to pane number `pane`.
    #[inline]
    pub(super) fn fold(&mut self, pane: i64, event: &ChatEvent<'_>) {
        let stream = self.streams.intern(event.stream);
        let cell = match self.last.get(stream as usize) {
            Some(&(last, cell)) if last == pane => cell,
            _ => self.find_cell(stream, pane),
        };
        let cell = &mut self.cells[cell as usize];
        match event.body {
            Body::Chat { chatter, sentiment, emotes } => {
                cell.numbers.chat += 1;
                cell.numbers.sentiment += i128::from(sentiment);
                cell.numbers.positive += i64::from(sentiment > 0);
                cell.numbers.negative += i64::from(sentiment < 0);
                self.seen.push(Seen { chatter, block: cell.block, bit: users::bit(pane) });
                let names = &mut self.emotes;
                emotes.for_each(|name| *cell.emotes.entry(names.intern(name)).or_insert(0) += 1);
                if cell.emotes.len() > 2 * EMOTES_PER_PANE_MAX {
                    cut(&mut cell.emotes, names);
                }
                if self.seen.len() == SEEN_MAX {
                    self.enter_seen();
                }
            }
            Body::Viewer { count } => {
                cell.numbers.viewer_sum += u128::from(count);
                cell.numbers.viewer_samples += 1;
            }
        }
    }

    /// Enters the chatters noted; before the last time, a partial's blocks are not complete.
    #[inline(never)]
    pub(super) fn enter_seen(&mut self) {
        for Seen { chatter, block, bit } in self.seen.drain(..) {
            *self.blocks[block as usize].masks.entry(chatter).or_insert(0) |= bit;
        }
    }

    #[inline(never)]
    fn find_cell(&mut self, stream: u32, pane: i64) -> u32 {
        if stream as usize == self.last.len() {
            self.last.push((pane, u32::MAX));
        }
        let cell = match self.cell_of.get(&(stream, pane)) {
            Some(&cell) => cell,
            None => self.add_cell(stream, pane),
        };
        self.last[stream as usize] = (pane, cell);
        cell
    }

    fn add_cell(&mut self, stream: u32, pane: i64) -> u32 {
        const FEW: &str = "fewer than 2^32 cells: batches are bounded";
        let number = users::block_of(pane);
        let block = *self.block_of.entry((stream, number)).or_insert_with(|| {
            self.blocks.push(PartialBlock { stream, number, masks: Masks::default() });
            u32::try_from(self.blocks.len() - 1).expect(FEW)
        });
        let cell = u32::try_from(self.cells.len()).expect(FEW);
        let (numbers, emotes) = (Numbers::default(), FastMap::default());
        self.cells.push(Cell { stream, pane, block, numbers, emotes });
        self.cell_of.insert((stream, pane), cell);
        cell
    }
}

/// Cuts the emotes of a cell to those that a pane may keep.
#[cold]
fn cut(counts: &mut FastMap<u32, u64>, names: &Names) {
    let hashes: FastMap<u32, u64> =
        counts.keys().map(|&id| (id, hash64(names.name(id).as_bytes()))).collect();
    let mut kept: Vec<_> = counts.drain().collect();
    emotes::cut(&mut kept, |id| hashes[&id], |id| names.name(id));
    counts.extend(kept);
}
