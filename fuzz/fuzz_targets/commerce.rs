//! Lines of any bytes as shop events: decode never panics, and an event written again is the same event.
//!
//! The first line is the head of the others, as in a file; each is also read below the usual head, and as JSON. Good
//! seeds: the commerce fixtures' files and lines.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use telemetra_core::{
    commerce::{Commerce, Format, NAMES, Scratch, Zone, check_head, event::CommerceEvent},
    record::Record,
};

static CSV: LazyLock<Commerce> = LazyLock::new(|| commerce(Format::Csv));
static JSON: LazyLock<Commerce> = LazyLock::new(|| commerce(Format::Json));
static HEAD: LazyLock<String> = LazyLock::new(|| NAMES.join(","));

fn commerce(format: Format) -> Commerce {
    Commerce { format, timezone: Zone::named("Europe/Berlin").expect("a zone of the database") }
}

/// An event as CSV but for its stamp, which has no one spelling.
fn written(event: &CommerceEvent<'_>) -> String {
    let it = event.payload;
    let price = format!("{}.{:02}", it.price_cents / 100, it.price_cents % 100);
    let fields = [
        event.event_id,
        it.user_id,
        it.product_id,
        it.product_name,
        it.category,
        &*price,
        it.event_type.as_str(),
    ];
    fields.map(|field| format!("\"{}\",", field.replace('"', "\"\""))).concat() + "2025-01-01 00:00:00Z"
}

fn check(commerce: &Commerce, record: Record<'_>, scratch: &mut Scratch) {
    let Ok(event) = commerce.decode(record, scratch) else { return };
    let line = written(&event);
    let record = Record { head: Some(HEAD.as_bytes()), ..Record::of_text(&line) };
    let mut scratch = Scratch::default();
    let mut again = CSV.decode(record, &mut scratch).expect("a good record is good when written again");
    again.payload.time_us = event.payload.time_us;
    assert_eq!(again, event);
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let _ = check_head(head);
    let (mut csv, mut json) = (Scratch::default(), Scratch::default());
    // A quoted field may hold a line end, so all of it is a record too.
    for bytes in lines.chain([data]) {
        for head in [head, HEAD.as_bytes()] {
            check(&CSV, Record { head: Some(head), ..Record::of_bytes(bytes) }, &mut csv);
        }
        check(&JSON, Record::of_bytes(bytes), &mut json);
    }
});
