//! A decoded shop event: what a row needs, borrowed from its record or from the scratch.

use super::rows::Payload;
use crate::logic::Event;

/// A record that kept every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommerceEvent<'r> {
    /// 1 to 50 characters.
    pub event_id: &'r str,
    /// All else.
    pub payload: Payload<'r>,
}

impl Event for CommerceEvent<'_> {
    /// No window holds it, so it is never late.
    fn time_ms(&self) -> Option<i64> {
        None
    }

    fn key(&self) -> &str {
        self.event_id
    }

    fn is_counted_in_windows(&self) -> bool {
        false
    }
}
