//! A decoded chat or viewer event, borrowing its text from the record.

use memchr::memchr_iter;

use crate::logic;

/// Input number of chat events.
pub const CHAT: u8 = 0;
/// Input number of viewer events.
pub const VIEWER: u8 = 1;

/// A decoded event of either input.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatEvent<'a> {
    /// Event time, milliseconds since the Unix epoch, UTC; 1970-2100.
    pub time_ms: i64,
    /// Stream the event belongs to; 1 to 255 characters.
    pub stream: &'a str,
    /// What happened there.
    pub body: Body<'a>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// A chat message.
    Chat {
        /// [`crate::hash::hash64`] of the chatter: the user id, else the user name.
        chatter: u64,
        /// Sentiment score, 10^-12 units, -10^12..=10^12.
        sentiment: i64,
        /// The emotes of the message in order, repeats included.
        emotes: Emotes<'a>,
    },
    /// A sample of the number of viewers.
    Viewer {
        /// Viewers at that moment.
        count: u64,
    },
}

/// The emotes of a message: names without escapes inside a JSON array as it was read, or a list.
#[derive(Clone, Copy, Debug)]
pub enum Emotes<'a> {
    /// The text between `[` and `]` of a JSON array of strings that hold no backslash; may be empty.
    Plain(&'a str),
    /// Names that had to be unescaped.
    List(&'a [String]),
}

impl<'a> Emotes<'a> {
    /// Calls `each` with every name in order.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(&'a str)) {
        match self {
            Emotes::Plain(text) => {
                // Strings without escapes: names are what stands between each pair of quotes.
                let mut quotes = memchr_iter(b'"', text.as_bytes());
                while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
                    each(&text[open + 1..close]);
                }
            }
            Emotes::List(names) => names.iter().for_each(|name| each(name)),
        }
    }
}

impl PartialEq for Emotes<'_> {
    fn eq(&self, other: &Self) -> bool {
        let collect = |emotes: &Self| {
            let mut names = Vec::new();
            emotes.for_each(|name| names.push(name.to_owned()));
            names
        };
        collect(self) == collect(other)
    }
}

impl logic::Event for ChatEvent<'_> {
    fn time_ms(&self) -> Option<i64> {
        Some(self.time_ms)
    }
    fn key(&self) -> &str {
        self.stream
    }
    fn is_counted_in_windows(&self) -> bool {
        matches!(self.body, Body::Chat { .. })
    }
}
