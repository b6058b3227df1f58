//! What a batch makes of one stream: its touched panes, all its windows, the batch's own chatters.

use std::sync::Arc;

use super::{
    emotes::EmoteView,
    panes::{Open, Pane, Stream, Window, bytes_of},
    users::{self, Block, Gain},
};
use crate::hash::hash64;

/// What a batch makes of one stream.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) name: Arc<str>,
    pub(super) hash: u64,
    /// Number of the open stream; `None` if it is new.
    pub(super) open: Option<u32>,
    /// The touched panes as they will be, ordered by number.
    pub(super) panes: Vec<Pane>,
    /// Messages that the batch adds to each of `panes`.
    pub(super) added: Vec<i64>,
    /// All windows as they will be, ordered by number.
    pub(super) windows: Vec<Window>,
    /// The batch's chatters, ordered by number.
    pub(super) blocks: Vec<Block>,
    /// Memory that the stream will take, bytes, about.
    pub(super) bytes: usize,
}

/// What a batch adds to the sums over all streams.
#[derive(Debug)]
pub(super) struct Growth {
    /// To the sum of counts over the windows.
    pub(super) count: i64,
    /// To the wrapping sum of digests.
    pub(super) digest: u64,
    /// To the memory taken.
    pub(super) bytes: usize,
}

impl Delta {
    /// A delta that holds nothing yet.
    pub(super) fn new(name: &str, stream: Option<u32>, open: &Open) -> Self {
        let known = stream.map(|number| &open.streams[number as usize]);
        Self {
            name: known.map_or_else(|| name.into(), |stream| Arc::clone(&stream.name)),
            hash: known.map_or_else(|| hash64(name.as_bytes()), |stream| stream.hash),
            open: stream,
            panes: Vec::new(),
            added: Vec::new(),
            windows: Vec::new(),
            blocks: Vec::new(),
            bytes: 0,
        }
    }

    /// Makes windows, chatters and digests what they will be, once all panes and blocks are in.
    pub(super) fn settle(&mut self, open: &Open, names: EmoteView<'_>) -> Growth {
        let stream = self.open.map(|number| &open.streams[number as usize]);
        let count = self.settle_windows(open, stream.map_or(&[], |stream| &stream.windows));
        let chatters = self.settle_chatters(open, stream.map_or(&[], |stream| &stream.blocks));
        let mut digest: u64 = 0;
        for pane in &mut self.panes {
            pane.digest = pane.digest_of(self.hash, pane.chatters, names);
            digest = digest.wrapping_add(pane.digest);
        }
        let old_panes = self.panes.iter().filter_map(|pane| stream?.pane(pane.number));
        digest = old_panes.clone().fold(digest, |sum, pane| sum.wrapping_sub(pane.digest));
        let old_bytes = bytes_of(old_panes, stream.map_or(0, |stream| stream.windows.len()), 0);
        let known_bytes = stream.map_or(0, |stream| stream.bytes);
        let base_bytes = stream.map_or_else(|| Stream::empty_bytes(&self.name), |stream| stream.bytes);
        self.bytes = base_bytes + bytes_of(self.panes.iter(), self.windows.len(), chatters) - old_bytes;
        Growth { count, digest, bytes: self.bytes.saturating_sub(known_bytes) }
    }

    /// Makes the windows from those of the open stream: all that hold a touched pane exist and are changed.
    /// Returns what their counts grow by.
    fn settle_windows(&mut self, open: &Open, old: &[Window]) -> i64 {
        let panes_per_window = open.spec.panes_per_window();
        let closed_early = open.closed_early.get(&*self.name);
        let is_open = |number: &i64| closed_early.is_none_or(|windows| !windows.contains_key(number));
        let mut old = old.iter().copied().peekable();
        let mut next = open.first;
        let mut count = 0;
        // Touched panes in the window: `low..high`, and the messages added in them.
        let (mut low, mut high, mut added) = (0, 0, 0);
        self.windows.reserve(old.len() + usize::try_from(panes_per_window).unwrap_or(0));
        for pane in &self.panes {
            next = next.max(pane.number.saturating_sub(panes_per_window - 1));
            for number in (next..=pane.number).filter(is_open) {
                while let Some(before) = old.next_if(|window| window.number < number) {
                    self.windows.push(before);
                }
                while self.panes.get(high).is_some_and(|pane| pane.number < number + panes_per_window) {
                    added += self.added[high];
                    high += 1;
                }
                while self.panes[low].number < number {
                    added -= self.added[low];
                    low += 1;
                }
                let window = old.next_if(|window| window.number == number);
                let window =
                    window.unwrap_or(Window { number, chat: 0, chatters: 0, written: 0, changed: true });
                self.windows.push(Window { chat: window.chat + added, changed: true, ..window });
                count += added;
            }
            next = next.max(pane.number + 1);
        }
        self.windows.extend(old);
        count
    }

    /// Adds the batch's chatters to windows and panes. Returns how many the open stream does not hold.
    fn settle_chatters(&mut self, open: &Open, old: &[Block]) -> usize {
        let mut chatters = 0;
        for at in 0..self.blocks.len() {
            let number = self.blocks[at].number;
            let gain = users::gain(old, &self.blocks, at, open.spec.panes_per_window());
            chatters += gain.chatters;
            let Gain { digests, first_window, windows: gains, .. } = gain;
            let panes = self.panes.iter_mut().skip_while(|pane| users::block_of(pane.number) < number);
            for pane in panes.take_while(|pane| users::block_of(pane.number) == number) {
                pane.chatters = pane.chatters.wrapping_add(digests[(pane.number & 63) as usize]);
            }
            let first = self.windows.partition_point(|window| window.number < first_window);
            for window in &mut self.windows[first..] {
                let place = usize::try_from(window.number - first_window).expect("not before the first");
                let Some(gain) = gains.get(place) else { break };
                window.chatters += gain;
            }
        }
        chatters
    }
}
