//! The generator as a whole: same seed, same bytes; shares, rates and records are what the plan says.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{ChatGenerator, ChatPlan, Input, Item, Kind, broken::BROKEN};
use crate::hash::hash64;

fn plan() -> ChatPlan {
    ChatPlan { out_of_order_share: 0.05, late_share: 0.03, broken_share: 0.02, ..ChatPlan::default() }
}

/// Calls `each` with the items of the first `seconds` of `plan` and their lines.
fn run(plan: &ChatPlan, seconds: i64, mut each: impl FnMut(Item, &[u8])) {
    let mut generator = ChatGenerator::new(plan.clone()).unwrap();
    let mut line = Vec::new();
    while generator.next_ms() < plan.start_ms + seconds * 1_000 {
        line.clear();
        let due_ms = generator.next_ms();
        let item = generator.next(&mut line);
        assert_eq!(item.written_ms, due_ms);
        each(item, &line);
    }
}

fn digest(plan: &ChatPlan) -> u64 {
    let mut all = Vec::new();
    run(plan, 20, |_, line| all.extend_from_slice(line));
    hash64(&all)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(digest(&plan()), digest(&plan()));
    assert_ne!(digest(&plan()), digest(&ChatPlan { seed: 2, ..plan() }));
}

#[test]
fn chat_alone_is_the_same_chat() {
    let plan = plan();
    let (mut all, mut chat) = (Vec::new(), Vec::new());
    let mut count = 0;
    run(&plan, 10, |item, line| {
        if item.input == Input::Chat {
            all.extend_from_slice(line);
            count += 1;
        }
    });
    let mut generator = ChatGenerator::new(plan).unwrap();
    for _ in 0..count {
        assert_eq!(generator.next_chat(&mut chat).input, Input::Chat);
    }
    assert_eq!(all, chat);
}

#[test]
fn every_event_that_is_not_broken_has_its_fields() {
    let plan = plan();
    let mut bytes = (0_usize, 0_usize);
    run(&plan, 40, |item, line| {
        assert!(!line.contains(&b'\n'));
        if item.kind == Kind::Broken {
            return;
        }
        let value: Value = serde_json::from_slice(line).unwrap();
        let field = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"));
        let stamp: jiff::Timestamp = field("timestamp").parse().unwrap();
        assert_eq!(stamp.as_millisecond(), item.time_ms);
        assert!(field("stream_id").starts_with("stream_"));
        if item.input == Input::Viewer {
            assert!(value["viewer_count"].as_u64().is_some());
            return;
        }
        bytes = (bytes.0 + line.len(), bytes.1 + 1);
        assert!(field("event_id").starts_with("chat_"));
        assert!(field("user_id").starts_with("user_"));
        assert!(!field("username").is_empty());
        assert!(
            value["badges"].is_array()
                && value["is_subscriber"].is_boolean()
                && value["is_moderator"].is_boolean()
        );
        let words: Vec<&str> = field("message").split(' ').collect();
        for emote in value["emotes"].as_array().unwrap() {
            assert!(words.contains(&emote.as_str().unwrap()), "{value}");
        }
    });
    let mean = bytes.0 as f64 / bytes.1 as f64;
    assert!((250.0..270.0).contains(&mean), "{mean} bytes on average");
}

#[test]
fn broken_records_are_broken_in_every_way() {
    let plan = ChatPlan { broken_share: 1.0, out_of_order_share: 0.0, late_share: 0.0, ..plan() };
    let mut codes = HashSet::new();
    run(&plan, 2, |item, line| {
        if item.input == Input::Viewer {
            return;
        }
        let code = item.code.unwrap();
        codes.insert(code);
        let parsed = serde_json::from_slice::<Value>(line);
        assert_eq!(code == "utf8", std::str::from_utf8(line).is_err());
        assert_eq!(matches!(code, "utf8" | "json_syntax"), parsed.is_err(), "{code}");
        assert_eq!(code == "not_object", parsed.is_ok_and(|value| !value.is_object()), "{code}");
    });
    assert_eq!(codes, BROKEN.iter().map(|(code, _)| *code).collect());
}

#[test]
fn shares_times_and_order_are_as_planned() {
    let plan = plan();
    let mut counts: HashMap<Kind, f64> = HashMap::new();
    let mut last_ms = plan.start_ms;
    run(&plan, 240, |item, _| {
        assert!(item.written_ms >= last_ms);
        last_ms = item.written_ms;
        assert_eq!(item.code.is_some(), item.kind == Kind::Broken);
        let back_ms = item.written_ms - item.time_ms;
        match item.kind {
            Kind::Good | Kind::Broken => assert_eq!(back_ms, 0),
            Kind::OutOfOrder => assert!((1..=8_000).contains(&back_ms)),
            Kind::Late => assert!((120_000..=600_000).contains(&back_ms)),
        }
        if item.input == Input::Chat {
            *counts.entry(item.kind).or_default() += 1.0;
        }
    });
    let all: f64 = counts.values().sum();
    assert!((all - 240_000.0).abs() <= 2.0, "{all} events in four minutes at 1,000 a second");
    for (kind, share) in [(Kind::OutOfOrder, 0.05), (Kind::Late, 0.03), (Kind::Broken, 0.02)] {
        assert!((counts[&kind] / all - share).abs() < 0.002, "{kind:?}: {}", counts[&kind] / all);
    }
}

#[test]
fn viewer_samples_come_for_every_stream_in_order() {
    let plan = ChatPlan { streams: 7, viewer_interval_ms: 1_000, ..plan() };
    let mut samples = 0;
    run(&plan, 30, |item, _| samples += i32::from(item.input == Input::Viewer));
    assert_eq!(samples, 7 * 30);
    run(&ChatPlan { viewer_interval_ms: 0, ..plan }, 5, |item, _| assert_eq!(item.input, Input::Chat));
}

#[test]
fn ten_minutes_hold_several_peaks() {
    for seed in 1..=5 {
        let plan = ChatPlan { seed, rate_per_second: 100.0, ..ChatPlan::default() };
        let mut slices = vec![[0_u32; 60]; 20];
        run(&plan, 600, |item, line| {
            if item.input == Input::Chat {
                let at = line.windows(8).position(|bytes| bytes == b"stream_0").unwrap() + 7;
                let stream: usize = std::str::from_utf8(&line[at..at + 4]).unwrap().parse().unwrap();
                slices[stream][((item.written_ms - plan.start_ms) / 10_000) as usize] += 1;
            }
        });
        let peaks = slices.iter().filter(|counts| {
            let mut sorted = **counts;
            sorted.sort_unstable();
            sorted[59] > 4 * sorted[30]
        });
        assert!(peaks.count() >= 4, "seed {seed}");
    }
}

#[test]
fn a_wrong_plan_is_refused_with_every_fault() {
    let check = |plan: ChatPlan, faults: usize| {
        assert_eq!(ChatGenerator::new(plan).err().map_or(0, |faults| faults.len()), faults);
    };
    check(plan(), 0);
    check(ChatPlan { streams: 0, users: 0, ..plan() }, 2);
    check(ChatPlan { late_share: 0.6, broken_share: 0.6, ..plan() }, 1);
    check(ChatPlan { rate_per_second: f64::NAN, ..plan() }, 1);
}
