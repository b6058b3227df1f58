//! How popular each stream is, and who writes in it.
//!
//! Popularity follows Zipf's law. People stand in a ring; a stream's community is an arc of it as long as its
//! popularity asks, and arcs overlap, so that everybody is in one or two of them.

use super::random::Random;

/// One in this many messages is by somebody from anywhere.
const STRANGERS: u32 = 20;

/// Streams and people.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    users: u32,
    streams: Vec<Stream>,
    alias: Alias,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    share: f64,
    first_user: u32,
    members: u32,
}

impl Crowd {
    pub(super) fn new(streams: u32, users: u32) -> Self {
        let weights: Vec<f64> = (0..streams).map(|rank| 1.0 / f64::from(rank + 1)).collect();
        let total: f64 = weights.iter().sum();
        let mut before = 0.0;
        let streams = weights.iter().map(|weight| {
            let share = weight / total;
            let members = (f64::from(users) * share * 1.4) as u32;
            let first_user = ((f64::from(users) * before) as u32).min(users - 1);
            before += share;
            Stream { share, first_user, members: members.clamp(users.min(20), users) }
        });
        Self { users, streams: streams.collect(), alias: Alias::new(&weights) }
    }

    pub(super) fn streams(&self) -> u32 {
        self.streams.len() as u32
    }

    /// A stream's share of the messages when nothing special happens.
    pub(super) fn share(&self, stream: u32) -> f64 {
        self.streams[stream as usize].share
    }

    /// A stream, the popular ones more often.
    #[inline]
    pub(super) fn stream(&self, random: &mut Random) -> u32 {
        self.alias.draw(random)
    }

    /// Somebody who writes in `stream`: a power law of activity (the member of rank r writes as r^(-2/3)).
    #[inline]
    pub(super) fn user(&self, stream: u32, random: &mut Random) -> u32 {
        if random.below(STRANGERS) == 0 {
            return random.below(self.users);
        }
        let stream = &self.streams[stream as usize];
        let unit = random.unit();
        let rank = (unit * unit * unit * f64::from(stream.members)) as u32;
        (stream.first_user + rank) % self.users
    }

    /// Anybody of `stream`'s community, all alike: those who come along in a raid.
    #[inline]
    pub(super) fn raider(&self, stream: u32, random: &mut Random) -> u32 {
        let stream = &self.streams[stream as usize];
        (stream.first_user + random.below(stream.members)) % self.users
    }
}

/// Draws from a discrete distribution in constant time (Vose, "A linear algorithm for generating random
/// numbers with a given distribution", IEEE TSE 17(9), 1991).
#[derive(Clone, Debug)]
struct Alias(Vec<Cell>);

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Of 2^32 draws of this cell, how many stay.
    stay: u32,
    other: u32,
}

impl Alias {
    fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut heights: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut cells: Vec<Cell> =
            (0..weights.len() as u32).map(|other| Cell { stay: u32::MAX, other }).collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..heights.len()).partition(|&at| heights[at] < 1.0);
        while let (Some(short), Some(&tall)) = (low.pop(), high.last()) {
            cells[short] = Cell { stay: (heights[short] * 4_294_967_296.0) as u32, other: tall as u32 };
            heights[tall] -= 1.0 - heights[short];
            if heights[tall] < 1.0 {
                high.pop();
                low.push(tall);
            }
        }
        Self(cells)
    }

    #[inline]
    fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let at = ((u64::from(bits as u32) * self.0.len() as u64) >> 32) as u32;
        let cell = self.0[at as usize];
        if (bits >> 32) as u32 <= cell.stay { at } else { cell.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_as_often_as_their_share_says() {
        let crowd = Crowd::new(20, 1_000);
        let mut random = Random::new(1, 0);
        let mut counts = [0_u32; 20];
        for _ in 0..200_000 {
            counts[crowd.stream(&mut random) as usize] += 1;
        }
        for (stream, &count) in counts.iter().enumerate() {
            let expected = crowd.share(stream as u32) * 200_000.0;
            assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "stream {stream}: {count}");
        }
    }

    #[test]
    fn most_people_write_in_one_or_two_streams() {
        let crowd = Crowd::new(20, 2_000);
        let mut random = Random::new(1, 0);
        let mut seen = vec![[0_u32; 20]; 2_000];
        for _ in 0..400_000 {
            let stream = crowd.stream(&mut random);
            seen[crowd.user(stream, &mut random) as usize][stream as usize] += 1;
        }
        let (mut two, mut all) = (0, 0);
        for mut counts in seen {
            counts.sort_unstable_by(|a, b| b.cmp(a));
            two += counts[0] + counts[1];
            all += counts.iter().sum::<u32>();
        }
        assert!(f64::from(two) > 0.85 * f64::from(all), "{two} of {all}");
    }

    #[test]
    fn one_stream_with_one_user_works() {
        let crowd = Crowd::new(1, 1);
        let mut random = Random::new(1, 0);
        assert_eq!(
            (crowd.stream(&mut random), crowd.user(0, &mut random), crowd.raider(0, &mut random)),
            (0, 0, 0)
        );
    }
}
