//! What systemd is told of this process: that it is ready, one line of what it does, that it lives, reloads, stops.
//!
//! It is told nothing where `NOTIFY_SOCKET` is not set. The watchdog is answered for the agent, not for the process: only while
//! the agent notes on its [`Board`] that it goes on. Never here: a decision; systemd makes those.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Board, Status};
use crate::model::shown::without_secrets;

/// An agent that still waits for a server after this counts as started all the same: its status line says what it waits for.
/// `TimeoutStartSec` of the unit is longer.
pub const START_MAX: Duration = Duration::from_mins(1);
/// How often the status is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest status line, in characters.
const LINE_MAX: usize = 300;

/// What the process tells of itself beside its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// The configuration is read again.
    Reloading,
    /// That is over.
    Reloaded,
    /// The process was asked to stop.
    Stopping,
}

/// The line to systemd; it ends when this is dropped.
#[derive(Debug)]
pub struct Systemd {
    news: mpsc::Sender<News>,
    task: Option<JoinHandle<()>>,
}

impl Systemd {
    /// From now on systemd is told what the board says, if systemd has started this process as a service that notifies.
    pub fn follow(board: Board) -> Systemd {
        let (news, told) = mpsc::channel(4);
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        let task = listens.then(|| tokio::spawn(tell(board, told)));
        Systemd { news, task }
    }

    /// The configuration is about to be read again.
    pub async fn reloading(&self) {
        self.say(News::Reloading).await;
    }

    /// It was read, whatever came of it.
    pub async fn reloaded(&self) {
        self.say(News::Reloaded).await;
    }

    /// The process was asked to stop.
    pub async fn stopping(&self) {
        self.say(News::Stopping).await;
    }

    async fn say(&self, news: News) {
        // Nobody takes it where systemd does not listen.
        let _told = self.news.send(news).await;
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Tells systemd until it is aborted.
async fn tell(board: Board, mut news: mpsc::Receiver<News>) {
    let mut teller = Teller::new(sd_notify::watchdog_enabled(), Instant::now());
    let mut look = tokio::time::interval(teller.look_every());
    let status = board.watch();
    let mut failing = false;
    loop {
        let messages = tokio::select! {
            biased;
            Some(news) = news.recv() => teller.hear(news),
            _ = look.tick() => teller.look(&status.borrow(), board.beats(), Instant::now()),
        };
        if messages.is_empty() {
            continue;
        }
        // A socket that systemd does not empty would hold a worker up.
        let sent = tokio::task::spawn_blocking(move || {
            let states: Vec<NotifyState<'_>> = messages.iter().map(|message| NotifyState::Custom(message)).collect();
            sd_notify::notify(&states)
        });
        match sent.await {
            Ok(Err(cause)) if !failing => {
                failing = true;
                warn!(
                    event = "observe.systemd.not_told",
                    %cause,
                    "cannot tell systemd how the agent is; the agent works on and tries again; look at NOTIFY_SOCKET"
                );
            }
            Ok(Err(cause)) => debug!(event = "observe.systemd.not_told", %cause, "still cannot tell systemd"),
            Ok(Ok(())) => failing = false,
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// What is said when; it speaks to nobody.
#[derive(Debug)]
struct Teller {
    began: Instant,
    /// The agent must show within this that it goes on.
    watchdog: Option<Duration>,
    ready: bool,
    reloading: bool,
    stopping: bool,
    line: String,
    beats: u64,
}

impl Teller {
    fn new(watchdog: Option<Duration>, began: Instant) -> Self {
        Teller { began, watchdog, ready: false, reloading: false, stopping: false, line: String::new(), beats: 0 }
    }

    /// At least four times within the time of the watchdog.
    fn look_every(&self) -> Duration {
        let most = self.watchdog.map_or(LOOK_EVERY, |watchdog| watchdog / 4);
        most.clamp(Duration::from_millis(1), LOOK_EVERY)
    }

    fn hear(&mut self, news: News) -> Vec<String> {
        match news {
            News::Reloading => {
                self.reloading = true;
                let now = NotifyState::monotonic_usec_now().map(|now| now.to_string());
                ["RELOADING=1".to_owned()].into_iter().chain(now).collect()
            }
            News::Reloaded => {
                self.reloading = false;
                // A service that was not ready before the reload is not ready because of it.
                if self.ready { vec!["READY=1".to_owned()] } else { Vec::new() }
            }
            News::Stopping => {
                self.stopping = true;
                vec!["STOPPING=1".to_owned()]
            }
        }
    }

    fn look(&mut self, status: &Status, beats: u64, now: Instant) -> Vec<String> {
        let mut messages = Vec::new();
        let started = status.not_ready().is_empty() || now - self.began >= START_MAX;
        if started && !self.ready && !self.reloading && !self.stopping {
            self.ready = true;
            messages.push("READY=1".to_owned());
        }
        let line = line(status);
        if line != self.line {
            messages.push(format!("STATUS={line}"));
            self.line = line;
        }
        // A drain has a deadline of its own, and the agent notes nothing after it has ended.
        if self.watchdog.is_some() && (beats != self.beats || self.stopping) {
            messages.push("WATCHDOG=1".to_owned());
        }
        self.beats = beats;
        messages
    }
}

/// What the agent does, in one line that `systemctl status` shows.
fn line(status: &Status) -> String {
    let mut parts = vec![status.phase.to_owned()];
    let running = status.queues.values().filter(|queue| queue.state == "running").count();
    parts.push(format!("consumes {running} of {} queues", status.queues.len()));
    if let Some(member) = &status.member {
        let members = member.group.len();
        parts.push(format!("member {} of a group of {members}", member.id));
        if member.paused {
            parts.push("moving is paused".to_owned());
        }
    }
    let held = status.pipelines.values().filter(|pipeline| pipeline.held_by.is_some()).count();
    if held > 0 {
        parts.push(format!("{held} of {} pipelines held by a publisher", status.pipelines.len()));
    }
    let not_ready = status.not_ready();
    if let Some(first) = not_ready.first() {
        let more = if not_ready.len() > 1 { format!(" (and {} more)", not_ready.len() - 1) } else { String::new() };
        parts.push(format!("waits for {first}{more}"));
    }
    // A line break would begin another message, and what is quoted here are other people's words.
    let text =
        without_secrets(&parts.join("; ")).chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    match text.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::{Held, Link, Member, Pipeline, Queue};
    use super::*;

    fn ready() -> Status {
        let queue = |state| Queue { kind: "main", state, since: String::new(), epoch: None, error: None };
        Status {
            phase: "running",
            queues: [("main:a".to_owned(), queue("running")), ("main:b".to_owned(), queue("opening"))].into(),
            member: Some(Member {
                id: "a".to_owned(),
                host: "h".to_owned(),
                group: vec!["a".to_owned(), "b".to_owned()],
                paused: false,
            }),
            ..Status::default()
        }
    }

    fn waits() -> Status {
        Status { phase: "starting", waiting_for: vec!["the broker at h".to_owned()], ..Status::default() }
    }

    fn named(messages: &[String]) -> Vec<&str> {
        messages.iter().map(|message| message.split('=').next().unwrap()).collect()
    }

    #[test]
    fn it_is_ready_once_and_every_line_is_said_once() {
        let now = Instant::now();
        let mut teller = Teller::new(None, now);
        assert_eq!(
            teller.look(&waits(), 0, now),
            ["STATUS=starting; consumes 0 of 0 queues; waits for the broker at h"]
        );
        assert_eq!(teller.look(&waits(), 1, now), [""; 0]);
        assert_eq!(
            teller.look(&ready(), 2, now),
            ["READY=1", "STATUS=running; consumes 1 of 2 queues; member a of a group of 2"]
        );
        assert_eq!(teller.look(&ready(), 3, now), [""; 0]);
        assert_eq!(
            named(&teller.look(&waits(), 4, now)),
            ["STATUS"],
            "systemd cannot be told that it is not ready again"
        );
    }

    #[test]
    fn an_agent_that_waits_for_a_server_counts_as_started_after_a_while() {
        let now = Instant::now();
        let mut teller = Teller::new(None, now);
        assert_eq!(named(&teller.look(&waits(), 0, now + START_MAX - Duration::from_secs(1))), ["STATUS"]);
        assert_eq!(named(&teller.look(&waits(), 0, now + START_MAX)), ["READY"]);
    }

    #[test]
    fn the_watchdog_is_answered_while_the_agent_goes_on() {
        let now = Instant::now();
        let mut teller = Teller::new(Some(Duration::from_secs(1)), now);
        assert_eq!(teller.look_every(), Duration::from_millis(250));
        assert_eq!(named(&teller.look(&ready(), 1, now)), ["READY", "STATUS", "WATCHDOG"]);
        assert_eq!(named(&teller.look(&ready(), 1, now)), [""; 0], "the agent is stuck");
        assert_eq!(named(&teller.look(&ready(), 2, now)), ["WATCHDOG"]);
        assert_eq!(teller.hear(News::Stopping), ["STOPPING=1"]);
        assert_eq!(named(&teller.look(&ready(), 2, now)), ["WATCHDOG"], "its drain has a deadline");
    }

    #[test]
    fn nobody_who_asks_for_no_watchdog_is_answered() {
        let now = Instant::now();
        assert_eq!(named(&Teller::new(None, now).look(&ready(), 1, now)), ["READY", "STATUS"]);
    }

    #[test]
    fn a_reload_makes_nobody_ready_who_was_not() {
        let now = Instant::now();
        let mut teller = Teller::new(None, now);
        assert_eq!(named(&teller.hear(News::Reloading)), ["RELOADING", "MONOTONIC_USEC"]);
        assert_eq!(named(&teller.look(&ready(), 1, now)), ["STATUS"], "not while it reloads");
        assert_eq!(teller.hear(News::Reloaded), [""; 0]);
        assert_eq!(named(&teller.look(&ready(), 2, now)), ["READY"]);
        teller.hear(News::Reloading);
        assert_eq!(teller.hear(News::Reloaded), ["READY=1"]);
    }

    #[test]
    fn the_line_is_one_line_without_passwords_and_has_an_end() {
        let mut status = waits();
        status.waiting_for = vec!["http://u:PASS@h\nMAINPID=1".to_owned(), "another".to_owned()];
        let said = line(&status);
        assert!(said.ends_with("waits for http://u:***@h MAINPID=1 (and 1 more)"), "{said}");
        status.waiting_for = vec!["ä".repeat(10_000)];
        assert_eq!(line(&status).chars().count(), LINE_MAX + 1);
    }

    #[test]
    fn the_line_says_what_holds_it() {
        let mut status = ready();
        let held = Held { publisher: "gnocchi://".to_owned(), since: String::new(), why: String::new(), waiting: 3 };
        status.pipelines.insert("a".to_owned(), Pipeline { held_by: Some(held), ..Pipeline::default() });
        status.pipelines.insert("b".to_owned(), Pipeline::default());
        let link = Link { state: "up", detail: String::new(), blocked: Some("low on memory".to_owned()) };
        status.links.insert("h".to_owned(), link);
        let said = line(&status);
        for part in ["; 1 of 2 pipelines held by a publisher", "; waits for the broker at h to take messages again"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}
