//! What we accept the `csv` crate reads as the same fields; written down again it is the same event; and how a batch
//! is split does not show.

use proptest::prelude::*;

use super::{super::rows::Payload, *};

/// Records near the good ones: fields good and bad, plain and quoted, quotes right and wrong.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let field = |good: &'static str| {
        prop_oneof![
            6 => Just(good.as_bytes().to_vec()),
            2 => Just(format!(" {good}\t").into_bytes()),
            4 => Just(format!("\"{good}\"").into_bytes()),
            2 => "\"([ab,\r\né]|\"\"){0,6}\"".prop_map(String::into_bytes),
            1 => "[ab\" \r]{0,4}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..4),
        ]
    };
    let fields = [
        field("e1"),
        field("user_1"),
        field("prod_1"),
        field("\"\"Lamp\"\", red"),
        field("Home"),
        field("9.995"),
        field("add_to_cart"),
        field("2025-01-01 00:00:00"),
    ];
    let [a, b, c, d, e, f, g, h] = fields;
    (a, b, c, d, e, f, g, h).prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].join(&b","[..]))
}

fn by_csv_crate(record: &[u8]) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .terminator(::csv::Terminator::Any(b'\n'))
        .from_reader(record);
    let mut fields = ::csv::ByteRecord::new();
    assert!(reader.read_byte_record(&mut fields).expect("bytes can be read"));
    let text = |field: &[u8]| String::from_utf8(field.to_vec()).expect("what we accept is text");
    fields.iter().map(|field| text(field).trim_matches([' ', '\t', '\r', '\n']).to_owned()).collect()
}

/// The fields of an event as text that reads as the same.
fn written(event: &CommerceEvent<'_>) -> Vec<String> {
    let it = event.payload;
    let instant = jiff::Timestamp::from_microsecond(it.time_us).expect("a time in range");
    let price = format!("{}.{:02}", it.price_cents / 100, it.price_cents % 100);
    let time = format!("{instant:.6}");
    let texts = [event.event_id, it.user_id, it.product_id, it.product_name, it.category];
    texts.into_iter().chain([&*price, it.event_type.as_str(), &*time]).map(Into::into).collect()
}

fn quoted(fields: &[String]) -> String {
    let quoted: Vec<_> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
    quoted.join(",")
}

fn as_json(fields: &[String]) -> String {
    let fields = NAMES.iter().zip(fields).map(|(name, field)| ((*name).to_owned(), field.clone().into()));
    serde_json::Value::Object(fields.collect()).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_accepted_the_csv_crate_reads_alike(record in record()) {
        let commerce = commerce(Format::Csv, "UTC");
        let mut scratch = Scratch::default();
        if let Ok(event) = commerce.decode(csv(HEAD, &record), &mut scratch) {
            let theirs = by_csv_crate(&record);
            let ours = [event.event_id, event.payload.user_id, event.payload.product_id, event.payload.product_name,
                event.payload.category];
            prop_assert_eq!(&theirs[..5], &ours);
            prop_assert_eq!(price::parse(theirs[5].as_bytes()), Ok(event.payload.price_cents));
            prop_assert_eq!(theirs.len(), 8);
            prop_assert_eq!(&*theirs[6], event.payload.event_type.as_str());
        }
    }

    #[test]
    fn an_event_written_again_is_the_same_event(record in record()) {
        let both = [commerce(Format::Csv, "UTC"), commerce(Format::Json, "UTC")];
        let mut scratch = Scratch::default();
        if let Ok(event) = both[0].decode(csv(HEAD, &record), &mut scratch) {
            let fields = written(&event);
            let (line, object) = (quoted(&fields), as_json(&fields));
            let mut scratch = Scratch::default();
            prop_assert_eq!(both[0].decode(csv(HEAD, line.as_bytes()), &mut scratch), Ok(event));
            prop_assert_eq!(both[1].decode(Record::of_text(&object), &mut scratch), Ok(event));
        }
    }

    #[test]
    fn a_scratch_keeps_nothing_that_shows(records in prop::collection::vec(record(), 1..8)) {
        let commerce = commerce(Format::Csv, "Europe/Berlin");
        let mut scratch = Scratch::default();
        for record in &records {
            let used = shown(commerce.decode(csv(HEAD, record), &mut scratch));
            prop_assert_eq!(used, shown(commerce.decode(csv(HEAD, record), &mut Scratch::default())));
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..80), head in "[a-c,\"]{0,9}") {
        for (format, head) in [(Format::Csv, HEAD), (Format::Csv, &*head), (Format::Json, "")] {
            let decoded = shown(commerce(format, "UTC").decode(csv(head, &bytes), &mut Scratch::default()));
            prop_assert!(!decoded.is_empty());
        }
    }

    #[test]
    fn how_a_batch_is_split_does_not_show(
        ids in prop::collection::vec("[a-d]", 0..40),
        cuts in prop::collection::vec(1_usize..7, 40),
        order in any::<u64>(),
    ) {
        let commerce = commerce(Format::Json, "UTC");
        let rows = |rows: &CommerceRows| rows.iter().map(|it| (it.event_id.to_owned(), it.origin.offset)).collect::<Vec<_>>();
        let mut splits = Vec::new();
        let mut at = 0;
        for cut in cuts {
            let end = (at + cut).min(ids.len());
            let mut partial = commerce.begin();
            for (id, offset) in ids[at..end].iter().zip(at as u64..) {
                let payload = Payload { user_id: "u", product_id: "p", product_name: "n", category: "c", price_cents: 1,
                    event_type: rows::EventType::View, time_us: 0 };
                let origin = Origin { offset, raw: b"{}", ..Origin::default() };
                commerce.fold(&mut partial, 0, &CommerceEvent { event_id: id, payload }, &origin);
            }
            splits.push(partial);
            at = end;
        }
        splits.sort_by_key(|split| crate::hash::mix(order, rows(&CommerceRows::new(vec![split.clone()])).first().map_or(0, |it| it.1)));
        let mut merged = commerce.merge(&(), splits).expect("it has no budget");
        let expected: Vec<_> = ids.into_iter().zip(0..).collect();
        prop_assert_eq!(rows(&merged), expected.clone());
        let request = EmitRequest { batch_id: 1, from: Watermark::NONE, to: Watermark::NONE, largest_ms: None,
            start_ms: None, provisional_rows_max: 0 };
        prop_assert_eq!(rows(&commerce.emit(&(), &mut merged, (), &request).rows), expected);
    }
}
