//! The state of the links to the brokers, for `/status` and the metrics, and the warning of a broker's delivery limit. Nothing is decided by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

use super::broker::BrokerPlace;
use crate::observe::{Board, Metrics, status};
use crate::transport::link::{Link, LinkState};
use crate::transport::{Argument, Queue, shell};

/// Follows one link until it is stopped.
pub(in crate::agent) async fn follow(link: Link, board: Board, metrics: Metrics) {
    let mut states = link.state();
    loop {
        let now = states.borrow_and_update().clone();
        let mut blocks = match &now {
            LinkState::Up(session) => Some(session.blocked()),
            _ => None,
        };
        let blocked = blocks.as_mut().and_then(|blocks| blocks.borrow_and_update().clone());
        metrics.link_blocked(link.name(), blocked.is_some());
        let detail = match &now {
            LinkState::Waiting { cause, .. } | LinkState::Refused { cause, .. } => cause.clone(),
            LinkState::Connecting { cause, .. } => cause.clone().unwrap_or_default(),
            LinkState::Up(_) | LinkState::Stopped => String::new(),
        };
        let link_status = status::Link { state: now.name(), detail, blocked };
        board.change(|status| drop(status.links.insert(link.name().to_owned(), link_status)));
        if matches!(now, LinkState::Stopped) {
            return;
        }
        tokio::select! {
            biased;
            changed = states.changed() => if changed.is_err() {
                return;
            },
            () = changed(blocks) => {}
        }
    }
}

/// Waits until the broker blocks the connection, or lets it go again; for ever where it cannot.
async fn changed(blocks: Option<watch::Receiver<Option<String>>>) {
    if let Some(mut blocks) = blocks
        && blocks.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// What RabbitMQ 4 allows a message of a quorum queue to come back, where nobody set a limit.
const DELIVERY_LIMIT_OF_4: i64 = 20;

/// Says once, when a broker is first reached, that it drops what comes back too often from the main queues.
pub(in crate::agent) async fn warn_of_limits(place: Arc<BrokerPlace>, metrics: Metrics) {
    let quorum = |queue: &&Queue| queue.arguments.get("x-queue-type") == Some(&Argument::Text("quorum".to_owned()));
    let Some(queue) = place.topology.queues.iter().find(quorum) else { return };
    if place.link.session().await.is_err() {
        return;
    }
    let version = place.link.version().await.unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match queue.arguments.get("x-delivery-limit") {
        Some(Argument::Integer(limit)) => metrics.delivery_limit_declared(place.link.name(), *limit),
        _ if major.is_some_and(|major| major >= 4) => {
            let policy = no_limit(&place.link.virtual_host(), &place.main_queues);
            metrics.delivery_limit_default(place.link.name(), &version, DELIVERY_LIMIT_OF_4, &policy);
        }
        _ => {}
    }
}

/// The command that lifts the limit of these main queues.
fn no_limit(vhost: &str, main_queues: &[String]) -> String {
    let topics: BTreeSet<&str> = main_queues.iter().filter_map(|queue| Some(queue.rsplit_once('.')?.0)).collect();
    let topics: Vec<String> = topics.into_iter().map(regex::escape).collect();
    let pattern = match &topics[..] {
        [one] => format!(r"^{one}\."),
        several => format!(r"^({})\.", several.join("|")),
    };
    format!(
        "rabbitmqctl set_policy -p {} nephoscope-delivery-limit {} '{{\"delivery-limit\": -1}}' --apply-to quorum_queues",
        shell::word(vhost),
        shell::word(&pattern),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Backoff;
    use crate::transport::MemoryBroker;
    use std::time::Duration;

    #[test]
    fn the_line_that_lifts_the_limit_names_the_virtual_host() {
        let queues = ["notifications.info", "notifications.sample"].map(str::to_owned);
        let rest = r#"nephoscope-delivery-limit '^notifications\.' '{"delivery-limit": -1}' --apply-to quorum_queues"#;
        assert_eq!(no_limit("/", &queues), format!("rabbitmqctl set_policy -p / {rest}"));
        assert_eq!(no_limit("open stack", &queues), format!("rabbitmqctl set_policy -p 'open stack' {rest}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_goes_down_and_comes_back() {
        let (broker, board) = (MemoryBroker::default(), Board::new());
        let link = Link::start(
            Arc::new(broker.clone()),
            Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            Metrics::new(),
        );
        let name = link.name().to_owned();
        let followed = tokio::spawn(follow(link.clone(), board.clone(), Metrics::new()));
        let a_while = || tokio::time::sleep(Duration::from_secs(60));
        let shown = || (board.read().links[&name].state, board.read().links[&name].detail.is_empty());
        a_while().await;
        assert_eq!(shown(), ("up", true));
        broker.stop();
        a_while().await;
        assert!(matches!(shown(), ("waiting" | "connecting", false)), "{:?}", shown());
        broker.start();
        a_while().await;
        assert_eq!(shown(), ("up", true));
        link.stop().await;
        followed.await.unwrap();
        assert_eq!(shown().0, "stopped");
    }
}
