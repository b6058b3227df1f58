//! Requests to answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response, Sse},
    routing::get,
};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    data::{PageData, chart},
    guard::guard,
    jobs::Jobs,
    live::Live,
};
use crate::snapshot::{self, Snapshot};

/// Most readers of the live numbers at once.
const LIVE_READERS_MAX: usize = 64;
/// How long something may be away before `/readyz` says so.
const READY_AWAY_MAX_MS: i64 = 30_000;
/// That the page cannot read the store is logged no more often than this; it asks every two seconds.
const SAY_UNREAD_EVERY: Duration = Duration::from_secs(60);
/// Longest chart, minutes.
const CHART_MINUTES_MAX: i64 = 24 * 60;
/// Longest name of a stream in a request, bytes.
const STREAM_BYTES_MAX: usize = 1_024;

/// What the routes answer from.
#[derive(Clone)]
pub(super) struct Shared {
    /// Whose snapshots are shown.
    pub(super) jobs: Jobs,
    /// The store's reader.
    pub(super) data: Arc<Mutex<Box<dyn PageData>>>,
    /// Length of the windows, milliseconds.
    pub(super) window_ms: i64,
    readers: Arc<Semaphore>,
    /// When it was last said that the store cannot be read.
    said_unread: Arc<Mutex<Option<Instant>>>,
}

impl Shared {
    /// Answers from these.
    pub(super) fn new(jobs: Jobs, data: Box<dyn PageData>, window_ms: i64) -> Self {
        Self {
            jobs,
            data: Arc::new(Mutex::new(data)),
            window_ms,
            readers: Arc::new(Semaphore::new(LIVE_READERS_MAX)),
            said_unread: Arc::default(),
        }
    }

    fn say_unread(&self, error: &anyhow::Error) {
        let mut said = self.said_unread.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SAY_UNREAD_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(%error, "the page could not read the store");
        }
    }
}

/// All routes behind the guard.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", include_bytes!("page.html"))))
        .route("/page.js", get(|| asset("text/javascript; charset=utf-8", include_bytes!("page.js"))))
        .route("/chart.js", get(|| asset("text/javascript; charset=utf-8", include_bytes!("chart.js"))))
        .route("/page.css", get(|| asset("text/css; charset=utf-8", include_bytes!("page.css"))))
        .route("/icon.svg", get(|| asset("image/svg+xml", include_bytes!("icon.svg"))))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/status", get(status))
        .route("/api/live", get(live))
        .route("/api/chart", get(charted))
        .layer(middleware::from_fn(guard))
        .with_state(shared)
}

async fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let (now, now_ms) = (shared.jobs.now(), Timestamp::now().as_millisecond());
    let why = now.all().find_map(|snapshot| not_ready(snapshot, now_ms));
    match why {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => "ready\n".into_response(),
    }
}

/// Why this instance is not ready at `now_ms` of the wall clock; `None` if it is.
///
/// Ready means that it keeps the tables up to date, or will without anybody's help the moment it may:
/// - starting, or something away before the job was taken over: not ready, it has shown nothing yet;
/// - away for a moment, then back: ready, else each restart of a store would make a flicker of it;
/// - away for longer: not ready, since what people read stands still. `/livez` stays: restarting heals nothing;
/// - standing by: ready. A rolling update ends the old instance once the new one is ready, so a standby that
///   is not ready would wait for ever for the one that waits for it;
/// - halted: not ready, somebody must act.
fn not_ready(snapshot: &Snapshot, now_ms: i64) -> Option<&'static str> {
    match &snapshot.state {
        snapshot::State::Halted(_) => Some("halted\n"),
        snapshot::State::Starting => Some("starting\n"),
        snapshot::State::Retrying(_) => {
            let away_ms = snapshot.retrying_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
            let is_long = away_ms > READY_AWAY_MAX_MS;
            (is_long || snapshot.taken_over_at_ms.is_none()).then_some("retrying\n")
        }
        snapshot::State::Standby(_)
        | snapshot::State::Running
        | snapshot::State::Waiting
        | snapshot::State::Ended => None,
    }
}

async fn status(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.jobs.now().json()).into_response()
}

async fn live(State(shared): State<Shared>) -> Response {
    match shared.readers.clone().try_acquire_owned() {
        Ok(place) => Sse::new(Live::new(shared.jobs, place)).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many readers\n").into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChartQuery {
    minutes: Option<i64>,
    stream: Option<String>,
}

async fn charted(State(shared): State<Shared>, Query(query): Query<ChartQuery>) -> Response {
    let minutes = query.minutes.unwrap_or(15);
    let stream = query.stream.filter(|stream| !stream.is_empty());
    if !(1..=CHART_MINUTES_MAX).contains(&minutes) {
        return (StatusCode::BAD_REQUEST, "minutes must be 1 to 1440\n").into_response();
    }
    if stream.as_ref().is_some_and(|stream| stream.len() > STREAM_BYTES_MAX) {
        return (StatusCode::BAD_REQUEST, "the name of the stream is too long\n").into_response();
    }
    // The store is read off this thread, so that the live numbers go on meanwhile.
    let asked = shared.clone();
    let answered = tokio::task::spawn_blocking(move || {
        let mut data = asked.data.lock().unwrap_or_else(PoisonError::into_inner);
        chart(&mut **data, minutes, stream.as_deref(), asked.window_ms)
    });
    match answered.await {
        Ok(Ok(chart)) => Json(chart).into_response(),
        Ok(Err(error)) => {
            shared.say_unread(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read now\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
