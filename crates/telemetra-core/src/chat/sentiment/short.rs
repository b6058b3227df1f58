//! Scores by a short list of plain words, the built-in one for instance: about 20 ns a message.
//!
//! For at most 63 words of up to 16 letters a-z. A message is looked at in blocks of 64 bytes: one bit a byte
//! says whether it belongs to a word, runs of ones are words, and a word, as one number of 16 bytes, is found by
//! one multiplication. A run that holds other than ASCII goes the general way. Invariant: scores are those of
//! [`super::Sentiment::score_any`].

use super::{Tokenizer, lexicon};

/// Most words; the last number stands for none.
const WORDS_MAX: usize = 63;
const NONE: u8 = 63;
/// Longest word, bytes.
const WORD_BYTES_MAX: usize = 16;
/// Bits of a hash.
const HASH_BITS: u32 = 9;
/// Bytes that one look takes in.
const BLOCK: usize = 64;
/// A block and the rest of a word that begins in it.
const WINDOW: usize = BLOCK + WORD_BYTES_MAX;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const LOWER: u128 = u128::from_ne_bytes([0x20; 16]);

/// A table of words without collisions.
#[derive(Clone, Debug)]
pub(super) struct Short {
    multiplier: u64,
    numbers: Box<[u8; 1 << HASH_BITS]>,
    /// Words by number, padded with zeros.
    words: [u128; WORDS_MAX + 1],
}

/// One look at a message: a bit for each byte.
struct Look {
    /// It belongs to a word, or is not ASCII.
    in_word: u64,
    /// It is not ASCII.
    high: u64,
}

impl Short {
    /// The table of these words; `None` if they are too many, too long or not all letters a-z.
    pub(super) fn of<'a>(list: impl ExactSizeIterator<Item = &'a str>) -> Option<Short> {
        if list.len() > WORDS_MAX {
            return None;
        }
        let mut words = [u128::MAX; WORDS_MAX + 1];
        let mut len = 0;
        for (at, word) in list.enumerate() {
            let is_plain = word.len() <= WORD_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase());
            let mut padded = [0; WORD_BYTES_MAX];
            padded.get_mut(..word.len()).filter(|_| is_plain)?.copy_from_slice(word.as_bytes());
            words[at] = u128::from_le_bytes(padded);
            len = at + 1;
        }
        // One try in five is free of collisions for 41 words, one in fifty for 63.
        (1..10_000_u64).find_map(|attempt| {
            let multiplier = attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut numbers = Box::new([NONE; 1 << HASH_BITS]);
            for (number, word) in (0..NONE).zip(&words[..len]) {
                let place = &mut numbers[slot(*word, multiplier)];
                if *place != NONE {
                    return None;
                }
                *place = number;
            }
            Some(Short { multiplier, numbers, words })
        })
    }

    /// The numbers, as bits, of the listed words in `text[from..to]`, which begins and ends between characters.
    /// The text around it is not scored but may be read. Words that are not ASCII are given to `general`.
    #[inline]
    pub(super) fn hits(
        &self,
        tokenizer: Tokenizer,
        text: &str,
        from: usize,
        to: usize,
        general: impl Fn(&str) -> u64,
    ) -> u64 {
        let bytes = text.as_bytes();
        let mut hits = 0;
        let mut at = from;
        while at < to {
            let mut copy = [0; WINDOW];
            let window = bytes[at..].first_chunk().unwrap_or_else(|| {
                copy[..bytes.len() - at].copy_from_slice(&bytes[at..]);
                &copy
            });
            let len = (to - at).min(BLOCK);
            let Look { in_word: mut rest, high } = look(tokenizer, window, len);
            let mut next = at + len;
            while rest != 0 {
                let start = rest.trailing_zeros();
                let run = (!(rest >> start)).trailing_zeros().min(64 - start);
                let ones = (u64::MAX >> (64 - run)) << start;
                rest &= !ones;
                let (begin, mut end) = (at + start as usize, at + (start + run) as usize);
                if end == at + BLOCK && end < to {
                    if start > 0 {
                        // It may go on in the next block: look at it again from its start.
                        next = begin;
                        break;
                    }
                    end = run_end(tokenizer, bytes, end, to);
                    next = end;
                    hits |= general(&text[begin..end]);
                } else if high & ones == 0 {
                    hits |= self.find(window, start as usize, run as usize);
                } else if high & ones != ones || bytes[begin..end].contains(&KELVIN_LAST) {
                    hits |= general(&text[begin..end]);
                }
            }
            at = next;
        }
        hits
    }

    #[inline(always)]
    fn find(&self, window: &[u8; WINDOW], start: usize, len: usize) -> u64 {
        if len > WORD_BYTES_MAX {
            return 0;
        }
        let Some(word) = window[start..].first_chunk() else { return 0 };
        // Only a letter becomes a letter by this bit; what else it may change is in no word of the table.
        let word = (u128::from_le_bytes(*word) | LOWER) & (u128::MAX >> (128 - 8 * len));
        let number = self.numbers[slot(word, self.multiplier)] & NONE;
        u64::from(self.words[usize::from(number)] == word) << number
    }
}

/// The last byte of U+212A, the one character beyond ASCII whose lower case (`k`) is in ASCII: a run without
/// ASCII can hold a listed word only if it holds this one.
const KELVIN_LAST: u8 = 0xaa;

#[inline(always)]
fn slot(word: u128, multiplier: u64) -> usize {
    let folded = word as u64 ^ ((word >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(multiplier) >> (64 - HASH_BITS)) as usize
}

/// Looks at the first `len` bytes, at most [`BLOCK`].
#[inline(always)]
fn look(tokenizer: Tokenizer, window: &[u8; WINDOW], len: usize) -> Look {
    let (mut in_word, mut high, mut any_high) = (0, 0, 0);
    let (words, _) = window.as_chunks::<8>();
    let words =
        || words.iter().take(len.div_ceil(8)).map(|chunk| u64::from_le_bytes(*chunk)).zip((0..).step_by(8));
    for (word, shift) in words() {
        any_high |= word;
        let is_in_word = match tokenizer {
            Tokenizer::Words => letters_digits_apostrophes(word),
            Tokenizer::Whitespace => !white(word),
        };
        in_word |= gather(is_in_word | word) << shift;
    }
    let looked_at = u64::MAX >> (BLOCK - len);
    if any_high & HIGHS != 0 {
        for (word, shift) in words() {
            high |= gather(word) << shift;
        }
    }
    Look { in_word: in_word & looked_at, high }
}

/// The highest bits of eight bytes, the first byte's lowest.
#[inline(always)]
fn gather(word: u64) -> u64 {
    ((word & HIGHS) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// High bits of the bytes that are ASCII letters, digits or apostrophes; wrong for bytes that are not ASCII.
#[inline(always)]
fn letters_digits_apostrophes(word: u64) -> u64 {
    // The highest bit of `x + (0x80 - y)` says whether x >= y, for x and y below 0x80.
    let word = word & !HIGHS;
    let from = |word: u64, byte: u8| word + ONES * u64::from(0x80 - byte);
    let lower = word | (ONES * 0x20);
    let letter = from(lower, b'a') & !from(lower, b'z' + 1);
    let digit = from(word, b'0') & !from(word, b'9' + 1);
    let apostrophe = !from(word ^ (ONES * u64::from(b'\'')), 1);
    letter | digit | apostrophe
}

/// High bits of the bytes that are ASCII white space; wrong for bytes that are not ASCII.
#[inline(always)]
fn white(word: u64) -> u64 {
    let word = word & !HIGHS;
    let from = |word: u64, byte: u8| word + ONES * u64::from(0x80 - byte);
    let control = from(word, b'\t') & !from(word, b'\r' + 1);
    let space = !from(word ^ (ONES * u64::from(b' ')), 1);
    control | space
}

/// The end of the run of word bytes, and bytes that are not ASCII, in which `at` lies.
fn run_end(tokenizer: Tokenizer, bytes: &[u8], at: usize, to: usize) -> usize {
    let goes_on = |byte: &u8| !byte.is_ascii() || !tokenizer.separates(char::from(*byte));
    at + bytes[at..to].iter().take_while(|byte| goes_on(byte)).count()
}

/// The weights of a list of words, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    positive: u64,
    negative: u64,
}

impl Signs {
    /// `None` if some weight is neither one nor minus one times the first one's size.
    pub(super) fn of(weights: impl Iterator<Item = i64>) -> Option<Signs> {
        let mut signs = Signs { positive: 0, negative: 0 };
        let mut size = None;
        for (number, weight) in weights.enumerate().take(WORDS_MAX) {
            if *size.get_or_insert(weight.abs()) != weight.abs() {
                return None;
            }
            *(if weight > 0 { &mut signs.positive } else { &mut signs.negative }) |= 1 << number;
        }
        Some(signs)
    }

    /// The score of a message with these words.
    #[inline(always)]
    pub(super) fn weigh(self, hits: u64) -> i64 {
        let positive = i64::from((hits & self.positive).count_ones());
        let negative = i64::from((hits & self.negative).count_ones());
        lexicon::ratio(positive - negative, positive + negative)
    }
}
