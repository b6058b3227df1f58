//! Whatever the scanner accepts, serde_json reads as the same event; and no bytes make decode panic.

use proptest::{prelude::*, sample::select};

use super::{
    tests::{chat, judged},
    *,
};
use crate::chat::event::CHAT;

/// The JSON strings, with quotes, of texts that matter.
fn string() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "love",
        "hate this",
        "stream_0001",
        "user",
        "日本",
        "❤️",
        "'",
        " ",
        ".",
        "2025-01-01T00:00:00.047Z",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\b\\f\\r\\t",
        "\\u0000",
        "\\u0041",
        "\\u65e5",
        "\\ud83d\\ude00",
        "\\uD83D\\uDE00",
        "\\ud800",
        "\\udc00",
        "\\ud800x",
        "\\ud800\\ue000",
        "\\u12",
        "\\x",
        "\\",
        "\t",
        "\u{1}",
        "\u{7f}",
        "\0",
        "\u{212a}",
        "[",
        "}",
    ]);
    let plain = prop_oneof![
        6 => "[a-zA-Z0-9_ .,:{}é日]{0,40}",
        1 => Just("e".repeat(limits::EMOTE_BYTES_MAX + 1)),
        1 => Just("s".repeat(limits::STREAM_CHARS_MAX + 1)),
        1 => Just("u".repeat(limits::USER_BYTES_MAX + 1)),
    ];
    prop_oneof![
        4 => plain,
        2 => prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
    ]
    .prop_map(|text| format!("\"{text}\""))
}

fn scalar() -> impl Strategy<Value = String> {
    let number = select(vec![
        "0",
        "-0",
        "7",
        "07",
        "-5",
        "1.5",
        "1.",
        ".5",
        "1e3",
        "1E+3",
        "1e",
        "-",
        "+1",
        "1e999",
        "1735689600000",
        "4133980800000",
        "999999999999999999",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
    ]);
    let literal = select(vec!["true", "false", "null", "nul", "True", "NaN", ""]);
    prop_oneof![3 => string(), 2 => number.prop_map(str::to_owned), 1 => literal.prop_map(str::to_owned)]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let members = prop::collection::vec((string(), inner.clone()), 0..3);
        prop_oneof![
            (list, white())
                .prop_map(|(items, white)| format!("[{white}{}]", items.join(&format!("{white},")))),
            members.prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            (inner, 1..40_usize).prop_map(|(inner, n)| format!("{}{inner}{}", "[".repeat(n), "]".repeat(n))),
        ]
    })
}

fn white() -> impl Strategy<Value = &'static str> {
    let odd = select(vec!["\u{a0}", "\u{feff}", "\u{c}"]);
    prop_oneof![40 => Just(""), 20 => Just(" "), 8 => select(vec!["\t \n", "\r", "  "]), 1 => odd]
}

fn timestamp() -> impl Strategy<Value = String> {
    let form = select(vec![
        "2025-01-01T00:00:00.047Z",
        "2025-01-01T00:00:59.999Z",
        "2025-01-01T00:00:60.000Z",
        "2025-01-01 00:00:05",
        "2025-02-30T00:00:00Z",
        "2025-01-01T00:00:05.123456789+01:00",
        "1969-12-31T23:59:59.999Z",
        "yesterday",
        "2025-01-01T00:00:0:.000Z",
        "2025-01-01T00:00:00.0a0Z",
        "2025-01-01T00:00:00,000Z",
        "2101-01-01T00:00:00.000Z",
    ]);
    form.prop_map(|form| format!("\"{form}\""))
}

/// A member of a record that is good, or odd.
fn member() -> impl Strategy<Value = (String, String)> {
    let key = select(vec![
        "timestamp",
        "stream_id",
        "channel",
        "user_id",
        "username",
        "message",
        "emotes",
        "viewer_count",
        "badges",
        "event_id",
        "is_mod",
        "",
        "\\u006dessage",
        "messag\\u0065",
        "k\\n",
    ]);
    let odd = (key, value()).prop_map(|(key, value)| (format!("\"{key}\""), value));
    let emotes = prop::collection::vec(string(), 0..4).prop_map(|names| format!("[{}]", names.join(", ")));
    let text = |key: &'static str| string().prop_map(move |text| (format!("\"{key}\""), text));
    prop_oneof![
        2 => odd,
        1 => timestamp().prop_map(|stamp| ("\"timestamp\"".to_owned(), stamp)),
        1 => text("message"),
        1 => text("event_id"),
        1 => text("channel"),
        1 => emotes.prop_map(|emotes| ("\"emotes\"".to_owned(), emotes)),
    ]
}

/// Records near the good one: members in any order, some replaced, some more, white space anywhere.
fn record() -> impl Strategy<Value = String> {
    let good = [
        ("timestamp", "\"2025-01-01T00:00:00.047Z\""),
        ("stream_id", "\"stream_0001\""),
        ("user_id", "\"user_7\""),
        ("message", "\"love it\""),
        ("emotes", "[\"Kappa\"]"),
        ("viewer_count", "4657"),
    ];
    let good: Vec<_> = good.iter().map(|(key, value)| (format!("\"{key}\""), (*value).to_owned())).collect();
    let kept = prop::sample::subsequence(good.clone(), good.len() - 2..=good.len());
    let members = (prop_oneof![3 => Just(good), 1 => kept], prop::collection::vec(member(), 0..3))
        .prop_map(|(good, more)| [good, more].concat())
        .prop_shuffle();
    (members, [white(), white(), white(), white()]).prop_map(|(members, [a, b, c, d])| {
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("{a}{key}{b}:{c}{value}{d}")).collect();
        format!("{d}{{{}}}{a}", members.join(","))
    })
}

/// A record as it is, cut short, with a byte replaced, or with something before and after it.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), select(vec!["", "", "", "{", "}", ",", " x"]));
    (record(), 0..8_u8, damage).prop_map(|(record, kind, (at, byte, extra))| {
        let mut bytes = record.into_bytes();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            2 => bytes[at] = b"\"\\{}[]:,"[usize::from(byte % 8)],
            3 => bytes.extend_from_slice(extra.as_bytes()),
            _ => {}
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// One scratch for several records, so that each is met with the keys of another in mind.
    #[test]
    fn what_the_scanner_accepts_serde_json_reads_alike(records in prop::collection::vec(damaged(), 1..6)) {
        let mut scratch = Scratch::default();
        for (input, bytes) in (CHAT..=VIEWER).flat_map(|input| records.iter().map(move |bytes| (input, bytes))) {
            let Ok(text) = str::from_utf8(bytes) else { continue };
            check_agreement(chat(), input, text, &mut scratch).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300), records in damaged()) {
        for bytes in [bytes, records] {
            for input in [CHAT, VIEWER] {
                judged(input, &bytes, |_| ());
            }
        }
    }

    /// The grammar is that of `serde_json::Value`, which however refuses numbers beyond the range of a float.
    #[test]
    fn json_syntax_is_what_serde_json_refuses(bytes in damaged()) {
        let Ok(text) = str::from_utf8(&bytes) else { return Ok(()) };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        prop_assume!(!text.contains("1e999"));
        let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
        judged(CHAT, text.as_bytes(), |event| {
            prop_assert_eq!(event != Err("json_syntax"), is_json, "{}", text);
            Ok(())
        })?;
    }
}

/// The generator must reach what the scanner accepts, or the property would say nothing.
#[test]
fn the_scanner_accepts_many_of_these_records() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut scanned = 0;
    for _ in 0..400 {
        let text = record().new_tree(&mut runner).expect("a record").current();
        scanned += usize::from(check_agreement(chat(), CHAT, &text, &mut Scratch::default()) == Ok(true));
    }
    assert!(scanned > 40, "{scanned} of 400");
}
