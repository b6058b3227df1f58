//! `chat_summary_minute` and `moments`: absolute values, final once.
//!
//! The invariant: a row that is final never changes again, and what became final in a batch is what the batch
//! says became final.

use rusqlite::{CachedStatement, Connection, params};
use telemetra_core::{
    chat::rows::{Answer, Ask, ChatRows, MomentRow, WindowRow},
    limits::BASELINE_WINDOWS,
};

use super::{
    connection::{Failure, int},
    text,
};
use crate::ledger::instant;

/// What a batch did to the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Window rows inserted or changed.
    pub(super) rows: u64,
    /// Of these, rows that became final.
    pub(super) final_rows: u64,
    /// Sum of counts over those.
    pub(super) final_count: i64,
    /// Moments inserted.
    pub(super) moments: u64,
}

/// Upserts the rows of a batch, then closes early what is open if it says so.
pub(super) fn write(
    db: &Connection,
    rows: &ChatRows,
    close_early: bool,
    batch_id: u64,
    processed_at: &str,
) -> Result<Written, Failure> {
    let mut written = Written::default();
    let mut upsert = Upsert {
        statement: db.prepare_cached(UPSERT)?,
        batch_id: int(batch_id)?,
        processed_at,
        text: Default::default(),
    };
    for row in &rows.windows {
        if upsert.write(row)? {
            written.rows += 1;
            written.final_rows += u64::from(row.is_final);
            written.final_count += if row.is_final { row.chat_count } else { 0 };
        } else {
            check_unchanged(db, row)?;
        }
    }
    if close_early {
        let sql = "UPDATE chat_summary_minute SET is_final = 1, incomplete = 1, revision = revision + 1,
                       batch_id = ?1, processed_at = ?2 WHERE NOT is_final RETURNING chat_count";
        let mut statement = db.prepare_cached(sql)?;
        let mut closed = statement.query(params![int(batch_id)?, processed_at])?;
        while let Some(row) = closed.next()? {
            written.rows += 1;
            written.final_rows += 1;
            written.final_count += row.get::<_, i64>(0)?;
        }
    }
    for moment in &rows.moments {
        insert_moment(db, moment, batch_id)?;
        written.moments += 1;
    }
    Ok(written)
}

/// Only data columns are compared: a row that would come out the same is not written.
const UPSERT: &str = "
INSERT INTO chat_summary_minute AS old
    (stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count,
     negative_count, chat_rate, top_emotes, emote_counts, avg_viewers, z_score, is_anomaly, is_final,
     incomplete, revision, batch_id, processed_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 1, ?17, ?18)
ON CONFLICT DO UPDATE SET
    window_end = excluded.window_end, chat_count = excluded.chat_count,
    unique_chatters = excluded.unique_chatters, avg_sentiment = excluded.avg_sentiment,
    positive_count = excluded.positive_count, negative_count = excluded.negative_count,
    chat_rate = excluded.chat_rate, top_emotes = excluded.top_emotes, emote_counts = excluded.emote_counts,
    avg_viewers = excluded.avg_viewers, z_score = excluded.z_score, is_anomaly = excluded.is_anomaly,
    is_final = excluded.is_final, incomplete = excluded.incomplete, revision = old.revision + 1,
    batch_id = excluded.batch_id, processed_at = excluded.processed_at
WHERE NOT old.is_final AND (
    old.chat_count <> excluded.chat_count OR old.is_final <> excluded.is_final
    OR old.unique_chatters <> excluded.unique_chatters OR old.avg_sentiment IS NOT excluded.avg_sentiment
    OR old.positive_count <> excluded.positive_count OR old.negative_count <> excluded.negative_count
    OR old.chat_rate <> excluded.chat_rate OR old.top_emotes <> excluded.top_emotes
    OR old.emote_counts <> excluded.emote_counts OR old.avg_viewers IS NOT excluded.avg_viewers
    OR old.z_score IS NOT excluded.z_score OR old.is_anomaly <> excluded.is_anomaly
    OR old.window_end <> excluded.window_end OR old.incomplete <> excluded.incomplete)";

/// The upsert of window rows with its buffers.
struct Upsert<'db> {
    statement: CachedStatement<'db>,
    batch_id: i64,
    processed_at: &'db str,
    /// Window start and end, emote names and counts.
    text: [String; 4],
}

impl Upsert<'_> {
    /// Writes one row; `false` if nothing changed.
    fn write(&mut self, row: &WindowRow) -> Result<bool, Failure> {
        let [start, end, names, counts] = &mut self.text;
        start.clear();
        text::push_instant(start, row.start_ms);
        end.clear();
        text::push_instant(end, row.end_ms);
        text::emote_names(names, &row.top_emotes);
        text::emote_counts(counts, &row.top_emotes);
        let [start, end, names, counts] = &self.text;
        let changed = self.statement.execute(params![
            row.stream,
            start,
            end,
            row.chat_count,
            row.unique_chatters,
            row.avg_sentiment,
            row.positive_count,
            row.negative_count,
            row.chat_rate,
            names,
            counts,
            row.avg_viewers,
            row.z_score,
            row.is_anomaly,
            row.is_final,
            row.incomplete,
            self.batch_id,
            self.processed_at,
        ])?;
        Ok(changed == 1)
    }
}

/// A row that was not written must be in the table as it is, or it would have rewritten a final one.
fn check_unchanged(db: &Connection, row: &WindowRow) -> Result<(), Failure> {
    let sql = "SELECT chat_count, is_final, chat_count = ?3 AND is_final = ?4 AND unique_chatters = ?5
                   AND positive_count = ?6 AND negative_count = ?7 AND avg_sentiment IS ?8 AND avg_viewers IS ?9
                   AND z_score IS ?10 AND is_anomaly = ?11 AND top_emotes = ?12 AND emote_counts = ?13
                   AND incomplete = ?14
               FROM chat_summary_minute WHERE stream_id = ?1 AND window_start = ?2";
    let (mut names, mut counts) = (String::new(), String::new());
    text::emote_names(&mut names, &row.top_emotes);
    text::emote_counts(&mut counts, &row.top_emotes);
    let start = text::instant(row.start_ms);
    let key = params![
        row.stream,
        start,
        row.chat_count,
        row.is_final,
        row.unique_chatters,
        row.positive_count,
        row.negative_count,
        row.avg_sentiment,
        row.avg_viewers,
        row.z_score,
        row.is_anomaly,
        names,
        counts,
        row.incomplete,
    ];
    let stored = db.prepare_cached(sql)?.query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (count, is_final, same): (i64, bool, bool) = stored?;
    if same {
        return Ok(());
    }
    Err(Failure::halt(format!(
        "the final row of stream {:?}, window {start}, would change: it holds chat_count {count} (final: {is_final}), \
         the batch {} (final: {}); see `telemetra audit`",
        row.stream, row.chat_count, row.is_final
    )))
}

fn insert_moment(db: &Connection, moment: &MomentRow, batch_id: u64) -> Result<(), Failure> {
    let sql = "INSERT INTO moments
                   (stream_id, timestamp, moment_type, description, intensity, metadata, detected_at, batch_id)
               VALUES (?1, ?2, 'chat_spike', ?3, ?4, ?5, ?6, ?7)";
    let metadata = text::moment_metadata(moment);
    db.prepare_cached(sql)?.execute(params![
        moment.stream,
        text::instant(moment.start_ms),
        moment.description,
        moment.intensity,
        metadata,
        text::instant(moment.end_ms),
        int(batch_id)?,
    ])?;
    Ok(())
}

/// Latest final rows before each asked start, ascending; one seek in the key for each. No row is another program's here.
pub(super) fn answer(db: &Connection, ask: &Ask) -> Result<Answer, Failure> {
    let sql = "SELECT window_start, chat_count FROM chat_summary_minute
               WHERE stream_id = ?1 AND window_start < ?2 AND is_final
               ORDER BY window_start DESC LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let limit = int(BASELINE_WINDOWS as u64)?;
    let mut answers = Vec::with_capacity(ask.baselines.len());
    for (stream, before_ms) in &ask.baselines {
        let mut rows = statement.query(params![stream, text::instant(*before_ms), limit])?;
        let mut found = Vec::with_capacity(BASELINE_WINDOWS);
        while let Some(row) = rows.next()? {
            let start: String = row.get(0)?;
            let start_ms = instant::parse_instant(&start).ok_or_else(|| {
                Failure::halt(format!("window_start {start:?} in the store is no instant of ours"))
            })?;
            found.push((start_ms, row.get(1)?));
        }
        found.reverse();
        answers.push(found);
    }
    Ok(Answer { baselines: answers, adopted: Vec::new() })
}
