//! A batch merged over the open panes: what they will be once the batch is known committed.
//!
//! For every stream the batch touched, a [`Delta`] holds merged copies of the touched panes, all windows as
//! they will be, and the chatters of the batch alone. Dropping an overlay forgets the batch.

use std::sync::Arc;

use super::{
    delta::Delta,
    emotes::{self, EmoteNames, EmoteView},
    fold::{Cell, FastMap, Partial, PartialBlock},
    moments::Baseline,
    panes::{Open, Pane, Window},
    users::{self, Block},
};
use crate::logic::MergeError;

const NONE: u32 = u32::MAX;

/// A batch merged over the open panes, not yet committed.
#[derive(Debug)]
pub struct Overlay {
    /// [`Open::version`] that it was merged over.
    pub(super) version: u64,
    pub(super) deltas: Vec<Delta>,
    /// Per open stream its delta, or [`NONE`].
    delta_of: Vec<u32>,
    /// Per new stream its delta.
    new_delta_of: FastMap<Box<str>, u32>,
    /// Emote names that the open panes do not know; numbered on from theirs.
    pub(super) fresh: EmoteNames,
    /// Added to [`Open::digest`], before anything closes.
    pub(super) digest: u64,
    /// Added to [`Open::count`], before anything closes.
    pub(super) count: i64,
    /// Baselines after the windows that `emit` made final.
    pub(super) baselines: Vec<(Slot, Baseline)>,
    /// Windows of untouched streams that `emit` wrote: (stream, place among its windows).
    pub(super) written: Vec<(u32, u32)>,
    /// The batch that `emit` wrote them in.
    pub(super) batch_id: u64,
}

/// Where a stream stands while a batch is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// Among the open streams, untouched by the batch.
    Open(u32),
    /// Among the deltas.
    Delta(u32),
}

/// One stream as the batch makes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) slot: Slot,
    pub(super) name: &'a Arc<str>,
    pub(super) hash: u64,
    /// All windows, ordered by number.
    pub(super) windows: &'a [Window],
    pub(super) baseline: Option<&'a Baseline>,
    open_panes: &'a [Pane],
    delta: Option<&'a Delta>,
}

impl<'a> View<'a> {
    /// All panes, ordered by number.
    pub(super) fn panes(&self) -> impl Iterator<Item = &'a Pane> + use<'a> {
        let mut open = self.open_panes.iter().peekable();
        let mut touched = self.delta.map_or(&[][..], |delta| &delta.panes).iter().peekable();
        std::iter::from_fn(move || match (open.peek(), touched.peek()) {
            (Some(old), Some(new)) if old.number < new.number => open.next(),
            (Some(old), Some(new)) => {
                if old.number == new.number {
                    open.next();
                }
                touched.next()
            }
            (_, None) => open.next(),
            (None, _) => touched.next(),
        })
    }

    /// Messages that the batch adds, by pane.
    pub(super) fn added(&self) -> impl Iterator<Item = (i64, i64)> + use<'a> {
        self.delta
            .into_iter()
            .flat_map(|delta| delta.panes.iter().zip(&delta.added))
            .map(|(p, &n)| (p.number, n))
    }

    /// Wrapping sum of the digests of the panes below number `first`.
    pub(super) fn digest_below(&self, first: i64) -> u64 {
        let lowest = |panes: &[Pane]| panes.first().is_some_and(|pane| pane.number < first);
        if !lowest(self.open_panes) && !self.delta.is_some_and(|delta| lowest(&delta.panes)) {
            return 0;
        }
        let closed = self.panes().take_while(|pane| pane.number < first);
        closed.fold(0, |sum, pane| sum.wrapping_add(pane.digest))
    }
}

/// Merges the partials of a batch over the open panes.
///
/// # Errors
/// [`MergeError::OverBudget`] if the open panes would take more than `bytes_max`.
pub(super) fn merge(open: &Open, partials: Vec<Partial>, bytes_max: usize) -> Result<Overlay, MergeError> {
    let mut overlay = Overlay::over(open);
    let mut gathered = Gathered::default();
    for partial in partials {
        gathered.take(&mut overlay, open, partial);
    }
    gathered.merge_cells(&mut overlay, open);
    gathered.join_blocks(&mut overlay);
    let Overlay { deltas, fresh, digest, count, .. } = &mut overlay;
    let names = EmoteView { open: &open.emotes, fresh };
    let mut need_bytes = open.bytes() + fresh.bytes();
    for delta in deltas {
        let growth = delta.settle(open, names);
        *count += growth.count;
        *digest = digest.wrapping_add(growth.digest);
        need_bytes += growth.bytes;
    }
    if need_bytes > bytes_max {
        let largest = overlay.largest(open);
        return Err(MergeError::OverBudget { need_bytes, limit_bytes: bytes_max, largest });
    }
    Ok(overlay)
}

impl Overlay {
    fn over(open: &Open) -> Self {
        Self {
            version: open.version,
            deltas: Vec::new(),
            delta_of: vec![NONE; open.streams.len()],
            new_delta_of: FastMap::default(),
            fresh: EmoteNames::default(),
            digest: 0,
            count: 0,
            baselines: Vec::new(),
            written: Vec::new(),
            batch_id: 0,
        }
    }

    /// The number of the delta of the stream `name`, new if there is none.
    fn delta(&mut self, open: &Open, name: &str) -> u32 {
        let number = u32::try_from(self.deltas.len()).expect("fewer than 2^32 streams: batches are bounded");
        let stream = open.find(name);
        let known = match stream {
            Some(stream) => self.delta_of.get_mut(stream as usize).expect("one per open stream"),
            None => self.new_delta_of.entry(name.into()).or_insert(NONE),
        };
        if *known == NONE {
            *known = number;
            self.deltas.push(Delta::new(name, stream, open));
        }
        *known
    }

    /// All streams as the batch makes them, in no order that means anything.
    pub(super) fn streams<'a>(&'a self, open: &'a Open) -> impl Iterator<Item = View<'a>> {
        let touched = self.deltas.iter().zip(0..).map(|(delta, number)| {
            let stream = delta.open.map(|number| &open.streams[number as usize]);
            View {
                slot: Slot::Delta(number),
                name: &delta.name,
                hash: delta.hash,
                windows: &delta.windows,
                baseline: stream.and_then(|stream| stream.baseline.as_ref()),
                open_panes: stream.map_or(&[], |stream| &stream.panes),
                delta: Some(delta),
            }
        });
        let streams = open.streams.iter().zip(0..).zip(&self.delta_of);
        let untouched = streams.filter(|&(_, &delta)| delta == NONE).map(|((stream, number), _)| View {
            slot: Slot::Open(number),
            name: &stream.name,
            hash: stream.hash,
            windows: &stream.windows,
            baseline: stream.baseline.as_ref(),
            open_panes: &stream.panes,
            delta: None,
        });
        touched.chain(untouched)
    }

    /// Notes what `emit` wrote: provisional rows as (stream, place among its windows), and baselines.
    pub(super) fn note(&mut self, batch_id: u64, written: &[(Slot, u32)], baselines: Vec<(Slot, Baseline)>) {
        self.batch_id = batch_id;
        self.baselines = baselines;
        for &(slot, place) in written {
            match slot {
                Slot::Open(number) => self.written.push((number, place)),
                Slot::Delta(number) => {
                    let window = &mut self.deltas[number as usize].windows[place as usize];
                    (window.written, window.changed) = (batch_id, false);
                }
            }
        }
    }

    /// The five streams that would take the most memory, largest first.
    fn largest(&self, open: &Open) -> Vec<(String, usize)> {
        let bytes = |view: &View<'_>| match view.slot {
            Slot::Open(number) => open.streams[number as usize].bytes,
            Slot::Delta(number) => self.deltas[number as usize].bytes,
        };
        let mut all: Vec<_> = self.streams(open).map(|view| (view.name.to_string(), bytes(&view))).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(5);
        all
    }
}

/// The pieces of all partials of a batch, to be ordered so that each pane is merged once.
#[derive(Default)]
struct Gathered {
    /// Per partial, the overlay's numbers of its emote names.
    emotes: Vec<Vec<u32>>,
    cells: Vec<(Place, Cell)>,
    /// Delta, and block of its chatters.
    blocks: Vec<(u32, Block)>,
}

/// Which pane a cell adds to, and the partial it comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    delta: u32,
    pane: i64,
    partial: u32,
}

impl Gathered {
    fn take(&mut self, overlay: &mut Overlay, open: &Open, mut partial: Partial) {
        partial.enter_seen();
        let deltas: Vec<u32> = partial.streams.iter().map(|name| overlay.delta(open, name)).collect();
        let number = u32::try_from(self.emotes.len()).expect("a batch has few splits");
        let fresh_from = u32::try_from(open.emotes.len()).expect("numbers of names are u32");
        let number_of =
            |name| open.emotes.get(name).unwrap_or_else(|| fresh_from + overlay.fresh.intern(name));
        self.emotes.push(partial.emotes.iter().map(number_of).collect());
        self.cells.extend(partial.cells.into_iter().map(|cell| {
            (Place { delta: deltas[cell.stream as usize], pane: cell.pane, partial: number }, cell)
        }));
        self.blocks.extend(partial.blocks.into_iter().map(|block| {
            let PartialBlock { stream, number, masks } = block;
            (deltas[stream as usize], Block { number, masks })
        }));
    }

    /// Merges all cells over the open panes into the deltas.
    fn merge_cells(&mut self, overlay: &mut Overlay, open: &Open) {
        // Sorting keys is cheaper than sorting cells.
        let mut order: Vec<(Place, usize)> =
            self.cells.iter().enumerate().map(|(at, &(place, _))| (place, at)).collect();
        order.sort_unstable();
        let Overlay { deltas, fresh, .. } = overlay;
        let names = EmoteView { open: &open.emotes, fresh };
        for group in order.chunk_by(|(a, _), (b, _)| (a.delta, a.pane) == (b.delta, b.pane)) {
            let Place { delta, pane: number, .. } = group[0].0;
            let delta = &mut deltas[delta as usize];
            let mut pane = match delta.open.and_then(|stream| open.streams[stream as usize].pane(number)) {
                Some(pane) => pane.clone(),
                None => Pane { number, ..Pane::default() },
            };
            let before = pane.numbers.chat;
            for &(place, at) in group {
                let cell = &self.cells[at].1;
                let emotes = &self.emotes[place.partial as usize];
                pane.numbers.add(&cell.numbers);
                pane.emotes.extend(cell.emotes.iter().map(|(&id, &count)| (emotes[id as usize], count)));
            }
            emotes::coalesce(&mut pane.emotes);
            names.cut(&mut pane.emotes);
            delta.added.push(pane.numbers.chat - before);
            delta.panes.push(pane);
        }
    }

    /// Joins the chatters of all partials in the deltas.
    fn join_blocks(&mut self, overlay: &mut Overlay) {
        self.blocks.sort_unstable_by_key(|(delta, block)| (*delta, block.number));
        for (delta, block) in self.blocks.drain(..) {
            let blocks = &mut overlay.deltas[delta as usize].blocks;
            match blocks.last_mut() {
                Some(last) if last.number == block.number => users::join(&mut last.masks, block.masks),
                // A split with viewer samples alone has a block without chatters.
                _ if block.masks.is_empty() => {}
                _ => blocks.push(block),
            }
        }
    }
}
