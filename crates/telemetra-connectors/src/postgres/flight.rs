//! Statements that travel together: once BEGIN is answered all are sent before the next answer is awaited, so that a batch costs a few
//! round trips however many statements it has. They are run in order; after one that fails the server skips the
//! rest of the transaction.

use std::pin::pin;

use futures_util::{TryStreamExt, future::join_all};
use telemetra_engine::sink::SinkError;
use tokio_postgres::{
    Client, Row, SimpleQueryMessage,
    error::SqlState,
    types::{ToSql, Type},
};

use super::failure::Failure;

/// A statement with typed parameters: no round trip to prepare it.
pub(super) struct Statement<'a> {
    sql: &'a str,
    args: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

/// What a statement came to.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its rows.
    pub(super) rows: Vec<Row>,
    /// Rows written, or returned.
    pub(super) affected: u64,
}

impl<'a> Statement<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self { sql, args: Vec::new() }
    }

    /// Adds the value of the next placeholder.
    pub(super) fn arg(mut self, value: &'a (dyn ToSql + Sync), ty: Type) -> Self {
        self.args.push((value, ty));
        self
    }

    /// An integer.
    pub(super) fn int(self, value: &'a (dyn ToSql + Sync)) -> Self {
        self.arg(value, Type::INT8)
    }

    /// A text.
    pub(super) fn text(self, value: &'a (dyn ToSql + Sync)) -> Self {
        self.arg(value, Type::TEXT)
    }

    /// An instant, [`super::values::Ms`].
    pub(super) fn instant(self, value: &'a (dyn ToSql + Sync)) -> Self {
        self.arg(value, Type::TIMESTAMPTZ)
    }

    async fn run(self, client: &Client) -> Result<Reply, tokio_postgres::Error> {
        let mut stream = pin!(client.query_typed_raw(self.sql, self.args).await?);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(row);
        }
        Ok(Reply { rows, affected: stream.rows_affected().unwrap_or(0) })
    }
}

/// Runs `begin` (a simple query, empty for none), then `statements` in order, in one flight.
///
/// # Errors
/// The failure of the first statement that failed.
pub(super) async fn fly(
    client: &Client,
    begin: &str,
    statements: Vec<Statement<'_>>,
) -> Result<Vec<Reply>, Failure> {
    match fly_until(client, begin, statements).await? {
        (replies, None) => Ok(replies),
        (_, Some(failure)) => Err(failure),
    }
}

/// As [`fly`]; returns the replies of the statements before the first that failed, and its failure.
///
/// # Errors
/// That of `begin`.
pub(super) async fn fly_until(
    client: &Client,
    begin: &str,
    statements: Vec<Statement<'_>>,
) -> Result<(Vec<Reply>, Option<Failure>), Failure> {
    // Its answer is awaited: behind a BEGIN that failed each statement would commit by itself.
    if !begin.is_empty() {
        client.batch_execute(begin).await?;
    }
    let replies = join_all(statements.into_iter().map(|statement| statement.run(client))).await;
    let (replies, errors): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
    // After one that failed none succeeds.
    let replies = replies.into_iter().filter_map(Result::ok).collect();
    let mut errors = errors.into_iter().filter_map(Result::err);
    let Some(first) = errors.next() else { return Ok((replies, None)) };
    // What the server says of the statements after the one that failed is no cause.
    let is_cause = |error: &tokio_postgres::Error| error.code() != Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    let first = if is_cause(&first) { first } else { errors.find(is_cause).unwrap_or(first) };
    Ok((replies, Some(first.into())))
}

/// Runs one statement outside of a flight.
///
/// # Errors
/// Its failure.
pub(super) async fn one(client: &Client, statement: Statement<'_>) -> Result<Reply, Failure> {
    Ok(statement.run(client).await?)
}

/// Sends COMMIT with `question` behind it, in one message: the server answers the question from a transaction of its
/// own, after the commit or the rollback. Returns whether a row came back.
///
/// # Errors
/// The server's before COMMIT was answered; `InDoubt` after that: the error is then one of the question alone.
pub(super) async fn commit_and_ask(client: &Client, question: &str) -> Result<bool, Failure> {
    let mut answers = pin!(client.simple_query_raw(&format!("COMMIT; {question}")).await?);
    let (mut is_answered, mut is_found) = (false, false);
    loop {
        match answers.try_next().await {
            Ok(Some(SimpleQueryMessage::Row(_))) => is_found = true,
            Ok(Some(SimpleQueryMessage::CommandComplete(_))) => is_answered = true,
            Ok(Some(_)) => {}
            Ok(None) => return Ok(is_found),
            Err(error) if is_answered => {
                let what = Failure::from(error);
                return Err(SinkError::InDoubt(format!(
                    "COMMIT was answered, but not what came of it: {what}"
                ))
                .into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
