//! What the agent waits for, since when and why: said once and again after minutes, not at every attempt nor each time that it comes
//! back, and shown in `/status` and `/readyz` for as long as it lasts.

use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use super::clock::Clock;
use crate::observe::repeats::SAY_AGAIN;
use crate::observe::{Board, status};
use crate::transport::{NACKED, TransportError};

/// A pipeline queue that refused so many times in a row does not merely have a full moment.
const REFUSALS_PASSING: u64 = 6;

/// What the agent may have to wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum Trouble {
    /// A queue of this member cannot be opened.
    Queue(String),
    /// What is consumed from this broker cannot be declared once more: it was replaced by something else.
    Declared(String),
    /// A pipeline queue does not take packets.
    Packets(String),
    /// What comes from this queue or sink cannot be parked.
    Parking(String),
    /// What came back often to this queue cannot be moved into its rescue queue.
    Rescue(String),
    /// The state log of this queue is gone.
    StateLog(String),
    /// A publisher of a sink does not take a batch.
    Publisher {
        /// The sink.
        sink: String,
        /// The publisher, without secrets.
        publisher: String,
        /// Which listener waits.
        listener: u64,
    },
}

/// All troubles of an agent.
pub(in crate::agent) struct Troubles {
    board: Board,
    clock: Clock,
    known: Mutex<BTreeMap<Trouble, Known>>,
    /// What is over, and was there not long ago.
    past: Mutex<BTreeMap<Trouble, Past>>,
}

struct Known {
    why: String,
    since: DateTime<Utc>,
    began: Instant,
    said: Instant,
    /// Whether it was said since it began.
    is_said: bool,
    times: u64,
    /// How often it happened before it began, since it was new.
    before: u64,
    waiting: usize,
}

/// A trouble that is over: where it comes back soon, it is no news.
struct Past {
    why: String,
    said: Instant,
    ended: Instant,
    times: u64,
}

/// Why a message cannot be parked, with what to do where the cause does not say it.
pub(in crate::agent) fn not_parked(error: &TransportError) -> String {
    match error {
        TransportError::NotTaken { why: NACKED, .. } => {
            format!("{error}; empty the parking queue, or raise [nephoscope] parked_messages_max")
        }
        _ => error.to_string(),
    }
}

impl Troubles {
    /// None yet; shown on this board.
    pub(in crate::agent) fn new(board: Board, clock: Clock) -> Self {
        Troubles { board, clock, known: Mutex::default(), past: Mutex::default() }
    }

    /// Something failed (again), and so many records or messages wait for it. Where it is to be said: how often it failed.
    pub(in crate::agent) fn note(&self, trouble: &Trouble, why: &str, waiting: usize) -> Option<u64> {
        let now = Instant::now();
        let mut known = self.known();
        let begins = !known.contains_key(trouble);
        let first = || {
            let Past { why, said, times: before, .. } = self.take_past(trouble, now);
            let (since, began) = (self.clock.now(), now);
            Known { why, since, began, said, is_said: false, times: 0, before, waiting }
        };
        let trouble = known.entry(trouble.clone()).or_insert_with(first);
        let say = trouble.why != why || now - trouble.said >= SAY_AGAIN;
        trouble.times += 1;
        trouble.waiting = waiting;
        if say {
            why.clone_into(&mut trouble.why);
            (trouble.said, trouble.is_said) = (now, true);
        }
        let (times, in_all) = (trouble.times, trouble.before + trouble.times);
        if say || begins || times == REFUSALS_PASSING {
            self.show(&known);
        }
        say.then_some(in_all)
    }

    /// It is over, if there was one. Where it was said that it had come: how long it lasted.
    pub(in crate::agent) fn over(&self, trouble: &Trouble) -> Option<Duration> {
        let mut known = self.known();
        let ended = known.remove(trouble)?;
        let past = Past { why: ended.why, said: ended.said, ended: Instant::now(), times: ended.before + ended.times };
        self.past().insert(trouble.clone(), past);
        self.show(&known);
        ended.is_said.then(|| ended.began.elapsed())
    }

    /// What is known of an earlier time, if that was not long ago.
    fn take_past(&self, trouble: &Trouble, now: Instant) -> Past {
        let mut past = self.past();
        past.retain(|_, past| now - past.ended < SAY_AGAIN);
        past.remove(trouble).unwrap_or_else(|| Past { why: String::new(), said: now, ended: now, times: 0 })
    }

    /// Why a queue is not open: what was said last.
    pub(in crate::agent) fn of_queue(&self, queue: &str) -> Option<String> {
        self.known().get(&Trouble::Queue(queue.to_owned())).map(|known| known.why.clone())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Trouble, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn past(&self) -> MutexGuard<'_, BTreeMap<Trouble, Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, known: &BTreeMap<Trouble, Known>) {
        let mut standstill = Vec::new();
        let mut held: BTreeMap<String, Vec<status::Held>> = BTreeMap::new();
        for (trouble, Known { why, since, times, waiting, .. }) in known {
            let since = since.to_rfc3339_opts(SecondsFormat::Millis, true);
            match trouble {
                // The supervisor tells which queues are not open; what is not rescued is worked on where it is.
                Trouble::Queue(_) | Trouble::Rescue(_) => {}
                // It is consumed all the same, until the next connection.
                Trouble::Declared(_) => {}
                Trouble::Packets(_) if *times < REFUSALS_PASSING => {}
                Trouble::Packets(queue) => standstill.push(format!(
                    "pipeline queue {queue} to take packets: it refuses them since {since} ({why}); look at its policies and limits"
                )),
                Trouble::Parking(origin) => standstill.push(format!(
                    "the parking queue to take a message of {origin}, since {since}: {why}"
                )),
                Trouble::StateLog(queue) => {
                    standstill.push(format!("the state log of {queue} to be made again: {why} since {since}"));
                }
                Trouble::Publisher { sink, publisher, .. } => {
                    let of_sink = held.entry(sink.clone()).or_default();
                    match of_sink.iter_mut().find(|held| held.publisher == *publisher) {
                        Some(held) => held.waiting += waiting,
                        None => of_sink.push(status::Held {
                            publisher: publisher.clone(),
                            since,
                            why: why.clone(),
                            waiting: *waiting,
                        }),
                    }
                }
            }
        }
        self.board.change(|status| {
            for (name, pipeline) in &mut status.pipelines {
                pipeline.held = held.remove(name).unwrap_or_default();
                let waiting = pipeline.held.iter().map(|held| held.waiting).sum();
                pipeline.held_by = pipeline.held.first().map(|first| status::Held { waiting, ..first.clone() });
            }
            status.standstill = standstill;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troubles() -> (Troubles, Board) {
        let board = Board::new();
        board.change(|status| drop(status.pipelines.insert("cpu_sink".to_owned(), status::Pipeline::default())));
        (Troubles::new(board.clone(), Clock::Machine), board)
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_that_lasts_is_said_once_and_again_after_minutes() {
        let (troubles, board) = troubles();
        let full = Trouble::Parking("notifications.info".to_owned());
        let nacked = not_parked(&TransportError::NotTaken { to: "nephoscope.g.parked".to_owned(), why: NACKED });
        assert_eq!(troubles.note(&full, &nacked, 1), Some(1));
        assert!(board.read().standstill[0].contains("parked_messages_max"), "{:?}", board.read().standstill);
        for _ in 0..50 {
            assert_eq!(troubles.note(&full, &nacked, 1), None);
        }
        assert_eq!(troubles.note(&full, "unroutable", 1), Some(52), "another reason is news");
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(troubles.note(&full, "unroutable", 1), Some(53));
        assert_eq!(board.read().standstill.len(), 1);
        assert!(!board.read().standstill[0].contains("parked_messages_max"), "that would not help");
        assert_eq!(troubles.over(&full), Some(SAY_AGAIN));
        assert_eq!(troubles.over(&full), None);
        assert!(board.read().standstill.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_that_comes_back_soon_is_counted_and_not_said_anew_nor_its_end() {
        let (troubles, board) = troubles();
        let refuses = Trouble::Packets("nephoscope.g.cpu_sink.g1.3".to_owned());
        assert_eq!(troubles.note(&refuses, NACKED, 1), Some(1));
        assert_eq!(troubles.over(&refuses), Some(Duration::ZERO));
        for _ in 1..300 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(troubles.note(&refuses, NACKED, 1), None);
            assert!(board.read().standstill.is_empty(), "each time it was only a moment");
            assert_eq!(troubles.over(&refuses), None);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(troubles.note(&refuses, NACKED, 1), Some(301));
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(troubles.over(&refuses), Some(SAY_AGAIN));
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(troubles.note(&refuses, NACKED, 1), Some(1), "what was over for minutes is new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_shows_the_publisher_that_holds_it_and_how_much_waits() {
        let (troubles, board) = troubles();
        let away = |listener| Trouble::Publisher {
            sink: "cpu_sink".to_owned(),
            publisher: "http://collector/in".to_owned(),
            listener,
        };
        troubles.note(&away(1), "connection refused", 30);
        troubles.note(&away(2), "connection refused", 12);
        let held = board.read().pipelines["cpu_sink"].held_by.clone().unwrap();
        assert_eq!((&*held.publisher, &*held.why, held.waiting), ("http://collector/in", "connection refused", 42));
        troubles.over(&away(1));
        assert_eq!(board.read().pipelines["cpu_sink"].held_by.clone().unwrap().waiting, 12);
        troubles.over(&away(2));
        assert_eq!(board.read().pipelines["cpu_sink"].held_by, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_moment_of_a_pipeline_queue_is_no_standstill() {
        let (troubles, board) = troubles();
        let refuses = Trouble::Packets("nephoscope.g.cpu_sink.g1.3".to_owned());
        for _ in 1..REFUSALS_PASSING {
            troubles.note(&refuses, "nacked", 1);
        }
        assert!(board.read().standstill.is_empty());
        troubles.note(&refuses, "nacked", 1);
        assert!(board.read().standstill[0].contains("nephoscope.g.cpu_sink.g1.3"));
    }
}
