//! From a seed to a world: how many agents, what is sent to them, and what goes wrong when.
//!
//! Everything that is chosen is chosen here and in the order of this file, so that a seed means one world.

mod draw;

use std::time::Duration;

use crate::network::Stall;
use nephoscope::agent::BySize;

/// One world.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "choices that have nothing to do with each other")]
pub(crate) struct Plan {
    /// How many agents there are at most.
    pub(crate) agents: usize,
    /// Whether they share the work; alone there is one.
    pub(crate) partitioned: bool,
    /// What the main queues are.
    pub(crate) main: MainQueues,
    /// Whether there is an event pipeline too.
    pub(crate) events: bool,
    /// Pipeline queues per sink.
    pub(crate) queues: u16,
    /// What samples go through before they are published, if they go through anything.
    pub(crate) transformers: Option<&'static str>,
    /// Where each sink publishes to: so many destinations.
    pub(crate) destinations: usize,
    /// What one of several does not take for so long goes into its overflow queue.
    pub(crate) overflow_after: Duration,
    /// Bytes that an overflow queue holds.
    pub(crate) overflow_bytes_max: i64,
    /// Whether state logs are so small that they are cut.
    pub(crate) small_logs: bool,
    /// Whether polled samples come too, on a main queue of their own.
    pub(crate) polled: bool,
    /// The lease, in seconds.
    pub(crate) lease_ttl: Duration,
    /// The period of the full read of the group, in seconds.
    pub(crate) view_period: Duration,
    /// Unacknowledged notifications per main queue.
    pub(crate) main_prefetch: u16,
    /// The same where it follows the sizes of notifications.
    pub(crate) main_by_size: Option<BySize>,
    /// Unacknowledged packets per pipeline queue.
    pub(crate) pipeline_prefetch: u16,
    /// Notifications in a packet.
    pub(crate) packet_notifications: usize,
    /// Taken from a queue at once.
    pub(crate) taken_at_once: usize,
    /// Hand-overs at once.
    pub(crate) moves_at_once: usize,
    /// Whether only drains, joins and slow neighbours happen: then nothing may come out twice.
    pub(crate) calm: bool,
    /// What is sent, in order.
    pub(crate) messages: Vec<(Duration, Message)>,
    /// What happens, in order.
    pub(crate) happenings: Vec<(Duration, Happening)>,
}

/// What the main queues are, and so what keeps two consumers of one apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MainQueues {
    /// Classic: the broker.
    Classic,
    /// Quorum: whoever comes second waits.
    Quorum,
    /// Quorum, and shared as beside a Ceilometer: nothing, and no order is promised.
    Shared,
}

/// One message of a sender.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// A notification of one resource, with the next value of its counter.
    Info { resource: usize },
    /// A polling agent's notification: the next values of several resources of its own.
    Polled { resources: Vec<usize> },
    /// What nobody can read.
    Poison(Vec<u8>),
}

/// What happens to the world. Agents go by their number.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// An agent is started.
    Start(usize),
    /// It is killed after so many more polls of its tasks, and started again after a while.
    Kill { agent: usize, polls: u64, back: Duration },
    /// It is told to stop in order, and started again after a while.
    Drain { agent: usize, back: Duration },
    /// It stands still; the broker drops it meanwhile, if it is so long.
    Freeze { agent: usize, lasts: Duration, dropped: Option<Duration> },
    /// Its connection to the broker is reset.
    Reset(usize),
    /// The broker's queues take it for gone, as in a cluster whose nodes do not see each other for a while; then its connection
    /// ends.
    Overlook { agent: usize, lasts: Duration },
    /// It is cut from the broker.
    CutBroker { agent: usize, stall: Stall, lasts: Duration },
    /// It is cut from the group.
    CutGroup { agent: usize, lost: Stall, lasts: Duration },
    /// Its watch of the group hears nothing.
    Deafen { agent: usize, lasts: Duration },
    /// Its way to the broker is slow.
    Slow { agent: usize, extra: Duration, lasts: Duration },
    /// The broker is stopped and started again.
    BrokerRestart { lasts: Duration },
    /// The group is away and comes back.
    GroupAway { lasts: Duration },
    /// A destination is away; `forgetful`: it takes what it says it does not take.
    PublishersAway { destination: usize, forgetful: bool, lasts: Duration },
    /// A destination is slow.
    PublishersSlow { destination: usize, extra: Duration, lasts: Duration },
    /// An operator pauses moving.
    Pause { lasts: Duration },
    /// An operator changes the number of pipeline queues; where that cannot be begun, it is tried so often again.
    Repartition { queues: u16, tries: u32 },
    /// What lasted is over: the second half of one of the above, made by it.
    Over(Over),
}

/// The end of something that lasted.
#[derive(Debug, Clone)]
pub(crate) enum Over {
    /// Of a freeze.
    Freeze(usize),
    /// Of being overlooked.
    Overlooked(usize),
    /// The broker drops a frozen agent.
    Dropped(usize),
    /// Of a cut, or of slowness, on the way to the broker.
    Broker(usize),
    /// Of a cut from the group, or of a deaf watch.
    Group(usize),
    /// The broker is back.
    BrokerBack,
    /// The group is back.
    GroupBack,
    /// A destination is well again.
    Publishers(usize),
    /// Of the pause.
    Pause,
}
