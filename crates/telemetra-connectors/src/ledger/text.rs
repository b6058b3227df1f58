//! Values as text: the JSON and the ids that both stores keep.

use std::fmt::Write;

use telemetra_core::chat::rows::MomentRow;

pub(crate) use super::instant::{instant, push_instant, push_instant_us};

/// Replaces `out` by a JSON array of the names.
pub(crate) fn emote_names(out: &mut String, emotes: &[(String, u64)]) {
    out.clear();
    out.push('[');
    for (place, (name, _)) in emotes.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_json_string(out, name);
    }
    out.push(']');
}

/// Replaces `out` by a JSON object of the names with their counts, in the order given.
pub(crate) fn emote_counts(out: &mut String, emotes: &[(String, u64)]) {
    out.clear();
    out.push('{');
    for (place, (name, count)) in emotes.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_json_string(out, name);
        out.push(':');
        write!(out, "{count}").expect("writing to a string cannot fail");
    }
    out.push('}');
}

/// A log's id: 32 hexadecimal digits, grouped as those of a UUID are.
pub(crate) fn log_id(id: u128) -> String {
    let digits = format!("{id:032x}");
    let [a, b, c, d, e] = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Reads what [`log_id`] wrote; `None` for anything else.
pub(crate) fn parse_log_id(text: &str) -> Option<u128> {
    let id = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    (log_id(id) == text).then_some(id)
}

/// A JSON number, `null` for what is none.
fn json_number(number: Option<f64>) -> String {
    number.filter(|number| number.is_finite()).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// The `metadata` of a moment: a JSON object.
pub(crate) fn moment_metadata(moment: &MomentRow) -> String {
    format!(
        "{{\"chat_count\":{},\"unique_chatters\":{},\"avg_viewers\":{},\"z_score\":{}}}",
        moment.chat_count,
        moment.unique_chatters,
        json_number(moment.avg_viewers),
        json_number(Some(moment.z_score)),
    )
}

fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", u32::from(char)).expect("writing to a string cannot fail");
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_escaped() {
        let emotes = [("a\"b\\\n\u{1}é".to_owned(), 3), ("LUL".to_owned(), 1)];
        let mut out = String::new();
        emote_names(&mut out, &emotes);
        assert_eq!(out, r#"["a\"b\\\n\u0001é","LUL"]"#);
        emote_counts(&mut out, &emotes);
        assert_eq!(out, r#"{"a\"b\\\n\u0001é":3,"LUL":1}"#);
        emote_names(&mut out, &[]);
        assert_eq!(out, "[]");
    }

    #[test]
    fn only_ids_of_logs_are_read_as_such() {
        assert_eq!(log_id(0x0123), "00000000-0000-0000-0000-000000000123");
        for no in ["", "-", "123", "00000000000000000000000000000123", "0000000-00000-0000-0000-000000000123"]
        {
            assert_eq!(parse_log_id(no), None, "{no}");
        }
        assert_eq!(parse_log_id("FFFFFFFF-0000-0000-0000-000000000123"), None);
    }

    proptest! {
        #[test]
        fn ids_of_logs_come_back(id: u128) {
            prop_assert_eq!(parse_log_id(&log_id(id)), Some(id));
        }

        #[test]
        fn instants_agree_with_sqlite(ms in crate::ledger::instant::YEARS_MS) {
            let db = rusqlite::Connection::open_in_memory().unwrap();
            let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')";
            let theirs: String = db.query_row(sql, [ms.div_euclid(1_000)], |row| row.get(0)).unwrap();
            prop_assert_eq!(&instant(ms)[..19], theirs);
        }
    }
}
