//! One who watches: hears the members, looks at the group, and shows a picture every second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::group::GroupWatch;
use super::merge;
use super::picture::Picture;
use super::seen::Seen;
use crate::coordination::Coordinator;
use crate::model::Verdict;
use crate::observe::desk::Feed;
use crate::observe::http::strings_shown;
use crate::transport::{Broker, Consumer, Session, TransportError, topology};

/// Between two pictures.
const PICTURE: Duration = Duration::from_secs(1);
/// Between two attempts at a session.
const AGAIN: Duration = Duration::from_secs(2);
/// A session that does not come by then is tried anew.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// A session that is not closed by then is cut.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);
/// So long it is watched after the last one has gone: a page that is loaded anew makes no new connection to the broker.
const LINGER: Duration = Duration::from_secs(20);

/// Watches a group.
pub struct Watcher {
    broker: Arc<dyn Broker>,
    group: String,
    seen_group: GroupWatch,
    heard: Mutex<Ears>,
    session: Mutex<Option<Arc<dyn Session>>>,
}

/// What was heard, and why nothing is heard now.
#[derive(Default)]
struct Ears {
    seen: Seen,
    deaf: Option<String>,
}

impl Watcher {
    /// For the agents of this group on this broker; with the group in etcd, if they share their work.
    pub fn new(broker: Arc<dyn Broker>, group: &str, coordinator: Option<Arc<dyn Coordinator>>) -> Watcher {
        let seen_group = GroupWatch::new(coordinator);
        Watcher { broker, group: group.to_owned(), seen_group, heard: Mutex::default(), session: Mutex::default() }
    }

    /// Watches until dropped; shows a picture every second.
    pub async fn watch(&self, mut show: impl FnMut(Picture) + Send) {
        let showing = async {
            let mut tick = interval(PICTURE);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // At once there is nothing to be seen.
            tick.tick().await;
            loop {
                tick.tick().await;
                show(self.picture());
            }
        };
        tokio::join!(self.keep_hearing(), self.seen_group.watch(), showing);
    }

    /// Closes its session in order; the broker's log has no word of it then.
    pub async fn close(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            let _in_time = timeout(CLOSED_WITHIN, session.close()).await;
        }
    }

    /// What is known now.
    pub fn picture(&self) -> Picture {
        let (at, group) = (chrono::Utc::now(), self.seen_group.seen());
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut picture =
            merge::picture(&self.group, at, &heard.seen, &group, self.seen_group.has_group(), Instant::now());
        picture.unseen.extend(heard.deaf.clone());
        picture
    }

    async fn keep_hearing(&self) {
        loop {
            let why = match timeout(CONNECTED_WITHIN, self.begin()).await {
                Ok(Ok((session, mut consumer))) => {
                    self.deaf(None);
                    while let Some(delivery) = consumer.next().await {
                        self.hear(&delivery.body);
                        delivery.receipt.settle(Verdict::Kept);
                    }
                    self.close().await;
                    drop(session);
                    "the session with the broker is over; connecting again".to_owned()
                }
                Ok(Err(error)) => format!("cannot hear the members: {error}"),
                Err(_) => format!("cannot hear the members: no connection to the broker within {CONNECTED_WITHIN:?}"),
            };
            self.deaf(Some(why));
            sleep(AGAIN).await;
        }
    }

    async fn begin(&self) -> Result<(Arc<dyn Session>, Box<dyn Consumer>), TransportError> {
        let session = self.broker.connect().await?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
        session.declare(&topology::desk_exchange(&self.group)).await?;
        let own = uuid::Uuid::new_v4().simple().to_string();
        let consumer = session.subscribe(&topology::desk_subscription(&self.group, &own)).await?;
        Ok((session, consumer))
    }

    fn hear(&self, message: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.seen.hear(message, Instant::now(), |id| self.seen_group.is_member(id));
    }

    fn deaf(&self, why: Option<String>) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).deaf = why;
    }
}

/// Watches while somebody looks at the page, and 20 s longer, and shows the pictures there; until it is stopped.
pub async fn serve(watcher: impl Fn() -> Watcher, feed: Feed, stop: CancellationToken) {
    let mut wanted = feed.wanted();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            is_wanted = wanted.wait_for(|wanted| *wanted) => if is_wanted.is_err() {
                return;
            },
        }
        let watcher = watcher();
        let watching = watcher.watch(|picture| {
            // Strings and numbers: writing them cannot fail.
            feed.show(strings_shown(&serde_json::to_string(&picture).unwrap_or_default()));
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = deserted(wanted.clone()) => {}
            () = watching => {}
        }
        watcher.close().await;
        // Whoever comes next is not shown what is old by then.
        feed.show(String::new());
    }
}

/// Returns when nobody has looked for a while.
async fn deserted(mut wanted: watch::Receiver<bool>) {
    while wanted.wait_for(|wanted| !*wanted).await.is_ok() {
        // A short visit is one too.
        if timeout(LINGER, wanted.changed()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::MemoryBroker;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_soon_is_shown_pictures_over_the_same_session() {
        let (broker, feed, stop) = (MemoryBroker::default(), Feed::new(), CancellationToken::new());
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let watcher = move || {
            count.fetch_add(1, Ordering::Relaxed);
            Watcher::new(Arc::new(broker.clone()), "g", None)
        };
        let serving = tokio::spawn(serve(watcher, feed.clone(), stop.clone()));
        for (away_s, watchers) in [(0, 1), (10, 1), (15, 1), (25, 2)] {
            sleep(Duration::from_secs(away_s)).await;
            let mut viewer = feed.look().unwrap();
            assert!(viewer.next().await.contains("\"group\":\"g\""));
            assert_eq!(made.load(Ordering::Relaxed), watchers, "after {away_s} s");
        }
        stop.cancel();
        serving.await.unwrap();
    }
}
