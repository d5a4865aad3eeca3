//! The loop that keeps a session: connect, hold, wait, connect again.
//!
//! A state enum, visible to everybody over a watch; every transition is logged once, "from => to", under a stable name.
//! Never here: what is done in a session. A lost session is not repaired; [`Link::session`] gives the next one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Broker, Session, TransportError};
use crate::backoff::{Backoff, Waits};
use crate::observe::{Metrics, Repeats};
use crate::tasks;

/// A session that ends sooner than this counts as a failed attempt: a broker that takes us and throws us out again must
/// not be asked a hundred times a second.
pub const STEADY_AFTER: Duration = Duration::from_secs(5);

/// Where the link stands.
#[derive(Clone)]
pub enum LinkState {
    /// An attempt is under way.
    Connecting {
        /// Failures in a row before it.
        failures: u32,
        /// Why there is no session, if there was one or an attempt at one.
        cause: Option<String>,
    },
    /// There is a session.
    Up(Arc<dyn Session>),
    /// The broker is away; the next attempt comes.
    Waiting {
        /// When.
        until: Instant,
        /// Why the last one failed.
        cause: String,
    },
    /// The broker refuses us: a person must act. Tried again all the same, at the longest interval.
    Refused {
        /// When.
        until: Instant,
        /// What it said.
        cause: String,
    },
    /// Stopped by us, for good.
    Stopped,
}

impl LinkState {
    /// The state in one word, for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            LinkState::Connecting { .. } => "connecting",
            LinkState::Up(_) => "up",
            LinkState::Waiting { .. } => "waiting",
            LinkState::Refused { .. } => "refused",
            LinkState::Stopped => "stopped",
        }
    }
}

impl fmt::Debug for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kept connection. A clone is a view of the same one.
#[derive(Clone)]
pub struct Link {
    state: watch::Receiver<LinkState>,
    stop: CancellationToken,
    name: Arc<str>,
    broker: Arc<dyn Broker>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.name)
    }
}

impl Link {
    /// Starts to connect, and keeps at it until [`Link::stop`]. How long to wait between attempts: `rabbit_retry_interval`,
    /// `rabbit_retry_backoff`, `rabbit_interval_max` (Ceilometer reference §2.6).
    pub fn start(broker: Arc<dyn Broker>, backoff: Backoff, metrics: Metrics) -> Link {
        let name = broker.name().to_owned();
        Link::start_as(&name, broker, backoff, metrics)
    }

    /// The same under another name than the broker's, where there is another link to it.
    pub fn start_as(name: &str, broker: Arc<dyn Broker>, backoff: Backoff, metrics: Metrics) -> Link {
        let (states, state) = watch::channel(LinkState::Connecting { failures: 0, cause: None });
        let (stop, name) = (CancellationToken::new(), Arc::from(name));
        let link = Link { state, stop, name: Arc::clone(&name), broker: Arc::clone(&broker) };
        tasks::spawn(
            Keeper {
                name,
                broker,
                waits: backoff.waits(),
                longest_wait: backoff.longest,
                metrics,
                states,
                stop: link.stop.clone(),
                repeats: Repeats::default(),
                loss_said: true,
            }
            .keep(),
        );
        link
    }

    /// The current session, or the next one as soon as there is one. Fails when the link is stopped, and only then.
    pub async fn session(&self) -> Result<Arc<dyn Session>, TransportError> {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                LinkState::Up(session) if !session.over().is_cancelled() => return Ok(session),
                LinkState::Stopped => return Err(self.stopped()),
                _ => {}
            }
            if state.changed().await.is_err() {
                return Err(self.stopped());
            }
        }
    }

    /// The session there is now, if there is one.
    pub fn current(&self) -> Option<Arc<dyn Session>> {
        match &*self.state.borrow() {
            LinkState::Up(session) if !session.over().is_cancelled() && session.refused().is_none() => {
                Some(Arc::clone(session))
            }
            _ => None,
        }
    }

    /// Why there is no session now.
    pub fn absence(&self) -> TransportError {
        let away = |cause: &str| TransportError::Away { broker: self.name.to_string(), cause: cause.to_owned() };
        match &*self.state.borrow() {
            LinkState::Refused { cause, .. } => TransportError::Refused(cause.clone()),
            LinkState::Waiting { cause, .. } => away(cause),
            LinkState::Up(session) => session.refused().map_or_else(|| away("not connected"), TransportError::Refused),
            LinkState::Connecting { cause: Some(cause), .. } => away(cause),
            LinkState::Connecting { .. } | LinkState::Stopped => away("not connected"),
        }
    }

    /// The broker in words, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who it connects to, for a session beside its own.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// The virtual host that its sessions are in.
    pub fn virtual_host(&self) -> String {
        self.broker.virtual_host()
    }

    /// The version that the broker says it has, asked anew.
    pub async fn version(&self) -> Option<String> {
        self.broker.version().await
    }

    /// Stops without closing anything in order: for an agent that is killed.
    pub fn cut(&self) {
        self.stop.cancel();
        if let Some(session) = self.current() {
            session.cut();
        }
    }

    /// The state, and its changes.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Closes the session in order and stops; returns when that is done.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut state = self.state.clone();
        // An error means that the keeper is gone, which is as well.
        let _gone = state.wait_for(|state| matches!(state, LinkState::Stopped)).await;
    }

    fn stopped(&self) -> TransportError {
        TransportError::Away { broker: self.name.to_string(), cause: "the link is stopped".to_owned() }
    }
}

struct Keeper {
    name: Arc<str>,
    broker: Arc<dyn Broker>,
    waits: Waits,
    longest_wait: Duration,
    metrics: Metrics,
    states: watch::Sender<LinkState>,
    stop: CancellationToken,
    /// Why the link was down, and how often.
    repeats: Repeats,
    /// Whether the last loss of a session was said: if not, its return is not said either.
    loss_said: bool,
}

impl Keeper {
    async fn keep(mut self) {
        let mut failures: u32 = 0;
        let mut cause = None;
        while !self.stop.is_cancelled() {
            self.turn(LinkState::Connecting { failures, cause: cause.clone() });
            let attempt = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                attempt = self.broker.connect() => attempt,
            };
            match attempt {
                Ok(session) => {
                    let begun = Instant::now();
                    self.hold(Arc::clone(&session)).await;
                    if let Some(refused) = session.refused() {
                        failures = failures.saturating_add(1);
                        cause = Some(refused.clone());
                        self.refuse(refused).await;
                        continue;
                    }
                    let why = session.why().get().cloned();
                    if begun.elapsed() < STEADY_AFTER {
                        failures = failures.saturating_add(1);
                        let short = match why {
                            Some(why) => format!("the last session was short: {why}"),
                            None => "the last session was short".to_owned(),
                        };
                        cause = Some(short.clone());
                        self.wait(short).await;
                    } else {
                        failures = 0;
                        self.waits.reset();
                        cause = Some(why.unwrap_or_else(|| "the session is over".to_owned()));
                    }
                }
                Err(TransportError::Refused(refused)) => {
                    failures = failures.saturating_add(1);
                    cause = Some(refused.clone());
                    self.refuse(refused).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    cause = Some(error.to_string());
                    self.wait(error.to_string()).await;
                }
            }
        }
        self.turn(LinkState::Stopped);
    }

    /// Until the session is over, or closed because we stop.
    async fn hold(&mut self, session: Arc<dyn Session>) {
        let over = session.over();
        self.turn(LinkState::Up(session.clone()));
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = self.stop.cancelled() => session.close().await,
        }
    }

    async fn refuse(&mut self, cause: String) {
        if self.stop.is_cancelled() {
            return;
        }
        let until = Instant::now() + self.longest_wait;
        self.turn(LinkState::Refused { until, cause });
        self.sleep_until(until).await;
    }

    async fn wait(&mut self, cause: String) {
        if self.stop.is_cancelled() {
            return;
        }
        let until = Instant::now() + self.waits.again();
        self.turn(LinkState::Waiting { until, cause });
        self.sleep_until(until).await;
    }

    async fn sleep_until(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// One transition: one change of the watch, and said once. What lasts or comes back is said again after minutes.
    fn turn(&mut self, to: LinkState) {
        let from = self.states.borrow().name();
        let (name, lost) = (&*self.name, from == "up");
        let down = match &to {
            LinkState::Waiting { until, cause } => {
                let wait = until.saturating_duration_since(Instant::now());
                Some((cause, format!("{cause}; again in {:.1} s", wait.as_secs_f64())))
            }
            LinkState::Connecting { cause: Some(cause), .. } if lost => Some((cause, cause.clone())),
            LinkState::Refused { cause, .. } => Some((cause, cause.clone())),
            LinkState::Connecting { .. } | LinkState::Up(_) | LinkState::Stopped => None,
        };
        match down {
            Some((cause, detail)) => {
                let said = self.repeats.note(cause);
                if lost {
                    self.loss_said = said.is_some();
                }
                match said {
                    Some(1) => self.metrics.link_changed(name, from, to.name(), &detail),
                    said => self.metrics.link_still_down(name, from, to.name(), &detail, said),
                }
            }
            None if matches!(to, LinkState::Up(_)) && !self.loss_said => self.metrics.link_back(name),
            None => self.metrics.link_changed(name, from, to.name(), ""),
        }
        self.states.send_replace(to);
    }
}

#[cfg(test)]
mod tests;
