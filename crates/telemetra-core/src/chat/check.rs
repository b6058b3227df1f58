//! The check sums of the open panes, computed anew from all they hold, and the counts behind them.
//!
//! What a batch commits is kept up as panes change; this is the other way to the same numbers, taken after a
//! replay.

use super::{
    emit::last_end_ms,
    emotes::{EmoteNames, EmoteView},
    panes::{Open, Stream},
    users,
};
use crate::{
    logic::{OpenCheck, WindowCount},
    watermark::Watermark,
};

/// Computes the check sums from panes and chatters alone.
pub(super) fn check(open: &Open, watermark: Watermark, largest_ms: Option<i64>) -> OpenCheck {
    let first = open.spec.first_open(watermark).unwrap_or(i64::MIN);
    let fresh = EmoteNames::default();
    let names = EmoteView { open: &open.emotes, fresh: &fresh };
    let mut sums = OpenCheck::default();
    for stream in &open.streams {
        let chatters = digests(stream);
        for (pane, chatters) in stream.panes.iter().zip(chatters).filter(|(pane, _)| pane.number >= first) {
            sums.digest = sums.digest.wrapping_add(pane.digest_of(stream.hash, chatters, names));
            sums.count += pane.numbers.chat * open_windows_of(open, stream, pane.number, first);
        }
        let from = stream.windows.partition_point(|window| window.number < first);
        sums.end_ms = sums.end_ms.max(last_end_ms(open.spec, &stream.windows[from..], largest_ms));
    }
    sums
}

/// Per pane of the stream the wrapping sum over its distinct chatters.
fn digests(stream: &Stream) -> Vec<u64> {
    let mut sums = vec![0_u64; stream.panes.len()];
    for block in &stream.blocks {
        let from = stream.panes.partition_point(|pane| users::block_of(pane.number) < block.number);
        let panes =
            stream.panes[from..].iter().take_while(|pane| users::block_of(pane.number) == block.number);
        let bits: Vec<u64> = panes.map(|pane| users::bit(pane.number)).collect();
        for (&chatter, mask) in &block.masks {
            let digest = users::digest(chatter);
            for (sum, bit) in sums[from..].iter_mut().zip(&bits) {
                *sum = sum.wrapping_add(if mask & bit == 0 { 0 } else { digest });
            }
        }
    }
    sums
}

/// How many of the windows that hold a pane are open.
fn open_windows_of(open: &Open, stream: &Stream, pane: i64, first: i64) -> i64 {
    let from = (pane - open.spec.panes_per_window() + 1).max(first);
    let closed_early =
        open.closed_early.get(&*stream.name).map_or(0, |windows| windows.range(from..=pane).count());
    pane - from + 1 - i64::try_from(closed_early).expect("at most the panes of a window")
}

/// Counts of all open windows, ordered by (stream, start).
pub(super) fn open_windows(open: &Open, watermark: Watermark) -> Vec<WindowCount> {
    let first = open.spec.first_open(watermark).unwrap_or(i64::MIN);
    let windows =
        open.streams.iter().flat_map(|stream| stream.windows.iter().map(move |window| (stream, window)));
    let mut counts: Vec<_> = windows
        .filter(|(_, window)| window.number >= first)
        .map(|(stream, window)| WindowCount {
            key: stream.name.to_string(),
            start_ms: open.spec.start_ms(window.number),
            count: window.chat,
        })
        .collect();
    counts.sort_unstable();
    counts
}
