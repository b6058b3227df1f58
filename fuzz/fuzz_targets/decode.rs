//! Lines of any bytes: decode never panics, and what the scanner accepts serde_json reads as the same event.
//!
//! The property is `check_agreement`; the proptests of `chat::decode` run the same on generated records. Lines
//! share a scratch, so that one record's keys are predicted from another's. Good seeds: the fixtures' lines.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use telemetra_core::{
    chat::{
        Chat,
        decode::{Scratch, check_agreement, decode},
        event::{CHAT, VIEWER},
        sentiment::{Sentiment, Tokenizer},
    },
    limits,
    record::Record,
    window::WindowSpec,
};

static CHAT_LOGIC: LazyLock<Chat> = LazyLock::new(|| Chat {
    window: WindowSpec::new(60_000, 10_000).expect("a minute is six times ten seconds"),
    sentiment: Sentiment::new(Tokenizer::Words),
    stream_chars_max: limits::STREAM_CHARS_MAX,
    anomaly_threshold: 3.0,
    open_bytes_max: 1 << 30,
});

fuzz_target!(|data: &[u8]| {
    let mut scratch = Scratch::default();
    for bytes in data.split(|byte| *byte == b'\n') {
        for input in [CHAT, VIEWER] {
            let _ = decode(&CHAT_LOGIC, input, Record::of_bytes(bytes), &mut scratch);
            if let Ok(text) = str::from_utf8(bytes) {
                check_agreement(&CHAT_LOGIC, input, text, &mut scratch)
                    .expect("scanner and serde_json agree");
            }
        }
    }
});
