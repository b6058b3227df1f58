//! The sequence of chat events and viewer samples, in the order in which they are written.

use super::{
    ChatPlan, Input, Item, Kind,
    broken::broken,
    crowd::Crowd,
    line::{self, Stamp},
    message::message,
    random::{Random, scramble},
    schedule::{Mood, Schedule},
    viewers::Viewers,
};

/// Feelings of a stream last this long, milliseconds.
const FEELING_MS: i64 = 90_000;

/// An endless sequence of events; the plan alone decides it.
///
/// It holds no more than the streams need; an event costs no allocation once the line has grown.
#[derive(Clone, Debug)]
pub struct ChatGenerator {
    plan: ChatPlan,
    crowd: Crowd,
    schedule: Schedule,
    viewers: Viewers,
    random: Random,
    stamp: Stamp,
    events: u64,
}

impl ChatGenerator {
    /// Begins the sequence of `plan`.
    ///
    /// # Errors
    /// Every fault of the plan, one sentence each ([`ChatPlan::check`]).
    pub fn new(plan: ChatPlan) -> Result<Self, Vec<String>> {
        plan.check()?;
        let crowd = Crowd::new(plan.streams, plan.users);
        Ok(Self {
            schedule: Schedule::new(plan.seed, plan.rate_per_second, plan.start_ms, &crowd),
            viewers: Viewers::new(plan.seed, plan.start_ms, plan.viewer_interval_ms, plan.users, &crowd),
            random: Random::new(plan.seed, 0),
            stamp: Stamp::new(),
            events: 0,
            crowd,
            plan,
        })
    }

    /// When the next item is to be written, milliseconds; never goes back.
    pub fn next_ms(&self) -> i64 {
        self.viewers.at_ms().map_or(self.schedule.at_ms(), |at_ms| at_ms.min(self.schedule.at_ms()))
    }

    /// Appends the next chat event or viewer sample to `line`, without a line end.
    #[inline]
    pub fn next(&mut self, line: &mut Vec<u8>) -> Item {
        match self.viewers.at_ms() {
            Some(at_ms) if at_ms <= self.schedule.at_ms() => self.viewer(line, at_ms),
            _ => self.chat(line),
        }
    }

    /// Appends the next chat event to `line`, without a line end; viewer samples before it are left out.
    #[inline]
    pub fn next_chat(&mut self, line: &mut Vec<u8>) -> Item {
        let start = line.len();
        loop {
            let item = self.next(line);
            if item.input == Input::Chat {
                return item;
            }
            line.truncate(start);
        }
    }

    fn chat(&mut self, line: &mut Vec<u8>) -> Item {
        let written_ms = self.schedule.at_ms();
        let (stream, mood) = self.schedule.take(&self.crowd, &mut self.random);
        let user = match mood {
            Mood::Raid(from) => self.crowd.raider(from, &mut self.random),
            _ => self.crowd.user(stream, &mut self.random),
        };
        let kind = self.kind();
        let random = &mut self.random;
        let time_ms = match kind {
            Kind::Good | Kind::Broken => written_ms,
            Kind::OutOfOrder => written_ms - random.between(1, self.plan.out_of_order_ms_max),
            Kind::Late => written_ms - random.between(*self.plan.late_ms.start(), *self.plan.late_ms.end()),
        };
        let code = if kind == Kind::Broken {
            Some(broken(line, &mut self.stamp, time_ms, stream, user, random))
        } else {
            self.good(line, time_ms, stream, user, mood);
            None
        };
        self.events += 1;
        Item { input: Input::Chat, stream, written_ms, time_ms, kind, code }
    }

    #[inline]
    fn kind(&mut self) -> Kind {
        let mut at = self.random.unit();
        let plan = &self.plan;
        for (share, kind) in [
            (plan.broken_share, Kind::Broken),
            (plan.late_share, Kind::Late),
            (plan.out_of_order_share, Kind::OutOfOrder),
        ] {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Kind::Good
    }

    fn good(&mut self, line: &mut Vec<u8>, time_ms: i64, stream: u32, user: u32, mood: Mood) {
        line::text(line, r#"{"event_id":"chat_"#);
        line::number(line, time_ms.unsigned_abs());
        line.push(b'_');
        line::number(line, self.events);
        line::text(line, r#"","timestamp":""#);
        self.stamp.write(line, time_ms);
        line::text(line, r#"","stream_id":""#);
        line::stream(line, stream);
        line::text(line, r#"","user_id":"user_"#);
        line::number(line, user.into());
        line::text(line, r#"","username":""#);
        line::username(line, user);
        line::text(line, r#"","message":""#);
        let feeling =
            scramble(self.plan.seed ^ u64::from(stream) << 32 ^ (time_ms / FEELING_MS) as u64) % 201;
        let other = self.crowd.user(stream, &mut self.random);
        let used = message(line, mood, feeling as i32 - 100, other, &mut self.random);
        line::text(line, r#"","emotes":["#);
        for (at, name) in used.names().enumerate() {
            line::text(line, if at == 0 { "\"" } else { ",\"" });
            line::text(line, name);
            line.push(b'"');
        }
        line::text(line, badges(user));
    }

    fn viewer(&mut self, line: &mut Vec<u8>, at_ms: i64) -> Item {
        let is_raided = self.schedule.is_raided(self.viewers.stream());
        let sample = self.viewers.take(at_ms, is_raided);
        line::text(line, r#"{"event_id":"viewer_"#);
        line::number(line, sample.at_ms.unsigned_abs());
        line.push(b'_');
        line::number(line, sample.number);
        line::text(line, r#"","timestamp":""#);
        self.stamp.write(line, sample.at_ms);
        line::text(line, r#"","stream_id":""#);
        line::stream(line, sample.stream);
        line::text(line, r#"","viewer_count":"#);
        line::number(line, sample.viewers);
        line::text(line, r#","unique_viewers":"#);
        line::number(line, sample.viewers * 3);
        line::text(line, r#","peak_viewers":"#);
        line::number(line, sample.peak);
        line.push(b'}');
        Item {
            input: Input::Viewer,
            stream: sample.stream,
            written_ms: at_ms,
            time_ms: at_ms,
            kind: Kind::Good,
            code: None,
        }
    }
}

/// The end of a chat record from its emotes on; the same person always has the same badges.
#[inline]
fn badges(user: u32) -> &'static str {
    match scramble(u64::from(user) ^ 0xbad6e5) % 100 {
        0 => r#"],"is_subscriber":true,"is_moderator":true,"badges":["moderator","subscriber"]}"#,
        1 => r#"],"is_subscriber":false,"is_moderator":true,"badges":["moderator"]}"#,
        2..5 => r#"],"is_subscriber":true,"is_moderator":false,"badges":["vip","subscriber"]}"#,
        5..35 => r#"],"is_subscriber":true,"is_moderator":false,"badges":["subscriber"]}"#,
        35..40 => r#"],"is_subscriber":false,"is_moderator":false,"badges":["premium"]}"#,
        _ => r#"],"is_subscriber":false,"is_moderator":false,"badges":[]}"#,
    }
}
