//! Whether an error is a row's own fault: then it goes to quarantine under its SQLSTATE. Anything else is a matter of the
//! whole batch, and no row may pay for it. No text is looked at, only SQLSTATE and the names that come with it.

use tokio_postgres::{
    Client,
    error::{DbError, SqlState},
    types::Type,
};

use super::super::{commit::FLIGHT_LIMIT, failure::Failure, session::Session};

/// Columns that a row brings along; `id` and `created_at` the table gives.
pub(super) const COLUMNS: &str = "event_id, user_id, product_id, product_name, category, price, event_type,
    event_timestamp, batch_id, origin, origin_position";

/// Whether the unique index of a name is that of the rows' own numbers.
const IS_OF_ID: &str = "SELECT EXISTS (SELECT FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = 'user_events'::regclass AND c.relname = $1 AND i.indnkeyatts = 1 AND a.attname = 'id')";

/// The code under which a row may be refused for an error; `None` for one that says nothing of a row.
pub(super) fn code(failure: &Failure) -> Option<String> {
    let said = failure.said()?;
    let state = said.code();
    let of_row = match *state {
        // The sequence of `id` has come to its end.
        SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED => false,
        SqlState::RAISE_EXCEPTION => true,
        // No row brings what a column that is none of ours demands.
        SqlState::NOT_NULL_VIOLATION => said.column().is_none_or(is_written),
        _ => matches!(state.code().get(..2), Some("22" | "23")),
    };
    of_row.then(|| format!("sqlstate:{}", state.code()))
}

fn is_written(column: &str) -> bool {
    COLUMNS.split(',').any(|name| name.trim() == column)
}

/// As [`code`], once the row stands alone and its savepoint is rolled back: the server can be asked.
///
/// # Errors
/// Halts when the row's number is taken, which is no fault of the row.
pub(super) fn code_of_row(session: &Session, failure: &Failure) -> Result<Option<String>, Failure> {
    let index = failure
        .said()
        .filter(|said| said.code() == &SqlState::UNIQUE_VIOLATION)
        .and_then(DbError::constraint);
    if let Some(index) = index
        && session.run(FLIGHT_LIMIT, async |client| is_of_id(client, index).await)?
    {
        return Err(Failure::halt(
            "user_events: the numbers that come next for id are taken, so that no row can be inserted; nothing was \
             written. Set the sequence behind them:  SELECT setval(pg_get_serial_sequence('user_events', 'id'), \
             (SELECT max(id) FROM user_events))",
        ));
    }
    Ok(code(failure))
}

async fn is_of_id(client: &Client, index: &str) -> Result<bool, Failure> {
    let row = client.query_typed(IS_OF_ID, &[(&index, Type::TEXT)]).await?;
    Ok(row.first().is_some_and(|row| row.get(0)))
}
