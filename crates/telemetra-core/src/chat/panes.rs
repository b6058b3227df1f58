//! The open panes and windows of all streams, and how they take in a batch and let go of what is closed.
//!
//! Nothing here is stored: it is a function of the log between the replay and next offsets. Only
//! [`Open::absorb`] changes it. Panes close by the watermark alone; a window that was closed early ahead of
//! it is never among `windows`, but its panes stay until the watermark passes them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    delta::Delta,
    emotes::{EmoteCount, EmoteNames, EmoteView},
    fold::{FastMap, Numbers},
    moments::Baseline,
    overlay::{Overlay, Slot},
    users::{self, Block, CHATTER_BYTES},
};
use crate::{
    hash::mix,
    logic::WindowCount,
    mutant::{self, Mutant},
    watermark::Watermark,
    window::WindowSpec,
};

/// The open panes of all streams.
#[derive(Debug)]
pub struct Open {
    pub(super) spec: WindowSpec,
    pub(super) streams: Vec<Stream>,
    number_of: FastMap<Arc<str>, u32>,
    pub(super) emotes: EmoteNames,
    /// Names after the last compaction of `emotes`.
    emotes_kept: usize,
    /// Final windows above the watermark: per stream, number to count.
    pub(super) closed_early: FastMap<Box<str>, BTreeMap<i64, i64>>,
    /// First window that the watermark has not closed, which is also the first open pane.
    pub(super) first: i64,
    /// Wrapping sum of [`Pane::digest`].
    pub(super) digest: u64,
    /// Sum of [`Window::chat`].
    pub(super) count: i64,
    /// Memory taken by `streams`, bytes, about.
    stream_bytes: usize,
    /// Overlays absorbed; an overlay fits only the panes it was merged over.
    pub(super) version: u64,
}

/// What is open of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: Arc<str>,
    /// [`crate::hash::hash64`] of the name.
    pub(super) hash: u64,
    /// Ordered by number.
    pub(super) panes: Vec<Pane>,
    /// Every window that holds an event, ordered by number.
    pub(super) windows: Vec<Window>,
    /// Ordered by number.
    pub(super) blocks: Vec<Block>,
    /// The last final windows, once known.
    pub(super) baseline: Option<Baseline>,
    /// Memory taken, bytes, about.
    pub(super) bytes: usize,
    /// First open pane when chatters were last swept.
    swept: i64,
}

/// A slice of event time of one stream; holds at least one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Pane {
    pub(super) number: i64,
    pub(super) numbers: Numbers,
    /// Wrapping sum of [`users::digest`] over the distinct chatters.
    pub(super) chatters: u64,
    /// Ordered by number of the name.
    pub(super) emotes: Vec<EmoteCount>,
    /// [`Pane::digest_of`] as it stands.
    pub(super) digest: u64,
}

impl Pane {
    /// A hash of all that the pane holds; equal for equal content on every machine.
    pub(super) fn digest_of(&self, stream: u64, chatters: u64, names: EmoteView<'_>) -> u64 {
        let Numbers { chat, positive, negative, sentiment, viewer_sum, viewer_samples } = self.numbers;
        let halves = |wide: u128| [(wide >> 64) as u64, wide as u64];
        let [sentiment_high, sentiment_low] = halves(sentiment as u128);
        let [viewers_high, viewers_low] = halves(viewer_sum);
        let fields = [
            self.number as u64,
            chat as u64,
            positive as u64,
            negative as u64,
            sentiment_high,
            sentiment_low,
            viewers_high,
            viewers_low,
            viewer_samples,
            chatters,
            names.digest(&self.emotes),
        ];
        fields.into_iter().fold(stream, mix)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.emotes.len() * size_of::<EmoteCount>()
    }
}

/// An open window of one stream; holds at least one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) number: i64,
    /// Messages.
    pub(super) chat: i64,
    /// Distinct chatters.
    pub(super) chatters: i64,
    /// Batch that last wrote it, 0 before the first.
    pub(super) written: u64,
    /// Whether it holds more than was written.
    pub(super) changed: bool,
}

/// Memory of these panes, windows and chatters, bytes, about.
pub(super) fn bytes_of<'a>(panes: impl Iterator<Item = &'a Pane>, windows: usize, chatters: usize) -> usize {
    panes.map(Pane::bytes).sum::<usize>() + windows * size_of::<Window>() + chatters * CHATTER_BYTES
}

impl Stream {
    /// Memory taken by a stream that holds nothing, bytes, about.
    pub(super) fn empty_bytes(name: &str) -> usize {
        size_of::<Self>() + 2 * name.len() + 64
    }

    /// The pane with this number.
    pub(super) fn pane(&self, number: i64) -> Option<&Pane> {
        self.panes.binary_search_by_key(&number, |pane| pane.number).ok().map(|at| &self.panes[at])
    }

    fn bytes(&self) -> usize {
        let chatters = self.blocks.iter().map(|block| block.masks.len()).sum();
        Self::empty_bytes(&self.name) + bytes_of(self.panes.iter(), self.windows.len(), chatters)
    }

    fn absorb(&mut self, delta: Delta) {
        put_panes(&mut self.panes, delta.panes);
        self.windows = delta.windows;
        for block in delta.blocks {
            match self.blocks.binary_search_by_key(&block.number, |block| block.number) {
                Ok(at) => users::join(&mut self.blocks[at].masks, block.masks),
                Err(at) => self.blocks.insert(at, block),
            }
        }
    }

    /// Drops what lies below pane and window number `first`; says whether anything went.
    fn prune(&mut self, first: i64, panes_per_window: i64) -> bool {
        let windows = self.windows.partition_point(|window| window.number < first);
        self.windows.drain(..windows);
        let panes = self.panes.partition_point(|pane| pane.number < first);
        self.panes.drain(..panes);
        // Chatters of closed panes share masks with open ones. They are swept once a window's worth of panes
        // has closed, so that each is looked at about twice.
        let sweep = panes > 0 && first.saturating_sub(self.swept) >= panes_per_window.min(64);
        if sweep {
            self.swept = first;
            self.blocks.retain(|block| block.number >= users::block_of(first));
            if let Some(block) = self.blocks.first_mut()
                && block.number == users::block_of(first)
            {
                let open = !0 << (first & 63);
                block.masks.retain(|_, mask| *mask & open != 0);
                if block.masks.len() < block.masks.capacity() / 4 {
                    block.masks.shrink_to_fit();
                }
            }
        }
        windows > 0 || panes > 0
    }
}

/// Puts `newer` into `panes`, both ordered by number; a pane that is in both is replaced.
fn put_panes(panes: &mut Vec<Pane>, newer: Vec<Pane>) {
    for pane in newer {
        match panes.binary_search_by_key(&pane.number, |pane| pane.number) {
            Ok(at) => panes[at] = pane,
            Err(at) => panes.insert(at, pane),
        }
    }
}

impl Open {
    /// No panes; `closed_early` are final windows above the watermark.
    pub(super) fn new(spec: WindowSpec, closed_early: Vec<WindowCount>) -> Self {
        let mut of_stream: FastMap<Box<str>, BTreeMap<i64, i64>> = FastMap::default();
        for window in closed_early {
            let windows = of_stream.entry(window.key.into_boxed_str()).or_default();
            windows.insert(spec.pane_of(window.start_ms), window.count);
        }
        Self {
            spec,
            streams: Vec::new(),
            number_of: FastMap::default(),
            emotes: EmoteNames::default(),
            emotes_kept: 0,
            closed_early: of_stream,
            first: i64::MIN,
            digest: 0,
            count: 0,
            stream_bytes: 0,
            version: 0,
        }
    }

    /// The number of a stream, until the next overlay is absorbed.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.number_of.get(name).copied()
    }

    /// Memory taken, bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.stream_bytes + self.emotes.bytes()
    }

    /// Makes `overlay` part of the open panes and drops what `watermark` closed.
    pub(super) fn absorb(&mut self, overlay: Overlay, watermark: Watermark) {
        assert_eq!(overlay.version, self.version, "an overlay fits only the panes it was merged over");
        self.version += 1;
        self.emotes.append(&overlay.fresh);
        self.digest = self.digest.wrapping_add(overlay.digest);
        self.count += overlay.count;
        for (number, window) in overlay.written {
            let window = &mut self.streams[number as usize].windows[window as usize];
            (window.written, window.changed) = (overlay.batch_id, false);
        }
        let mut number_of_delta = Vec::with_capacity(overlay.deltas.len());
        for delta in overlay.deltas {
            let number = delta.open.unwrap_or_else(|| self.add(&delta));
            let stream = &mut self.streams[number as usize];
            stream.absorb(delta);
            let before = std::mem::replace(&mut stream.bytes, 0);
            stream.bytes = stream.bytes();
            self.stream_bytes = self.stream_bytes - before + stream.bytes;
            number_of_delta.push(number);
        }
        for (slot, baseline) in overlay.baselines {
            let number = match slot {
                Slot::Open(number) => number,
                Slot::Delta(delta) => number_of_delta[delta as usize],
            };
            self.streams[number as usize].baseline = Some(baseline);
        }
        self.prune(watermark);
        self.compact_emotes();
    }

    fn add(&mut self, delta: &Delta) -> u32 {
        let number = u32::try_from(self.streams.len()).expect("fewer than 2^32 streams: memory is bounded");
        self.number_of.insert(Arc::clone(&delta.name), number);
        self.streams.push(Stream {
            name: Arc::clone(&delta.name),
            hash: delta.hash,
            panes: Vec::new(),
            windows: Vec::new(),
            blocks: Vec::new(),
            baseline: None,
            bytes: 0,
            swept: i64::MIN,
        });
        number
    }

    /// Drops the panes, windows, chatters and streams that `watermark` closed.
    fn prune(&mut self, watermark: Watermark) {
        let Some(first) = self.spec.first_open(watermark) else { return };
        self.first = self.first.max(first);
        let panes_per_window = self.spec.panes_per_window();
        if mutant::is(Mutant::PaneDroppedAtItsEnd) {
            let panes = self.streams.iter_mut().map(|stream| &mut stream.panes);
            panes.for_each(|panes| panes.retain(|pane| pane.number >= first + panes_per_window - 1));
        }
        let mut at = 0;
        while let Some(stream) = self.streams.get_mut(at) {
            let open_windows = stream.windows.first().is_none_or(|window| window.number >= first);
            let open_panes = stream.panes.first().is_none_or(|pane| pane.number >= first);
            if !(open_windows && open_panes) {
                for pane in stream.panes.iter().take_while(|pane| pane.number < first) {
                    self.digest = self.digest.wrapping_sub(pane.digest);
                }
                for window in stream.windows.iter().take_while(|window| window.number < first) {
                    self.count -= window.chat;
                }
                stream.prune(first, panes_per_window);
                let before = std::mem::replace(&mut stream.bytes, 0);
                stream.bytes = stream.bytes();
                self.stream_bytes = self.stream_bytes - before + stream.bytes;
            }
            if stream.panes.is_empty() {
                self.drop_stream(at);
            } else {
                at += 1;
            }
        }
        self.closed_early.retain(|_, windows| {
            windows.retain(|&number, _| number >= first);
            !windows.is_empty()
        });
    }

    /// Drops the stream number `at`; the last takes its place.
    fn drop_stream(&mut self, at: usize) {
        let gone = self.streams.swap_remove(at);
        self.stream_bytes -= gone.bytes;
        self.number_of.remove(&gone.name);
        if let Some(moved) = self.streams.get(at) {
            let number = u32::try_from(at).expect("smaller than it was");
            self.number_of.insert(Arc::clone(&moved.name), number);
        }
    }

    /// Forgets emote names that no open pane holds, once the names have doubled since the last time.
    fn compact_emotes(&mut self) {
        const NAMES_MIN: usize = 4_096;
        if self.emotes.len() < NAMES_MIN.max(2 * self.emotes_kept) {
            return;
        }
        let mut live = vec![false; self.emotes.len()];
        let panes = self.streams.iter().flat_map(|stream| &stream.panes);
        panes.flat_map(|pane| &pane.emotes).for_each(|&(id, _)| live[id as usize] = true);
        let moved = self.emotes.compact(&live);
        self.emotes_kept = self.emotes.len();
        // The order of numbers stays, so the counts of a pane stay ordered.
        let panes = self.streams.iter_mut().flat_map(|stream| &mut stream.panes);
        panes.flat_map(|pane| &mut pane.emotes).for_each(|(id, _)| *id = moved[*id as usize]);
    }
}
