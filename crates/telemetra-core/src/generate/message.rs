//! What people write: phrases, emotes, questions, copies, links, mentions.

use super::{
    line::{number, text, username},
    random::Random,
    schedule::Mood,
    words::{EMOTES, FAIL_EMOTES, FOREIGN, GLAD, HYPE_EMOTES, LINKS, PASTA, PLAIN, QUESTIONS, UPSET},
};

/// Most emotes in a message.
const EMOTES_MAX: usize = 6;

/// The emotes of a message, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    places: [u8; EMOTES_MAX],
    count: usize,
}

impl Used {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.places[..self.count].iter().map(|&place| EMOTES[usize::from(place)])
    }
}

/// Appends the text of a message, as it stands inside a JSON string, and tells its emotes.
///
/// `feeling` shifts what people say in calm moments: -100 (all is bad) to 100. `other` is somebody to mention.
pub(super) fn message(line: &mut Vec<u8>, mood: Mood, feeling: i32, other: u32, random: &mut Random) -> Used {
    let mut used = Used::default();
    let roll = random.below(1_000) as i32;
    match mood {
        Mood::Hype | Mood::Raid(_) if roll < 650 => match roll {
            0..300 => emotes(line, &mut used, Some(&HYPE_EMOTES), random),
            _ => phrase(line, &mut used, &GLAD, Some(&HYPE_EMOTES), random),
        },
        Mood::Fail if roll < 650 => match roll {
            0..300 => emotes(line, &mut used, Some(&FAIL_EMOTES), random),
            _ => phrase(line, &mut used, &UPSET, Some(&FAIL_EMOTES), random),
        },
        _ => calm(line, &mut used, feeling, other, random),
    }
    used
}

fn calm(line: &mut Vec<u8>, used: &mut Used, feeling: i32, other: u32, random: &mut Random) {
    let roll = random.below(1_000) as i32;
    let glad = 270 + feeling;
    let upset = glad + 120 - feeling;
    if roll < glad {
        phrase(line, used, &GLAD, None, random);
    } else if roll < upset {
        phrase(line, used, &UPSET, None, random);
    } else if roll < 520 {
        emotes(line, used, None, random);
    } else if roll < 600 {
        text(line, random.pick(&QUESTIONS));
    } else if roll < 660 {
        text(line, "@");
        username(line, other);
        line.push(b' ');
        phrase(line, used, &PLAIN, None, random);
    } else if roll < 700 {
        phrase(line, used, &FOREIGN, None, random);
    } else if roll < 715 {
        text(line, random.pick(&PASTA));
    } else if roll < 730 {
        text(line, random.pick(&LINKS));
        number(line, random.bits() >> 34);
    } else {
        phrase(line, used, &PLAIN, None, random);
    }
}

/// One of `phrases`, and an emote behind every fourth.
fn phrase(line: &mut Vec<u8>, used: &mut Used, phrases: &[&str], of: Option<&[u8]>, random: &mut Random) {
    text(line, random.pick(phrases));
    if random.below(4) == 0 {
        line.push(b' ');
        emote(line, used, of, random);
    }
}

/// Nothing but emotes; half the time the same again and again.
fn emotes(line: &mut Vec<u8>, used: &mut Used, of: Option<&[u8]>, random: &mut Random) {
    let count = 1 + random.below(EMOTES_MAX as u32 - 1) as usize;
    let repeats = random.below(2) == 0;
    emote(line, used, of, random);
    for at in 1..count {
        line.push(b' ');
        if repeats {
            used.places[at] = used.places[0];
            used.count += 1;
            text(line, EMOTES[usize::from(used.places[0])]);
        } else {
            emote(line, used, of, random);
        }
    }
}

fn emote(line: &mut Vec<u8>, used: &mut Used, of: Option<&[u8]>, random: &mut Random) {
    let place = match of {
        Some(few) => random.pick(few),
        // The first ones are by far the most common.
        None => {
            let common = 1 + random.below(EMOTES.len() as u32);
            random.below(common) as u8
        }
    };
    text(line, EMOTES[usize::from(place)]);
    used.places[used.count] = place;
    used.count += 1;
}
