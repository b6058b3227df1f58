//! Names and texts inside of SQL. What is quoted here can say nothing but itself.

/// A name of one part: `"moments"`.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name of two parts: `"public"."moments"`.
pub(super) fn path(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// A text: `'it''s'`. Backslashes are escaped too, so that it does not matter how the server reads them.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// Names as a list: `"stream_id", "window_start"`.
pub(super) fn idents<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(ident).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out() {
        assert_eq!(path("my\"schema", "t; DROP"), "\"my\"\"schema\".\"t; DROP\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(idents(["a", "b"]), "\"a\", \"b\"");
    }
}
