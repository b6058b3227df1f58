//! Requests to answers.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response, Sse},
    routing::get,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    data::{PageData, chart},
    guard::guard,
    live::Live,
};
use crate::snapshot::{self, Latest};

/// Most readers of the live numbers at once.
const LIVE_READERS_MAX: usize = 64;
/// Longest chart, minutes.
const CHART_MINUTES_MAX: i64 = 24 * 60;
/// Longest name of a stream in a request, bytes.
const STREAM_BYTES_MAX: usize = 1_024;

/// What the routes answer from.
#[derive(Clone)]
pub(super) struct Shared {
    /// The latest snapshot.
    pub(super) latest: Latest,
    /// The store's reader.
    pub(super) data: Arc<Mutex<Box<dyn PageData>>>,
    /// Length of the windows, milliseconds.
    pub(super) window_ms: i64,
    readers: Arc<Semaphore>,
}

impl Shared {
    /// Answers from these.
    pub(super) fn new(latest: Latest, data: Box<dyn PageData>, window_ms: i64) -> Self {
        Self {
            latest,
            data: Arc::new(Mutex::new(data)),
            window_ms,
            readers: Arc::new(Semaphore::new(LIVE_READERS_MAX)),
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
    match &shared.latest.get().state {
        snapshot::State::Halted(_) => (StatusCode::SERVICE_UNAVAILABLE, "halted\n").into_response(),
        snapshot::State::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        _ => "ready\n".into_response(),
    }
}

async fn status(State(shared): State<Shared>) -> Response {
    Json(&*shared.latest.get()).into_response()
}

async fn live(State(shared): State<Shared>) -> Response {
    match shared.readers.clone().try_acquire_owned() {
        Ok(place) => Sse::new(Live::new(shared.latest, place)).into_response(),
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
    let answered = tokio::task::spawn_blocking(move || {
        let mut data = shared.data.lock().unwrap_or_else(PoisonError::into_inner);
        chart(&mut **data, minutes, stream.as_deref(), shared.window_ms)
    });
    match answered.await {
        Ok(Ok(chart)) => Json(chart).into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the page could not read the store");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read now\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
