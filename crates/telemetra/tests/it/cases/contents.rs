//! Contents: which record became a row, which was refused and why.

use serde_json::Value;

use super::*;

/// What a run made of one file.
struct Ran {
    folder: Folder,
    said: String,
}

/// Runs over one file. Expected is a text for each record, in the order of lines: `line id` of a row, `line !codes` of
/// a refused one.
fn run_env(bytes: &[u8], env: &[(&str, &str)], expected: &[&str]) -> Ran {
    let folder = Folder::new();
    folder.write("f.csv", bytes);
    let said = folder.run(env, 0);
    let all = "SELECT origin_position AS line, event_id FROM user_events
               UNION ALL SELECT line, '!' || codes FROM rejected_events ORDER BY line";
    assert_eq!(folder.rows(all), expected, "{:?}", String::from_utf8_lossy(bytes));
    assert_eq!(folder.processed(), ["f.csv"]);
    Ran { folder, said }
}

fn run(bytes: impl AsRef<[u8]>, expected: &[&str]) -> Ran {
    run_env(bytes.as_ref(), &[], expected)
}

/// Good records but for the values given of one column, under the head; their ids are `e2`, `e3` ... by their lines.
fn of_column(column: &str, values: &[&str]) -> Vec<u8> {
    let mut text = format!("{HEAD}\n");
    for (number, value) in (2..).zip(values) {
        let id = format!("e{number}");
        let good = [&id, "u", "p", "n", "c", "1.00", "view", "2025-03-01 10:00:00"];
        let fields = HEAD.split(',').zip(good).map(|(name, good)| if name == column { *value } else { good });
        text.push_str(&fields.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text.into_bytes()
}

/// Records that differ in one column only: values that are accepted, and those that are refused under a code.
fn check_column(column: &str, env: &[(&str, &str)], accepted: &[&str], refused: &[(&str, &str)]) -> Ran {
    let values: Vec<&str> = accepted.iter().copied().chain(refused.iter().map(|it| it.0)).collect();
    let codes = accepted.iter().map(|_| None).chain(refused.iter().map(|it| Some(it.1)));
    let expected = (2..).zip(codes).map(|(line, code)| match code {
        None => format!("{line} e{line}"),
        Some(code) => format!("{line} !{code}"),
    });
    let expected: Vec<String> = expected.collect();
    run_env(&of_column(column, &values), env, &expected.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn utf_8_bom_at_byte_0_is_no_data_and_elsewhere_it_is() {
    let ran = run(format!("\u{feff}{HEAD}\n{}\n\u{feff}{}\n", good("a"), good("b")), &["2 a", "3 \u{feff}b"]);
    assert!(ran.said.contains(" 0 faulty"), "{}", ran.said);
}

#[test]
fn utf_16_bom_or_a_tenth_of_nul_bytes_is_one_refused_record() {
    let wide =
        |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(bytes).collect() };
    let text = format!("{HEAD}\n{}\n", good("a"));
    let marked = format!("\u{feff}{text}");
    for bytes in
        [wide(&marked, u16::to_le_bytes), wide(&marked, u16::to_be_bytes), wide(&text, u16::to_le_bytes)]
    {
        let ran = run(&bytes, &["1 !encoding_utf16"]);
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(ran.folder.rows("SELECT raw FROM rejected_events"), [shown], "as it came");
    }
}

#[test]
fn invalid_utf_8_and_latin_1_are_refused_with_their_place_and_never_replaced() {
    let bytes = [
        format!("{HEAD}\n{}\n", good("a")).as_bytes(),
        b"b,u,p,caf\xe9,c,1.00,view,2025-03-01 10:00:00\n",
        b"c,u,p,\xff\xfe,c,1.00,view,2025-03-01 10:00:00\n",
        "d,u,p,café,c,1.00,view,2025-03-01 10:00:00\n".as_bytes(),
    ]
    .concat();
    let ran = run(&bytes, &["2 a", "3 !utf8", "4 !utf8", "5 d"]);
    let from = HEAD.len() + 1 + good("a").len() + 1;
    let raw = "b,u,p,caf\\xe9,c,1.00,view,2025-03-01 10:00:00";
    let place = ran.folder.rows("SELECT byte_from, byte_to, raw FROM rejected_events WHERE line = 3");
    assert_eq!(place, [format!("{from} {} {raw}", from + 42)]);
    assert_eq!(ran.folder.rows("SELECT product_name FROM user_events WHERE event_id = 'd'"), ["café"]);
    let listed = ran.folder.telemetra.run(&["quarantine", "list", "--json"]).stdout();
    let listed: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let hex: String = bytes[from..from + 42].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&listed[0]["raw"], &listed[0]["raw_hex"]), (&Value::Null, &Value::from(hex)));
    let shown = ran.folder.telemetra.run(&["quarantine", "list"]).stdout();
    assert!(shown.contains("b,u,p,caf\\xe9,c,") && !shown.contains('\u{fffd}'), "{shown}");
}

#[test]
fn crlf_ends_records_and_a_lone_cr_inside_one_is_data() {
    let ran = run(
        format!("{HEAD}\r\n{}\r\n{}\r\n", good("a"), good("b").replace(",n,", ",n\rn,")),
        &["2 a", "3 b"],
    );
    assert_eq!(ran.folder.rows("SELECT product_name FROM user_events ORDER BY id"), ["n", "n\rn"]);
}

#[test]
fn cr_only_line_ends_are_a_fault_of_the_file() {
    let ran = run(format!("{HEAD}\r{}\r", good("a")), &["1 !line_ends"]);
    assert!(ran.said.contains("1 faulty"), "{}", ran.said);
}

#[test]
fn embedded_newlines_and_doubled_quotes_and_the_line_is_the_first() {
    let record = good("a").replace(",n,", ",\"1 \"\"2\"\"\r\n3\n\",");
    let ran = run(format!("{HEAD}\n{record}\n{}\n", good("b")), &["2 a", "5 b"]);
    assert_eq!(
        ran.folder.rows("SELECT product_name FROM user_events WHERE event_id = 'a'"),
        ["1 \"2\"\r\n3"]
    );
}

#[test]
fn text_after_a_closing_quote_a_bare_quote_and_an_unclosed_one_are_refused() {
    let record = |name: &str| good("x").replace(",n,", &format!(",{name},"));
    let lines = [HEAD, &record("\"n\"x"), &record("n\"n"), &record("\"n"), &good("a")];
    run(lines.join("\n"), &["2 !quoting", "3 !quoting", "4 !quoting", "5 a"]);
}

#[test]
fn nul_bytes_are_refused() {
    check_column("product_name", &[], &[], &[("a\0b", "nul_byte"), ("\0", "nul_byte")]);
}

#[test]
fn a_head_in_another_order_is_mapped_by_name() {
    let head = "timestamp,price,event_id,event_type,category,product_name,product_id,user_id";
    let ran = run(format!("{head}\n2025-03-01 10:00:00,1.00,a,view,c,n,p,u\n"), &["2 a"]);
    let columns = "user_id, product_id, product_name, category, price, event_type, event_timestamp";
    let row = ran.folder.rows(&format!("SELECT {columns} FROM user_events"));
    assert_eq!(row, ["u p n c 100 view 2025-03-01T10:00:00.000000Z"]);
}

#[test]
fn a_missing_column_is_a_fault_of_the_file() {
    let head = HEAD.replace("price", "cost").replace("user_id,", "");
    run(format!("{head}\n{}\n", good("a")), &["1 !header_missing:user_id|header_missing:price"]);
}

#[test]
fn a_column_that_nobody_reads_is_ignored_counted_and_named() {
    let ran = run(format!("coupon,{HEAD},\u{1b}x\n7,{},8\n", good("a")), &["2 a"]);
    assert!(ran.said.contains("0 faulty, 1 with columns that nobody reads"), "{}", ran.said);
    let named = "f.csv: columns that nobody reads (schema_drift): coupon, \\u{1b}x";
    assert!(ran.said.contains(named), "{}", ran.said);
}

#[test]
fn a_column_named_twice_is_a_fault_of_the_file() {
    run(format!("{HEAD},price\n{},2\n", good("a")), &["1 !header_duplicate:price"]);
}

#[test]
fn the_head_again_in_mid_file_is_refused() {
    let text = format!("{HEAD}\n{}\n{HEAD}\n{}\n", good("a"), good("b"));
    run(text, &["2 a", "3 !header_repeated", "4 b"]);
}

#[test]
fn too_few_and_too_many_fields_are_refused() {
    let few = good("x").replace(",n,", ",");
    let text = format!("{HEAD}\n{few}\n{},\n{}\n", good("y"), good("a"));
    run(text, &["2 !field_count", "3 !field_count", "4 a"]);
}

#[test]
fn a_price_is_a_plain_decimal() {
    let syntax = ["NaN", "nan", "inf", "-Infinity", "1e400", "1e2", "\"1,000.00\"", "0x1", "1.0.0", "$1"];
    let range = ["0", "-0", "0.00", "0.0049", "-5", "100000000", "99999999.995"];
    let refused = syntax.map(|price| (price, "price_syntax"));
    let refused = [&refused[..], &range.map(|price| (price, "price_range"))].concat();
    let accepted = ["0.01", "0.005", "1.005", "1.004", ".5", "5.", "+7", "99999999.99", "99999999.994"];
    let ran = check_column("price", &[], &accepted, &refused);
    let cents = ran.folder.rows("SELECT price FROM user_events ORDER BY id");
    assert_eq!(cents, ["1", "1", "101", "100", "50", "500", "700", "9999999999", "9999999999"]);
}

#[test]
fn a_timestamp_is_a_real_instant_from_1970_to_2100() {
    let syntax = [
        "epoch",
        "infinity",
        "now",
        "2025-03-01 10:00:60",
        "2025-02-30 10:00:00",
        "2025-03-01",
        "1740823200",
        "2025-03-01 24:00:00",
    ];
    let range = ["0000-01-01 00:00:00", "1969-12-31 23:59:59", "2101-01-01 00:00:00"];
    let refused = syntax.map(|stamp| (stamp, "timestamp_syntax"));
    let refused = [&refused[..], &range.map(|stamp| (stamp, "timestamp_range"))].concat();
    let accepted = [
        "2025-03-01 10:00:00",
        "2025-03-01T10:00:00.123456Z",
        "2025-03-01 10:00:00+02:00",
        "2100-12-31 23:59:59",
    ];
    let ran = check_column("timestamp", &[], &accepted, &refused);
    assert_eq!(
        ran.folder.rows("SELECT event_timestamp FROM user_events ORDER BY id"),
        [
            "2025-03-01T10:00:00.000000Z",
            "2025-03-01T10:00:00.123456Z",
            "2025-03-01T08:00:00.000000Z",
            "2100-12-31T23:59:59.000000Z"
        ]
    );
}

#[test]
fn a_local_time_left_out_or_shown_twice_is_refused() {
    let refused = [("2025-03-30 02:30:00", "tz_gap"), ("2025-10-26 02:30:00", "tz_ambiguous")];
    let accepted = ["2025-03-30 03:00:00", "2025-10-26 02:30:00+01:00"];
    let ran = check_column("timestamp", &[("EVENT_TIMEZONE", "Europe/Berlin")], &accepted, &refused);
    let stored = ran.folder.rows("SELECT event_timestamp FROM user_events ORDER BY id");
    assert_eq!(stored, ["2025-03-30T01:00:00.000000Z", "2025-10-26T01:30:00.000000Z"]);
}

#[test]
fn strings_are_trimmed_of_ascii_space_alone_and_measured_in_characters() {
    // Fifty emoji are two hundred bytes; a no-break space is data.
    let (fits, long) = ("🦀".repeat(50), "🦀".repeat(51));
    // A store that cut trailing spaces would make one of these the other.
    let spaced = format!("{}{}x", "e".repeat(49), " ".repeat(5));
    let ran = check_column(
        "user_id",
        &[],
        &[" \tu ", "\u{a0}u\u{a0}", &fits, &format!("{fits}     ")],
        &[(&long, "too_long:user_id"), (&spaced, "too_long:user_id"), (" \t", "missing_field:user_id")],
    );
    let stored = ran.folder.rows("SELECT user_id FROM user_events ORDER BY id");
    assert_eq!(stored, ["u", "\u{a0}u\u{a0}", &fits, &fits]);
}

#[test]
fn an_event_type_is_one_of_three_exactly() {
    let refused = ["View", "PURCHASE", "refund", "add-to-cart"].map(|word| (word, "event_type"));
    check_column("event_type", &[], &["view", "add_to_cart", "purchase"], &refused);
}

#[test]
fn what_a_spreadsheet_takes_for_a_formula_is_stored_and_exported_unchanged() {
    let names = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"];
    let ran = check_column("product_name", &[], &names, &[]);
    assert_eq!(ran.folder.rows("SELECT product_name FROM user_events ORDER BY id"), names);
    let record = good("=x").replace(",1.00,", ",=2,");
    let ran = run(format!("{HEAD}\n{record}\n"), &["2 !price_syntax"]);
    let exported =
        fs::read_to_string(ran.folder.telemetra.path().join("data/error/f.b1.s0.csv")).expect("exported");
    assert_eq!(exported, format!("{HEAD}\n{record}\n"));
}

#[test]
fn an_empty_file_and_a_head_alone_are_no_fault() {
    for text in ["", "\u{feff}", HEAD, "\n \n"] {
        let ran = run(text, &[]);
        assert!(ran.said.contains("1 without a record, 0 faulty"), "{text:?}: {}", ran.said);
    }
}

#[test]
fn a_list_counts_one_record_and_an_instant_that_is_none_is_a_wrong_setting() {
    let folder = Folder::new();
    folder.write("a.csv", file(&["a"]) + &good("b").replace("1.00", "none") + "\n");
    folder.run(&[], 0);
    let list = |more: &[&str]| folder.telemetra.run(&[&["quarantine", "list"], more].concat());
    let said = list(&[]).expect_code(0);
    assert!(said.contains("\n1 record\n"), "{said}");
    assert!(list(&["--code", "nonsense"]).expect_code(0).contains("0 records"));
    let said = list(&["--from", "yesterday"]).expect_code(2);
    assert!(said.contains("flag --from: `yesterday` is not an instant"), "{said}");
}
