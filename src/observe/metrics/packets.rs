//! Pipeline queues: packets go from member to member.

use tracing::{debug, error, info, trace, warn};

use super::families::{Metrics, Step};

impl Metrics {
    /// A pipeline queue confirmed a packet.
    pub fn packet_sent(&self, queue: &str, notifications: usize, bytes: usize) {
        trace!(event = "agent.packet.sent", queue, notifications, bytes);
        self.0.packets_sent.of([queue]).inc();
        self.0.packets_sent_bytes.of([queue]).inc_by(bytes as u64);
    }

    /// A packet came from a pipeline queue, for the first time or `again`.
    pub fn packet_received(&self, queue: &str, again: bool) {
        trace!(event = "agent.packet.received", queue, again);
        self.0.packets_received.of([queue]).inc();
        if again {
            self.0.redelivered.of([queue]).inc();
        }
    }

    /// Packets came twice to the same listener, which left them out the second time.
    pub fn packets_repeated(&self, queue: &str, packets: u64) {
        if packets > 0 {
            debug!(event = "agent.packet.repeated", queue, packets);
            self.0.redelivered.of([queue]).inc_by(packets);
        }
    }

    /// `packets` of a sender never came.
    pub fn packets_missing(&self, queue: &str, member: &str, packets: u64) {
        error!(
            event = "agent.packet.missing",
            queue,
            member,
            packets,
            "packets of a sender never came: the broker lost them, or a purge, a time to live or a length limit removed them; \
             going on without them; look at the policies of the queue"
        );
        self.0.packets_missing.of([queue]).inc_by(packets);
    }

    /// A pipeline queue did not accept a packet: it is held, and offered again before anything younger. `said` is how often,
    /// where it is news.
    pub fn packet_held(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "agent.packet.held",
                queue, times, cause, "the queue does not accept a packet; holding it and offering it again"
            );
        } else {
            debug!(event = "agent.packet.held", queue, cause, "the queue still does not accept a packet");
        }
        self.trouble(Step::SendPacket);
    }

    /// A pipeline queue that did not accept packets accepts them again.
    pub fn packet_taken_again(&self, queue: &str) {
        info!(event = "agent.packet.resumed", queue, "the queue accepts packets again");
    }

    /// A packet came to a queue that is sealed; its notifications go on to the queues of the next generation.
    pub fn packet_straggled(&self, sink: &str, notifications: usize) {
        info!(
            event = "agent.packet.forwarded",
            sink,
            notifications,
            "a packet came to an old pipeline queue; sending it on to the queues of the next generation"
        );
    }
}
