//! The session that notes go over. It is their own: RabbitMQ reads nothing more from a connection that sends while an alarm of memory
//! or disk lasts, and deliveries must not stand still for the sake of a note. It is no [`Link`]: it ends with that of the queues,
//! which says what is wrong with the broker.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::transport::link::Link;
use crate::transport::{Session, TransportError};

/// A session that does not come by then is tried anew.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts, while the broker is there for everything else.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where the broker refuses: a person must act.
const AGAIN_REFUSED: Duration = Duration::from_mins(1);
/// A session that is not closed by then is cut.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// A session that is begun when it is needed, beside that of a link, and over with it: where one hears nothing of the broker any
/// more, the other may notice it a minute later. Whoever drops it cuts it.
#[derive(Default)]
pub(super) struct Line {
    begun: Option<Begun>,
    /// Before that no attempt is made.
    not_before: Option<Instant>,
}

struct Begun {
    session: Arc<dyn Session>,
    /// The session of the link is over.
    beside_over: CancellationToken,
}

impl Line {
    /// The session. While there is none, it makes an attempt at one with the broker of the link: where the link is up, and some
    /// time after the last attempt; else nothing.
    pub(super) async fn session(&mut self, link: &Link) -> Result<Option<Arc<dyn Session>>, TransportError> {
        self.begun = self.begun.take().filter(Begun::is_up);
        if let Some(begun) = &self.begun {
            return Ok(Some(Arc::clone(&begun.session)));
        }
        let Some(beside) = link.current() else { return Ok(None) };
        if self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return Ok(None);
        }
        let beside_over = beside.over();
        let attempt = beside_over.run_until_cancelled(timeout(CONNECTED_WITHIN, link.broker().connect()));
        let Some(connected) = attempt.await else { return Ok(None) };
        let slow = || Err(TransportError::Slow(CONNECTED_WITHIN));
        match connected.unwrap_or_else(|_| slow()) {
            Ok(session) => {
                self.begun = Some(Begun { session: Arc::clone(&session), beside_over });
                Ok(Some(session))
            }
            Err(error) => {
                let again = if matches!(error, TransportError::Refused(_)) { AGAIN_REFUSED } else { AGAIN };
                self.not_before = Some(Instant::now() + again);
                Err(error)
            }
        }
    }

    /// Waits for an answer in this session; nothing where that of the link is over first.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        self.begun.as_ref()?.beside_over.run_until_cancelled(answer).await
    }

    /// Whether there is a session.
    pub(super) fn is_up(&self) -> bool {
        self.begun.as_ref().is_some_and(Begun::is_up)
    }

    /// Ends the session in order, within a second.
    pub(super) async fn close(&mut self) {
        if let Some(Begun { session, .. }) = self.begun.take() {
            let _in_time = timeout(CLOSED_WITHIN, session.close()).await;
        }
    }
}

impl Begun {
    fn is_up(&self) -> bool {
        !self.session.over().is_cancelled() && !self.beside_over.is_cancelled()
    }
}
