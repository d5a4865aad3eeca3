//! Notifications, samples and events as they pass, for those who ask to see some of them.
//!
//! While nobody asks this costs one look at a number for each batch. What is asked for is filtered before anything is copied or
//! written. It is written once for all who asked for it, and goes into a bounded buffer of the newest for each: a reader that is
//! slow misses lines, and is told how many.
//!
//! Never here: a delivery, or anything that could hold one up.

mod line;
mod wish;

pub use line::Passing;
pub use wish::{BadWish, Kind, Wish};

use bytes::Bytes;
use line::Item;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who ask at once, at most.
pub const TAPS_MAX: usize = 8;
/// Lines that wait for one of them, at most: the newest.
pub const LINES_MAX: usize = 256;
/// Bytes of these lines, at most.
pub const BYTES_MAX: usize = 1024 * 1024;
/// How a line begins that says how many are not there.
pub const LEFT_OUT: &str = "{\"left_out\":";
/// A longer line is left out.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// All who ask.
#[derive(Debug, Default)]
pub struct Taps {
    count: AtomicUsize,
    open: RwLock<Vec<Arc<Open>>>,
}

/// What one asks for, and what waits for it.
#[derive(Debug)]
struct Open {
    wish: Wish,
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug)]
struct Waiting {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// What matched and found no room, or was longer than a line may be.
    left_out: u64,
    /// Lines that may still be taken. One that finds no room later is given back to it: nobody has read that.
    left: Option<u64>,
    /// The second that is counted, and the lines that were taken in it.
    second: (Instant, u32),
}

impl Taps {
    /// Whether anybody asks: one look at a number.
    pub fn is_open(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Opens one; nothing where there are too many.
    pub fn open(self: &Arc<Self>, wish: Wish) -> Option<Tap> {
        let mut all = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TAPS_MAX {
            return None;
        }
        let waiting =
            Waiting { lines: VecDeque::new(), bytes: 0, left_out: 0, left: wish.limit, second: (Instant::now(), 0) };
        let open = Arc::new(Open { wish, waiting: Mutex::new(waiting), more: Notify::new() });
        all.push(Arc::clone(&open));
        self.count.store(all.len(), Ordering::Relaxed);
        Some(Tap { taps: Arc::clone(self), open })
    }

    /// Something passes: whoever asked for it gets it.
    pub fn pass(&self, passing: &Passing<'_>) {
        // Writing takes its time: no lock is held meanwhile.
        let all: Vec<Arc<Open>> = self.open.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut written: BTreeMap<Item, Option<Bytes>> = BTreeMap::new();
        for open in &all {
            passing.items(&open.wish, |item| {
                if open.has_room() {
                    open.take(written.entry(item).or_insert_with(|| line(passing, item)).clone());
                }
            });
        }
    }
}

/// A line; nothing where it would be too long.
fn line(passing: &Passing<'_>, item: Item) -> Option<Bytes> {
    let mut line = Vec::new();
    passing.write(item, &mut line);
    (line.len() <= LINE_BYTES_MAX).then(|| line.into())
}

impl Open {
    /// Whether a line that matches finds room in its second. It is counted there, whatever becomes of it: writing it takes as long
    /// where it turns out to be too long.
    fn has_room(&self) -> bool {
        let mut waiting = self.waiting();
        if waiting.left == Some(0) {
            return false;
        }
        let now = Instant::now();
        if now - waiting.second.0 >= Duration::from_secs(1) {
            waiting.second = (now, 0);
        }
        let has_room = waiting.second.1 < self.wish.rate;
        if has_room {
            waiting.second.1 += 1;
        } else {
            waiting.left_out += 1;
        }
        has_room
    }

    /// Takes a line; nothing is one that is too long.
    fn take(&self, line: Option<Bytes>) {
        let mut waiting = self.waiting();
        // Another may have been the last one meanwhile.
        if waiting.left == Some(0) {
            return;
        }
        if let Some(line) = line {
            waiting.left = waiting.left.map(|left| left - 1);
            waiting.bytes += line.len();
            waiting.lines.push_back(line);
        } else {
            waiting.left_out += 1;
        }
        while waiting.lines.len() > LINES_MAX || waiting.bytes > BYTES_MAX {
            let Some(oldest) = waiting.lines.pop_front() else { break };
            waiting.bytes -= oldest.len();
            waiting.left_out += 1;
            waiting.left = waiting.left.map(|left| left + 1);
        }
        drop(waiting);
        self.more.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who asks, until it is dropped.
#[derive(Debug)]
pub struct Tap {
    taps: Arc<Taps>,
    open: Arc<Open>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A line, with its end.
    Line(Bytes),
    /// So many lines were left out since this was last said.
    LeftOut(u64),
    /// As many as were asked for have come.
    Over,
}

impl Tap {
    /// The next line, or how many were left out before it.
    pub async fn next(&self) -> Next {
        loop {
            // Asked for before it is looked: a line that comes in between is not overlooked.
            let more = self.open.more.notified();
            if let Some(next) = self.ready() {
                return next;
            }
            more.await;
        }
    }

    fn ready(&self) -> Option<Next> {
        let mut waiting = self.open.waiting();
        if waiting.left_out > 0 {
            return Some(Next::LeftOut(std::mem::take(&mut waiting.left_out)));
        }
        if let Some(line) = waiting.lines.pop_front() {
            waiting.bytes -= line.len();
            return Some(Next::Line(line));
        }
        (waiting.left == Some(0)).then_some(Next::Over)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut all = self.taps.open.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|open| !Arc::ptr_eq(open, &self.open));
        self.taps.count.store(all.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
