//! The HTTP server for people and machines that watch: `/metrics`, `/livez`, `/readyz`, `/status`, and the [page](super::page).
//! And the same server for the pages of others, at addresses of their own ([`serve_pages`]).
//!
//! It is bound to loopback unless the operator says otherwise: it knows nothing of users or TLS. Whatever its clients do,
//! it takes no more descriptors, memory and time than the constants here allow: one connection is one request, and when
//! there are too many, the oldest goes.

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::page::{self, Desk, Life, Peer};
use super::{Board, Metrics};
use crate::model::shown::without_secrets;

/// Connections at once, at most. One more, and the oldest is closed.
pub const CONNECTIONS_MAX: usize = 64;
/// Of the file descriptors that this process may have, connections take one in so many at most …
const DESCRIPTORS_PER_CONNECTION: usize = 16;
/// … but there may always be so many.
const CONNECTIONS_MIN: usize = 4;
/// The head of a request must be there within this, in whole.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest head of a request, in bytes: a larger one is answered with 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most fields in a head.
pub const HEAD_FIELDS_MAX: usize = 64;
/// The longest life of a connection: a client that does not take its answer is left. An answer without end lives for as long as
/// its client takes it.
pub const CONNECTION_LIFE: Duration = page::TAKEN_WITHIN;
/// How long answers under way may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// After the system would not give a connection, none is asked for during this.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The content type of [`Metrics::page`].
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of [`Pages`].
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics and health: {cause}; choose another [nephoscope] listen, \
     or stop the process that has the address"
)]
pub struct ServeError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: std::io::Error,
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens: the port is the real one where 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Waits until it has stopped; it stops when the token it was started with is cancelled.
    pub async fn stopped(self) {
        // A panic in the server ends only the server.
        let _ = self.task.await;
    }
}

/// Binds the address and serves until `stop` is cancelled; requests under way are answered first.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    board: Board,
    desk: Desk,
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    let refused = |cause| ServeError { address, cause };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    info!(event = "observe.http.listening", %address, "serving metrics and health");
    let desk = page::router(desk, address);
    let task = tokio::spawn(accept(listener, router(metrics, board, desk), stop));
    Ok(Serving { address, task })
}

/// What is shown at a path now, in Prometheus' text format 0.0.4; nothing where there is no page.
pub type Pages = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Binds the address and serves text pages until `stop` is cancelled, within the same bounds. Other paths are answered with
/// 404.
pub async fn serve_pages(address: SocketAddr, pages: Pages, stop: CancellationToken) -> std::io::Result<Serving> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    info!(event = "observe.http.listening", %address, "serving pages for Prometheus");
    let page = async move |uri: Uri| match pages(uri.path()) {
        Some(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    };
    let task = tokio::spawn(accept(listener, Router::new().fallback(get(page)), stop));
    Ok(Serving { address, task })
}

/// Takes connections until told to stop.
async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(connections_max()));
    let mut connections = JoinSet::new();
    // From the oldest on.
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            // The client's doing: the next one waits already.
            Err(cause) if matches!(cause.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => continue,
            Err(cause) => {
                if !failing {
                    error!(
                        event = "observe.http.not_accepted",
                        %cause,
                        "cannot accept a connection for metrics and health; trying again every second; if too many files are open, \
                         raise the limit of this process (LimitNOFILE= of its systemd unit, ulimit -n)"
                    );
                }
                failing = true;
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        failing = false;
        open.retain(|connection| !connection.is_finished());
        if places.available_permits() == 0
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // Its descriptor is free before the next one is asked for.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let life = Life::begin();
        let router = router.clone().layer(Extension(life.clone())).layer(Extension(Peer(peer)));
        let stop = stop.clone();
        open.push_back(connections.spawn(async move {
            let _place = place;
            // It says nothing that anybody could act on: a client went away, or was too slow.
            tokio::select! {
                biased;
                () = life.over() => {}
                () = life.cut(&stop) => {}
                () = answer(socket, router, stop.clone()) => {}
            }
        }));
    }
    drop(listener);
    let _in_time = timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
}

/// One connection: one request, one answer.
async fn answer(socket: TcpStream, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _over = connection.await;
}

/// How many connections this process can afford beside its brokers and files.
fn connections_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = |line: &str| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok();
    let descriptors = limits.lines().find_map(soft);
    descriptors
        .map_or(CONNECTIONS_MAX, |most| (most / DESCRIPTORS_PER_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX))
}

fn router(metrics: Metrics, board: Board, desk: Router) -> Router {
    Router::new()
        .route("/metrics", get(async |State((metrics, board)): State<(Metrics, Board)>| page(&metrics, &board)))
        .with_state((metrics, board.clone()))
        .route("/livez", get(async || "ok\n"))
        .merge(
            Router::new()
                .route("/readyz", get(async |State(board): State<Board>| ready(&board)))
                .route("/status", get(async |State(board): State<Board>| json(StatusCode::OK, &board.read())))
                .with_state(board),
        )
        .merge(desk)
}

fn page(metrics: &Metrics, board: &Board) -> Response {
    metrics.readiness(board.read().not_ready().is_empty());
    ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.page()).into_response()
}

/// The answer of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// What is missing, in words.
    waiting_for: Vec<String>,
}

fn ready(board: &Board) -> Response {
    let waiting_for = board.read().not_ready();
    let ready = waiting_for.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &Readiness { ready, waiting_for })
}

fn json(code: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => {
            let text = strings_shown(&text) + "\n";
            (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the answer: {error}\n")).into_response()
        }
    }
}

/// JSON as `serde_json` writes it, every string in it without passwords: names and reasons are other people's words.
pub fn strings_shown(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(begin) = rest.find('"') {
        let mut escaped = false;
        let ends = |byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        };
        let Some(length) = rest[begin + 1..].bytes().position(ends) else { break };
        let end = begin + length + 2;
        out.push_str(&rest[..begin]);
        match serde_json::from_str::<String>(&rest[begin..end]) {
            Ok(text) if text.contains('@') || text.contains("://") => {
                out.push_str(&serde_json::Value::from(without_secrets(&text)).to_string());
            }
            _ => out.push_str(&rest[begin..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
