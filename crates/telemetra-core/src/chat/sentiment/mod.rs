//! The score of a message: (p - n) / (p + n) over its set of lower-cased words.
//!
//! | file | owns |
//! |---|---|
//! | `lexicon` | the listed words with their weights: the built-in ones, or those of a file |
//! | `short` | the same scores, fast, for a short list of plain words |
//!
//! With weights the score is the sum of the weights of the listed words in the message over the sum of their
//! absolute values; weights of one and minus one make it the formula above. A word counts once, however often
//! it stands there. Scores are integers of 10^-12, so that the order of adding them up cannot show.

mod lexicon;
mod short;
#[cfg(test)]
mod tests;

pub use lexicon::{Fault, Lexicon};

use crate::hash::{hash64, mix};

/// A score of one, in the units of [`Sentiment::score`].
pub const ONE: i64 = 1_000_000_000_000;

/// How a message is cut into words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// Maximal runs of letters, digits and apostrophes (Unicode).
    #[default]
    Words,
    /// Split on white space alone, as the old job did.
    Whitespace,
}

impl Tokenizer {
    /// Whether `symbol` stands between words.
    fn separates(self, symbol: char) -> bool {
        match self {
            Tokenizer::Words => !(symbol.is_alphanumeric() || symbol == '\''),
            Tokenizer::Whitespace => symbol.is_whitespace(),
        }
    }
}

/// Scores messages.
#[derive(Clone, Debug)]
pub struct Sentiment {
    tokenizer: Tokenizer,
    lexicon: Lexicon,
    short: Option<(short::Short, short::Signs)>,
}

impl Sentiment {
    /// The built-in word lists.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self::with_lexicon(tokenizer, Lexicon::built_in())
    }

    /// Words and weights of the user's own.
    pub fn with_lexicon(tokenizer: Tokenizer, lexicon: Lexicon) -> Self {
        let signs = short::Signs::of(lexicon.words().map(|(_, weight)| weight));
        let short = short::Short::of(lexicon.words().map(|(word, _)| word)).zip(signs);
        Self { tokenizer, lexicon, short }
    }

    /// A hash of all that decides a score: two that are equal score every message alike.
    pub fn meaning(&self) -> u64 {
        let tokenizer: &[u8] = match self.tokenizer {
            Tokenizer::Words => b"words",
            Tokenizer::Whitespace => b"whitespace",
        };
        mix(hash64(tokenizer), self.lexicon.meaning())
    }

    /// The score in 10^-12 units, -10^12..=10^12; 0 when no word is listed.
    pub fn score(&self, message: &str) -> i64 {
        self.score_part(message, 0, message.len())
    }

    /// The score of `text[from..to]`, which begins and ends between characters; what surrounds it may be read.
    #[inline]
    pub(crate) fn score_part(&self, text: &str, from: usize, to: usize) -> i64 {
        match &self.short {
            Some((short, signs)) => {
                let general = |run: &str| self.hits_any(run).first();
                signs.weigh(short.hits(self.tokenizer, text, from, to, general))
            }
            None => self.score_any(&text[from..to]),
        }
    }

    /// The score by any lexicon, word by word.
    fn score_any(&self, message: &str) -> i64 {
        self.hits_any(message).score()
    }

    #[inline(never)]
    fn hits_any(&self, message: &str) -> lexicon::Hits {
        let mut hits = lexicon::Hits::default();
        for word in message.split(|symbol| self.tokenizer.separates(symbol)) {
            if let Some(id) = self.lexicon.find(word) {
                self.lexicon.add_hit(&mut hits, id);
            }
        }
        hits
    }
}
