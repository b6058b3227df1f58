//! Emote names and counts: the interner that open panes share, the cut of a full pane, the top ten of a window.
//!
//! A pane keeps exact counts of the names with the smallest hash. A name among the smallest of a whole is
//! among the smallest of each part that holds it, so cutting parts early never touches a count that is kept:
//! neither order nor split can show.

use std::cmp::Ordering;

use crate::{
    hash::{hash64, mix},
    limits::{EMOTES_PER_PANE_MAX, TOP_EMOTES},
    names::Names,
};

/// An emote's number in an interner, and how often it came.
pub(super) type EmoteCount = (u32, u64);

/// Emote names with what is asked of them often.
#[derive(Clone, Debug, Default)]
pub(super) struct EmoteNames {
    names: Names,
    keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    /// Fixed hash of the name: decides which names a full pane keeps.
    hash: u64,
    /// First eight bytes, so that most comparisons of names are of integers.
    prefix: u64,
}

impl EmoteNames {
    /// The number of `name`, new if it was not seen before.
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        let id = self.names.intern(name);
        if id as usize == self.keys.len() {
            let mut prefix = [0; 8];
            let len = name.len().min(8);
            prefix[..len].copy_from_slice(&name.as_bytes()[..len]);
            self.keys.push(Key { hash: hash64(name.as_bytes()), prefix: u64::from_be_bytes(prefix) });
        }
        id
    }

    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.names.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Memory taken, bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.keys.len() * size_of::<Key>()
    }

    /// Appends the names of `fresh`, none of which is known here.
    pub(super) fn append(&mut self, fresh: &EmoteNames) {
        for name in fresh.names.iter() {
            let id = self.intern(name);
            assert_eq!(id as usize + 1, self.names.len(), "a fresh name is not known yet");
        }
    }

    /// Forgets the names that are not `live` and returns the new number of each old one, in the same order;
    /// the number of a dead one means nothing.
    pub(super) fn compact(&mut self, live: &[bool]) -> Vec<u32> {
        let mut kept = EmoteNames::default();
        let numbers = self.names.iter().zip(live);
        let moved = numbers.map(|(name, &live)| if live { kept.intern(name) } else { u32::MAX }).collect();
        *self = kept;
        moved
    }
}

/// The open panes' names followed by those that are new in a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct EmoteView<'a> {
    pub(super) open: &'a EmoteNames,
    pub(super) fresh: &'a EmoteNames,
}

impl<'a> EmoteView<'a> {
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.fresh.len()
    }

    fn key(&self, id: u32) -> Key {
        let id = id as usize;
        self.open.keys.get(id).copied().unwrap_or_else(|| self.fresh.keys[id - self.open.len()])
    }

    pub(super) fn name(&self, id: u32) -> &'a str {
        match (id as usize).checked_sub(self.open.len()) {
            None => self.open.names.name(id),
            Some(fresh) => self.fresh.names.name(u32::try_from(fresh).expect("smaller than id")),
        }
    }

    fn by_name(&self, a: u32, b: u32) -> Ordering {
        self.key(a).prefix.cmp(&self.key(b).prefix).then_with(|| self.name(a).cmp(self.name(b)))
    }

    /// Cuts `counts` to the names that a pane keeps; ordered by number before and after.
    pub(super) fn cut(&self, counts: &mut Vec<EmoteCount>) {
        cut(counts, |id| self.key(id).hash, |id| self.name(id));
        counts.sort_unstable_by_key(|&(id, _)| id);
    }

    /// Order-free sum over names and counts, for the digest of a pane.
    pub(super) fn digest(&self, counts: &[EmoteCount]) -> u64 {
        counts.iter().fold(0, |sum: u64, &(id, count)| sum.wrapping_add(mix(self.key(id).hash, count)))
    }
}

/// Cuts `counts` to the [`EMOTES_PER_PANE_MAX`] names with the smallest (hash, name), in no order.
pub(super) fn cut<'a>(
    counts: &mut Vec<EmoteCount>,
    hash: impl Fn(u32) -> u64,
    name: impl Fn(u32) -> &'a str,
) {
    if counts.len() <= EMOTES_PER_PANE_MAX {
        return;
    }
    counts.select_nth_unstable_by(EMOTES_PER_PANE_MAX - 1, |&(a, _), &(b, _)| {
        hash(a).cmp(&hash(b)).then_with(|| name(a).cmp(name(b)))
    });
    counts.truncate(EMOTES_PER_PANE_MAX);
}

/// Sums equal numbers of `counts`, which come in any order; ordered by number afterwards.
pub(super) fn coalesce(counts: &mut Vec<EmoteCount>) {
    counts.sort_unstable_by_key(|&(id, _)| id);
    counts.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

/// Counts of the emotes of one window, moved from window to window by adding and removing panes.
///
/// Between two calls of [`Self::top`] all that is added must be added before anything is removed.
#[derive(Debug)]
pub(super) struct EmoteSum {
    counts: Vec<u64>,
    /// Numbers whose count is above zero, or was at the last call of `top`.
    live: Vec<u32>,
}

impl EmoteSum {
    pub(super) fn new(names: usize) -> Self {
        Self { counts: vec![0; names], live: Vec::new() }
    }

    pub(super) fn add(&mut self, emotes: &[EmoteCount]) {
        for &(id, count) in emotes {
            let sum = &mut self.counts[id as usize];
            if *sum == 0 {
                self.live.push(id);
            }
            *sum += count;
        }
    }

    pub(super) fn remove(&mut self, emotes: &[EmoteCount]) {
        for &(id, count) in emotes {
            self.counts[id as usize] -= count;
        }
    }

    /// The first [`TOP_EMOTES`] names by count descending, then name ascending.
    pub(super) fn top(&mut self, names: EmoteView<'_>) -> Vec<(String, u64)> {
        let mut top = [(0, 0); TOP_EMOTES];
        let mut len = 0;
        let counts = &self.counts;
        let before =
            |a: EmoteCount, b: EmoteCount| a.1 > b.1 || a.1 == b.1 && names.by_name(a.0, b.0).is_lt();
        self.live.retain(|&id| {
            let emote = (id, counts[id as usize]);
            if emote.1 == 0 {
                return false;
            }
            if len == TOP_EMOTES {
                if !before(emote, top[len - 1]) {
                    return true;
                }
                len -= 1;
            }
            let mut at = len;
            while at > 0 && before(emote, top[at - 1]) {
                top[at] = top[at - 1];
                at -= 1;
            }
            top[at] = emote;
            len += 1;
            true
        });
        top[..len].iter().map(|&(id, count)| (names.name(id).to_owned(), count)).collect()
    }

    /// Forgets all counts.
    pub(super) fn clear(&mut self) {
        for id in self.live.drain(..) {
            self.counts[id as usize] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `name count` pairs; returns the top as text.
    fn check(input: &str, expected: &str) {
        let mut names = EmoteNames::default();
        let mut counts = Vec::new();
        let mut words = input.split_whitespace();
        while let (Some(name), Some(count)) = (words.next(), words.next()) {
            counts.push((names.intern(name), count.parse().expect("a count")));
        }
        coalesce(&mut counts);
        let view = EmoteView { open: &names, fresh: &EmoteNames::default() };
        let mut sum = EmoteSum::new(view.len());
        sum.add(&counts);
        let top: Vec<_> = sum.top(view).iter().map(|(name, count)| format!("{name} {count}")).collect();
        assert_eq!(top.join(" "), expected);
    }

    #[test]
    fn ties_go_by_name() {
        check("Kappa 2 LUL 3 Pog 2", "LUL 3 Kappa 2 Pog 2");
        check("aaaaaaaab 1 aaaaaaaaa 1 aaaaaaaa 1", "aaaaaaaa 1 aaaaaaaaa 1 aaaaaaaab 1");
        check("b 1 a 1 b 1", "b 2 a 1");
    }

    #[test]
    fn the_eleventh_is_left_out() {
        check(
            "l 1 k 1 j 1 i 1 h 1 g 1 f 1 e 1 d 1 c 1 b 1 a 1 z 9",
            "z 9 a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1 i 1",
        );
    }

    #[test]
    fn a_name_that_left_the_window_is_gone() {
        let mut names = EmoteNames::default();
        let (kappa, lul) = (names.intern("Kappa"), names.intern("LUL"));
        let view = EmoteView { open: &names, fresh: &EmoteNames::default() };
        let mut sum = EmoteSum::new(view.len());
        sum.add(&[(kappa, 3), (lul, 1)]);
        sum.add(&[(lul, 1)]);
        sum.remove(&[(kappa, 3), (lul, 1)]);
        assert_eq!(sum.top(view), [("LUL".to_owned(), 1)]);
        sum.add(&[(kappa, 1)]);
        assert_eq!(sum.top(view), [("Kappa".to_owned(), 1), ("LUL".to_owned(), 1)]);
        sum.clear();
        assert_eq!(sum.top(view), []);
    }
}
