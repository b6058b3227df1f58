//! What the table holds of each candidate: its id with the same payload, with another, or not at all.
//!
//! Each statement sees what was committed before it began, so a second probe sees another writer's rows.

use std::{collections::HashMap, pin::pin};

use futures_util::TryStreamExt;
use telemetra_core::commerce::{classify::Stored, rows::Candidate};
use tokio_postgres::{Client, Row, types::Type};

use super::super::{commit::FLIGHT_LIMIT, failure::Failure, session::Session, values::Us};

/// Ids that one statement asks for.
const IDS: usize = 10_000;

/// Adopted rows may hold NULL anywhere but in the id, and a price that is no number: neither is like a candidate's.
const SQL: &str = "SELECT event_id, user_id, product_id, product_name, category,
        (nullif(price, 'NaN') * 100)::bigint, event_type, event_timestamp
    FROM user_events WHERE event_id = ANY ($1)";

/// Asks for all candidates in their order.
pub(in super::super) fn probe<'a>(
    session: &Session,
    mut candidates: impl Iterator<Item = Candidate<'a>>,
) -> Result<Vec<Stored>, Failure> {
    let mut stored = Vec::new();
    let mut asked = Vec::with_capacity(IDS);
    loop {
        asked.clear();
        asked.extend(candidates.by_ref().take(IDS));
        if asked.is_empty() {
            return Ok(stored);
        }
        let found = session.run(FLIGHT_LIMIT, async |client| find(client, &asked).await)?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in &found {
            rows.insert(row.try_get::<_, &str>(0)?, row);
        }
        for candidate in &asked {
            stored.push(match rows.get(candidate.event_id) {
                None => Stored::Unknown,
                Some(row) if is_same(row, candidate)? => Stored::Same,
                Some(_) => Stored::Other,
            });
        }
    }
}

async fn find(client: &Client, candidates: &[Candidate<'_>]) -> Result<Vec<Row>, Failure> {
    let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.event_id).collect();
    let rows = client.query_typed_raw(SQL, [(&ids, Type::TEXT_ARRAY)]).await?;
    let mut rows = pin!(rows);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        found.push(row);
    }
    Ok(found)
}

fn is_same(row: &Row, candidate: &Candidate<'_>) -> Result<bool, Failure> {
    let payload = &candidate.payload;
    let texts = [payload.user_id, payload.product_id, payload.product_name, payload.category];
    for (column, text) in (1..).zip(texts) {
        if row.try_get::<_, Option<&str>>(column)? != Some(text) {
            return Ok(false);
        }
    }
    Ok(row.try_get::<_, Option<i64>>(5)? == Some(payload.price_cents)
        && row.try_get::<_, Option<&str>>(6)? == Some(payload.event_type.as_str())
        && row.try_get::<_, Option<Us>>(7)? == Some(Us(payload.time_us)))
}
