//! Whole runs, batch by batch, held against the reference: any order, any split, dropped batches, restarts.

mod cases;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::reference::{Key, Store, TestEvent, What, all_windows, row, windows_of};
use super::{
    Chat, Open, Overlay, Partial,
    rows::{Ask, ChatRows, WindowRow},
    sentiment::Sentiment,
};
use crate::{
    logic::{EmitRequest, Emitted, Logic, WindowCount},
    watermark::Watermark,
    window::WindowSpec,
};

const SLIDE_MS: i64 = 10_000;
const STREAMS: [&str; 3] = ["ann", "bob", "cleo"];

fn chat(panes: i64) -> Chat {
    Chat {
        window: WindowSpec::new(panes * SLIDE_MS, SLIDE_MS).expect("a valid spec"),
        sentiment: Sentiment::new(Default::default()),
        stream_chars_max: 255,
        anomaly_threshold: 1.0,
        open_bytes_max: usize::MAX,
    }
}

fn fold<'a>(chat: &Chat, events: impl IntoIterator<Item = &'a TestEvent>) -> Partial {
    let mut partial = chat.begin();
    for event in events {
        partial.fold(chat.window.pane_of(event.time_ms), &event.event());
    }
    partial
}

/// One batch of a run: what it reads, how it is split, and what befalls it.
#[derive(Clone, Debug)]
struct Batch {
    events: Vec<TestEvent>,
    splits: usize,
    /// How far the watermark moves, milliseconds.
    advance_ms: i64,
    rows_max: usize,
    /// The commit is known not applied, and the batch is planned again.
    dropped: bool,
    /// After the commit: restart, and replay in that many rounds.
    replay_rounds: Option<usize>,
}

/// A run so far: the code under test beside what the reference needs.
struct Run {
    chat: Chat,
    open: Open,
    watermark: Watermark,
    /// All events that were folded, in order.
    counted: Vec<TestEvent>,
    store: Store,
    closed_early: BTreeMap<Key, i64>,
    /// Windows whose rows are another program's; they are let be if they begin before `start_ms`.
    adopted: BTreeSet<Key>,
    start_ms: Option<i64>,
    /// Changed open windows, with the batch that last wrote them.
    changed: BTreeSet<Key>,
    written: BTreeMap<Key, u64>,
    batch_id: u64,
    final_count: i64,
    misses: i64,
}

impl Run {
    fn new(panes: i64, closed_early: &BTreeMap<Key, i64>, beside: &Beside) -> Self {
        let chat = chat(panes);
        let mut run = Run {
            open: chat.open(Vec::new()),
            chat,
            watermark: Watermark::NONE,
            counted: Vec::new(),
            store: Store::default(),
            closed_early: closed_early.clone(),
            adopted: beside.adopted.iter().filter(|key| !closed_early.contains_key(key)).copied().collect(),
            start_ms: beside.start_ms,
            changed: BTreeSet::new(),
            written: BTreeMap::new(),
            batch_id: 0,
            final_count: 0,
            misses: 0,
        };
        for (&(stream, number), &count) in closed_early {
            run.store.insert(stream, run.chat.window.start_ms(number), count);
        }
        for &(stream, number) in &run.adopted {
            run.store.adopted.insert((stream.to_owned(), run.chat.window.start_ms(number)));
        }
        run.open = run.reopened();
        run
    }

    fn is_before_start(&self, key: &Key) -> bool {
        self.start_ms.is_some_and(|start_ms| self.chat.window.start_ms(key.1) < start_ms)
    }

    /// Whether the window's row stays another program's.
    fn is_left(&self, key: &Key) -> bool {
        self.is_before_start(key) && self.adopted.contains(key)
    }

    /// The row by the reference, provisional.
    fn row(&self, key: Key) -> WindowRow {
        WindowRow { incomplete: self.is_before_start(&key), ..row(self.chat.window, &self.counted, key) }
    }

    fn is_closed(&self, number: i64, watermark: Watermark) -> bool {
        watermark.has_passed(self.chat.window.end_ms(number))
    }

    /// Empty open panes, as after a start.
    fn reopened(&self) -> Open {
        let above =
            self.closed_early.iter().filter(|((_, number), _)| !self.is_closed(*number, self.watermark));
        let count = |(&(stream, number), &count): (&Key, &i64)| WindowCount {
            key: stream.to_owned(),
            start_ms: self.chat.window.start_ms(number),
            count,
        };
        self.chat.open(above.map(count).collect())
    }

    /// Open panes after a replay in `rounds` rounds.
    fn replayed(&self, rounds: usize) -> Open {
        let mut open = self.reopened();
        let is_open = |event: &&TestEvent| {
            !self.chat.window.is_pane_closed(self.chat.window.pane_of(event.time_ms), self.watermark)
        };
        let events: Vec<_> = self.counted.iter().filter(is_open).collect();
        for round in 0..rounds {
            let share = events.iter().rev().skip(round).step_by(rounds).copied();
            let overlay = self.chat.merge(&open, vec![fold(&self.chat, share)]).expect("no budget");
            self.chat.absorb(&mut open, overlay, self.watermark);
        }
        open
    }

    fn largest_ms(&self) -> Option<i64> {
        // Not the last one, so that windows beyond the largest confirmed event time occur.
        let mut times: Vec<_> = self.counted.iter().map(|event| event.time_ms).collect();
        times.sort_unstable();
        times.get(times.len().saturating_sub(2)).copied()
    }

    fn merge(&self, events: &[TestEvent], splits: usize) -> Overlay {
        let split = |number| fold(&self.chat, events.iter().skip(number).step_by(splits));
        self.chat.merge(&self.open, (0..splits).map(split).collect()).expect("no budget")
    }

    fn emit(&self, overlay: &mut Overlay, request: &EmitRequest) -> (Ask, Emitted<ChatRows>) {
        let ask = self.chat.ask(&self.open, overlay, request);
        let emitted = self.chat.emit(&self.open, overlay, self.store.answer(&ask), request);
        (ask, emitted)
    }

    fn step(&mut self, batch: &Batch) {
        let spec = self.chat.window;
        self.batch_id += 1;
        let is_late = |event: &TestEvent| spec.is_pane_closed(spec.pane_of(event.time_ms), self.watermark);
        let events: Vec<_> = batch.events.iter().filter(|event| !is_late(event)).cloned().collect();
        let before = self.watermark;
        let to = match before.ms() {
            Some(ms) => Watermark::at(ms + batch.advance_ms),
            None => events.iter().map(|event| event.time_ms).min().map(|ms| ms + batch.advance_ms).into(),
        };
        self.counted.extend(events.iter().cloned());
        let request = EmitRequest {
            batch_id: self.batch_id,
            from: before,
            to,
            largest_ms: self.largest_ms(),
            start_ms: self.start_ms,
            provisional_rows_max: batch.rows_max,
        };
        if batch.dropped {
            let check = self.chat.check(&self.open, before, request.largest_ms);
            let mut overlay = self.merge(&events[events.len() / 2..], batch.splits);
            self.emit(&mut overlay, &request);
            drop(overlay);
            assert_eq!(self.chat.check(&self.open, before, request.largest_ms), check);
        }
        let mut overlay = self.merge(&events, batch.splits);
        let (ask, emitted) = self.emit(&mut overlay, &request);
        let left_now = self.expect_rows(&emitted.rows, &ask, &request, &events);
        self.misses += left_now;
        self.final_count += emitted.final_count;
        for event in events.iter().filter(|event| event.is_chat()) {
            self.misses += spec.closed_windows(spec.pane_of(event.time_ms), before);
            let missed = windows_of(spec, event).filter(|key| self.closed_early.contains_key(key));
            let missed = missed.filter(|key| !self.is_closed(key.1, before)).count() as i64;
            self.misses += missed;
        }
        let missed_now = |event: &TestEvent| {
            let early = windows_of(spec, event).filter(|key| self.closed_early.contains_key(key));
            early.filter(|key| event.is_chat() && !self.is_closed(key.1, before)).count() as i64
        };
        assert_eq!(emitted.left_out, events.iter().map(missed_now).sum::<i64>() + left_now);
        self.chat.absorb(&mut self.open, overlay, to);
        self.watermark = to;
        self.expect_sums(&emitted, request.largest_ms);
        if let Some(rounds) = batch.replay_rounds {
            self.open = self.replayed(rounds);
            self.written.clear();
            self.changed = self.open_windows();
            assert_eq!(self.chat.check(&self.open, to, request.largest_ms), emitted.open);
        }
    }

    /// Open windows by the reference.
    fn open_windows(&self) -> BTreeSet<Key> {
        let all = all_windows(self.chat.window, &self.counted).into_iter();
        all.filter(|key| !self.is_closed(key.1, self.watermark) && !self.closed_early.contains_key(key))
            .collect()
    }

    /// Holds the rows of a batch against the reference; returns the counts of windows left to their adopted rows.
    fn expect_rows(&mut self, rows: &ChatRows, ask: &Ask, request: &EmitRequest, new: &[TestEvent]) -> i64 {
        let spec = self.chat.window;
        let is_open =
            |key: &Key, watermark| !self.is_closed(key.1, watermark) && !self.closed_early.contains_key(key);
        let all = all_windows(spec, &self.counted);
        let open_before = all.iter().filter(|key| is_open(key, request.from)).copied();
        let (open, finals): (BTreeSet<Key>, BTreeSet<Key>) =
            open_before.partition(|key| is_open(key, request.to));
        self.changed.extend(all_windows(spec, new));
        self.changed.retain(|key| open.contains(key));

        let key_of = |start_ms, stream: &str| {
            let stream = STREAMS.into_iter().find(|known| *known == stream).expect("a known stream");
            (stream, spec.pane_of(start_ms))
        };
        let keys: Vec<_> = rows.windows.iter().map(|row| key_of(row.start_ms, &row.stream)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "ordered, none twice: {keys:?}");
        let asked: BTreeSet<Key> =
            ask.beside.iter().map(|(stream, start_ms)| key_of(*start_ms, stream)).collect();
        assert!(asked.iter().all(|key| self.is_before_start(key)));
        assert!(
            keys.iter().all(|key| !self.is_left(key) && self.is_before_start(key) == asked.contains(key))
        );
        let left: BTreeSet<Key> = asked.into_iter().filter(|key| self.is_left(key)).collect();
        let left_finals: Vec<Key> = left.intersection(&finals).copied().collect();

        let (got_finals, provisional): (Vec<_>, Vec<_>) =
            rows.windows.iter().zip(&keys).partition(|(row, _)| row.is_final);
        let written: BTreeSet<Key> = got_finals.iter().map(|(_, key)| **key).collect();
        assert_eq!(written, finals.iter().filter(|key| !self.is_left(key)).copied().collect());

        let mut moments = rows.moments.iter();
        for (got, &key) in got_finals {
            let mut expected = self.row(key);
            self.store.judge(&mut expected, self.chat.anomaly_threshold);
            assert_eq!(*got, expected);
            self.store.insert(key.0, got.start_ms, got.chat_count);
            if got.is_anomaly {
                let moment = moments.next().expect("a moment for each anomaly");
                assert_eq!((&*moment.stream, moment.start_ms), (key.0, got.start_ms));
                assert_eq!(Some(moment.z_score), got.z_score);
            }
        }
        assert_eq!(moments.next(), None);

        let age = |key: &Key| (self.written.get(key).copied().unwrap_or(0), key.1);
        let left_open = left.difference(&finals);
        let chosen: BTreeSet<Key> =
            provisional.iter().map(|(_, key)| **key).chain(left_open.copied()).collect();
        assert_eq!(chosen.len(), self.changed.len().min(request.provisional_rows_max));
        assert!(chosen.is_subset(&self.changed), "only changed windows are written");
        let oldest_left = self.changed.difference(&chosen).map(age).min();
        let newest_chosen = chosen.iter().map(age).max();
        assert!(oldest_left.is_none() || newest_chosen <= oldest_left, "the stalest are written first");
        for (got, &key) in provisional {
            assert_eq!(*got, self.row(key));
        }
        for key in chosen {
            self.changed.remove(&key);
            self.written.insert(key, request.batch_id);
        }
        left_finals.into_iter().map(|key| self.row(key).chat_count).sum()
    }

    /// Holds the sums that a batch commits against the reference and against a replay in one go.
    fn expect_sums(&self, emitted: &Emitted<ChatRows>, largest_ms: Option<i64>) {
        let spec = self.chat.window;
        let open = self.open_windows();
        let counts: Vec<_> = open.iter().map(|&key| row(spec, &self.counted, key)).collect();
        assert_eq!(emitted.open.count, counts.iter().map(|row| row.chat_count).sum::<i64>());
        let at_or_before = open.iter().filter(|key| largest_ms.is_some_and(|ms| spec.start_ms(key.1) <= ms));
        assert_eq!(emitted.open.end_ms, at_or_before.map(|key| spec.end_ms(key.1)).max());
        let windows = counts.into_iter().map(|row| WindowCount {
            key: row.stream,
            start_ms: row.start_ms,
            count: row.chat_count,
        });
        assert_eq!(self.chat.open_windows(&self.open, self.watermark), windows.collect::<Vec<_>>());

        let chats = self.counted.iter().filter(|event| event.is_chat()).count() as i64;
        assert_eq!(self.final_count + emitted.open.count, spec.panes_per_window() * chats - self.misses);

        assert_eq!(self.chat.check(&self.open, self.watermark, largest_ms), emitted.open);
        let replayed = self.replayed(1);
        assert_eq!(self.chat.check(&replayed, self.watermark, largest_ms), emitted.open);
    }
}

fn event(panes: i64, base: i64) -> impl Strategy<Value = TestEvent> {
    let chat =
        (0..5_u64, -2..=2_i64, prop::collection::vec(0..14_u8, 0..4)).prop_map(|(user, score, emotes)| {
            let emotes = emotes.iter().map(|emote| format!("emote{emote}")).collect();
            What::Chat { user, sentiment: score * 333_333_333_333, emotes }
        });
    let what = prop_oneof![8 => chat, 1 => (0..1_000_u64).prop_map(What::Viewer)];
    let span = (2 * panes + 3) * SLIDE_MS;
    (0..STREAMS.len(), base * SLIDE_MS..base * SLIDE_MS + span, what)
        .prop_map(|(stream, time_ms, what)| TestEvent { stream: STREAMS[stream], time_ms, what })
}

fn batch(panes: i64, base: i64) -> impl Strategy<Value = Batch> {
    let replay_rounds = prop_oneof![4 => Just(None), 1 => (1..4_usize).prop_map(Some)];
    let rows_max = prop_oneof![Just(usize::MAX), 0..8_usize];
    let events = prop::collection::vec(event(panes, base), 0..16);
    let advance_ms = prop_oneof![Just(0), 0..panes * SLIDE_MS, Just(SLIDE_MS)];
    (events, 1..4_usize, advance_ms, rows_max, prop::bool::weighted(0.2), replay_rounds).prop_map(
        |(events, splits, advance_ms, rows_max, dropped, replay_rounds)| Batch {
            events,
            splits,
            advance_ms,
            rows_max,
            dropped,
            replay_rounds,
        },
    )
}

/// Another program's rows, and where the job begins beside them.
#[derive(Clone, Debug, Default)]
struct Beside {
    adopted: BTreeSet<Key>,
    start_ms: Option<i64>,
}

fn beside(panes: i64, base: i64) -> impl Strategy<Value = Beside> {
    let key = (0..STREAMS.len(), base - panes..base + 2 * panes);
    let adopted =
        prop::collection::btree_set(key.prop_map(|(stream, number)| (STREAMS[stream], number)), 0..20);
    let start_ms = base * SLIDE_MS..(base + panes + 2) * SLIDE_MS + 1;
    (adopted, start_ms).prop_map(|(adopted, start_ms)| Beside { adopted, start_ms: Some(start_ms) })
}

type Plan = (i64, BTreeMap<Key, i64>, Beside, Vec<Batch>);

fn plan(panes: impl Strategy<Value = i64>, batches_max: usize) -> impl Strategy<Value = Plan> {
    let base = prop_oneof![Just(-3_i64), Just(-70), Just(55), Just(1_000)];
    (panes, base).prop_flat_map(move |(panes, base)| {
        let early = ((0..STREAMS.len(), base - panes..base + 2 * panes), 0..50_i64);
        let early = prop::collection::vec(early, 0..6).prop_map(|early| {
            early.into_iter().map(|((stream, number), count)| ((STREAMS[stream], number), count)).collect()
        });
        let early = prop_oneof![2 => Just(BTreeMap::new()), 1 => early];
        let beside = prop_oneof![Just(Beside::default()), beside(panes, base)];
        (Just(panes), early, beside, prop::collection::vec(batch(panes, base), 1..batches_max))
    })
}

fn check((panes, closed_early, beside, batches): &Plan) {
    let mut run = Run::new(*panes, closed_early, beside);
    for batch in batches {
        run.step(batch);
    }
    // Drain: close everything.
    let last = run.counted.iter().map(|event| event.time_ms).max();
    let end_ms = last.map_or(0, |ms| ms + 2 * panes * SLIDE_MS);
    let advance_ms = run.watermark.ms().map_or(0, |ms| (end_ms - ms).max(0));
    let events = Vec::new();
    let drain = Batch { events, splits: 1, advance_ms, rows_max: 9, dropped: true, replay_rounds: None };
    run.step(&drain);
    if run.watermark != Watermark::NONE {
        assert_eq!(run.open.streams.len(), 0, "a closed stream leaves nothing behind");
        assert_eq!((run.open.digest, run.open.count), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_run_gives_the_rows_of_the_reference(plan in plan(prop_oneof![Just(1_i64), Just(3), Just(6)], 12)) {
        check(&plan);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_window_may_span_more_than_a_block(plan in plan(Just(90_i64), 6)) {
        check(&plan);
    }
}
