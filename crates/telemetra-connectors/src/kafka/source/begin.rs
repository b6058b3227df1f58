//! Where partitions begin that the store does not know.

use telemetra_engine::{ids::Offset, source::SourceError};

use super::log::Log;
use crate::kafka::{
    cluster::Cluster,
    offsets::Which,
    start_at::{Start, StartAt, StartOffset},
};

impl Log {
    /// Chooses it for those that have none yet; the same for good.
    pub(super) fn begin(
        &mut self,
        cluster: &Cluster,
        start_at: &StartAt,
        now_ms: i64,
    ) -> Result<(), SourceError> {
        let is_unknown = |part: &super::log::Part| part.committed.is_none() && part.begin.is_none();
        let Some(topic) = self.now.as_ref().filter(|_| self.parts.iter().any(is_unknown)) else {
            return Ok(());
        };
        if let StartAt::Offsets(offsets) = start_at {
            let is_beyond =
                |(name, number): &&(String, u32)| *name == self.name && *number as usize >= self.parts.len();
            if let Some((name, number)) = offsets.keys().find(is_beyond) {
                return Err(SourceError::Halt(format!(
                    "--start-at names partition {number} of topic {name}, which has {}: 0 to {}",
                    self.parts.len(),
                    self.parts.len().saturating_sub(1)
                )));
            }
        }
        let by_time = match start_at {
            StartAt::Instant(ms) => Some(cluster.offsets(topic, Which::At(*ms))?),
            _ => None,
        };
        for (number, part) in (0_u32..).zip(&mut self.parts).filter(|(_, part)| is_unknown(part)) {
            let wanted = match start_at.of(&self.name, number) {
                Start::Offset(StartOffset::Earliest) => part.low,
                Start::Offset(StartOffset::Latest) => part.end,
                Start::Offset(StartOffset::At(offset)) => {
                    demand_there(&self.name, number, offset, part.low..=part.end)?
                }
                Start::Instant(_) => {
                    let found = by_time.as_ref().and_then(|offsets| *offsets.get(number as usize)?);
                    found.map_or(part.end, |offset| offset.clamp(part.low, part.end))
                }
            };
            let left_out_ms = match start_at {
                StartAt::Instant(ms) => now_ms.min(*ms),
                _ => now_ms,
            };
            part.begin = Some((wanted, (wanted > part.low).then_some(left_out_ms)));
        }
        Ok(())
    }
}

fn demand_there(
    topic: &str,
    number: u32,
    offset: Offset,
    there: std::ops::RangeInclusive<Offset>,
) -> Result<Offset, SourceError> {
    if there.contains(&offset) {
        return Ok(offset);
    }
    Err(SourceError::Halt(format!(
        "--start-at names offset {offset} of topic {topic}, partition {number}, which holds {}..{}: name one of those, \
         or earliest, or latest",
        there.start(),
        there.end()
    )))
}
