//! Each rule and its edges: a record as text, what becomes of it as text.

mod fixtures;
mod properties;

use super::*;

pub(super) const HEAD: &str = "event_id,user_id,product_id,product_name,category,price,event_type,timestamp";

pub(super) fn commerce(format: Format, zone: &str) -> Commerce {
    Commerce { format, timezone: Zone::named(zone).expect("a zone of the database") }
}

/// An event's fields, or the codes of a refusal.
pub(super) fn shown(decoded: Result<CommerceEvent<'_>, Reject>) -> String {
    match decoded {
        Err(Reject(codes)) => codes.into_owned(),
        Ok(CommerceEvent { event_id, payload: it }) => format!(
            "{event_id}/{}/{}/{}/{}/{}/{}/{}",
            it.user_id,
            it.product_id,
            it.product_name,
            it.category,
            it.price_cents,
            it.event_type.as_str(),
            it.time_us
        ),
    }
}

fn csv<'a>(head: &'a str, bytes: &'a [u8]) -> Record<'a> {
    Record { head: Some(head.as_bytes()), ..Record::of_bytes(bytes) }
}

/// Decodes with and without the record known to be text; both must say the same.
fn decoded(commerce: &Commerce, record: Record<'_>) -> String {
    let mut scratch = Scratch::default();
    let answer = shown(commerce.decode(record, &mut scratch));
    if let Ok(text) = str::from_utf8(record.bytes) {
        let record = Record { text: Some(text), ..record };
        assert_eq!(shown(commerce.decode(record, &mut scratch)), answer, "{text:?}");
    }
    answer
}

fn check_bytes(record: &[u8], expected: &str) {
    let decoded = decoded(&commerce(Format::Csv, "UTC"), csv(HEAD, record));
    assert_eq!(decoded, expected, "{:?}", String::from_utf8_lossy(record));
}

fn check(record: &str, expected: &str) {
    check_bytes(record.as_bytes(), expected);
}

/// A good record but for one column.
fn with(column: &str, value: &[u8]) -> Vec<u8> {
    let good: [&[u8]; 8] = [b"e", b"u", b"p", b"n", b"c", b"1", b"view", b"1970-01-01 00:00:01"];
    let fields = NAMES.iter().zip(good).map(|(name, good)| if *name == column { value } else { good });
    fields.collect::<Vec<_>>().join(&b","[..])
}

fn check_field(column: &str, value: &[u8], expected: &str) {
    check_bytes(&with(column, value), expected);
}

const GOOD: &str = "e/u/p/n/c/100/view/1000000";

#[test]
fn good_records() {
    check_bytes(&with("", b""), GOOD);
    check(" e ,\tu,p\r,n,c, 1.00 ,view , 1970-01-01T00:00:01Z\r", GOOD);
    check("\"e\",\" u \",p,n,\"c\",\"1\",\"view\",\"1970-01-01 00:00:01\"\r", GOOD);
    check(
        "e,u,p,\"a \"\"b\"\",\r\n c\",\"\"\"c\"\"\",1,purchase,1970-01-01 00:00:00.0000019",
        "e/u/p/a \"b\",\r\n c/\"c\"/100/purchase/1",
    );
    // What a spreadsheet takes for a formula is data, and only the four kinds of white space are trimmed.
    check(
        "=1+1,@u,-p,+n,\u{a0}c\u{a0},1,view,1970-01-01 00:00:01",
        "=1+1/@u/-p/+n/\u{a0}c\u{a0}/100/view/1000000",
    );
}

#[test]
fn field_count() {
    for record in ["", "e", "e,u,p,n,c,1,view", "e,u,p,n,c,1,view,1970-01-01 00:00:01,", ",,,,,,,,"] {
        check(record, "field_count");
    }
}

#[test]
fn quoting() {
    for record in
        ["e,u,p,\"n\"x,c,1,view,soon", "e,u,p,n\"n,c", "\"e,u", "e,u,p,\"n\" ,c,1,view,1970-01-01 00:00:01"]
    {
        check(record, "quoting");
    }
}

#[test]
fn record_too_long() {
    let commerce = commerce(Format::Csv, "UTC");
    let record = Record { truncated: true, ..csv(HEAD, b"\"") };
    assert_eq!(decoded(&commerce, record), "record_too_long");
    let long = vec![b'"'; limits::RECORD_BYTES_MAX + 1];
    assert_eq!(decoded(&commerce, csv(HEAD, &long)), "record_too_long");
    assert_eq!(decoded(&commerce, csv(HEAD, &long[1..])), "field_count");
    assert_eq!(decoded(&commerce, csv(HEAD, &long[2..])), "quoting");
}

#[test]
fn missing_field() {
    for column in NAMES {
        for blank in ["", "  ", "\"\"", "\" \t\r\n\""] {
            check_field(column, blank.as_bytes(), &format!("missing_field:{column}"));
        }
    }
    let all: Vec<_> = NAMES.iter().map(|name| format!("missing_field:{name}")).collect();
    check(",,,,,,,", &all.join("|"));
}

#[test]
fn too_long() {
    for (column, chars_max) in
        [("event_id", 50), ("user_id", 50), ("product_id", 50), ("product_name", 255), ("category", 100)]
    {
        let fits = format!(" {} ", "🦀".repeat(chars_max));
        assert!(
            !decoded(&commerce(Format::Csv, "UTC"), csv(HEAD, &with(column, fits.as_bytes())))
                .contains("too_long")
        );
        let long = "é".repeat(chars_max + 1);
        check_field(column, long.as_bytes(), &format!("too_long:{column}"));
    }
    check_field("event_type", "x".repeat(20).as_bytes(), "event_type");
    check_field("event_type", "x".repeat(21).as_bytes(), "too_long:event_type|event_type");
}

#[test]
fn event_type() {
    for good in ["view", "add_to_cart", " purchase "] {
        check_field("event_type", good.as_bytes(), &format!("e/u/p/n/c/100/{}/1000000", good.trim()));
    }
    for bad in ["View", "refund", "add to cart", "view_", "1", "NULL"] {
        check_field("event_type", bad.as_bytes(), "event_type");
    }
}

#[test]
fn price_syntax_and_price_range() {
    for bad in ["NaN", "inf", "1e2", "\"1,000.00\"", "one"] {
        check_field("price", bad.as_bytes(), "price_syntax");
    }
    for bad in ["0", "-0", "0.004", "-5", "99999999.995"] {
        check_field("price", bad.as_bytes(), "price_range");
    }
    check_field("price", b"99999999.994", "e/u/p/n/c/9999999999/view/1000000");
}

#[test]
fn timestamp_syntax_and_timestamp_range() {
    for bad in
        ["soon", "1970-01-01 00:00:60", "1971-02-29 00:00:00", "1970-01-01", "2025-01-01 00:00:00+25:00"]
    {
        check_field("timestamp", bad.as_bytes(), "timestamp_syntax");
    }
    for bad in ["1969-12-31 23:59:59", "2101-01-01 00:00:00", "0000-01-01 00:00:00"] {
        check_field("timestamp", bad.as_bytes(), "timestamp_range");
    }
}

#[test]
fn tz_gap_and_tz_ambiguous() {
    let commerce = commerce(Format::Csv, "Europe/Berlin");
    let check = |stamp: &str, expected: &str| {
        assert_eq!(decoded(&commerce, csv(HEAD, &with("timestamp", stamp.as_bytes()))), expected);
    };
    check("1970-01-01 01:00:01", GOOD);
    check("1970-01-01 00:00:01Z", GOOD);
    check("2025-03-30 02:30:00", "tz_gap");
    check("2025-10-26 02:30:00", "tz_ambiguous");
}

#[test]
fn nul_byte_and_utf8() {
    for column in NAMES {
        check_field(column, b"a\0b", "nul_byte");
        check_field(column, b"\"a\0\"\"b\"", "nul_byte");
        check_field(column, b"a\xffb", "utf8");
        check_field(column, b"\"\"\"\xff\"", "utf8");
        check_field(column, b"\0\xc3", "nul_byte|utf8");
    }
    // Once, at the first column; the others are judged all the same.
    check_bytes(b"\0,,\0,\xff,\xff,x,view,\0", "nul_byte|missing_field:user_id|utf8|price_syntax");
}

#[test]
fn every_broken_rule_in_column_order() {
    check(
        &format!("{},,p,n,,NaN,Purchase,soon", "x".repeat(51)),
        "too_long:event_id|missing_field:user_id|missing_field:category|price_syntax|event_type|timestamp_syntax",
    );
}

#[test]
fn heads_in_any_order() {
    let commerce = commerce(Format::Csv, "UTC");
    let check = |head: &str, record: &[u8], expected: &str| {
        assert_eq!(decoded(&commerce, csv(head, record)), expected);
    };
    let head = " timestamp ,price,\"event_id\",event_type,x\",category,product_name,product_id,user_id\r";
    check(&head.replace("x\"", "x"), b"1970-01-01 00:00:01,1,e,view,\xff\0,c,n,p,u\r", GOOD);
    check(&head.replace("x\"", "x"), b"1970-01-01 00:00:01,1,e,view,\"x,c,n,p,u", "quoting");
    check(head, b"1970-01-01 00:00:01,1,e,view,x,c,n,p,u", "header_quoting");
    check(&HEAD.replace("price", "cost"), b"e", "header_missing:price");
    assert!(decoded(&commerce, Record::of_bytes(b"e")).starts_with("header_missing:event_id|"));
}

#[test]
fn header_repeated() {
    check(HEAD, "header_repeated");
    check(&format!("\u{feff}{HEAD}\r"), "header_repeated");
    check(
        "timestamp,price,event_id, event_type,category,product_name,product_id,\"user_id\"",
        "header_repeated",
    );
    check(&format!("{HEAD},x"), "field_count");
    check(&HEAD.replace("price", "1"), "event_type|timestamp_syntax");
}

#[test]
fn faults_of_a_file() {
    for format in [Format::Csv, Format::Json] {
        let record = Record { fault: Some("encoding_utf16"), ..Record::of_bytes(b"\xff\xfee") };
        assert_eq!(decoded(&commerce(format, "UTC"), record), "encoding_utf16");
    }
}

fn check_json(record: &str, expected: &str) {
    let commerce = commerce(Format::Json, "UTC");
    assert_eq!(decoded(&commerce, Record::of_bytes(record.as_bytes())), expected, "{record}");
}

const GOOD_JSON: &str = r#"{"event_id":"e","user_id":"u","product_id":"p","product_name":"n","category":"c","price":"1","event_type":"view","timestamp":"1970-01-01 00:00:01"}"#;

/// A good record with another token for a field.
fn check_token(column: &str, token: &str, expected: &str) {
    let from = GOOD_JSON.find(&format!("\"{column}\":")).unwrap() + column.len() + 3;
    let to = from + GOOD_JSON[from..].find([',', '}']).unwrap();
    check_json(&format!("{}{token}{}", &GOOD_JSON[..from], &GOOD_JSON[to..]), expected);
}

#[test]
fn json_records() {
    check_json(GOOD_JSON, GOOD);
    check_json(
        &format!("\u{feff} {} ", GOOD_JSON.replace(':', " : ").replace("00 : 00 : 01", "00:00:01")),
        GOOD,
    );
    check_json(&GOOD_JSON.replace("{", r#"{"event_id":"first","x":{"price":[1e999]},"#), GOOD);
    check_json(&GOOD_JSON.replace("user_id", r"us\u0065r_id"), GOOD);
    check_token("product_name", r#"" a\"b\\ \u00e9\ud83e\udd80\n""#, "e/u/p/a\"b\\ é🦀/c/100/view/1000000");
    for (price, expected) in [
        ("9.99", "e/u/p/n/c/999/view/1000000"),
        ("0.005", "e/u/p/n/c/1/view/1000000"),
        ("99999999.994999999999999999999", "e/u/p/n/c/9999999999/view/1000000"),
        (r#"" 9.99 ""#, "e/u/p/n/c/999/view/1000000"),
        (r#""9.9\u0039""#, "e/u/p/n/c/999/view/1000000"),
        ("1e2", "price_syntax"),
        ("-1", "price_range"),
        ("-0", "price_range"),
        ("true", "type:price"),
        ("[1]", "type:price"),
        ("null", "missing_field:price"),
    ] {
        check_token("price", price, expected);
    }
}

#[test]
fn refused_json_records() {
    for record in ["", "{", "nonsense", r#"{"a":1}{}"#, r"{'a':1}", r#"{"a":"\ud800"}"#, r#"{"a":NaN}"#] {
        check_json(record, "json_syntax");
    }
    for record in ["1", "null", "[]", "\"e\""] {
        check_json(record, "not_object");
    }
    check_json(
        &GOOD_JSON.replace("{", &format!("{{\"x\":{}1{},", "[".repeat(40), "]".repeat(40))),
        "limit:depth",
    );
    for column in NAMES {
        check_token(column, "null", &format!("missing_field:{column}"));
        check_token(column, r#""\t""#, &format!("missing_field:{column}"));
        check_token(column, "{}", &format!("type:{column}"));
        check_token(column, "false", &format!("type:{column}"));
        check_token(column, r#""a\u0000b""#, "nul_byte");
        if column != "price" {
            check_token(column, "12", &format!("type:{column}"));
        }
    }
    let all: Vec<_> = NAMES.iter().map(|name| format!("missing_field:{name}")).collect();
    check_json("{}", &all.join("|"));
    check_json(
        r#"{"event_id":7,"user_id":"u","product_id":"p","product_name":"n","price":"NaN","event_type":"View","timestamp":0}"#,
        "type:event_id|missing_field:category|price_syntax|event_type|type:timestamp",
    );
    let commerce = commerce(Format::Json, "UTC");
    assert_eq!(decoded(&commerce, Record::of_bytes(b"{\"a\":\"\xff\"}")), "utf8");
    let long = Record { truncated: true, ..Record::of_bytes(b"{") };
    assert_eq!(decoded(&commerce, long), "record_too_long");
}
