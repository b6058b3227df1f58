//! Prints what folding, merging, emitting and absorbing cost, on made-up chat events.
//!
//! `cargo run --release -p telemetra-core --example fold_speed`. Figures are the least and the median over batches.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use telemetra_core::{
    chat::{
        Chat, Open,
        event::{Body, ChatEvent, Emotes},
        rows::Answer,
        sentiment::{Sentiment, Tokenizer},
    },
    hash::{hash64, mix},
    logic::{EmitRequest, Logic},
    record::Origin,
    watermark::Watermark,
    window::WindowSpec,
};

const EMOTES: [&str; 16] = [
    "Kappa",
    "PogChamp",
    "KEKW",
    "LUL",
    "OMEGALUL",
    "BibleThump",
    "Kreygasm",
    "PauseChamp",
    "ResidentSleeper",
    "TriHard",
    "4Head",
    "EZ",
    "widepeepoHappy",
    "PepeHands",
    "monkaS",
    "FeelsBadMan",
];

/// One made-up load.
struct Load {
    name: &'static str,
    streams: u64,
    users: u64,
    events_per_batch: u64,
    /// Event time that a batch spans, milliseconds.
    batch_ms: i64,
    batches: u64,
    splits: u64,
    provisional_rows_max: usize,
}

struct Text {
    streams: Vec<String>,
    /// One in eight messages has two emotes, three have none.
    emotes: Vec<String>,
}

impl Text {
    fn new(streams: u64) -> Self {
        let emotes = (0..1_024_u64).map(|at| {
            let random = mix(at, 77);
            // Popular emotes are much more common than others.
            let name = |random: u64| EMOTES[((random % 16) * (random / 16 % 16) / 16) as usize];
            match random % 8 {
                0..3 => String::new(),
                3 => format!("\"{}\",\"{}\"", name(random >> 8), name(random >> 16)),
                _ => format!("\"{}\"", name(random >> 8)),
            }
        });
        Self { emotes: emotes.collect(), streams: (0..streams).map(|at| format!("stream_{at:04}")).collect() }
    }
}

/// Event number `at` of a load: each user writes mostly in one stream.
fn event<'a>(load: &Load, text: &'a Text, at: u64) -> ChatEvent<'a> {
    let random = mix(at, 0x5eed);
    let user = random % load.users;
    let elsewhere = random >> 60 == 0;
    let stream = if elsewhere { random >> 40 } else { user } % load.streams;
    let time_ms = 1_735_689_600_000 + at as i64 * load.batch_ms / load.events_per_batch as i64;
    let time_ms = time_ms - (random >> 50) as i64 % 2_000;
    let stream = &text.streams[stream as usize];
    if at.is_multiple_of(64) {
        return ChatEvent { time_ms, stream, body: Body::Viewer { count: user } };
    }
    let sentiment = [0, 0, 1_000_000_000_000, -333_333_333_333][(random >> 20 & 3) as usize];
    let emotes = Emotes::Plain(&text.emotes[(random >> 24) as usize % text.emotes.len()]);
    ChatEvent {
        time_ms,
        stream,
        body: Body::Chat { chatter: hash64(&user.to_le_bytes()), sentiment, emotes },
    }
}

#[derive(Default)]
struct Times([Vec<Duration>; 5]);

impl Times {
    fn time<T>(&mut self, stage: usize, work: impl FnOnce() -> T) -> T {
        let begun_at = Instant::now();
        let result = work();
        self.0[stage].push(begun_at.elapsed());
        result
    }

    fn print(mut self, load: &Load, rows: usize) {
        println!("{}: {} events a batch, {} rows in all", load.name, load.events_per_batch, rows);
        for (times, stage) in self.0.iter_mut().zip(["fold", "merge", "ask", "emit", "absorb"]) {
            times.sort_unstable();
            let (least, median) = (times[0], times[times.len() / 2]);
            let ns = |time: Duration| time.as_nanos() as f64 / load.events_per_batch as f64;
            println!(
                "  {stage:6} least {:7.2} ms a batch {:7.1} ns an event, median {:7.2} ms {:7.1} ns",
                least.as_secs_f64() * 1e3,
                ns(least),
                median.as_secs_f64() * 1e3,
                ns(median),
            );
        }
    }
}

/// Runs a load if its name holds the first argument.
fn run(load: &Load) {
    if std::env::args().nth(1).is_some_and(|part| !load.name.contains(&part)) {
        return;
    }
    let chat = Chat {
        window: WindowSpec::new(60_000, 10_000).expect("a valid spec"),
        sentiment: Sentiment::new(Tokenizer::Words),
        stream_chars_max: 255,
        anomaly_threshold: 3.0,
        open_bytes_max: 1 << 30,
    };
    let text = Text::new(load.streams);
    let mut open: Open = chat.open(Vec::new());
    let (mut times, mut rows, mut watermark) = (Times::default(), 0, Watermark::NONE);
    for batch in 0..load.batches {
        let range = batch * load.events_per_batch..(batch + 1) * load.events_per_batch;
        let events: Vec<_> = range.map(|at| event(load, &text, at)).collect();
        let largest_ms = events.iter().map(|event| event.time_ms).max();
        let share = events.len().div_ceil(load.splits as usize);
        let partials = times.time(0, || {
            events
                .chunks(share)
                .map(|events| {
                    let mut partial = chat.begin();
                    for event in events {
                        chat.fold(
                            &mut partial,
                            chat.window.pane_of(event.time_ms),
                            event,
                            &Origin::default(),
                        );
                    }
                    partial
                })
                .collect()
        });
        let to = Watermark::from(largest_ms.map(|ms| ms - 10_000));
        let request = EmitRequest {
            batch_id: batch + 1,
            from: watermark,
            to,
            largest_ms,
            start_ms: None,
            provisional_rows_max: load.provisional_rows_max,
        };
        let mut overlay = times.time(1, || chat.merge(&open, partials).expect("within the budget"));
        let ask = times.time(2, || chat.ask(&open, &overlay, &request));
        let answer = Answer { baselines: vec![Vec::new(); ask.baselines.len()], ..Answer::default() };
        let emitted = times.time(3, || chat.emit(&open, &mut overlay, answer, &request));
        rows += emitted.rows.windows.len();
        times.time(4, || chat.absorb(&mut open, overlay, to));
        watermark = to;
    }
    times.print(load, rows);
}

fn main() {
    let busy = Load {
        name: "20 streams, 50,000 users",
        streams: 20,
        users: 50_000,
        events_per_batch: 250_000,
        batch_ms: 60_000,
        batches: 40,
        splits: 2,
        provisional_rows_max: 5_000,
    };
    run(&busy);
    run(&Load { name: "the same, 10 s of event time a batch", batch_ms: 10_000, ..busy });
    run(&Load {
        name: "5,000 streams, 500,000 users",
        streams: 5_000,
        users: 500_000,
        events_per_batch: 50_000,
        batch_ms: 1_000,
        batches: 120,
        ..busy
    });
}
