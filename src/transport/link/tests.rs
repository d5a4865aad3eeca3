//! The link against the in-process broker, on a paused clock.

use super::*;
use crate::observe::captured::Captured;
use crate::transport::MemoryBroker;
use async_trait::async_trait;
use std::sync::Mutex;

const BACKOFF: Backoff = Backoff { seed: Some(7), ..Backoff::new(Duration::from_secs(1), Duration::from_secs(30)) };

/// Counts attempts, and when they came.
struct Counted(MemoryBroker, Mutex<Vec<Duration>>, Instant, Option<TransportError>);

#[async_trait]
impl Broker for Counted {
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError> {
        self.1.lock().unwrap().push(self.2.elapsed());
        match &self.3 {
            Some(error) => Err(error.clone()),
            None => self.0.connect().await,
        }
    }
    fn name(&self) -> &'static str {
        "counted"
    }
}

fn counted(broker: &MemoryBroker, error: Option<TransportError>) -> Arc<Counted> {
    Arc::new(Counted(broker.clone(), Mutex::default(), Instant::now(), error))
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_at_start_is_asked_again_ever_more_rarely() {
    let broker = MemoryBroker::default();
    broker.stop();
    let counted = counted(&broker, None);
    let link = Link::start(counted.clone(), BACKOFF, Metrics::new());
    tokio::time::sleep(Duration::from_secs(100)).await;
    let attempts = counted.1.lock().unwrap().len();
    assert!((6..=11).contains(&attempts), "{attempts}");
    broker.start();
    let session = link.session().await.unwrap();
    assert!(!session.over().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_followed_by_a_new_one() {
    let broker = MemoryBroker::default();
    let link = Link::start(Arc::new(broker.clone()), BACKOFF, Metrics::new());
    let first = link.session().await.unwrap();
    tokio::time::sleep(STEADY_AFTER).await;
    broker.stop();
    broker.start();
    let second = link.session().await.unwrap();
    assert!(first.over().is_cancelled() && !second.over().is_cancelled());
    link.stop().await;
    assert!(second.over().is_cancelled());
    assert!(link.session().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_at_once_do_not_become_a_hot_loop() {
    let broker = MemoryBroker::default();
    let counted = counted(&broker, None);
    let link = Link::start(counted.clone(), BACKOFF, Metrics::new());
    let killer = tokio::spawn(async move {
        while let Ok(session) = link.session().await {
            session.cut();
        }
    });
    tokio::time::sleep(Duration::from_secs(100)).await;
    let attempts = counted.1.lock().unwrap().len();
    assert!((6..=11).contains(&attempts), "{attempts}");
    killer.abort();
}

const FORCED: &str = "CONNECTION_FORCED - maintenance of rack seven";

#[tokio::test(start_paused = true)]
async fn the_brokers_reason_for_ending_a_session_is_said_however_long_it_was() {
    let log = Captured::begin();
    let broker = MemoryBroker::default();
    let link = Link::start(Arc::new(broker.clone()), BACKOFF, Metrics::new());
    let long = link.session().await.unwrap();
    tokio::time::sleep(STEADY_AFTER).await;
    broker.close_sessions(FORCED);
    link.session().await.unwrap();
    assert_eq!(long.why().get().map(String::as_str), Some(FORCED));
    assert_eq!(log.count(&["WARN", r#"from="up" to="connecting""#, FORCED]), 1, "{log:?}");
    broker.close_sessions(FORCED);
    tokio::task::yield_now().await;
    let absence = link.absence().to_string();
    assert!(absence.ends_with(&format!("the last session was short: {FORCED}")), "{absence}");
    assert_eq!(log.count(&["WARN", r#"from="up" to="waiting""#, "short: ", FORCED]), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_away_is_said_once_and_again_after_minutes_with_a_count() {
    let log = Captured::begin();
    let broker = MemoryBroker::default();
    broker.stop();
    let counted = counted(&broker, None);
    let link = Link::start(counted.clone(), BACKOFF, Metrics::new());
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(counted.1.lock().unwrap().len() > 8, "it is tried again all the while");
    assert_eq!(log.count(&["WARN", "agent.link.changed"]), 1, "{log:?}");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(log.count(&["WARN", "agent.link.changed", "times="]), 1, "{log:?}");
    broker.start();
    link.session().await.unwrap();
    assert_eq!(log.count(&["INFO", r#"from="connecting" to="up""#]), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_again_and_again_for_the_same_reason_is_no_news_each_time() {
    let log = Captured::begin();
    let broker = MemoryBroker::default();
    let link = Link::start(Arc::new(broker.clone()), BACKOFF, Metrics::new());
    for _ in 0..20 {
        link.session().await.unwrap();
        tokio::time::sleep(STEADY_AFTER).await;
        broker.close_sessions(FORCED);
    }
    link.session().await.unwrap();
    assert_eq!(log.count(&["WARN", FORCED]), 1, "{log:?}");
    assert_eq!(log.count(&["INFO", r#"to="up""#]), 2, "the first, and the return from the loss that was said");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_shown_and_tried_again_at_the_longest_interval() {
    let counted = counted(&MemoryBroker::default(), Some(TransportError::Refused("wrong password".to_owned())));
    let link = Link::start(counted.clone(), BACKOFF, Metrics::new());
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert!(matches!(&*link.state().borrow(), LinkState::Refused { cause, .. } if cause == "wrong password"));
    assert_eq!(counted.1.lock().unwrap().len(), 3);
}
