//! Where agents publish: an HTTP server in the test that writes down what arrived, in the order of arrival.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The three outputs: samples as they are, their rates, and events.
pub const OUTPUTS: [&str; 3] = ["plain", "rates", "events"];

/// One record of an output.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The number of its notification; `None` when nothing like it was sent.
    pub n: Option<u32>,
    /// Its id; 0 of an event, whose number is its id.
    pub id: u128,
    /// When it came.
    pub at: Instant,
    /// The volume of a sample.
    pub value: f64,
}

/// What arrived.
#[derive(Default)]
pub struct Book {
    /// By output, in the order of arrival.
    pub arrivals: [Vec<Arrival>; 3],
    /// By number of notification: one bit an output.
    pub seen: Vec<u8>,
    /// The most records that came in one piece.
    pub batch_max: usize,
}

/// How the collector is to those who publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Manner {
    /// By output: it refuses with 503, and nothing is written down.
    pub away: [bool; 3],
    /// It waits so long before it writes down and answers.
    pub slow: Duration,
}

/// A collector that runs for as long as the test.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    /// What arrived.
    pub book: Arc<Mutex<Book>>,
    manner: Arc<Mutex<Manner>>,
    server: tokio::task::JoinHandle<()>,
}

impl Collector {
    /// Starts it, on any port of an address of this machine that agents reach.
    pub async fn start(at: IpAddr) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let manner = Arc::new(Mutex::new(Manner::default()));
        let listener = tokio::net::TcpListener::bind((at, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/{output}", post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state((Arc::clone(&book), Arc::clone(&manner)));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Collector { address, book, manner, server }
    }

    /// From now on.
    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Away for everybody, or there and quick.
    pub fn be_away(&self, away: bool) {
        self.be(Manner { away: [away; 3], ..Manner::default() });
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    volume: Option<f64>,
    #[serde(default)]
    resource_metadata: Option<Metadata>,
    #[serde(default)]
    message_id: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    n: Option<u32>,
}

type Shared = (Arc<Mutex<Book>>, Arc<Mutex<Manner>>);

async fn take(State((book, manner)): State<Shared>, Path(output): Path<String>, body: Bytes) -> StatusCode {
    let Some(output) = OUTPUTS.iter().position(|known| *known == output) else { return StatusCode::NOT_FOUND };
    let manner = *manner.lock().unwrap();
    if manner.away[output] {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if !manner.slow.is_zero() {
        tokio::time::sleep(manner.slow).await;
    }
    let Ok(records) = serde_json::from_slice::<Vec<Record>>(&body) else { return StatusCode::BAD_REQUEST };
    let mut book = book.lock().unwrap();
    let at = Instant::now();
    book.batch_max = book.batch_max.max(records.len());
    for record in records {
        let n = match record.message_id {
            Some(id) => id.strip_prefix("m-").and_then(|n| n.parse().ok()),
            None => record.resource_metadata.and_then(|metadata| metadata.n),
        };
        let arrival = Arrival {
            n,
            id: record.id.and_then(|id| uuid::Uuid::parse_str(&id).ok()).map_or(0, |id| id.as_u128()),
            at,
            value: record.volume.unwrap_or_default(),
        };
        book.arrivals[output].push(arrival);
        if let Some(n) = n.filter(|n| *n < 100_000_000) {
            let n = n as usize;
            if book.seen.len() <= n {
                book.seen.resize(n + 1, 0);
            }
            book.seen[n] |= 1 << output;
        }
    }
    StatusCode::OK
}
