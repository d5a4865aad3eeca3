//! What a member tells of itself: once a second, over a session of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::ready::{self, Ready};
use crate::observe::desk::{Beat, Gathered, Minutes};
use crate::observe::{Board, Metrics, Repeats};
use crate::transport::{Broker, Outgoing, Session, TransportError, UNROUTABLE, topology};

/// Between two beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// A beat that the broker has not taken by then is not waited for.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts at a session.
const AGAIN: Duration = Duration::from_secs(5);
/// The same where the broker refuses: a person must act.
const AGAIN_REFUSED: Duration = Duration::from_mins(1);
/// A session that does not come by then is tried anew.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);

/// A session that is not closed by then is cut.
pub const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Tells what a member does.
pub struct Speaker {
    /// The broker of the group's queues.
    pub broker: Arc<dyn Broker>,
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// Its machine.
    pub host: String,
    /// Whether it has a lease that can run out.
    pub has_lease: bool,
    /// Its counters.
    pub metrics: Metrics,
    /// What it does.
    pub board: Board,
}

/// What is kept from session to session.
struct Told {
    speaker: Speaker,
    began: Instant,
    minutes: Mutex<Minutes>,
    ready: Ready,
    session: Mutex<Option<Arc<dyn Session>>>,
}

impl Speaker {
    /// Tells until it is stopped, and closes its session then: the broker's log has no word of it.
    pub async fn speak(self, stop: CancellationToken) {
        let (minutes, ready) = (Mutex::default(), Ready::default());
        let told = Told { speaker: self, began: Instant::now(), minutes, ready, session: Mutex::default() };
        let speaking = async {
            tokio::join!(told.keep_minutes(), told.keep_speaking());
        };
        let _stopped = stop.run_until_cancelled(speaking).await;
        told.close().await;
    }
}

impl Told {
    /// Counts the last hour, whether the broker is there or not.
    async fn keep_minutes(&self) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let seconds = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or_default();
            let totals = self.speaker.metrics.hour_totals();
            self.minutes.lock().unwrap_or_else(PoisonError::into_inner).note(seconds, totals);
        }
    }

    async fn keep_speaking(&self) {
        let refusals = Repeats::default();
        loop {
            let wait = match timeout(CONNECTED_WITHIN, self.begin()).await {
                Ok(Ok(session)) => match self.in_session(&*session).await {
                    Some(cause) => {
                        self.speaker.metrics.beats_refused(&cause, refusals.note(&cause));
                        AGAIN_REFUSED
                    }
                    None => AGAIN,
                },
                Ok(Err(TransportError::Refused(cause))) => {
                    self.speaker.metrics.beats_refused(&cause, refusals.note(&cause));
                    AGAIN_REFUSED
                }
                // The agent's other sessions say what is wrong with the broker.
                Ok(Err(error)) => {
                    debug!(event = "desk.session.failed", %error, "no session for those who watch; trying again");
                    AGAIN
                }
                Err(_) => AGAIN,
            };
            self.close().await;
            sleep(wait).await;
        }
    }

    async fn close(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            let _in_time = timeout(CLOSED_WITHIN, session.close()).await;
        }
    }

    async fn begin(&self) -> Result<Arc<dyn Session>, TransportError> {
        let session = self.speaker.broker.connect().await?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
        session.declare(&topology::desk_exchange(&self.speaker.group)).await?;
        Ok(session)
    }

    /// Tells until the session is over, or the broker refuses a beat: why it does.
    async fn in_session(&self, session: &dyn Session) -> Option<String> {
        let over = session.over();
        let (watched, _) = watch::channel(false);
        let refused = tokio::select! {
            biased;
            () = over.cancelled() => None,
            cause = self.tell(session, &watched) => Some(cause),
            () = self.ask(session, watched.subscribe()) => None,
        };
        self.ready.clear();
        refused
    }

    /// One beat a second: a whole one while the last one was heard, else no more than that the member is there. It ends when the
    /// broker refuses one.
    async fn tell(&self, session: &dyn Session, watched: &watch::Sender<bool>) -> String {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if session.blocked().borrow().is_some() {
                continue;
            }
            let mut posted = Ok(true);
            let was_heard = *watched.borrow();
            if !was_heard {
                posted = self.post(session, self.gathered().knock()).await;
            }
            // Who has just come is told at once.
            if posted == Ok(true) {
                posted = self.post(session, self.whole()).await;
            }
            let is_heard = match posted {
                Ok(is_heard) => is_heard,
                Err(cause) => return cause,
            };
            watched.send_if_modified(|now| std::mem::replace(now, is_heard) != is_heard);
        }
    }

    /// Asks what waits at the broker, while somebody watches.
    async fn ask(&self, session: &dyn Session, mut watched: watch::Receiver<bool>) {
        let mut last = String::new();
        loop {
            if watched.wait_for(|watched| *watched).await.is_err() {
                return;
            }
            last = self.ready.ask(session, &self.speaker.board, &last).await;
            sleep(ready::PERIOD).await;
            if !*watched.borrow() {
                self.ready.clear();
            }
        }
    }

    fn gathered(&self) -> Gathered<'_> {
        Gathered {
            member: &self.speaker.member,
            host: &self.speaker.host,
            uptime_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            has_lease: self.speaker.has_lease,
            ..Gathered::default()
        }
    }

    fn whole(&self) -> Beat {
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner).read();
        let gathered = Gathered { minutes, ready: self.ready.read(), ..self.gathered() };
        gathered.beat(&self.speaker.metrics, &self.speaker.board)
    }

    /// Whether anybody hears it, or why the broker refuses it.
    async fn post(&self, session: &dyn Session, beat: Beat) -> Result<bool, String> {
        let exchange = topology::desk_exchange_name(&self.speaker.group);
        let message =
            Outgoing { exchange, ..Outgoing::to_queue(topology::BEAT_KEY, beat.encode().into(), "application/json") };
        let taken = async { session.publish(message).await?.wait().await };
        match timeout(TAKEN_WITHIN, taken).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(TransportError::NotTaken { why: UNROUTABLE, .. })) => Ok(false),
            Ok(Err(TransportError::Rejected { why, .. } | TransportError::Refused(why))) => Err(why),
            Ok(Err(error)) => {
                debug!(event = "desk.beat.lost", %error, "a beat was not taken");
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::MemoryBroker;

    fn speaker(broker: &MemoryBroker) -> Speaker {
        Speaker {
            broker: Arc::new(broker.clone()),
            group: "g".to_owned(),
            member: "a".to_owned(),
            host: "h".to_owned(),
            has_lease: false,
            metrics: Metrics::new(),
            board: Board::new(),
        }
    }

    async fn heard(consumer: &mut dyn crate::transport::Consumer) -> Beat {
        let delivery = consumer.next().await.unwrap();
        delivery.receipt.settle(crate::model::Verdict::Kept);
        Beat::decode(&delivery.body).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_is_told_everything_at_once_and_who_goes_is_told_nothing() {
        let (broker, stop) = (MemoryBroker::default(), CancellationToken::new());
        let speaking = tokio::spawn(speaker(&broker).speak(stop.clone()));
        sleep(Duration::from_secs(5)).await;
        let session = broker.connect().await.unwrap();
        let mut consumer = session.subscribe(&topology::desk_subscription("g", "w")).await.unwrap();
        let (knock, whole) = (heard(&mut *consumer).await, heard(&mut *consumer).await);
        assert!(knock.is_knock() && !whole.is_knock());
        assert_eq!((&*whole.member, &*whole.phase), ("a", "starting"));
        let next = heard(&mut *consumer).await;
        assert!(!next.is_knock() && next.uptime_ms >= whole.uptime_ms + 900, "{next:?}");
        consumer.close().await.unwrap();
        sleep(Duration::from_secs(3)).await;
        let mut consumer = session.subscribe(&topology::desk_subscription("g", "v")).await.unwrap();
        assert!(heard(&mut *consumer).await.is_knock(), "nobody watched");
        stop.cancel();
        speaking.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_broker_goes_and_comes_back() {
        let (broker, stop) = (MemoryBroker::default(), CancellationToken::new());
        let speaking = tokio::spawn(speaker(&broker).speak(stop.clone()));
        sleep(Duration::from_secs(2)).await;
        broker.stop();
        sleep(Duration::from_secs(20)).await;
        broker.start();
        sleep(Duration::from_secs(20)).await;
        let session = broker.connect().await.unwrap();
        let mut consumer = session.subscribe(&topology::desk_subscription("g", "w")).await.unwrap();
        assert!(heard(&mut *consumer).await.is_knock());
        stop.cancel();
        speaking.await.unwrap();
    }
}
