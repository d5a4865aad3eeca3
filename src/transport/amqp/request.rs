//! A channel for one request that the broker may refuse, or answer late.
//!
//! Whoever stops waiting must not close the channel before the answer: RabbitMQ 4 looks for a classic queue whose node was
//! killed for a minute and then closes the channel itself, and where both sides close one channel lapin ends the connection.

use lapin::Channel;
use lapin::options::BasicQosOptions;
use std::ops::Deref;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A channel whose answer does not come within this time is closed all the same.
const LATE_ANSWER_MAX: Duration = Duration::from_mins(5);

/// A channel for requests. Dropped with a request under way, it stays open until the answer is there.
pub(super) struct RequestChannel {
    channel: Channel,
    gone: CancellationToken,
    answered: bool,
}

impl RequestChannel {
    /// A new channel of a connection that is gone when the token says so.
    pub(super) fn new(channel: Channel, gone: CancellationToken) -> Self {
        RequestChannel { channel, gone, answered: false }
    }

    /// The channel, once everything that was asked is answered.
    pub(super) fn answered(mut self) -> Channel {
        self.answered = true;
        self.channel.clone()
    }
}

impl Deref for RequestChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for RequestChannel {
    fn drop(&mut self) {
        if self.answered || !self.channel.status().connected() {
            return;
        }
        // Without a runtime there is no connection either.
        let Ok(runtime) = Handle::try_current() else { return };
        let (channel, gone) = (self.channel.clone(), self.gone.clone());
        runtime.spawn(gone.run_until_cancelled_owned(async move {
            // A channel answers in order: the answer to this comes behind the late one.
            let behind = channel.basic_qos(1, BasicQosOptions { global: false });
            let _answered = tokio::time::timeout(LATE_ANSWER_MAX, behind).await;
        }));
    }
}
