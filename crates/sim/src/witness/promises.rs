//! What must hold in every run, and how a run went.

/// What must hold in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// What was confirmed to a sender is published at least once, or parked.
    NothingLost,
    /// After dropping repeats, the records of a resource come out in the order in which they were sent; not where main queues are shared.
    Order,
    /// What is published was sent, and a repeat is the same record under the same id.
    NothingInvented,
    /// Repeats only after something was killed or cut, and no more of them than were on their way.
    Repeats,
    /// A queue is given up after its channel is closed, never before; its epoch rises with every owner.
    Handover,
    /// What is acknowledged or published of a stateful sink is in a record of a state log that counts.
    Committed,
    /// The state that the logs lead to is that of one chain alone that was given everything once and in order.
    State,
    /// All packets with records of a resource go to one pipeline queue.
    OneQueue,
    /// The parking queue has what nobody could use, and nothing else.
    Parking,
    /// The books that the agents keep balance, and say what came out.
    Books,
    /// When the faults are over, everything is owned, consumed and settled within bounded time.
    Rest,
    /// An agent ends only when it is told to, and then within its time.
    Life,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// How a run went, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that had to come out.
    pub records: usize,
    /// Records that came out again.
    pub repeats: usize,
    /// Messages parked.
    pub parked: usize,
    /// Faults that can cause repeats.
    pub faults: usize,
}
