//! Records that must become dead letters, with the code that DESIGN §5 gives each.
//!
//! In a template `$t` stands for the stamp, `$s` for the stream, `$u` for the user, `$l` for 300 letters and
//! `$x` for a byte that is not UTF-8.

use super::{
    line::{self, Stamp},
    random::Random,
};

/// Code and template.
pub(super) const BROKEN: [(&str, &str); 24] = [
    (
        "json_syntax",
        r#"{"event_id":"chat_cut","timestamp":"$t","stream_id":"$s","user_id":"$u","message":"cut o"#,
    ),
    ("json_syntax", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":"no end""#),
    ("json_syntax", r"{'timestamp':'$t','stream_id':'$s','user_id':'$u','message':'quotes'}"),
    ("json_syntax", "$t INFO chat relay restarted"),
    ("json_syntax", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":"twice"}{}"#),
    ("not_object", r#"["$t","$s","$u","hello"]"#),
    ("not_object", r#""hello from $u""#),
    ("not_object", "42"),
    ("missing_field:timestamp", r#"{"stream_id":"$s","user_id":"$u","message":"when?","emotes":[]}"#),
    ("missing_field:stream_id", r#"{"timestamp":"$t","user_id":"$u","message":"where?","emotes":[]}"#),
    ("missing_field:stream_id", r#"{"timestamp":"$t","stream_id":"","user_id":"$u","message":"nowhere"}"#),
    ("missing_field:user_id", r#"{"timestamp":"$t","stream_id":"$s","message":"who?","emotes":[]}"#),
    ("missing_field:message", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","emotes":["Kappa"]}"#),
    ("type:stream_id", r#"{"timestamp":"$t","stream_id":42,"user_id":"$u","message":"a number"}"#),
    ("type:user_id", r#"{"timestamp":"$t","stream_id":"$s","user_id":{"id":"$u"},"message":"an object"}"#),
    ("type:message", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":["a","list"]}"#),
    ("type:emotes", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":"x","emotes":"Kappa"}"#),
    ("type:emotes", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":"x","emotes":[1,2]}"#),
    ("timestamp_syntax", r#"{"timestamp":"yesterday","stream_id":"$s","user_id":"$u","message":"x"}"#),
    (
        "timestamp_syntax",
        r#"{"timestamp":"2025-02-30T00:00:00Z","stream_id":"$s","user_id":"$u","message":"x"}"#,
    ),
    ("timestamp_syntax", r#"{"timestamp":true,"stream_id":"$s","user_id":"$u","message":"x"}"#),
    (
        "timestamp_range",
        r#"{"timestamp":"1901-01-01T00:00:00Z","stream_id":"$s","user_id":"$u","message":"x"}"#,
    ),
    ("too_long:stream_id", r#"{"timestamp":"$t","stream_id":"$l","user_id":"$u","message":"x"}"#),
    ("utf8", r#"{"timestamp":"$t","stream_id":"$s","user_id":"$u","message":"bad $x byte"}"#),
];

/// Appends one broken record and tells its code.
pub(super) fn broken(
    line: &mut Vec<u8>,
    stamp: &mut Stamp,
    time_ms: i64,
    stream: u32,
    user: u32,
    random: &mut Random,
) -> &'static str {
    let (code, template) = random.pick(&BROKEN);
    let mut parts = template.split('$');
    line::text(line, parts.next().expect("split gives at least one part"));
    for part in parts {
        let (name, rest) = part.split_at(1);
        match name {
            "t" => stamp.write(line, time_ms),
            "s" => line::stream(line, stream),
            "u" => {
                line::text(line, "user_");
                line::number(line, user.into());
            }
            "l" => line.resize(line.len() + 300, b'x'),
            _ => line.push(0xff),
        }
        line::text(line, rest);
    }
    code
}
