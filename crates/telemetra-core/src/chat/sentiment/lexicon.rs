//! The listed words and their weights.
//!
//! Words are compared lower-cased character by character, a final sigma read as any other: what
//! [`char::to_lowercase`] gives, without a look at the neighbours. Nothing is allocated to look a word up.

use hashbrown::{HashTable, hash_table::Entry};

use super::ONE;
use crate::hash::{hash64, mix};

/// Most words in a lexicon.
const WORDS_MAX: usize = 10_000;
/// Longest listed word once lower-cased, bytes.
const WORD_BYTES_MAX: usize = 64;
/// Weights are kept in millionths.
const WEIGHT_ONE: i64 = 1_000_000;
/// Largest absolute weight.
const WEIGHT_MAX: f64 = 1_000.0;

const POSITIVE: &str = "love great awesome amazing excellent good best wonderful fantastic perfect happy thanks \
                        lol haha nice cool fun enjoy excited pog pogchamp kekw";
const NEGATIVE: &str = "hate bad terrible awful worst sucks boring annoying stupid dumb trash cringe fail rip sad \
                        angry mad disappointed frustrated";

/// Lower-cased words, each with a weight: above zero positive, below zero negative.
#[derive(Clone, Debug)]
pub struct Lexicon {
    words: Vec<(Box<str>, i64)>,
    table: HashTable<u16>,
    bytes_max: usize,
}

/// What is wrong with one line of a lexicon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Fault {
    /// The line, from 1; 0 if the text as a whole is meant.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Lexicon {
    /// The built-in lists: 22 positive words of weight 1 and 19 negative ones of weight -1.
    pub fn built_in() -> Self {
        let positive = POSITIVE.split_whitespace().map(|word| (word, WEIGHT_ONE));
        let negative = NEGATIVE.split_whitespace().map(|word| (word, -WEIGHT_ONE));
        let mut lexicon = Self::empty();
        for (word, weight) in positive.chain(negative) {
            lexicon.add(word, weight).expect("no word is built in twice");
        }
        lexicon
    }

    /// Parses lines of a word and its weight, separated by a comma, tabs or spaces; `#` in front of a line
    /// makes it a comment.
    ///
    /// # Errors
    /// All faults, in the order of their lines. A list without a word is one.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut lexicon = Self::empty();
        let mut faults = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = word_and_weight(line).and_then(|(word, weight)| lexicon.add(word, weight));
            faults.extend(added.err().map(|message| Fault { line: index + 1, message }));
        }
        if faults.is_empty() && lexicon.words.is_empty() {
            faults.push(Fault { line: 0, message: "the lexicon holds no word".into() });
        }
        if faults.is_empty() { Ok(lexicon) } else { Err(faults) }
    }

    fn empty() -> Self {
        Self { words: Vec::new(), table: HashTable::new(), bytes_max: 0 }
    }

    fn add(&mut self, word: &str, weight: i64) -> Result<(), String> {
        let mut buffer = [0; WORD_BYTES_MAX];
        let lower = lower_case(word, &mut buffer)
            .ok_or_else(|| format!("the word {word:?} is longer than {WORD_BYTES_MAX} bytes"))?;
        if self.words.len() == WORDS_MAX {
            return Err(format!("more than {WORDS_MAX} words"));
        }
        let id = u16::try_from(self.words.len()).expect("at most WORDS_MAX words");
        let words = &self.words;
        let same = |&id: &u16| words[usize::from(id)].0.as_bytes() == lower;
        let hash = |&id: &u16| hash64(words[usize::from(id)].0.as_bytes());
        match self.table.entry(hash64(lower), same, hash) {
            Entry::Occupied(_) => return Err(format!("the word {word:?} is listed twice")),
            Entry::Vacant(vacant) => vacant.insert(id),
        };
        let lower = str::from_utf8(lower).expect("lower-casing gives text");
        self.bytes_max = self.bytes_max.max(lower.len());
        self.words.push((lower.into(), weight));
        Ok(())
    }

    /// The number of `word`, in any case, if it is listed.
    pub(super) fn find(&self, word: &str) -> Option<u16> {
        let mut buffer = [0; WORD_BYTES_MAX];
        let lower = lower_case(word, &mut buffer[..self.bytes_max])?;
        let same = |&id: &u16| self.words[usize::from(id)].0.as_bytes() == lower;
        self.table.find(hash64(lower), same).copied()
    }

    /// The listed words, lower-cased, with their weights in millionths, by number.
    pub(super) fn words(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.words.iter().map(|(word, weight)| (&**word, *weight))
    }

    /// Adds the word with number `id`, unless it is there, to what a message holds.
    pub(super) fn add_hit(&self, hits: &mut Hits, id: u16) {
        let (bits, bit) = (&mut hits.bits[usize::from(id / 64)], 1 << (id % 64));
        if *bits & bit == 0 {
            *bits |= bit;
            let weight = self.words[usize::from(id)].1;
            hits.sum += weight;
            hits.of += weight.abs();
        }
    }

    /// A hash of the words and weights, the same in whatever order they are listed.
    pub(super) fn meaning(&self) -> u64 {
        let words =
            self.words.iter().map(|(word, weight)| mix(hash64(word.as_bytes()), weight.cast_unsigned()));
        words.fold(0, u64::wrapping_add)
    }
}

/// `sum` ÷ `of` in units of 10^-12, halves rounded away from zero; 0 when `of` is zero.
pub(super) fn ratio(sum: i64, of: i64) -> i64 {
    if sum.abs() == of {
        return sum.signum() * ONE;
    }
    let (sum, of) = (i128::from(sum), i128::from(of));
    let twice = 2 * sum * i128::from(ONE) + sum.signum() * of;
    i64::try_from(twice / (2 * of)).expect("a sum of weights is at most the sum of their absolute values")
}

/// Writes `word` lower-cased to `buffer`; `None` if it does not fit.
fn lower_case<'b>(word: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    if word.is_ascii() {
        let lower = buffer.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        return Some(lower);
    }
    let mut len = 0;
    for symbol in word.chars().flat_map(char::to_lowercase) {
        let symbol = if symbol == 'ς' { 'σ' } else { symbol };
        let end = len + symbol.len_utf8();
        symbol.encode_utf8(buffer.get_mut(len..end)?);
        len = end;
    }
    Some(&buffer[..len])
}

fn word_and_weight(line: &str) -> Result<(&str, i64), String> {
    let is_separator = |symbol: char| symbol == ',' || symbol.is_whitespace();
    let (word, weight) = line
        .rsplit_once(is_separator)
        .map(|(word, weight)| (word.trim_end_matches(is_separator), weight))
        .filter(|(word, weight)| !word.is_empty() && !weight.is_empty())
        .ok_or_else(|| format!("expected a word and a weight, found {line:?}"))?;
    if word.contains(char::is_whitespace) {
        return Err(format!("a word cannot hold white space: {word:?}"));
    }
    let number: f64 = weight.parse().map_err(|_| format!("the weight {weight:?} is not a number"))?;
    if number.is_nan() || number.abs() > WEIGHT_MAX {
        return Err(format!("the weight {weight:?} lies outside -{WEIGHT_MAX} to {WEIGHT_MAX}"));
    }
    match (number * WEIGHT_ONE as f64).round() as i64 {
        0 => Err(format!("the weight {weight:?} is zero: leave the word out")),
        millionths => Ok((word, millionths)),
    }
}

/// The listed words seen in a message.
pub(super) struct Hits {
    /// A bit for the number of each.
    bits: [u64; WORDS_MAX.div_ceil(64)],
    sum: i64,
    of: i64,
}

impl Default for Hits {
    fn default() -> Self {
        Self { bits: [0; WORDS_MAX.div_ceil(64)], sum: 0, of: 0 }
    }
}

impl Hits {
    /// The numbers below 64, as bits.
    pub(super) fn first(&self) -> u64 {
        self.bits[0]
    }

    /// The score of a message with these words, 10^-12 units.
    pub(super) fn score(&self) -> i64 {
        ratio(self.sum, self.of)
    }
}
