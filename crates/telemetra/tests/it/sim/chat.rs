//! The chat pipeline in the simulated world: its records, and every column of its rows computed naively from
//! the events that a window holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};
use telemetra_core::{
    chat::{
        Chat,
        rows::{Answer, Ask, ChatRows, WindowRow},
        sentiment::{Sentiment, Tokenizer},
    },
    limits::BASELINE_WINDOWS,
};
use telemetra_engine::sim::{
    reference::{Known, RowView},
    sink::Lens,
    source::MemSource,
    store::{Finding, SimRow, Store, Written},
};

use super::{
    drive::{Drive, Sim},
    input::{Hist, Item, Kind, NOW, NOW_S, Part},
    product::{Product, window},
};

const THRESHOLD: f64 = 3.0;
const POSITIVE: [&str; 3] = ["love", "great", "pog"];
const NEGATIVE: [&str; 2] = ["bad", "boring"];
const MESSAGES: [&str; 6] =
    ["love it", "bad, BAD and boring!", "so-so", "great but bad", "Pog pog PogChamp?", "what is the time"];
const EMOTES: [&str; 12] = ["Kappa", "LUL", "PogU", "a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// Chat analytics as users get it.
pub(super) fn chat() -> Product<Chat> {
    let logic = Chat {
        window: window(),
        sentiment: Sentiment::new(Tokenizer::Words),
        stream_chars_max: 255,
        anomaly_threshold: THRESHOLD,
        open_bytes_max: 256 << 20,
    };
    Product {
        logic: Arc::new(logic),
        lens: Lens { written, answer },
        record,
        known,
        text,
        earlier_rows: BASELINE_WINDOWS,
    }
}

fn record(input: u8, item: &Item, nth: u64) -> Vec<u8> {
    let pick =
        |from: u64, count: usize| usize::try_from((nth / from) % count as u64).expect("a small number");
    let stream = format!("s{}", item.stream);
    let value = match (input, item.kind) {
        (_, Kind::Refused | Kind::Empty) => return b"{\"timestamp\": 0".to_vec(),
        (0, _) => {
            let emotes: Vec<_> = (0..nth % 4).map(|at| EMOTES[pick(1 + at, EMOTES.len())]).collect();
            json!({
                "timestamp": item.time_ms, "stream_id": stream, "user_id": format!("u{}", nth % 23),
                "message": MESSAGES[pick(1, MESSAGES.len())], "emotes": emotes,
            })
        }
        _ => json!({ "timestamp": item.time_ms, "stream_id": stream, "viewer_count": 100 + nth % 50 }),
    };
    value.to_string().into_bytes()
}

fn known(input: u8, record: &[u8]) -> Known {
    let Ok(value) = serde_json::from_slice::<Value>(record) else { return Known::Refused };
    let key = value["stream_id"].as_str().expect("this test's own records").to_owned();
    let time_ms = value["timestamp"].as_i64().expect("this test's own records");
    Known::Event { key, time_ms, counts: input == 0 }
}

/// 10^12 times the score of a message.
fn score(message: &str) -> i64 {
    let lower = message.to_lowercase();
    let words: BTreeSet<_> = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').collect();
    let hits = |list: &[&str]| list.iter().filter(|word| words.contains(*word)).count() as i64;
    // `PogChamp` is a word of the list too.
    let (p, n) = (hits(&POSITIVE) + i64::from(words.contains("pogchamp")), hits(&NEGATIVE));
    if p + n == 0 { 0 } else { (p - n) * 1_000_000_000_000 / (p + n) }
}

/// What a row is to show, all columns.
#[derive(Default)]
struct Columns {
    count: i64,
    chatters: i64,
    sentiment: Option<f64>,
    positive: i64,
    negative: i64,
    rate: f64,
    viewers: Option<f64>,
    emotes: Vec<(String, u64)>,
    z_score: Option<f64>,
    is_anomaly: bool,
}

impl Columns {
    fn text(&self) -> String {
        // Nine digits, and no negative zero: sums may be divided in another order.
        let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.9}", value + 0.0));
        format!(
            "count={} chatters={} sentiment={} +{} -{} rate={:.9} viewers={} emotes={:?} z={} anomaly={}",
            self.count,
            self.chatters,
            show(self.sentiment),
            self.positive,
            self.negative,
            self.rate,
            show(self.viewers),
            self.emotes,
            show(self.z_score),
            self.is_anomaly,
        )
    }
}

fn z_score(count: i64, earlier: &[(i64, i64)]) -> Option<f64> {
    if earlier.len() < 5 {
        return None;
    }
    let counts: Vec<_> = earlier.iter().map(|(_, count)| *count as f64).collect();
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let variance =
        counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / counts.len() as f64;
    Some((count as f64 - mean) / variance.sqrt().max(mean.max(1.0).sqrt()))
}

fn text(source: &MemSource, view: &RowView<'_>) -> String {
    let mut columns = Columns::default();
    let mut users = BTreeSet::new();
    let mut emotes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut scores, mut samples, mut viewers) = (0, 0, 0);
    for member in view.members {
        let record =
            source.log(member.partition).and_then(|log| log.get(member.offset)).expect("it was counted");
        let value: Value = serde_json::from_slice(record).expect("this test's own records");
        if !member.counts {
            viewers += value["viewer_count"].as_i64().expect("this test's own records");
            samples += 1;
            continue;
        }
        columns.count += 1;
        users.insert(value["user_id"].to_string());
        let score = score(value["message"].as_str().expect("this test's own records"));
        scores += score;
        columns.positive += i64::from(score > 0);
        columns.negative += i64::from(score < 0);
        for name in value["emotes"].as_array().into_iter().flatten() {
            *emotes.entry(name.as_str().expect("this test's own records").to_owned()).or_default() += 1;
        }
    }
    columns.chatters = users.len() as i64;
    columns.sentiment = (columns.count > 0).then(|| scores as f64 / columns.count as f64 / 1e12);
    columns.rate = columns.count as f64 / 60.0;
    columns.viewers = (samples > 0).then(|| viewers as f64 / samples as f64);
    columns.emotes = emotes.into_iter().collect();
    columns.emotes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    columns.emotes.truncate(10);
    columns.z_score = view.earlier.and_then(|earlier| z_score(columns.count, earlier));
    columns.is_anomaly = columns.z_score.is_some_and(|z_score| z_score > THRESHOLD);
    columns.text()
}

fn columns(row: &WindowRow) -> Columns {
    Columns {
        count: row.chat_count,
        chatters: row.unique_chatters,
        sentiment: row.avg_sentiment,
        positive: row.positive_count,
        negative: row.negative_count,
        rate: row.chat_rate,
        viewers: row.avg_viewers,
        emotes: row.top_emotes.clone(),
        z_score: row.z_score,
        is_anomaly: row.is_anomaly,
    }
}

fn written(rows: &ChatRows) -> Written {
    let row = |row: &WindowRow| SimRow {
        key: row.stream.clone(),
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        count: row.chat_count,
        is_final: row.is_final,
        text: columns(row).text(),
    };
    let findings = rows.moments.iter().map(|moment| Finding {
        key: moment.stream.clone(),
        start_ms: moment.start_ms,
        text: format!("{} {} {:.9}", moment.chat_count, moment.unique_chatters, moment.z_score),
    });
    Written { rows: rows.windows.iter().map(row).collect(), findings: findings.collect() }
}

fn answer(ask: &Ask, store: &Store) -> Answer {
    let rows = |(stream, start_ms): &(String, i64)| store.final_before(stream, *start_ms, BASELINE_WINDOWS);
    Answer { baselines: ask.baselines.iter().map(rows).collect(), adopted: Vec::new() }
}

/// Twenty minutes of chat and viewers, with a burst of messages after fifteen.
fn with_burst() -> [Part; 2] {
    let mut dice = telemetra_engine::sim::dice::Dice::new(1);
    let from_s = NOW_S - 3_600;
    let mut items = Hist::of(Kind::Chat, from_s, from_s + 1_200, 0.5).items(&mut dice);
    let at = items.iter().position(|item| item.time_ms > (from_s + 900) * 1_000).expect("it goes on");
    let burst = (0..200).map(|n| Item { time_ms: (from_s + 900) * 1_000 + n * 40, ..items[at] });
    let burst: Vec<_> = burst.collect();
    items.splice(at..at, burst);
    let viewers = Hist::of(Kind::Viewer, from_s, from_s + 1_200, 0.1).items(&mut dice);
    [Part::chat(0, items), Part::viewer(0, viewers)]
}

#[test]
fn a_burst_is_a_moment_at_any_split_and_crash() {
    let run = |caps: Vec<Option<u64>>, crashes| {
        let mut sim = Sim::new(&chat(), &with_burst());
        sim.rules.idle_timeout_ms = i64::MAX / 4;
        let drive = Drive { caps, crashes, seed: 4, ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        sim.check();
        assert_eq!((outcome.late, outcome.unread), (0, 0));
        let mut job = sim.job(outcome.end_ms).expect("it starts");
        job.flush(NOW).expect("it is written");
        sim.store(|store| {
            let anomalies = store.rows.iter().filter(|(_, row)| row.text.ends_with("anomaly=true"));
            let anomalies: Vec<_> = anomalies.map(|(key, _)| key.clone()).collect();
            assert!(!anomalies.is_empty(), "the burst shows");
            assert_eq!(anomalies, store.findings.keys().cloned().collect::<Vec<_>>());
        });
        sim.text()
    };
    let undisturbed = run(vec![None], 0);
    for cap in [7, 61, 400] {
        assert_eq!(undisturbed, run(vec![Some(cap)], 0), "batches of {cap}");
        assert_eq!(undisturbed, run(vec![Some(cap), None], 150), "batches of {cap}, with crashes");
    }
}
