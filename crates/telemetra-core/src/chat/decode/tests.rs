//! Records to events and refusals: every rule, every code, and the scanner held against the judge.

use std::sync::LazyLock;

use super::*;
use crate::{
    chat::{
        event::{Body, CHAT, Emotes, VIEWER},
        sentiment::{Sentiment, Tokenizer},
    },
    hash::hash64,
    window::WindowSpec,
};

static CHAT_LOGIC: LazyLock<Chat> = LazyLock::new(|| Chat {
    window: WindowSpec::new(60_000, 10_000).expect("a minute is six times ten seconds"),
    sentiment: Sentiment::new(Tokenizer::Words),
    stream_chars_max: limits::STREAM_CHARS_MAX,
    anomaly_threshold: 3.0,
    open_bytes_max: 1 << 30,
});

pub(super) fn chat() -> &'static Chat {
    &CHAT_LOGIC
}

/// Decodes one line and hands `each` the event or the code of its refusal.
pub(super) fn judged<T>(input: u8, bytes: &[u8], each: impl FnOnce(Result<ChatEvent<'_>, &str>) -> T) -> T {
    let mut scratch = Scratch::default();
    let record = Record::of_bytes(bytes);
    match decode(chat(), input, record, &mut scratch) {
        Ok(event) => each(Ok(event)),
        Err(Reject(code)) => each(Err(&code)),
    }
}

/// [`judged`], after holding both ways of decoding together.
fn read(input: u8, bytes: &[u8], each: impl FnOnce(Result<ChatEvent<'_>, &str>)) {
    if let Ok(text) = str::from_utf8(bytes) {
        let mut scratch = Scratch::default();
        // The second time the keys are predicted.
        let first = check_agreement(chat(), input, text, &mut scratch).expect("scanner and serde_json agree");
        let second =
            check_agreement(chat(), input, text, &mut scratch).expect("scanner and serde_json agree");
        assert_eq!(first, second, "{text}");
    }
    judged(input, bytes, each);
}

/// A chat record of these fields, after good ones for what they leave out, is refused under `code`.
fn check_chat(fields: &str, code: &str) {
    let rest = [
        ("timestamp", r#""2025-01-01T00:00:00Z""#),
        ("stream_id", r#""s""#),
        ("user_id", r#""u""#),
        ("message", r#""m""#),
    ]
    .iter()
    .filter(|(name, _)| !fields.contains(&format!("\"{name}\"")))
    .map(|(name, value)| format!("\"{name}\":{value}"));
    let fields = rest.chain((!fields.is_empty()).then(|| fields.to_owned())).collect::<Vec<_>>().join(",");
    check(CHAT, &format!("{{{fields}}}"), code);
}

fn check_viewer(value: &str, code: &str) {
    check(VIEWER, &format!(r#"{{"timestamp":0,"stream_id":"s","viewer_count":{value}}}"#), code);
}

/// `code` is what refuses the record, or `ok`.
fn check(input: u8, text: &str, code: &str) {
    read(input, text.as_bytes(), |event| {
        assert_eq!(event.map_or_else(str::to_owned, |_| "ok".to_owned()), code, "{text}");
    });
}

#[test]
fn the_record_as_a_whole_is_judged_first() {
    for (text, code) in [
        ("", "json_syntax"),
        ("not json at all", "json_syntax"),
        ("{", "json_syntax"),
        ("{}x", "json_syntax"),
        ("{}{}", "json_syntax"),
        (r#"{"a":1,}"#, "json_syntax"),
        (r#"{"a":01}"#, "json_syntax"),
        ("{\"a\":\"\u{1}\"}", "json_syntax"),
        ("{\"a\":1\0}", "json_syntax"),
        (r#"{"a":"\ud800"}"#, "json_syntax"),
        (r#"{"a":"\udc00\ud800"}"#, "json_syntax"),
        (r#"{"a":"\ud800\ud800\udc00"}"#, "json_syntax"),
        (r#"{"a":"\ud800x\udc00"}"#, "json_syntax"),
        (r#"{"\udc00":1}"#, "json_syntax"),
        (r#"["\udc00"]"#, "json_syntax"),
        (r#"{"a":"\ud83d\ude00\\ud800"}"#, "missing_field:timestamp"),
        ("[1,2]", "not_object"),
        (" \"text\" ", "not_object"),
        ("null", "not_object"),
        ("1e999", "not_object"),
        ("[1,2", "json_syntax"),
        ("{}", "missing_field:timestamp"),
        ("\u{feff} {} \r", "missing_field:timestamp"),
        ("\u{feff}\u{feff}{}", "json_syntax"),
        (" \u{feff}{}", "json_syntax"),
    ] {
        check(CHAT, text, code);
        check(VIEWER, text, code);
    }
    read(CHAT, b"{\"a\":\"\xff\"}", |event| assert_eq!(event, Err("utf8")));
    let record = Record { truncated: true, ..Record::of_text("{}") };
    assert_eq!(decode(chat(), CHAT, record, &mut Scratch::default()), Err(Reject::RECORD_TOO_LONG));
}

#[test]
fn depth_has_a_limit_in_fields_of_every_kind() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check_chat(&format!(r#""x":{}"#, nested(31)), "ok");
    check_chat(&format!(r#""x":{}"#, nested(32)), "limit:depth");
    check_chat(&format!(r#""x":{}"#, nested(100_000)), "limit:depth");
    check_chat(&format!(r#""x":{}"#, "[".repeat(100_000)), "json_syntax");
    check_chat(&format!(r#""x":"{}""#, "[".repeat(100)), "ok");
    check_chat(&format!(r#""message":{}"#, nested(200)), "limit:depth");
    check_chat(&format!(r#""emotes":{}"#, nested(200)), "limit:depth");
    check_chat(&format!(r#""emotes":{}"#, nested(2)), "type:emotes");
}

#[test]
fn the_first_fault_in_the_order_of_fields_names_the_code() {
    for (fields, code) in [
        ("", "ok"),
        (r#""timestamp":null,"stream_id":null"#, "missing_field:timestamp"),
        (r#""timestamp":"","stream_id":null"#, "timestamp_syntax"),
        (r#""timestamp":{}"#, "timestamp_syntax"),
        (r#""timestamp":true"#, "timestamp_syntax"),
        (r#""timestamp":1.5"#, "timestamp_syntax"),
        (r#""timestamp":1e12"#, "timestamp_syntax"),
        (r#""timestamp":1e999"#, "timestamp_syntax"),
        (r#""timestamp":"1735689600000""#, "timestamp_syntax"),
        (r#""timestamp":0"#, "ok"),
        (r#""timestamp":-0"#, "ok"),
        (r#""timestamp":-1"#, "timestamp_range"),
        (r#""timestamp":4133980799999"#, "ok"),
        (r#""timestamp":4133980800000"#, "timestamp_range"),
        (r#""timestamp":99999999999999999999999"#, "timestamp_range"),
        (r#""timestamp":"1969-12-31T23:59:59Z""#, "timestamp_range"),
        (r#""timestamp":"2025-01-01T00:00:00\u005a""#, "ok"),
        (r#""stream_id":null,"user_id":null"#, "missing_field:stream_id"),
        (r#""stream_id":"","user_id":null"#, "missing_field:stream_id"),
        (r#""stream_id":{},"user_id":null"#, "type:stream_id"),
        (r#""stream_id":"","channel":1"#, "type:stream_id"),
        (r#""stream_id":1,"channel":"c""#, "type:stream_id"),
        (r#""stream_id":"","channel":"c""#, "ok"),
        (r#""stream_id":"a\u0000b","user_id":null"#, "nul_byte"),
        (r#""stream_id":"a\\u0000b""#, "ok"),
        (r#""user_id":null,"message":1"#, "missing_field:user_id"),
        (r#""user_id":"","username":"","message":1"#, "missing_field:user_id"),
        (r#""user_id":1,"username":"n","message":1"#, "type:user_id"),
        (r#""user_id":"","username":1,"message":1"#, "type:user_id"),
        (r#""user_id":"u","username":1"#, "ok"),
        (r#""user_id":"","username":"n\u0000""#, "nul_byte"),
        (r#""message":null,"emotes":1"#, "missing_field:message"),
        (r#""message":1e999,"emotes":1"#, "type:message"),
        (r#""message":"","emotes":null"#, "ok"),
        (r#""message":"\u0000""#, "ok"),
        (r#""message":"\ud83d\ude00 \uD83D\uDE00""#, "ok"),
        (r#""message":"\ud83d\ue000""#, "json_syntax"),
        (r#""message":"\ud83d\ud83d""#, "json_syntax"),
        (r#""message":"\ud83d""#, "json_syntax"),
        (r#""message":"\ud83d\n""#, "json_syntax"),
        (r#""message":"\ude00""#, "json_syntax"),
        (r#""message":"\u00g0""#, "json_syntax"),
        (r#""message":"\u+041""#, "json_syntax"),
        (r#""message":"\x""#, "json_syntax"),
        (r#""emotes":["a"],"emotes":null"#, "ok"),
        (r#""emotes":"Kappa""#, "type:emotes"),
        (r#""emotes":{}"#, "type:emotes"),
        (r#""emotes":[1]"#, "type:emotes"),
        (r#""emotes":["a",null]"#, "type:emotes"),
        (r#""emotes":["\u0000"]"#, "nul_byte"),
        (r#""emotes":["\n",""]"#, "ok"),
        (r#""viewer_count":"x","event_id":7,"badges":8"#, "ok"),
        (r#""message":1,"message":"last""#, "ok"),
        (r#""message":"first","\u006dessage":1"#, "type:message"),
    ] {
        check_chat(fields, code);
    }
}

#[test]
fn lengths_have_limits() {
    let long = |name: &str, len: usize, symbol: &str| format!(r#""{name}":"{}""#, symbol.repeat(len));
    check_chat(&long("stream_id", 255, "é"), "ok");
    check_chat(&long("stream_id", 256, "é"), "too_long:stream_id");
    check_chat(&long("stream_id", 256, "e"), "too_long:stream_id");
    check_chat(&long("stream_id", 255, r"\u00e9"), "ok");
    check_chat(&long("stream_id", 256, r"\n"), "too_long:stream_id");
    check_chat(&long("user_id", 1_024, "u"), "ok");
    check_chat(&long("user_id", 1_025, "u"), "limit:user_id");
    check_chat(&long("message", 100_000, "love "), "ok");
    let emotes = |count: usize, len: usize| {
        format!(r#""emotes":[{}]"#, vec![format!("\"{}\"", "e".repeat(len)); count].join(", "))
    };
    check_chat(&emotes(500, 128), "ok");
    check_chat(&emotes(501, 1), "limit:emotes");
    check_chat(&emotes(1, 129), "limit:emotes");
    check_chat(r#""emotes":["\n"]"#, "ok");
    let padded = format!("{{}}{}", " ".repeat(limits::RECORD_BYTES_MAX - 2));
    check(CHAT, &padded, "missing_field:timestamp");
    check(CHAT, &(padded + " "), "record_too_long");
}

#[test]
fn viewer_counts_are_integers() {
    for (value, code) in [
        ("0", "ok"),
        ("-0", "ok"),
        ("4657", "ok"),
        ("9223372036854775807", "ok"),
        ("9223372036854775808", "limit:viewer_count"),
        ("99999999999999999999999", "limit:viewer_count"),
        ("-5", "type:viewer_count"),
        ("7.0", "type:viewer_count"),
        ("1.5", "type:viewer_count"),
        ("1e3", "type:viewer_count"),
        ("\"7\"", "type:viewer_count"),
        ("true", "type:viewer_count"),
        ("null", "missing_field:viewer_count"),
        ("07", "json_syntax"),
        ("1 2", "json_syntax"),
        ("-", "json_syntax"),
    ] {
        check_viewer(value, code);
    }
    // A viewer event has neither user nor message.
    check(
        VIEWER,
        r#"{"timestamp":0,"stream_id":"s","viewer_count":1,"user_id":1,"message":2,"emotes":3}"#,
        "ok",
    );
    check(VIEWER, r#"{"timestamp":0,"stream_id":"s"}"#, "missing_field:viewer_count");
}

#[test]
fn an_event_says_what_the_record_says() {
    let text = r#" { "message_id": "m1", "channel" : "s2", "username":"only\tname", "message": "GG \u0067ood",
        "timestamp": "2025-01-01T00:00:11Z", "emotes": ["EZ", "EZ" ,"K\u00e9"], "badges": [], "metadata": {"client": [{}]} } "#;
    read(CHAT, text.as_bytes(), |event| {
        let emotes = ["EZ", "EZ", "Ké"].map(str::to_owned);
        let body = Body::Chat {
            chatter: hash64(b"only\tname"),
            sentiment: 1_000_000_000_000,
            emotes: Emotes::List(&emotes),
        };
        assert_eq!(event, Ok(ChatEvent { time_ms: 1_735_689_611_000, stream: "s2", body }));
    });
    read(VIEWER, br#"{"stream_id":"\u0073\\","viewer_count":12,"timestamp":1735689611000}"#, |event| {
        let body = Body::Viewer { count: 12 };
        assert_eq!(event, Ok(ChatEvent { time_ms: 1_735_689_611_000, stream: "s\\", body }));
    });
}

const DIRTY_CHAT: &[u8] = include_bytes!("../../../../../fixtures/chat_dirty/chat/events.jsonl");
const DIRTY_VIEWER: &[u8] = include_bytes!("../../../../../fixtures/chat_dirty/viewer/events.jsonl");
const DIRTY_DEAD: &str = include_str!("../../../../../fixtures/chat_dirty/expected.dead.csv");

#[test]
fn the_dirty_fixture_gives_its_dead_letters() {
    let mut dead = String::from("topic,file,line,code\n");
    for (topic, input, bytes) in [("chat", CHAT, DIRTY_CHAT), ("viewer", VIEWER, DIRTY_VIEWER)] {
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue; // blank lines are no records
            }
            read(input, line, |event| {
                if let Err(code) = event {
                    dead += &format!("{topic},events.jsonl,{},{code}\n", index + 1);
                }
            });
        }
    }
    assert_eq!(dead, DIRTY_DEAD);
}

const SMALL: [&str; 2] = [
    include_str!("../../../../../fixtures/chat_small/chat/part-00000.jsonl"),
    include_str!("../../../../../fixtures/chat_small/chat/part-00003.jsonl"),
];

/// The scanner knows every record of the usual writers, so that none goes the slow way unseen.
#[test]
fn the_scanner_knows_plain_records() {
    let mut scratch = Scratch::default();
    let mut check =
        |text: &str| assert_eq!(check_agreement(chat(), CHAT, text, &mut scratch), Ok(true), "{text}");
    for line in SMALL.iter().flat_map(|part| part.lines()) {
        check(line);
        check(&line.replace("\":", "\": ").replace(",\"", ", \""));
    }
}
