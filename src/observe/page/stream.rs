//! Answers without end. Each lives for as long as its client takes what it is given; what waits for a slow one is the newest.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::observe::desk::feed::Viewer;
use crate::observe::tap::{LEFT_OUT, Next, Tap};

/// A client that takes nothing for so long is left. An answer that has an end must be taken within it.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// No answer lives longer: whoever is there asks anew.
const LIFE_MAX: Duration = Duration::from_hours(1);
/// Where there is nothing to say, an empty line says after so long that the connection lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Bytes that are given at once, about.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a connection may live.
#[derive(Debug, Clone)]
pub struct Life {
    began: Instant,
    until: Arc<Mutex<Instant>>,
    is_endless: Arc<AtomicBool>,
}

impl Life {
    /// A connection that begins now.
    pub fn begin() -> Life {
        let began = Instant::now();
        Life { began, until: Arc::new(Mutex::new(began + TAKEN_WITHIN)), is_endless: Arc::default() }
    }

    /// The client takes something: it has time again.
    fn goes_on(&self) {
        self.is_endless.store(true, Ordering::Relaxed);
        let until = (Instant::now() + TAKEN_WITHIN).min(self.began + LIFE_MAX);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Returns when the server has stopped, if the answer has no end of its own.
    pub async fn cut(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        if !self.is_endless.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when it is over.
    pub async fn over(&self) {
        loop {
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Pictures as server-sent events.
pub(super) fn pictures(viewer: Viewer, life: Life) -> Body {
    let first = Bytes::from_static(b"retry: 2000\n\n");
    Body::from_stream(stream::unfold((viewer, life, Some(first)), async |(mut viewer, life, first)| {
        // It is asked for only when the client has room: that is the sign that it reads.
        life.goes_on();
        let text = match first {
            Some(first) => first,
            None => match timeout(SIGN_OF_LIFE, viewer.next()).await {
                Ok(picture) => {
                    let mut event = String::with_capacity(picture.len() + 8);
                    // Writing to a string cannot fail.
                    let _written = write!(event, "data: {picture}\n\n");
                    event.into()
                }
                Err(_) => Bytes::from_static(b":\n\n"),
            },
        };
        Some((Ok::<Bytes, Infallible>(text), (viewer, life, None)))
    }))
}

/// Lines as they pass.
pub(super) fn lines(tap: Tap, life: Life) -> Body {
    Body::from_stream(stream::unfold((tap, life, false), async |(tap, life, over)| {
        if over {
            return None;
        }
        life.goes_on();
        let mut chunk = Vec::new();
        let mut over = false;
        let mut wait = SIGN_OF_LIFE;
        while chunk.len() < CHUNK_BYTES && !over {
            match timeout(wait, tap.next()).await {
                Ok(Next::Line(line)) => chunk.extend_from_slice(&line),
                Ok(Next::LeftOut(lines)) => chunk.extend_from_slice(format!("{LEFT_OUT}{lines}}}\n").as_bytes()),
                Ok(Next::Over) => over = true,
                Err(_) => break,
            }
            // What else is there already.
            wait = Duration::ZERO;
        }
        if chunk.is_empty() && !over {
            chunk.push(b'\n');
        }
        Some((Ok::<Bytes, Infallible>(chunk.into()), (tap, life, over)))
    }))
}
