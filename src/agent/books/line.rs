//! The session that notes go over. It is their own: RabbitMQ stops to read from a connection that sends while an alarm of memory or
//! disk lasts, and deliveries, and what settles them, must not stand still for the sake of a note.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

use crate::transport::link::Link;
use crate::transport::{Session, TransportError};

/// A session that does not come by then is tried anew.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts, while the broker is there for everything else.
const AGAIN: Duration = Duration::from_secs(5);
/// A session that is not closed by then is cut.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// A session that is begun when it is needed. Whoever drops it cuts it.
#[derive(Default)]
pub(super) struct Line {
    session: Option<Arc<dyn Session>>,
    /// Before that no attempt is made.
    not_before: Option<Instant>,
}

impl Line {
    /// The session. While there is none, it makes an attempt at one with the broker of the link: where the link is up, and some
    /// time after the last attempt; else nothing.
    pub(super) async fn session(&mut self, link: &Link) -> Result<Option<Arc<dyn Session>>, TransportError> {
        if self.is_up() {
            return Ok(self.session.clone());
        }
        self.session = None;
        if link.current().is_none() || self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return Ok(None);
        }
        self.not_before = Some(Instant::now() + AGAIN);
        let slow = || Err(TransportError::Slow(CONNECTED_WITHIN));
        self.session = Some(timeout(CONNECTED_WITHIN, link.broker().connect()).await.unwrap_or_else(|_| slow())?);
        Ok(self.session.clone())
    }

    /// Whether there is a session.
    pub(super) fn is_up(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.over().is_cancelled())
    }

    /// Ends the session in order, within a second.
    pub(super) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            let _in_time = timeout(CLOSED_WITHIN, session.close()).await;
        }
    }
}
