//! Distinct chatters: per stream and block of 64 panes a bit mask of panes for each chatter.
//!
//! How many chatters become new in a window follows from the masks without order. A chatter new in pane p is
//! counted in the windows that begin after its nearest lower pane, in the open panes or in the batch, and end
//! before its nearest higher pane in the open panes:
//!
//! ```text
//! panes per window 3        0  1  2  3  4  5  6
//! open                      x                 x
//! batch                        x        x
//! new in windows from          1              (1: below is 0, so 1..=1)
//!                                       2..=3 (4: below is 1, above is 6)
//! ```

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::hash::mix;

/// Chatter to the panes of a block in which it wrote.
pub(super) type Masks = HashMap<u64, u64, RandomState>;

/// Memory that one chatter of a block takes, bytes, about: a key, a mask and the table's free room.
pub(super) const CHATTER_BYTES: usize = 28;

const PANES: usize = 64;
const SALT: u64 = 0x7573_6572_7320_6f66;

/// The chatters of the panes `64 * number..64 * (number + 1)`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) number: i64,
    pub(super) masks: Masks,
}

/// Number of the block that holds `pane`.
#[inline]
pub(super) fn block_of(pane: i64) -> i64 {
    pane >> 6
}

/// The pane's bit in its block.
#[inline]
pub(super) fn bit(pane: i64) -> u64 {
    1 << (pane & 63)
}

/// What a chatter adds to the digest of each pane in which it wrote.
#[inline]
pub(super) fn digest(chatter: u64) -> u64 {
    mix(chatter, SALT)
}

/// The block with this number among `blocks`, which are ordered by number.
pub(super) fn find(blocks: &[Block], number: i64) -> Option<&Block> {
    blocks.binary_search_by_key(&number, |block| block.number).ok().map(|at| &blocks[at])
}

/// Puts all of `from` into `into`.
pub(super) fn join(into: &mut Masks, from: Masks) {
    let from = if from.len() > into.len() { std::mem::replace(into, from) } else { from };
    for (chatter, mask) in from {
        *into.entry(chatter).or_insert(0) |= mask;
    }
}

/// What one block of a batch adds to a stream.
#[derive(Debug)]
pub(super) struct Gain {
    /// Per pane of the block the wrapping sum of [`digest`] over the chatters new in it.
    pub(super) digests: [u64; PANES],
    /// Chatters that the open block does not hold.
    pub(super) chatters: usize,
    /// First window of `windows`.
    pub(super) first_window: i64,
    /// Chatters that become new in each window from `first_window` on.
    pub(super) windows: Vec<i64>,
}

/// Counts what the block `delta[at]` adds over `open`, both ordered by number, in windows of `panes` panes.
pub(super) fn gain(open: &[Block], delta: &[Block], at: usize, panes: i64) -> Gain {
    let Block { number, ref masks } = delta[at];
    let neighbours = Neighbours::new(open, delta, number, panes);
    let open = find(open, number).map(|block| &block.masks);
    let first_window = number * 64 - panes + 1;
    let width = usize::try_from(panes).expect("panes per window are few") + PANES;
    let mut gain = Gain { digests: [0; PANES], chatters: 0, first_window, windows: vec![0; width] };
    let diff = &mut gain.windows;
    for (&chatter, &mask) in masks {
        let old = open.and_then(|open| open.get(&chatter)).copied().unwrap_or(0);
        let mut fresh = mask & !old;
        gain.chatters += usize::from(old == 0);
        let digest = digest(chatter);
        while fresh != 0 {
            let bit = i64::from(fresh.trailing_zeros());
            fresh &= fresh - 1;
            let lower = (mask | old) & ((1 << bit) - 1);
            let upper = old >> bit >> 1;
            // All relative to the first pane of the block.
            let below = match lower {
                0 if bit < panes - 1 => neighbours.below(chatter).map(|pane| pane - number * 64),
                0 => None,
                _ => Some(63 - i64::from(lower.leading_zeros())),
            };
            let above = match upper {
                0 if bit + panes > 64 => neighbours.above(chatter).map(|pane| pane - number * 64),
                0 => None,
                _ => Some(bit + 1 + i64::from(upper.trailing_zeros())),
            };
            let first = below.map_or(bit - panes + 1, |below| (below + 1).max(bit - panes + 1));
            let last = above.map_or(bit, |above| bit.min(above - panes));
            gain.digests[bit as usize] = gain.digests[bit as usize].wrapping_add(digest);
            if first <= last {
                diff[(first + panes - 1) as usize] += 1;
                diff[(last + panes) as usize] -= 1;
            }
        }
    }
    let mut sum = 0;
    for window in &mut gain.windows {
        sum += *window;
        *window = sum;
    }
    gain
}

/// The blocks beside one, as far as a window reaches.
struct Neighbours<'a> {
    /// Nearest first; open and batch.
    lower: Vec<(i64, [Option<&'a Masks>; 2])>,
    /// Nearest first; open alone.
    upper: Vec<(i64, &'a Masks)>,
}

impl<'a> Neighbours<'a> {
    fn new(open: &'a [Block], delta: &'a [Block], number: i64, panes: i64) -> Self {
        let first = block_of(number * 64 - panes + 1);
        let last = block_of(number * 64 + 63 + panes - 1);
        let masks = |blocks: &'a [Block], number| find(blocks, number).map(|block| &block.masks);
        let lower = (first..number).rev().map(|number| (number, [masks(open, number), masks(delta, number)]));
        let upper = (number + 1..=last).filter_map(|number| Some((number, masks(open, number)?)));
        Self {
            lower: lower.filter(|(_, both)| both.iter().any(Option::is_some)).collect(),
            upper: upper.collect(),
        }
    }

    fn below(&self, chatter: u64) -> Option<i64> {
        self.lower.iter().find_map(|&(number, both)| {
            let mask =
                both.into_iter().flatten().filter_map(|masks| masks.get(&chatter)).fold(0, |all, m| all | m);
            (mask != 0).then(|| number * 64 + 63 - i64::from(mask.leading_zeros()))
        })
    }

    fn above(&self, chatter: u64) -> Option<i64> {
        self.upper.iter().find_map(|&(number, masks)| {
            masks.get(&chatter).map(|mask| number * 64 + i64::from(mask.trailing_zeros()))
        })
    }
}
