//! The agent's own page: one static file, the pictures that it shows, the configuration in force, and the tap.
//!
//! It shows and changes nothing. All text in it that comes from outside is text and never markup; the browser may load nothing
//! else, from nowhere (`Content-Security-Policy`).
//!
//! A page of somebody else's, in a browser that can reach this agent, gets nothing below `/desk/`.
//!
//! Never here: what a picture means, or a right but that of the tap.

mod access;
mod stream;
mod text;

pub use access::TapAccess;
pub use stream::{Life, TAKEN_WITHIN};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use percent_encoding::percent_decode_str;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

use super::desk::Feed;
use super::tap::{Taps, Wish};

/// Who a connection is with.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What the page shows and gives.
#[derive(Clone)]
pub struct Desk {
    /// The pictures of the group.
    pub feed: Feed,
    /// The configuration in force, without secrets, as JSON. A reload sends another.
    pub configuration: watch::Receiver<Arc<str>>,
    /// What passes.
    pub taps: Arc<Taps>,
    /// Who may tap.
    pub tap_access: TapAccess,
}

impl Desk {
    /// One that shows this configuration.
    pub fn new(configuration: watch::Receiver<Arc<str>>, taps: Arc<Taps>, tap_access: TapAccess) -> Desk {
        Desk { feed: Feed::new(), configuration, taps, tap_access }
    }
}

/// What is shown, and whether the agent listens on loopback: then each request must name this machine.
#[derive(Clone)]
struct Place {
    desk: Desk,
    on_loopback: bool,
}

/// `/`, `/desk/events`, `/desk/config` and `/desk/tap` of an agent that listens at this address.
pub fn router(desk: Desk, listen: SocketAddr) -> Router {
    Router::new()
        .route("/", get(async || page()))
        .route("/desk/events", get(events))
        .route("/desk/config", get(configuration))
        .route("/desk/tap", get(tap))
        .with_state(Place { desk, on_loopback: listen.ip().is_loopback() })
}

/// What a request is answered behind which a page of somebody else's may be.
const FOREIGN: &str = "cannot answer: this request comes from a page of another site, or names this agent by a name that is none of \
                       this machine; ask for 127.0.0.1 or localhost, and let a proxy send one of them as Host\n";

fn refused() -> Response {
    (StatusCode::FORBIDDEN, NO_SNIFFING, FOREIGN).into_response()
}

/// What nothing of ours needs, and nobody shall have.
const NO_SNIFFING: [(header::HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

fn page() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, text::policy())];
    (NO_SNIFFING, headers, text::page()).into_response()
}

async fn events(
    State(Place { desk, on_loopback }): State<Place>,
    Extension(life): Extension<Life>,
    headers: HeaderMap,
) -> Response {
    if access::is_foreign(on_loopback, &headers) {
        return refused();
    }
    let Some(viewer) = desk.feed.look() else {
        let said = "as many as may look at this page do so already; try again in a minute\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")], said).into_response();
    };
    let headers = [(header::CONTENT_TYPE, "text/event-stream")];
    (NO_SNIFFING, headers, stream::pictures(viewer, life)).into_response()
}

async fn configuration(State(Place { desk, on_loopback }): State<Place>, headers: HeaderMap) -> Response {
    if access::is_foreign(on_loopback, &headers) {
        return refused();
    }
    let text = desk.configuration.borrow().to_string();
    (NO_SNIFFING, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn tap(
    State(Place { desk, .. }): State<Place>,
    Extension(life): Extension<Life>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    // The right to tap looks at the name itself: a client that has the token may use any.
    if access::is_foreign(false, &headers) {
        return refused();
    }
    if let Err(why) = desk.tap_access.allows(peer.ip(), &headers) {
        return (why.code(), NO_SNIFFING, format!("{why}\n")).into_response();
    }
    let query = query.unwrap_or_default();
    let decoded: Vec<(String, String)> = query.split('&').filter(|pair| !pair.is_empty()).map(decoded).collect();
    let pairs = decoded.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let wish = match Wish::of(pairs) {
        Ok(wish) => wish,
        Err(bad) => return (StatusCode::BAD_REQUEST, NO_SNIFFING, format!("{bad}\n")).into_response(),
    };
    let Some(tap) = desk.taps.open(wish) else {
        let said = "cannot tap: as many as may tap this agent do so already; end another, or tap another member\n";
        return (StatusCode::SERVICE_UNAVAILABLE, NO_SNIFFING, said).into_response();
    };
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (NO_SNIFFING, headers, stream::lines(tap, life)).into_response()
}

/// A pair of a query; what is no UTF-8 in it matches nothing.
fn decoded(pair: &str) -> (String, String) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode(name), decode(value))
}

#[cfg(test)]
mod tests;
