//! What a run would find at its start: connected as it would be, with the same refusals in the same words. Nothing is
//! written.

use std::time::Duration;

use telemetra_engine::sink::SinkError;
use tokio_postgres::Client;

use super::{
    Address,
    failure::Failure,
    migrate::{self, missing_rights, refuse_taken, refuse_without_rights, version},
    schema::{self, LEDGER},
    session::Session,
};

/// Longest wait for the answers.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether the tables are there; `false` where a run would make them.
///
/// # Errors
/// What would keep a run from starting: `NotApplied` for what it would wait for, `Halt` for what ends it.
pub fn foresee(address: &Address) -> Result<bool, SinkError> {
    let ask = || Session::open(address, "telemetra check")?.run(LIMIT, look);
    ask().map_err(Failure::at_first_start)
}

async fn look(client: &Client) -> Result<bool, Failure> {
    client.batch_execute("SET default_transaction_read_only = on").await?;
    if version(client).await? == 0 {
        refuse_taken(client).await?;
        refuse_without_rights(&missing_rights(client).await?)?;
        return Ok(false);
    }
    migrate::check(client).await?;
    check_rights(client).await?;
    Ok(true)
}

/// The role must be able to write what a batch writes.
async fn check_rights(client: &Client) -> Result<(), Failure> {
    let sql = "SELECT c.relname::text, current_user::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND c.relname = ANY ($2)
                 AND (n.nspname = $1 OR pg_table_is_visible(c.oid))
                 AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                     AND has_table_privilege(c.oid, 'UPDATE'))
               ORDER BY 1";
    let tables = schema::tables();
    let names: Vec<_> = tables.iter().map(|table| table.name).collect();
    let lacking = client.query(sql, &[&LEDGER, &names]).await?;
    let Some(first) = lacking.first() else { return Ok(()) };
    let tables: Vec<String> = lacking.iter().map(|row| row.get(0)).collect();
    Err(Failure::halt(format!(
        "role {} may not write table {}: give it its rights, `telemetra migrate --print-roles` prints the SQL",
        first.get::<_, String>(1),
        tables.join(", ")
    )))
}
