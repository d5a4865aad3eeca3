//! The writer of this agent's notes: about once a second, where something was added, one note for all queues.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::line::Line;
use crate::agent::runtime::Context;
use crate::books::{Entry, FORMAT, Kind, Note};
use crate::cluster::hash;
use crate::transport::link::Link;
use crate::transport::{Outgoing, Session, Topology, TransportError, UNROUTABLE, topology};

/// Between two notes. What a crash leaves out of the books is what was settled in this time.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last note of an agent that stops may take.
const LAST_WITHIN: Duration = Duration::from_secs(3);
/// How long an opening waits until it is noted that it has begun.
const ANNOUNCED_WITHIN: Duration = Duration::from_millis(500);
/// Between two looks whether something is left to note, then.
const LAST_AGAIN: Duration = Duration::from_millis(50);
/// A note that the broker rejects so often is left out: its number is missing then.
const REJECTED_MAX: u32 = 3;
/// Where the stream cannot be made, so often is tried. Each attempt may cost the connection: RabbitMQ answers some with its end.
const MAKE_MAX: u32 = 3;
/// Notes for which there is no stream, and nobody makes one, before this agent gives up too.
const HOMELESS_MAX: u64 = 60;
/// Whoever gave up tries again after this time: a broker that was upgraded, or a right that was given, says nothing.
const AGAIN_AFTER: Duration = Duration::from_mins(5);
/// Agents alone that share a broker wait for each other at most so many notes before one makes the stream.
const TURNS: u64 = 5;
/// What a note says it is.
const CONTENT_TYPE: &str = "application/octet-stream";

/// The accounts of one agent, and where they are noted.
pub(in crate::agent) struct Books {
    context: Arc<Context>,
    /// To the same broker: notes go while it is up, over a session of their own.
    link: Link,
    /// Whoever owns this main queue makes the stream: never two at a time.
    first_main_queue: Option<String>,
    stream: String,
    process: String,
    accounts: Mutex<Accounts>,
    /// A queue is opened or released: its account is noted at once.
    news: Notify,
    finishing: CancellationToken,
    finished: CancellationToken,
}

#[derive(Default)]
struct Accounts {
    all: Vec<Arc<Account>>,
    /// The last epoch of an agent alone.
    alone: i64,
}

/// The state of the writer.
#[derive(Default)]
struct Writing {
    line: Line,
    /// The last note, until the stream has it: always the same bytes.
    pending: Option<Bytes>,
    /// Who waits for it.
    announced: Vec<CancellationToken>,
    number: u64,
    rejected: u32,
    /// The broker has rejected one: the next are sent alone on their channel.
    alone: bool,
    /// Attempts to make the stream.
    made: u32,
    /// Notes for which there was no stream.
    homeless: u64,
    said: bool,
    /// Until then nothing is noted: what is counted meanwhile is forgotten.
    given_up: Option<Instant>,
}

impl Writing {
    /// Nobody waits any more.
    fn release(&mut self) {
        self.announced.drain(..).for_each(|announced| announced.cancel());
    }

    /// Leaves out what is counted, for a while.
    fn give_up(&mut self) {
        self.release();
        (self.given_up, self.pending) = (Some(Instant::now() + AGAIN_AFTER), None);
    }

    /// Whether it has given up, and it is not yet time to try again.
    fn has_given_up(&mut self) -> bool {
        if self.given_up.is_some_and(|until| Instant::now() >= until) {
            // What was left out counts as a note that is missing.
            (self.given_up, self.made, self.homeless, self.number) = (None, 0, 0, self.number + 1);
        }
        self.given_up.is_some()
    }
}

impl Books {
    /// Of an agent that owns nothing yet; the stream is on the broker of this link.
    pub(in crate::agent) fn new(context: &Arc<Context>, link: Link, main_queues: &[String]) -> Arc<Books> {
        let begun = format!("{} books {}", context.member, context.options.clock.now());
        Arc::new(Books {
            stream: topology::books_name(&context.group),
            process: format!("{:016x}", hash::stable(begun.as_bytes())),
            first_main_queue: main_queues.iter().min().cloned(),
            context: Arc::clone(context),
            link,
            accounts: Mutex::default(),
            news: Notify::new(),
            finishing: CancellationToken::new(),
            finished: CancellationToken::new(),
        })
    }

    /// The account of an ownership that begins.
    pub(in crate::agent) fn open(&self, kind: Kind, queue: &str, sink: Option<&str>, epoch: i64) -> Arc<Account> {
        let mut accounts = self.accounts();
        let epoch = if self.context.options.partitioned {
            epoch
        } else {
            // Nobody counts the epochs of an agent alone through its restarts: by time, they rise.
            accounts.alone = self.context.options.clock.now().timestamp_millis().max(accounts.alone + 1);
            accounts.alone
        };
        let account = Account::new(&self.context.group, kind, queue, sink, epoch);
        accounts.all.push(Arc::clone(&account));
        drop(accounts);
        // Said before anything is settled: what is missing later is then known to be this owner's.
        self.news.notify_one();
        account
    }

    /// Waits until it is noted that an ownership has begun, for a moment at most, and not where nothing can be noted. What is missing
    /// when it dies is then known to be its own.
    pub(in crate::agent) async fn announced(&self, account: &Account) {
        let _late = timeout(ANNOUNCED_WITHIN, account.announced().cancelled()).await;
    }

    /// A queue is about to be released: what was settled there is noted at once. Nobody waits for it.
    pub(in crate::agent) fn released(&self) {
        self.news.notify_one();
    }

    /// Writes the last note, for a moment at most: the agent stops.
    pub(in crate::agent) async fn finish(&self) {
        self.finishing.cancel();
        // What is not written is missing as after a crash.
        let _late = timeout(LAST_WITHIN, self.finished.cancelled()).await;
    }

    /// Writes notes for as long as the agent lives.
    pub(in crate::agent) async fn run(self: Arc<Self>) {
        let mut writing = Writing::default();
        if self.context.options.books_bytes_max > 0 {
            // Before anything is opened, if that can be: the first note is waited for.
            let early = async {
                if self.link.session().await.is_ok() {
                    let _tried_again_later = writing.line.session(&self.link).await;
                }
            };
            self.finishing.run_until_cancelled(early).await;
        }
        loop {
            let last = tokio::select! {
                biased;
                () = self.finishing.cancelled() => true,
                () = self.news.notified() => false,
                () = sleep(EVERY) => false,
            };
            if last {
                break self.write_last(&mut writing).await;
            }
            self.write(&mut writing).await;
        }
        writing.line.close().await;
        self.finished.cancel();
    }

    /// Writes until nobody counts any more: the tasks of a listener end a moment after it.
    async fn write_last(&self, writing: &mut Writing) {
        loop {
            self.write(writing).await;
            let is_done = writing.pending.is_none() && self.accounts().all.is_empty();
            if is_done || writing.given_up.is_some() || !writing.line.is_up() {
                return;
            }
            sleep(LAST_AGAIN).await;
        }
    }

    async fn write(&self, writing: &mut Writing) {
        if writing.pending.is_none() {
            let (entries, announced) = self.entries();
            writing.announced = announced;
            if self.context.options.books_bytes_max == 0 || writing.has_given_up() {
                return writing.release();
            }
            if entries.is_empty() {
                return;
            }
            writing.number += 1;
            let (member, process, number) = (self.context.member.to_string(), self.process.clone(), writing.number);
            let time_ms = self.context.options.clock.now().timestamp_millis();
            let note = Note { format: FORMAT, member, process, number, time_ms, entries };
            writing.pending = Some(note.encode().into());
        }
        let Some(note) = writing.pending.clone() else { return };
        let session = match writing.line.session(&self.link).await {
            Ok(Some(session)) => session,
            Ok(None) => return,
            Err(error) => return self.say(writing, &error),
        };
        let appended = writing.line.answered(self.append(&*session, note, writing.alone)).await;
        match appended.unwrap_or_else(|| Err(self.link.absence())) {
            Ok(()) => {
                writing.release();
                let Writing { line, number, alone, .. } = std::mem::take(writing);
                *writing = Writing { line, number, alone, ..Writing::default() };
            }
            Err(TransportError::NotTaken { why: UNROUTABLE, .. }) => self.no_stream(writing, &*session).await,
            Err(error @ TransportError::Rejected { .. }) => {
                writing.release();
                writing.alone = true;
                writing.rejected += 1;
                if writing.rejected >= REJECTED_MAX {
                    (writing.pending, writing.rejected) = (None, 0);
                }
                self.say(writing, &error);
            }
            // It waits, as everything does that the broker does not take.
            Err(_) => {}
        }
    }

    async fn append(&self, session: &dyn Session, note: Bytes, alone: bool) -> Result<(), TransportError> {
        let message = Outgoing { alone, ..Outgoing::to_queue(&self.stream, note, CONTENT_TYPE) };
        session.publish(message).await?.wait().await
    }

    /// Makes the stream, where that is this agent's to do.
    async fn no_stream(&self, writing: &mut Writing, session: &dyn Session) {
        writing.release();
        writing.homeless += 1;
        if !self.makes_the_stream(writing.homeless) {
            if writing.homeless >= HOMELESS_MAX {
                writing.give_up();
            }
            return;
        }
        writing.made += 1;
        let queues = vec![topology::books(self.stream.clone(), self.context.options.books_bytes_max)];
        match session.declare(&Topology { queues, ..Topology::default() }).await {
            Ok(()) => self.context.metrics.books_created(&self.stream),
            Err(error) => {
                self.say(writing, &error);
                if writing.made >= MAKE_MAX {
                    writing.give_up();
                    self.context.metrics.books_given_up(&self.stream, &error.to_string());
                }
            }
        }
    }

    /// RabbitMQ ends the connection, or leaves a stream that nobody can use, where two make one at the same time.
    fn makes_the_stream(&self, homeless: u64) -> bool {
        if !self.context.options.partitioned {
            return homeless > hash::stable(self.context.member.as_bytes()) % TURNS;
        }
        let first = self.first_main_queue.as_deref();
        self.accounts().all.iter().any(|account| account.kind() == Kind::Main && Some(account.queue()) == first)
    }

    fn say(&self, writing: &mut Writing, error: &TransportError) {
        if !std::mem::replace(&mut writing.said, true) {
            self.context.metrics.books_not_written(&self.stream, &error.to_string());
        }
    }

    /// What was added in all accounts, main queues first: what they gave on was counted where it went before it was counted here.
    /// And the tokens of those whose first entry this is.
    fn entries(&self) -> (Vec<Entry>, Vec<CancellationToken>) {
        let mut accounts = self.accounts();
        accounts.all.sort_by_key(|account| account.kind());
        let (mut entries, mut announced) = (Vec::new(), Vec::new());
        accounts.all.retain(|account| {
            let over = Arc::strong_count(account) == 1;
            let entry = account.take(over);
            if entry.as_ref().is_some_and(|entry| entry.begun) {
                announced.push(account.announced().clone());
            }
            entries.extend(entry);
            !over
        });
        (entries, announced)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
