//! Scores of messages: words, lists, lexicons, and both tokenizers.

use super::*;

fn check(tokenizer: Tokenizer, message: &str, expected: i64) {
    assert_eq!(Sentiment::new(tokenizer).score(message), expected, "{message:?}");
}

#[test]
fn scores_of_the_set_of_words() {
    for (message, expected) in [
        ("", 0),
        ("nothing here", 0),
        ("love", ONE),
        ("HATE", -ONE),
        ("love love love hate", 0),
        ("HATE it. love it", 0),
        ("love great hate", 333_333_333_333),
        ("hate bad good", -333_333_333_333),
        ("love great awesome hate bad", 200_000_000_000),
        ("love great awesome amazing excellent hate", 666_666_666_667),
        ("good!", ONE),
        ("so-good", ONE),
        ("good_bad_nice", 333_333_333_333),
        ("goods", 0),
        ("agood", 0),
        ("good1", 0),
        ("don't", 0),
        ("good's", 0),
        ("'good'", 0),
        ("\u{2019}good\u{2019}", ONE),
        ("überlove", 0),
        ("loveß", 0),
        ("❤love❤", ONE),
        ("日本good", 0),
        ("日本 good", ONE),
        ("KE\u{212a}W", ONE),
        ("\u{212a}ekw", ONE),
        ("n\u{130}ce", 0),
        ("disappointed", -ONE),
        ("pogchamp", ONE),
        ("pogchamps", 0),
        ("a\u{a0}good\u{3000}day", ONE),
    ] {
        check(Tokenizer::Words, message, expected);
    }
}

#[test]
fn white_space_alone_splits_for_the_old_job() {
    for (message, expected) in [
        ("love!", 0),
        ("love it", ONE),
        ("Love\tit\nbad\u{3000}HATE\u{a0}x", -333_333_333_333),
        ("'good'", 0),
        ("`good", 0),
        ("@good [good] good", ONE),
        ("❤love", 0),
        ("KE\u{212a}W", ONE),
    ] {
        check(Tokenizer::Whitespace, message, expected);
    }
}

#[test]
fn a_lexicon_replaces_the_lists() {
    let lexicon = "# mine\nGood, 2\nbad\t-1\nπάντως   0.5\nΛΌΓΟΣ,-0.5\r\n:) 1\n\n";
    let score = |tokenizer, message| {
        Sentiment::with_lexicon(tokenizer, Lexicon::parse(lexicon).expect("no fault")).score(message)
    };
    assert_eq!(score(Tokenizer::Words, "good bad"), 333_333_333_333);
    assert_eq!(score(Tokenizer::Words, "love"), 0);
    assert_eq!(score(Tokenizer::Words, "ΠΆΝΤΩΣ!"), ONE);
    assert_eq!(score(Tokenizer::Words, "λόγος good"), 600_000_000_000);
    assert_eq!(score(Tokenizer::Words, ":)"), 0);
    assert_eq!(score(Tokenizer::Whitespace, "bad :) good"), 500_000_000_000);
}

#[test]
fn faults_of_a_lexicon_name_their_lines() {
    let text = format!("good 1\nbad\ngood,2\nwell done 1\nx abc\ny 0\nz 1e9\nw NaN\n{} 1", "w".repeat(65));
    let faults = Lexicon::parse(&text).expect_err("eight faults");
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9], "{faults:?}");
    assert_eq!(Lexicon::parse("# nothing\n").map(|_| ()).map_err(|faults| faults[0].line), Err(0));
    assert_eq!(faults[1].to_string(), "line 3: the word \"good\" is listed twice");
}

#[test]
fn ten_thousand_words_are_found_and_one_more_is_a_fault() {
    let text: String =
        (0..10_000).map(|n| format!("word{n} {}\n", if n % 4 == 0 { -1 } else { 1 })).collect();
    let message: String = (0..10_000).map(|n| format!("WORD{n} ")).collect();
    let sentiment = Sentiment::with_lexicon(Tokenizer::Words, Lexicon::parse(&text).expect("no fault"));
    assert_eq!(sentiment.score(&message), ONE / 2);
    assert_eq!(sentiment.score("word9999 word10000"), ONE);
    let faults = Lexicon::parse(&(text + "more 1")).expect_err("one word too many");
    assert_eq!(faults[0].line, 10_001);
}

#[test]
fn the_meaning_tells_lexicons_and_tokenizers_apart() {
    let of =
        |text| Sentiment::with_lexicon(Tokenizer::Words, Lexicon::parse(text).expect("no fault")).meaning();
    assert_eq!(of("a 1\nb 2"), of("B,2\nA,1"));
    assert_ne!(of("a 1\nb 2"), of("a 2\nb 1"));
    assert_ne!(Sentiment::new(Tokenizer::Words).meaning(), Sentiment::new(Tokenizer::Whitespace).meaning());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn tokenizer() -> impl Strategy<Value = Tokenizer> {
        prop_oneof![Just(Tokenizer::Words), Just(Tokenizer::Whitespace)]
    }

    /// Messages of listed words in any case, what may stand beside them, and long runs.
    fn message() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "love",
            "GREAT",
            "kekw",
            "KE\u{212a}W",
            "\u{212a}",
            "pog",
            "PogChamp",
            "disappointed",
            "hate",
            "bad",
            "Rip",
            "abcdefghijklmnopq",
            "é",
            "日本",
            "İ",
            "ß",
            "❤",
            "'",
            "0",
            "_",
            "!",
            "@",
            "\u{1}",
            "\0",
            "\u{11}",
        ]);
        let gap = prop::sample::select(vec!["", "", " ", "\t", "\n", "\u{a0}", "\u{3000}", ".", "\u{85}"]);
        let piece = prop_oneof![
            9 => word.prop_map(str::to_owned),
            1 => (0..200_usize).prop_map(|len| "x".repeat(len)),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec((piece, gap), 0..24)
            .prop_map(|parts| parts.into_iter().flat_map(|(piece, gap)| [piece, gap.to_owned()]).collect())
    }

    proptest! {
        #[test]
        fn a_short_list_scores_as_any_list(
            tokenizer in tokenizer(), before in message(), message in message(), after in message()
        ) {
            let sentiment = Sentiment::new(tokenizer);
            prop_assert!(sentiment.short.is_some());
            let text = format!("{before}{message}{after}");
            let part = sentiment.score_part(&text, before.len(), before.len() + message.len());
            prop_assert_eq!(part, sentiment.score_any(&message));
        }

        #[test]
        fn a_short_list_of_ones_own_scores_as_any_list(
            tokenizer in tokenizer(),
            words in prop::collection::hash_set("[a-k]{1,17}", 1..=64),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let words: Vec<_> = words.into_iter().collect();
            let list: String = words.iter().enumerate().map(|(n, word)| format!("{word} {}\n", 1 - n as i64 % 2 * 2)).collect();
            let sentiment = Sentiment::with_lexicon(tokenizer, Lexicon::parse(&list).expect("no fault"));
            let message: Vec<_> = picks.iter().map(|pick| pick.get(&words).as_str()).collect();
            let message = message.join(" ");
            prop_assert_eq!(sentiment.score(&message), sentiment.score_any(&message));
        }
    }
}

mod fixtures {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        chat::{
            Chat,
            decode::{Scratch, decode},
            event::{Body, CHAT},
        },
        limits,
        record::Record,
        window::WindowSpec,
    };

    const PARTS: [&str; 4] = [
        include_str!("../../../../../fixtures/chat_small/chat/part-00000.jsonl"),
        include_str!("../../../../../fixtures/chat_small/chat/part-00001.jsonl"),
        include_str!("../../../../../fixtures/chat_small/chat/part-00002.jsonl"),
        include_str!("../../../../../fixtures/chat_small/chat/part-00003.jsonl"),
    ];

    /// Windows (stream, start as in the fixture) with their message count, score sum, positives and negatives.
    fn windows(tokenizer: Tokenizer) -> BTreeMap<(String, String), (i64, i64, i64, i64)> {
        let chat = Chat {
            window: WindowSpec::new(60_000, 10_000).expect("a minute is six times ten seconds"),
            sentiment: Sentiment::new(tokenizer),
            stream_chars_max: limits::STREAM_CHARS_MAX,
            anomaly_threshold: 3.0,
            open_bytes_max: 1 << 30,
        };
        let mut windows = BTreeMap::new();
        let mut scratch = Scratch::default();
        for text in PARTS.iter().flat_map(|part| part.lines()) {
            let record = Record::of_text(text);
            let event = decode(&chat, CHAT, record, &mut scratch).expect("no refusal in this fixture");
            let Body::Chat { sentiment, .. } = event.body else { panic!("{text}") };
            for slide in 0..6 {
                let start_ms = (event.time_ms.div_euclid(10_000) - slide) * 10_000;
                let start = jiff::Timestamp::from_millisecond(start_ms).expect("in jiff's range").to_string();
                let window = windows.entry((event.stream.to_owned(), start)).or_insert((0, 0, 0, 0));
                window.0 += 1;
                window.1 += sentiment;
                window.2 += i64::from(sentiment > 0);
                window.3 += i64::from(sentiment < 0);
            }
        }
        windows
    }

    fn check(tokenizer: Tokenizer, summary: &str) {
        let windows = windows(tokenizer);
        let mut seen = 0;
        for row in summary.lines().skip(1) {
            let cells: Vec<&str> = row.splitn(9, ',').collect();
            let Some((count, sum, positive, negative)) =
                windows.get(&(cells[0].to_owned(), cells[1].to_owned()))
            else {
                assert_eq!(cells[3], "0", "{row}");
                continue;
            };
            seen += 1;
            assert_eq!(
                [*count, *positive, *negative].map(|n| n.to_string()),
                [cells[3], cells[6], cells[7]],
                "{row}"
            );
            let expected: f64 = cells[5].parse().expect("a mean");
            assert!((*sum as f64 / 1e12 / *count as f64 - expected).abs() < 1e-9, "{row}");
        }
        assert_eq!(seen, windows.len());
    }

    #[test]
    fn windows_of_chat_small_have_their_sentiment() {
        check(Tokenizer::Words, include_str!("../../../../../fixtures/chat_small/expected.summary.csv"));
        check(
            Tokenizer::Whitespace,
            include_str!("../../../../../fixtures/chat_small/expected_whitespace.summary.csv"),
        );
    }
}
