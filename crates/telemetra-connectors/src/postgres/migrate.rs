//! stub
use std::time::Duration;
use super::{failure::Failure, session::Session};
pub(super) fn check(_s: &Session) -> Result<(), Failure> { Ok(()) }
pub(super) fn ensure(s: &Session) -> Result<(), Failure> {
    s.run(Duration::from_secs(20), async |client| {
        let there = client.query_one("SELECT to_regclass('telemetra.job') IS NOT NULL", &[]).await?;
        if !there.try_get::<_, bool>(0)? { client.batch_execute(include_str!("migrations/0001_chat.sql")).await?; }
        Ok(())
    })
}
pub(super) fn stream_chars_max(_s: &Session) -> Result<usize, Failure> { Ok(255) }
