//! Tasks belong to somebody: what a task spawns is its owner's too.
//!
//! In a process of its own an agent needs none of this: [`spawn`] is `tokio::spawn`. In a simulator several agents share
//! one thread, and each stands behind a [`Gate`] that can hold all of its tasks still, as SIGSTOP does, or end them at the
//! n-th poll, as SIGKILL does: a poll runs from one await to the next, so that every await point can be the last.
//!
//! Never here: what a task does, or waiting for one.

mod gate;

pub use gate::Gate;

/// Spawns a task on the present runtime, behind the same gate as the task that spawns it, if that one has a gate.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    match Gate::of_this_task() {
        Some(gate) => gate.spawn(task),
        None => drop(tokio::spawn(task)),
    }
}
