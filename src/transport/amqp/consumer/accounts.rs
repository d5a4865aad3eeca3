//! The deliveries of one consumer: which are settled, and what may be acknowledged.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::model::Verdict;
use crate::transport::Why;
use crate::transport::ledger::{Ledger, Run};
use crate::transport::window::Window;

/// A settled run of this many messages is acknowledged at once; with a small prefetch, half of that.
const ACK_RUN_MESSAGES: usize = 64;

/// What the receipts, the consumer and the acknowledging task share.
pub(super) struct Accounts {
    books: Mutex<Books>,
    /// Something is settled.
    pub(super) settled: Notify,
    /// So much is settled that it goes now.
    pub(super) full: Notify,
    /// Nothing is handed out any more, and nothing settled counts.
    pub(super) ending: CancellationToken,
    /// We have cancelled the consumer: the broker delivers nothing more, and everything else goes on.
    pub(super) cancelled: AtomicBool,
    /// Another consumer takes the place of the present one.
    pub(super) changing: AtomicBool,
    /// What the broker said when it ended the consumer.
    pub(super) why: Why,
}

/// What was delivered, and how much may be.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) window: Window,
}

impl Books {
    /// Whether the broker may deliver nothing more before something is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.ledger.unacknowledged() >= usize::from(self.window.messages())
    }

    /// Whether a run is acknowledged at once: it is long, or everything waits for it.
    pub(super) fn is_due(&self, run: Run) -> bool {
        let long = usize::from(self.window.messages() / 2).clamp(1, ACK_RUN_MESSAGES);
        run.messages >= long || self.is_full() && self.ledger.is_settled()
    }
}

impl Accounts {
    /// Of a consumer that has nothing yet and ends with the token.
    pub(super) fn new(window: Window, ending: CancellationToken) -> Self {
        Accounts {
            books: Mutex::new(Books { ledger: Ledger::default(), window }),
            settled: Notify::new(),
            full: Notify::new(),
            ending,
            cancelled: AtomicBool::new(false),
            changing: AtomicBool::new(false),
            why: Why::default(),
        }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        // A panic elsewhere leaves the books whole.
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The broker has ended the consumer.
    pub(super) fn end(&self, why: String) {
        // The first word counts: what comes after it is its consequence.
        let _said_before = self.why.set(why);
        self.ending.cancel();
    }

    /// One delivery is done with. Never blocks.
    pub(super) fn settle(&self, tag: u64, verdict: Verdict) {
        if self.ending.is_cancelled() {
            return;
        }
        if verdict == Verdict::Returned {
            // What is unsettled goes back in order when the channel closes; a nack would reorder it.
            self.ending.cancel();
            return;
        }
        let settle = |books: &mut Books| {
            let run = books.ledger.settled(tag);
            (run.map(|run| books.is_due(run)), books.ledger.scattered())
        };
        match self.with(settle) {
            (Some(true), _) => self.full.notify_one(),
            // One that is settled behind an open delivery starts the clock after which it is acknowledged alone.
            (Some(false), _) | (None, 1) => self.settled.notify_one(),
            (None, _) => {}
        }
    }
}
