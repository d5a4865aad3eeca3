//! Where the links to the brokers stand, written down for `/status`. Nothing is decided by it.

use crate::observe::{Board, status};
use crate::transport::link::{Link, LinkState};

/// Follows one link until it is stopped.
pub(super) async fn follow(link: Link, board: Board) {
    let mut states = link.state();
    loop {
        let now = states.borrow_and_update().clone();
        let detail = match &now {
            LinkState::Waiting { cause, .. } | LinkState::Refused { cause, .. } => cause.clone(),
            LinkState::Connecting { failures } if *failures > 0 => format!("after {failures} failures"),
            LinkState::Connecting { .. } | LinkState::Up(_) | LinkState::Stopped => String::new(),
        };
        let standing = status::Link { state: now.name(), detail };
        board.change(|status| drop(status.links.insert(link.name().to_owned(), standing)));
        if matches!(now, LinkState::Stopped) || states.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::transport::{Backoff, MemoryBroker};
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_link_goes_down_and_comes_back() {
        let (broker, board) = (MemoryBroker::default(), Board::new());
        let link = Link::start(Arc::new(broker.clone()), Backoff::default(), Metrics::new());
        let name = link.name().to_owned();
        let followed = tokio::spawn(follow(link.clone(), board.clone()));
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
