//! The gate: what all tasks of one owner go through at every poll.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::task::AbortHandle;
use tokio::time::Instant;

tokio::task_local! {
    static OWNER: Gate;
}

/// Tasks remembered before those that are over are forgotten.
const REMEMBERED_TASKS_MIN: usize = 64;

/// What all tasks of one owner go through at every poll. A clone is the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    held: bool,
    ended: bool,
    polls: u64,
    last: Option<Last>,
    bound: Option<Bound>,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    remembered_max: usize,
}

/// The poll that does not come any more, and what is done in its place.
struct Last {
    poll: u64,
    instead: Box<dyn FnOnce() + Send>,
}

/// How many polls may be in one moment, what is done when there are more, and how many there were in the last one.
struct Bound {
    polls_max: u64,
    instead: Box<dyn FnOnce() + Send>,
    moment: Instant,
    polls: u64,
}

impl Bound {
    /// One poll more; whether that is too many.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.polls = if now == self.moment { self.polls + 1 } else { 1 };
        self.moment = now;
        self.polls > self.polls_max
    }
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Gate::default()
    }

    /// The gate that the running task is behind, if it is behind one.
    pub(super) fn of_this_task() -> Option<Self> {
        OWNER.try_with(Gate::clone).ok()
    }

    /// Does something as this owner: what it spawns is behind this gate.
    pub fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        OWNER.sync_scope(self.clone(), act)
    }

    /// Spawns a task behind this gate.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        let gate = self.clone();
        let gated = std::future::poll_fn(move |cx| if gate.lets(cx) { task.as_mut().poll(cx) } else { Poll::Pending });
        let handle = tokio::spawn(OWNER.scope(self.clone(), gated)).abort_handle();
        let mut state = self.state();
        if state.ended {
            return handle.abort();
        }
        if state.tasks.len() >= state.remembered_max.max(REMEMBERED_TASKS_MIN) {
            state.tasks.retain(|task| !task.is_finished());
            state.remembered_max = 2 * state.tasks.len();
        }
        state.tasks.push(handle);
    }

    /// Holds every task where it stands; timers run on, and what was due meanwhile is late.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Lets them go on.
    pub fn release(&self) {
        let waiting = {
            let mut state = self.state();
            state.held = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends every task where it stands; nothing behind this gate runs any more.
    pub fn end(&self) {
        let tasks = {
            let mut state = self.state();
            state.ended = true;
            state.last = None;
            std::mem::take(&mut state.tasks)
        };
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// After `polls` more polls of its tasks, the gate ends instead of letting the next one through. First `instead` is
    /// done: what a dead process cannot do any more must be impossible before its tasks are dropped.
    pub fn end_after(&self, polls: u64, instead: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let poll = state.polls + polls;
        state.last = Some(Last { poll, instead: Box::new(instead) });
    }

    /// Where its tasks are polled more than `polls_max` times in one moment of tokio's clock, which stands still while
    /// they are busy, the gate ends, after `instead` is done: on a paused clock a busy loop would never end.
    pub fn bound(&self, polls_max: u64, instead: impl FnOnce() + Send + 'static) {
        let (instead, moment) = (Box::new(instead), Instant::now());
        self.state().bound = Some(Bound { polls_max, instead, moment, polls: 0 });
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.state().ended
    }

    /// Whether this poll goes through.
    fn lets(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        if state.ended {
            return false;
        }
        if state.held {
            state.waiting.push(cx.waker().clone());
            return false;
        }
        let polls = state.polls;
        if let Some(last) = state.last.take_if(|last| last.poll <= polls) {
            drop(state);
            (last.instead)();
            self.end();
            return false;
        }
        if let Some(bound) = state.bound.take_if(Bound::is_over) {
            drop(state);
            (bound.instead)();
            self.end();
            return false;
        }
        state.polls += 1;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spawn;
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    const STEP: Duration = Duration::from_secs(1);

    /// Counts once a second, in a task of a task.
    fn count(counter: &Arc<AtomicU32>) -> impl Future<Output = ()> + Send + 'static {
        let counter = Arc::clone(counter);
        async move {
            spawn(async move {
                loop {
                    tokio::time::sleep(STEP).await;
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_owner_stands_still_while_the_world_goes_on() {
        let (gate, held, free) = (Gate::new(), Arc::default(), Arc::default());
        gate.spawn(count(&held));
        spawn(count(&free));
        tokio::time::sleep(STEP * 3 + STEP / 2).await;
        gate.hold();
        tokio::time::sleep(STEP * 3).await;
        assert_eq!((held.load(Ordering::Relaxed), free.load(Ordering::Relaxed)), (3, 6));
        gate.release();
        tokio::time::sleep(STEP).await;
        assert_eq!((held.load(Ordering::Relaxed), free.load(Ordering::Relaxed)), (4, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_never_rests_ends() {
        let (gate, ended) = (Gate::new(), Arc::new(AtomicU32::new(0)));
        let seen = Arc::clone(&ended);
        gate.bound(1_000, move || {
            seen.fetch_add(1, Ordering::Relaxed);
        });
        for _ in 0..3 {
            gate.spawn(async {
                for _ in 0..600 {
                    tokio::task::yield_now().await;
                }
            });
            tokio::time::sleep(STEP).await;
        }
        assert!(!gate.is_ended(), "so many polls in several moments are none too many");
        gate.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        tokio::time::sleep(STEP).await;
        assert!(gate.is_ended());
        assert_eq!(ended.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_ends_at_any_poll_with_all_that_it_spawned() {
        for polls in 0..6 {
            let (gate, counter, ended) = (Gate::new(), Arc::default(), Arc::new(AtomicU32::new(0)));
            let seen = Arc::clone(&ended);
            gate.end_after(polls, move || {
                seen.fetch_add(1, Ordering::Relaxed);
            });
            gate.within(|| spawn(count(&counter)));
            tokio::time::sleep(STEP * 10).await;
            assert!(gate.is_ended());
            assert_eq!(ended.load(Ordering::Relaxed), 1);
            // One poll starts the task of the task, one starts its sleep.
            assert_eq!(u64::from(counter.load(Ordering::Relaxed)), polls.saturating_sub(2));
            assert_eq!(Arc::strong_count(&counter), 1, "everything of it is dropped");
            gate.spawn(count(&counter));
            tokio::time::sleep(STEP * 10).await;
            assert_eq!(Arc::strong_count(&counter), 1, "and nothing starts any more");
        }
    }
}
