//! The HTTP server for people and machines that watch: `/metrics`, `/livez`, `/readyz`, `/status`.
//!
//! It is bound to loopback unless the operator says otherwise: it knows nothing of users or TLS.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Board, Metrics};

/// The content type of [`Metrics::page`].
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics and health: {cause}; choose another [nephoscope] listen, \
     or stop what has it"
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
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    let refused = |cause| ServeError { address, cause };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    info!(event = "observe.listening", %address, "metrics and health on http://{address}");
    let server = axum::serve(listener, router(metrics, board)).with_graceful_shutdown(stop.cancelled_owned());
    let task = tokio::spawn(async move {
        if let Err(cause) = server.await {
            error!(event = "observe.stopped", %cause, "metrics and health are not served any more");
        }
    });
    Ok(Serving { address, task })
}

fn router(metrics: Metrics, board: Board) -> Router {
    Router::new()
        .route("/metrics", get(async |State(metrics): State<Metrics>| page(&metrics)))
        .with_state(metrics)
        .route("/livez", get(async || "ok\n"))
        .merge(
            Router::new()
                .route("/readyz", get(async |State(board): State<Board>| ready(&board)))
                .route("/status", get(async |State(board): State<Board>| json(StatusCode::OK, &board.read())))
                .with_state(board),
        )
}

fn page(metrics: &Metrics) -> Response {
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
    match serde_json::to_vec(body) {
        Ok(mut text) => {
            text.push(b'\n');
            (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the answer: {error}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn started() -> (Serving, Board, CancellationToken) {
        let (board, stop) = (Board::new(), CancellationToken::new());
        let serving = serve(([127, 0, 0, 1], 0).into(), Metrics::new(), board.clone(), stop.clone()).await.unwrap();
        (serving, board, stop)
    }

    #[tokio::test]
    async fn it_is_ready_once_nothing_is_waited_for() {
        let (serving, board, _stop) = started().await;
        let before = ask(serving.address, "/readyz").await;
        assert!(before.starts_with("HTTP/1.1 503"), "{before}");
        assert!(before.ends_with("{\"ready\":false,\"waiting_for\":[\"the agent to start\"]}\n"), "{before}");
        board.change(|status| status.waiting_for.clear());
        let after = ask(serving.address, "/readyz").await;
        assert!(
            after.starts_with("HTTP/1.1 200") && after.ends_with("{\"ready\":true,\"waiting_for\":[]}\n"),
            "{after}"
        );
    }

    #[tokio::test]
    async fn it_shows_metrics_life_and_status() {
        let (serving, _board, _stop) = started().await;
        let metrics = ask(serving.address, "/metrics").await;
        assert!(metrics.contains(OPENMETRICS) && metrics.contains("nephoscope_build_info{"), "{metrics}");
        assert!(ask(serving.address, "/livez").await.ends_with("ok\n"));
        assert!(ask(serving.address, "/status").await.contains("\"phase\":\"starting\""));
        assert!(ask(serving.address, "/nothing").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn it_stops_when_told() {
        let (serving, _board, stop) = started().await;
        let address = serving.address;
        stop.cancel();
        serving.stopped().await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_what_to_do() {
        let (serving, board, stop) = started().await;
        let error = serve(serving.address, Metrics::new(), board, stop).await.unwrap_err().to_string();
        assert!(error.contains("[nephoscope] listen") && error.contains(&serving.address.to_string()), "{error}");
    }
}
