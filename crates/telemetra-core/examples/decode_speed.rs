//! Measures decode on one thread: nanoseconds an event for chat records of about 260 bytes.
//!
//! Compare figures of the same minute only; machines vary more than the code does.
#![allow(clippy::print_stdout)]

use std::{fmt::Write as _, hint::black_box, time::Instant};

use telemetra_core::{
    chat::{
        Chat,
        decode::{Scratch, decode},
        event::CHAT,
        sentiment::{Sentiment, Tokenizer},
    },
    record::Record,
    window::WindowSpec,
};

/// Little enough to stay in the cache, as chunks of a file do; enough that branches are not learnt by heart.
const EVENTS: usize = 4_000;
const ROUNDS: usize = 300;

const MESSAGES: [&str; 16] = [
    "this is so good",
    "love this stream",
    "Best stream ever",
    "sad fail",
    "gg",
    "what a play",
    "hello everyone",
    "HATE it, boring",
    "can we see that again",
    "lol haha",
    "日本 nice",
    "first time here, what is going on",
    "POG",
    "don't be mad",
    "clip it",
    "that was awesome!",
];
const EMOTES: [&str; 8] =
    ["Kappa", "PogChamp", "KEKW", "LUL", "OMEGALUL", "BibleThump", "PepeHands", "4Head"];

/// A small generator of numbers that look random (Vigna, splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

fn records(spaces: bool, escapes: bool) -> Vec<String> {
    let mut numbers = Numbers(42);
    (0..EVENTS)
        .map(|n| {
            let user = numbers.below(5_000);
            let emote = EMOTES[numbers.below(EMOTES.len())];
            let mut message = format!("{} {emote}", MESSAGES[numbers.below(MESSAGES.len())]);
            if escapes {
                message = message.replace("日本", r"\u65e5\u672c");
            }
            let (second, milli) = (n / 1_000 % 60, n % 1_000);
            let mut text = format!(
                "{{\"event_id\":\"chat_1735689600{milli:03}_{n}\",\"timestamp\":\"2025-01-01T00:00:{second:02}.{milli:03}Z\",\
                 \"stream_id\":\"stream_{:04}\",\"user_id\":\"user_{user}\",\"username\":\"viewer{user}\",\
                 \"message\":\"{message}\",\"emotes\":[",
                numbers.below(20)
            );
            let emotes = vec![format!("\"{emote}\""); numbers.below(3)].join(",");
            let is = |one: usize| if one == 0 { "true" } else { "false" };
            let badge = ["", "\"subscriber\"", "\"vip\""][numbers.below(3)];
            write!(
                text,
                "{emotes}],\"is_subscriber\":{},\"is_moderator\":{},\"badges\":[{badge}]}}",
                is(numbers.below(3)),
                is(numbers.below(30))
            )
            .expect("a string can be written to");
            if spaces { text.replace("\":", "\": ").replace(",\"", ", \"") } else { text }
        })
        .collect()
}

/// Prints the best of many rounds over all records.
fn measure(name: &str, mut round: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .min()
        .expect("at least one round");
    println!("{name:<40} {:7.1} ns/event", best.as_nanos() as f64 / EVENTS as f64);
}

fn main() {
    let chat = Chat {
        window: WindowSpec::new(60_000, 10_000).expect("a minute is six times ten seconds"),
        sentiment: Sentiment::new(Tokenizer::Words),
        stream_chars_max: 255,
        anomaly_threshold: 3.0,
        open_bytes_max: 1 << 30,
    };
    let mut scratch = Scratch::default();
    let mut decode_all = |name: &str, records: &[String]| {
        let chunk = records.join("\n");
        let records: Vec<&str> = chunk.lines().collect();
        measure(name, || {
            for text in &records {
                let record = Record::of_text(text);
                black_box(decode(&chat, CHAT, record, &mut scratch).is_ok());
            }
        });
    };
    let compact = records(false, false);
    println!("{} bytes a record", compact.iter().map(String::len).sum::<usize>() / EVENTS);
    decode_all("scanner", &compact);
    decode_all("scanner, spaces between tokens", &records(true, false));
    decode_all("scanner, escaped messages", &records(false, true));
    // The scanner leaves a byte order mark to serde_json.
    decode_all("serde_json", &compact.iter().map(|text| format!("\u{feff}{text}")).collect::<Vec<_>>());
    decode_all("no message to score", &compact.iter().map(|text| blank_message(text)).collect::<Vec<_>>());

    let messages: Vec<&str> = compact.iter().map(|text| message(text)).collect();
    for tokenizer in [Tokenizer::Words, Tokenizer::Whitespace] {
        let sentiment = Sentiment::new(tokenizer);
        measure(&format!("sentiment, {tokenizer:?}"), || {
            for message in &messages {
                black_box(sentiment.score(message));
            }
        });
    }
    let lexicon: String = (0..5_000).map(|n| format!("word{n} 1\n")).collect();
    let lexicon = telemetra_core::chat::sentiment::Lexicon::parse(&lexicon).expect("5,000 words");
    let sentiment = Sentiment::with_lexicon(Tokenizer::Words, lexicon);
    measure("sentiment, 5,000 words", || {
        for message in &messages {
            black_box(sentiment.score(message));
        }
    });
}

/// The same record, as long, its message all dots: the scanner alone.
fn blank_message(text: &str) -> String {
    let message = message(text);
    text.replacen(message, &".".repeat(message.len()), 1)
}

fn message(text: &str) -> &str {
    let (_, rest) = text.split_once("\"message\":\"").expect("a message");
    rest.split_once('"').expect("its end").0
}
