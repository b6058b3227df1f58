//! A second, slow way to the numbers: sorted sets over the list of all events, nothing kept between batches.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    chat::{
        event::{Body, ChatEvent, Emotes},
        rows::{Answer, Ask, WindowRow},
    },
    limits::TOP_EMOTES,
    window::WindowSpec,
};

/// An event with all that it needs to be folded any number of times.
#[derive(Clone, Debug)]
pub(super) struct TestEvent {
    pub(super) stream: &'static str,
    pub(super) time_ms: i64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Chat { user: u64, sentiment: i64, emotes: Vec<String> },
    Viewer(u64),
}

impl TestEvent {
    pub(super) fn event(&self) -> ChatEvent<'_> {
        let body = match &self.what {
            What::Chat { user, sentiment, emotes } => {
                Body::Chat { chatter: *user, sentiment: *sentiment, emotes: Emotes::List(emotes) }
            }
            What::Viewer(count) => Body::Viewer { count: *count },
        };
        ChatEvent { time_ms: self.time_ms, stream: self.stream, body }
    }

    pub(super) fn is_chat(&self) -> bool {
        matches!(self.what, What::Chat { .. })
    }
}

/// A stream and the number of a window in it.
pub(super) type Key = (&'static str, i64);

/// The windows that hold `event`.
pub(super) fn windows_of(spec: WindowSpec, event: &TestEvent) -> impl Iterator<Item = Key> {
    let (stream, pane) = (event.stream, spec.pane_of(event.time_ms));
    (pane - spec.panes_per_window() + 1..=pane).map(move |number| (stream, number))
}

/// All windows that hold one of `events`.
pub(super) fn all_windows(spec: WindowSpec, events: &[TestEvent]) -> BTreeSet<Key> {
    events.iter().flat_map(|event| windows_of(spec, event)).collect()
}

/// The row of one window, provisional, without a z-score.
pub(super) fn row(spec: WindowSpec, events: &[TestEvent], (stream, number): Key) -> WindowRow {
    let (start_ms, end_ms) = (spec.start_ms(number), spec.end_ms(number));
    let inside = |event: &&TestEvent| event.stream == stream && (start_ms..end_ms).contains(&event.time_ms);
    let (mut users, mut scores, mut viewers) = (BTreeSet::new(), Vec::new(), Vec::new());
    let mut emote_counts = BTreeMap::<_, u64>::new();
    for event in events.iter().filter(inside) {
        match &event.what {
            What::Chat { user, sentiment, emotes } => {
                users.insert(user);
                scores.push(i128::from(*sentiment));
                emotes.iter().for_each(|name| *emote_counts.entry(name.clone()).or_default() += 1);
            }
            What::Viewer(count) => viewers.push(u128::from(*count)),
        }
    }
    let mut top_emotes: Vec<_> = emote_counts.into_iter().collect();
    top_emotes.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    top_emotes.truncate(TOP_EMOTES);
    let (chats, samples) = (scores.len() as f64, viewers.len() as f64);
    WindowRow {
        stream: stream.to_owned(),
        start_ms,
        end_ms,
        chat_count: scores.len() as i64,
        unique_chatters: users.len() as i64,
        avg_sentiment: (chats > 0.0).then(|| scores.iter().sum::<i128>() as f64 / 1e12 / chats),
        positive_count: scores.iter().filter(|&&score| score > 0).count() as i64,
        negative_count: scores.iter().filter(|&&score| score < 0).count() as i64,
        chat_rate: chats / ((end_ms - start_ms) as f64 / 1e3),
        avg_viewers: (samples > 0.0).then(|| viewers.iter().sum::<u128>() as f64 / samples),
        top_emotes,
        z_score: None,
        is_anomaly: false,
        is_final: false,
        incomplete: false,
    }
}

/// The final rows' counts, as a store holds them, and which rows are another program's.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    finals: BTreeMap<String, BTreeMap<i64, i64>>,
    pub(super) adopted: BTreeSet<(String, i64)>,
}

impl Store {
    pub(super) fn insert(&mut self, stream: &str, start_ms: i64, count: i64) {
        let before = self.finals.entry(stream.to_owned()).or_default().insert(start_ms, count);
        assert_eq!(before, None, "{stream} {start_ms} is final twice");
    }

    /// The last ten final rows before a start, ascending.
    pub(super) fn before(&self, stream: &str, start_ms: i64) -> Vec<(i64, i64)> {
        let rows = self.finals.get(stream).into_iter().flat_map(|rows| rows.range(..start_ms).rev().take(10));
        let mut rows: Vec<_> = rows.map(|(&start_ms, &count)| (start_ms, count)).collect();
        rows.reverse();
        rows
    }

    pub(super) fn answer(&self, ask: &Ask) -> Answer {
        let before = |(stream, start_ms): &(String, i64)| self.before(stream, *start_ms);
        // In another order than asked.
        let adopted = ask.beside.iter().rev().filter(|window| self.adopted.contains(*window));
        Answer { baselines: ask.baselines.iter().map(before).collect(), adopted: adopted.cloned().collect() }
    }

    /// Judges a final row by the rows before it.
    pub(super) fn judge(&self, row: &mut WindowRow, threshold: f64) {
        let counts: Vec<_> = self.before(&row.stream, row.start_ms).iter().map(|row| row.1 as f64).collect();
        if counts.len() >= 5 {
            let n = counts.len() as f64;
            let mean = counts.iter().sum::<f64>() / n;
            let deviation = (counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / n).sqrt();
            let z_score = (row.chat_count as f64 - mean) / deviation.max(mean.max(1.0).sqrt());
            row.is_anomaly = z_score > threshold;
            row.z_score = Some(z_score);
        }
        row.is_final = true;
    }
}
