//! `chat_summary_minute` and `moments`: absolute values, final once.
//!
//! The invariant: a row that is final never changes again, and what became final in a batch is what the batch says
//! became final. A row with `batch_id` NULL is the old job's: it is provisional until we write it, and takes no
//! part in baselines. A window that is incomplete, because the job began in it, never takes its place.

use telemetra_core::{
    chat::rows::{Answer, Ask, MomentRow, WindowRow},
    limits::BASELINE_WINDOWS,
    mutant::{self, Mutant},
};
use telemetra_engine::sink::SinkError;
use tokio_postgres::{Client, Row, types::Type};

use super::{
    failure::Failure,
    flight::{Reply, Statement, one},
    values::{Ms, push_text_array},
};
use crate::ledger::text;

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

impl Written {
    pub(super) fn add(&mut self, other: &Written) {
        self.rows += other.rows;
        self.final_rows += other.final_rows;
        self.final_count += other.final_count;
        self.moments += other.moments;
    }
}

/// Window rows as columns.
#[derive(Default)]
pub(super) struct Windows<'a> {
    /// Earliest start; `None` without rows.
    first: Option<Ms>,
    stream: Vec<&'a str>,
    start: Vec<Ms>,
    end: Vec<Ms>,
    /// Chat count, unique chatters, positive and negative count.
    counts: [Vec<i64>; 4],
    avg_sentiment: Vec<Option<f64>>,
    chat_rate: Vec<f64>,
    avg_viewers: Vec<Option<f64>>,
    z_score: Vec<Option<f64>>,
    top_emotes: Vec<String>,
    emote_counts: Vec<String>,
    is_anomaly: Vec<bool>,
    is_final: Vec<bool>,
    incomplete: Vec<bool>,
}

/// The columns of [`Windows::statement`] as a table.
const WINDOWS: &str = "(SELECT stream_id, window_start, window_end, chat_count, unique_chatters, positive_count,
        negative_count, avg_sentiment, chat_rate, avg_viewers, z_score, top_emotes::text[] AS top_emotes,
        emote_counts::jsonb AS emote_counts, is_anomaly, is_final, incomplete
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        AS u (stream_id, window_start, window_end, chat_count, unique_chatters, positive_count, negative_count,
            avg_sentiment, chat_rate, avg_viewers, z_score, top_emotes, emote_counts, is_anomaly, is_final,
            incomplete)) AS v";

/// Only data columns are compared: a row that would come out the same is not written.
const UPSERT: &str = "WITH written AS (
    INSERT INTO chat_summary_minute AS old (stream_id, window_start, window_end, chat_count, unique_chatters,
        positive_count, negative_count, avg_sentiment, chat_rate, avg_viewers, z_score, top_emotes, emote_counts,
        is_anomaly, is_final, incomplete, revision, batch_id, processed_at)
    SELECT v.*, 1, $17, $18 FROM {windows}
    ON CONFLICT (stream_id, window_start) DO UPDATE SET
        window_end = excluded.window_end, chat_count = {additive}excluded.chat_count,
        unique_chatters = excluded.unique_chatters, positive_count = excluded.positive_count,
        negative_count = excluded.negative_count, avg_sentiment = excluded.avg_sentiment,
        chat_rate = excluded.chat_rate, avg_viewers = excluded.avg_viewers, z_score = excluded.z_score,
        top_emotes = excluded.top_emotes, emote_counts = excluded.emote_counts,
        is_anomaly = excluded.is_anomaly, is_final = excluded.is_final, incomplete = excluded.incomplete,
        revision = old.revision + 1, batch_id = excluded.batch_id, processed_at = excluded.processed_at
    WHERE NOT old.is_final AND NOT (old.batch_id IS NULL AND excluded.incomplete) AND (old.batch_id IS NULL
        OR (old.window_end, old.chat_count, old.unique_chatters, old.positive_count, old.negative_count,
            old.avg_sentiment, old.chat_rate, old.avg_viewers, old.z_score, old.top_emotes, old.emote_counts,
            old.is_anomaly, old.is_final, old.incomplete)
        IS DISTINCT FROM (excluded.window_end, excluded.chat_count, excluded.unique_chatters,
            excluded.positive_count, excluded.negative_count, excluded.avg_sentiment, excluded.chat_rate,
            excluded.avg_viewers, excluded.z_score, excluded.top_emotes, excluded.emote_counts,
            excluded.is_anomaly, excluded.is_final, excluded.incomplete))
    RETURNING old.is_final, old.chat_count)
SELECT count(*), count(*) FILTER (WHERE is_final),
    coalesce(sum(chat_count) FILTER (WHERE is_final), 0)::bigint FROM written";

/// A row that was not written must be in the table as it is, or it would have rewritten a final one.
const DIFFERS: &str = "SELECT v.stream_id, v.window_start, t.chat_count::bigint, t.is_final, v.chat_count, v.is_final,
        v.incomplete AND t.batch_id IS NULL AND t.stream_id IS NOT NULL
    FROM {windows} LEFT JOIN chat_summary_minute t
        ON t.stream_id = v.stream_id AND t.window_start = v.window_start
    WHERE (t.chat_count, t.unique_chatters, t.positive_count, t.negative_count, t.avg_sentiment, t.avg_viewers,
            t.z_score, t.top_emotes, t.emote_counts, t.is_anomaly, t.is_final, t.incomplete)
        IS DISTINCT FROM (v.chat_count, v.unique_chatters, v.positive_count, v.negative_count, v.avg_sentiment,
            v.avg_viewers, v.z_score, v.top_emotes, v.emote_counts, v.is_anomaly, v.is_final, v.incomplete)
    LIMIT 1";

impl<'a> Windows<'a> {
    pub(super) fn new(rows: &'a [WindowRow]) -> Self {
        let mut windows = Self::default();
        for row in rows {
            windows.stream.push(&row.stream);
            windows.start.push(Ms(row.start_ms));
            windows.end.push(Ms(row.end_ms));
            let counts = [row.chat_count, row.unique_chatters, row.positive_count, row.negative_count];
            for (column, count) in windows.counts.iter_mut().zip(counts) {
                column.push(count);
            }
            windows.avg_sentiment.push(row.avg_sentiment);
            windows.chat_rate.push(row.chat_rate);
            windows.avg_viewers.push(row.avg_viewers);
            windows.z_score.push(row.z_score);
            let mut names = String::new();
            push_text_array(&mut names, row.top_emotes.iter().map(|(name, _)| name.as_str()));
            windows.top_emotes.push(names);
            let mut counts = String::new();
            text::emote_counts(&mut counts, &row.top_emotes);
            windows.emote_counts.push(counts);
            windows.is_anomaly.push(row.is_anomaly);
            windows.is_final.push(row.is_final);
            windows.incomplete.push(row.incomplete);
        }
        windows.first = windows.start.iter().map(|start| start.0).min().map(Ms);
        windows
    }

    fn statement<'s>(&'s self, sql: &'s str) -> Statement<'s> {
        let statement = Statement::new(sql)
            .arg(&self.stream, Type::TEXT_ARRAY)
            .arg(&self.start, Type::TIMESTAMPTZ_ARRAY)
            .arg(&self.end, Type::TIMESTAMPTZ_ARRAY);
        let counts = self.counts.iter();
        counts
            .fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY))
            .arg(&self.avg_sentiment, Type::FLOAT8_ARRAY)
            .arg(&self.chat_rate, Type::FLOAT8_ARRAY)
            .arg(&self.avg_viewers, Type::FLOAT8_ARRAY)
            .arg(&self.z_score, Type::FLOAT8_ARRAY)
            .arg(&self.top_emotes, Type::TEXT_ARRAY)
            .arg(&self.emote_counts, Type::TEXT_ARRAY)
            .arg(&self.is_anomaly, Type::BOOL_ARRAY)
            .arg(&self.is_final, Type::BOOL_ARRAY)
            .arg(&self.incomplete, Type::BOOL_ARRAY)
    }

    /// Upserts the rows and notes the first window; none without rows.
    pub(super) fn push<'s>(
        &'s self,
        flight: &mut Vec<Statement<'s>>,
        job: &'s String,
        batch_id: &'s i64,
        now: &'s Ms,
    ) {
        if let Some(first) = &self.first {
            flight.push(self.statement(upsert()).int(batch_id).instant(now));
            flight.push(Statement::new(FIRST_WINDOW).text(job).instant(first));
        }
    }

    /// What was written; what was not must be there as it is.
    pub(super) async fn check(
        &self,
        client: &Client,
        next: &mut impl FnMut() -> Reply,
    ) -> Result<Written, Failure> {
        if self.stream.is_empty() {
            return Ok(Written::default());
        }
        let written = sums(&next())?;
        // The first window moves seldom; nothing is to be learnt of it.
        next();
        if written.rows < self.stream.len() as u64 {
            let sql = DIFFERS.replace("{windows}", WINDOWS);
            let differing = one(client, self.statement(&sql)).await?;
            if let Some(row) = differing.rows.first() {
                return Err(would_change(row)?);
            }
        }
        Ok(written)
    }
}

fn upsert() -> &'static str {
    use std::sync::OnceLock;
    static SQL: OnceLock<String> = OnceLock::new();
    SQL.get_or_init(|| {
        let additive = if mutant::is(Mutant::AdditiveUpsert) { "old.chat_count + " } else { "" };
        UPSERT.replace("{windows}", WINDOWS).replace("{additive}", additive)
    })
}

fn would_change(row: &Row) -> Result<Failure, Failure> {
    let (stream, Ms(start_ms)): (String, Ms) = (row.try_get(0)?, row.try_get(1)?);
    let (stored, is_final): (Option<i64>, Option<bool>) = (row.try_get(2)?, row.try_get(3)?);
    let (count, becomes_final): (i64, bool) = (row.try_get(4)?, row.try_get(5)?);
    if row.try_get(6)? {
        // Another program wrote it after the batch had asked; the next try finds it.
        return Ok(SinkError::NotApplied(format!(
            "another program wrote the row of stream {stream:?}, window {}, in which this job began",
            text::instant(start_ms)
        ))
        .into());
    }
    Ok(Failure::halt(format!(
        "the final row of stream {stream:?}, window {}, would change: it holds chat_count {} (final: {}), the \
         batch {count} (final: {becomes_final}); see `telemetra audit`",
        text::instant(start_ms),
        stored.map_or("none".into(), |count| count.to_string()),
        is_final.map_or("no row".into(), |is_final| is_final.to_string()),
    )))
}

/// Reads the sums that an upsert or [`close_early`] returns.
pub(super) fn sums(reply: &Reply) -> Result<Written, Failure> {
    let row = reply.rows.first().ok_or_else(|| Failure::halt("an aggregate returned no row"))?;
    let number = |at: usize| -> Result<u64, Failure> { Ok(row.try_get::<_, i64>(at)?.unsigned_abs()) };
    Ok(Written { rows: number(0)?, final_rows: number(1)?, final_count: row.try_get(2)?, moments: 0 })
}

/// Makes every row of ours that is not final final and incomplete, as it stands.
pub(super) fn close_early<'s>(batch_id: &'s i64, now: &'s Ms) -> Statement<'s> {
    let sql = "WITH closed AS (
            UPDATE chat_summary_minute SET is_final = true, incomplete = true, revision = revision + 1,
                batch_id = $1, processed_at = $2
            WHERE NOT is_final AND batch_id IS NOT NULL RETURNING chat_count)
        SELECT count(*), count(*), coalesce(sum(chat_count), 0)::bigint FROM closed";
    Statement::new(sql).int(batch_id).instant(now)
}

/// Moments as columns.
#[derive(Default)]
pub(super) struct Moments<'a> {
    stream: Vec<&'a str>,
    start: Vec<Ms>,
    end: Vec<Ms>,
    description: Vec<&'a str>,
    intensity: Vec<f64>,
    metadata: Vec<String>,
}

impl<'a> Moments<'a> {
    pub(super) fn new(rows: &'a [MomentRow]) -> Self {
        let mut moments = Self::default();
        for row in rows {
            moments.stream.push(&row.stream);
            moments.start.push(Ms(row.start_ms));
            moments.end.push(Ms(row.end_ms));
            moments.description.push(&row.description);
            moments.intensity.push(row.intensity);
            moments.metadata.push(text::moment_metadata(row));
        }
        moments
    }

    /// Inserts the moments; one that the old job found too becomes ours. None without moments.
    pub(super) fn push<'s>(&'s self, flight: &mut Vec<Statement<'s>>, batch_id: &'s i64) {
        if self.stream.is_empty() {
            return;
        }
        let sql = "INSERT INTO moments AS old (batch_id, moment_type, stream_id, timestamp, detected_at, description,
                intensity, metadata)
            SELECT $1, 'chat_spike', stream_id, start, detected_at, description, intensity, metadata::jsonb
            FROM unnest($2, $3, $4, $5, $6, $7)
                AS v (stream_id, start, detected_at, description, intensity, metadata)
            ON CONFLICT (stream_id, moment_type, timestamp) DO UPDATE SET batch_id = excluded.batch_id,
                detected_at = excluded.detected_at, description = excluded.description,
                intensity = excluded.intensity, metadata = excluded.metadata
            WHERE old.batch_id IS NULL";
        flight.push(
            Statement::new(sql)
                .int(batch_id)
                .arg(&self.stream, Type::TEXT_ARRAY)
                .arg(&self.start, Type::TIMESTAMPTZ_ARRAY)
                .arg(&self.end, Type::TIMESTAMPTZ_ARRAY)
                .arg(&self.description, Type::TEXT_ARRAY)
                .arg(&self.intensity, Type::FLOAT8_ARRAY)
                .arg(&self.metadata, Type::TEXT_ARRAY),
        );
    }

    /// How many were written: all of them.
    pub(super) fn check(&self, next: &mut impl FnMut() -> Reply) -> Result<u64, Failure> {
        let expected = self.stream.len() as u64;
        if expected == 0 || next().affected == expected {
            return Ok(expected);
        }
        Err(Failure::halt(format!(
            "a moment of this batch was written by an earlier one (first of {expected}: stream {:?}); nothing was \
             written, see `telemetra audit`",
            self.stream[0]
        )))
    }
}

/// The first window of ours, so that [`answer`] need not walk through what another program left beneath it.
const FIRST_WINDOW: &str = "UPDATE telemetra.job SET first_window = $2
    WHERE job = $1 AND (first_window IS NULL OR first_window > $2)";

/// Latest final rows of ours before each asked start, ascending, and which windows asked about have an adopted row; one
/// seek in the key for each.
pub(super) async fn answer(client: &Client, job: &String, ask: &Ask) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    if !ask.baselines.is_empty() {
        answer.baselines = baselines(client, job, &ask.baselines).await?;
    }
    if !ask.beside.is_empty() {
        answer.adopted = adopted(client, &ask.beside).await?;
    }
    Ok(answer)
}

/// Those of `windows`, stream and start, that have a row of another program.
async fn adopted(client: &Client, windows: &[(String, i64)]) -> Result<Vec<(String, i64)>, Failure> {
    let sql = "SELECT q.stream_id, q.window_start FROM unnest($1, $2) AS q (stream_id, window_start)
        WHERE EXISTS (SELECT FROM chat_summary_minute w
            WHERE w.stream_id = q.stream_id AND w.window_start = q.window_start AND w.batch_id IS NULL)";
    let streams: Vec<&str> = windows.iter().map(|(stream, _)| stream.as_str()).collect();
    let starts: Vec<Ms> = windows.iter().map(|&(_, start_ms)| Ms(start_ms)).collect();
    let statement = Statement::new(sql).arg(&streams, Type::TEXT_ARRAY).arg(&starts, Type::TIMESTAMPTZ_ARRAY);
    let rows = one(client, statement).await?.rows;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<_, Ms>(1)?.0))).collect()
}

async fn baselines(
    client: &Client,
    job: &String,
    ask: &[(String, i64)],
) -> Result<Vec<Vec<(i64, i64)>>, Failure> {
    let mut answers = vec![Vec::with_capacity(BASELINE_WINDOWS); ask.len()];
    let sql = "SELECT q.place, w.window_start, w.chat_count::bigint
        FROM unnest($1, $2) WITH ORDINALITY AS q (stream_id, before, place)
        CROSS JOIN LATERAL (SELECT window_start, chat_count FROM chat_summary_minute
            WHERE stream_id = q.stream_id AND window_start < q.before AND is_final AND batch_id IS NOT NULL
                AND window_start >= (SELECT coalesce(first_window, 'infinity') FROM telemetra.job WHERE job = $4)
            ORDER BY window_start DESC LIMIT $3) AS w
        ORDER BY q.place, w.window_start";
    let streams: Vec<&str> = ask.iter().map(|(stream, _)| stream.as_str()).collect();
    let before: Vec<Ms> = ask.iter().map(|&(_, before_ms)| Ms(before_ms)).collect();
    let limit = BASELINE_WINDOWS as i64;
    let statement = Statement::new(sql)
        .arg(&streams, Type::TEXT_ARRAY)
        .arg(&before, Type::TIMESTAMPTZ_ARRAY)
        .int(&limit)
        .text(job);
    for row in one(client, statement).await?.rows {
        let (place, Ms(start_ms)): (i64, Ms) = (row.try_get(0)?, row.try_get(1)?);
        let answer = usize::try_from(place - 1).ok().and_then(|place| answers.get_mut(place));
        let answer = answer.ok_or_else(|| Failure::halt(format!("a baseline has place {place}")))?;
        answer.push((start_ms, row.try_get(2)?));
    }
    Ok(answers)
}
