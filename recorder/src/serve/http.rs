//! HTTP: `/metrics`, `/healthz`, `/readyz` and the page at `/`.

use std::future::ready;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use aftertrace_registry::exposition::{openmetrics_text, prometheus_text};
use aftertrace_registry::metrics::Family;
use aftertrace_schemas::tables::ScrapeFormat;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::oneshot;

use super::basic_auth::BasicAuth;
use super::shared::Shared;
use super::{negotiate, page};
use crate::capabilities;

/// The recording thread comes round every 20 ms; one that does not answer in this time does not in Prometheus's.
const PATIENCE: Duration = Duration::from_secs(8);
const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Which scrape of the trace an answer is: `aftertrace analyze metrics TRACE --at-scrape N`.
const SCRAPE: HeaderName = HeaderName::from_static("x-aftertrace-scrape");

/// What the recording thread is asked for.
pub(super) struct ScrapeRequest {
    pub(super) format: ScrapeFormat,
    pub(super) answer: oneshot::Sender<Scraped>,
}

/// What it answers.
pub(super) struct Scraped {
    pub(super) number: u64,
    pub(super) families: Vec<Family>,
}

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Http {
    pub(super) shared: Arc<Shared>,
    pub(super) requests: SyncSender<ScrapeRequest>,
}

/// The routes, behind what the web configuration asks for.
pub(super) fn router(http: Http, auth: Option<BasicAuth>, headers: Vec<(HeaderName, HeaderValue)>) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(http);
    let routes = match auth {
        Some(auth) => routes.layer(from_fn_with_state(auth, authenticate)),
        None => routes,
    };
    routes.layer(map_response(move |mut response: Response| {
        response.headers_mut().extend(headers.iter().cloned());
        ready(response)
    }))
}

async fn authenticate(State(auth): State<BasicAuth>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let admitted = match given {
        // A hash takes its time.
        Some(given) => tokio::task::spawn_blocking(move || auth.admits(&given)).await.unwrap_or(false),
        None => false,
    };
    if admitted {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"aftertrace\"")], "Unauthorized\n")
        .into_response()
}

async fn metrics(State(http): State<Http>, headers: HeaderMap) -> Response {
    if !http.shared.is_ready() {
        return unavailable("not ready: probes are being attached");
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = negotiate::format(text(ACCEPT));
    let gzip = negotiate::takes_gzip(text(ACCEPT_ENCODING));
    let (answer, answered) = oneshot::channel();
    match http.requests.try_send(ScrapeRequest { format, answer }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return unavailable("too many scrapes at once"),
        Err(TrySendError::Disconnected(_)) => return unavailable("ending"),
    }
    let scraped = match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(scraped)) => scraped,
        Ok(Err(_)) => return unavailable("ending"),
        Err(_) => return unavailable("the recording thread does not answer"),
    };
    let number = scraped.number;
    // Not here: other requests are answered meanwhile.
    let Ok(body) = tokio::task::spawn_blocking(move || render(&scraped.families, format, gzip)).await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "rendering failed\n").into_response();
    };
    let content_type = if format == ScrapeFormat::OpenMetrics { OPENMETRICS_TYPE } else { PROMETHEUS_TYPE };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    headers.insert(SCRAPE, HeaderValue::from(number));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn render(families: &[Family], format: ScrapeFormat, gzip: bool) -> Vec<u8> {
    let text = match format {
        ScrapeFormat::OpenMetrics => openmetrics_text(families),
        _ => prometheus_text(families),
    };
    if !gzip {
        return text.into_bytes();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

async fn healthz(State(http): State<Http>) -> Response {
    match http.shared.stalled() {
        None => "ok\n".into_response(),
        Some(since) => {
            unavailable(&format!("the recording thread has not come round for {} s", since.as_secs()))
        }
    }
}

async fn readyz(State(http): State<Http>) -> Response {
    if http.shared.is_ready() { "ready\n".into_response() } else { unavailable("probes are being attached") }
}

async fn index(State(http): State<Http>) -> Response {
    let threads = capabilities::of_threads();
    let mut response = page::render(&http.shared.view(), &threads, http.shared.is_ready()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}
