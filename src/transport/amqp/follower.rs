//! One reader of a stream, on its own channel.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::AMQPValue;
use lapin::{Channel, Consumer as AmqpStream};
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::{Argument, Follower, StreamRecord, StreamStart, TransportError};
use super::fields::subscribe;
use super::reply::{ANSWER_TIMEOUT, Line};
use super::request::RequestChannel;

/// Where to begin in a consumer's arguments, and where a record is in its headers.
const OFFSET: &str = "x-stream-offset";
/// Records on their way at most; the credit comes back by acknowledging. Who waits for a log to be read waits for this many a
/// way there and back. Their bytes are bounded by what logs are bounded by: what follows a snapshot, and half a megabyte a
/// part of one.
const PREFETCH_RECORDS: u16 = 256;
/// So many records are acknowledged at once.
const ACK_RECORDS: u64 = 64;

pub(super) struct AmqpFollower {
    stream: AmqpStream,
    start: u64,
    acknowledged: u64,
    taken: watch::Sender<u64>,
    over: CancellationToken,
    closed: CancellationToken,
}

impl AmqpFollower {
    pub(super) async fn begin(
        line: Line,
        channel: RequestChannel,
        name: &str,
        start: StreamStart,
        session_over: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, TransportError> {
        let (place, from) = match start {
            StreamStart::First => (Argument::Text("first".to_owned()), 0),
            StreamStart::Next => (Argument::Text("next".to_owned()), 0),
            StreamStart::Last => (Argument::Text("last".to_owned()), 0),
            StreamStart::Offset(offset) => (Argument::Integer(i64::try_from(offset).unwrap_or(i64::MAX)), offset),
        };
        let arguments = BTreeMap::from([(OFFSET.to_owned(), place)]);
        let options = BasicConsumeOptions::default();
        let stream = subscribe(&line, &channel, name, PREFETCH_RECORDS, options, &arguments).await?;
        let (taken, told) = watch::channel(0);
        let (over, closed) = (session_over.child_token(), CancellationToken::new());
        tasks.spawn(acknowledge(line, (channel.answered(), stream.clone()), told, over.clone(), closed.clone()));
        Ok(AmqpFollower { stream, start: from, acknowledged: 0, taken, over, closed })
    }

    fn record(&mut self, delivery: Delivery) -> Option<StreamRecord> {
        if delivery.delivery_tag >= self.acknowledged + ACK_RECORDS {
            self.acknowledged = delivery.delivery_tag;
            self.taken.send_replace(delivery.delivery_tag);
        }
        let headers = delivery.properties.headers().as_ref()?;
        let offset = match headers.inner().get(OFFSET)? {
            AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok()?,
            _ => return None,
        };
        // A chunk is read whole; what stands before the place asked for is passed over.
        (offset >= self.start).then(|| StreamRecord { offset, body: Bytes::from(delivery.data) })
    }
}

#[async_trait]
impl Follower for AmqpFollower {
    async fn next(&mut self) -> Option<StreamRecord> {
        loop {
            let item = tokio::select! {
                biased;
                () = self.over.cancelled() => None,
                item = self.stream.next() => item,
            };
            let Some(Ok(delivery)) = item else {
                self.over.cancel();
                return None;
            };
            if let Some(record) = self.record(delivery) {
                return Some(record);
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.over.cancel();
        let closed = tokio::time::timeout(ANSWER_TIMEOUT, self.closed.cancelled()).await;
        closed.map_err(|_| TransportError::Slow(ANSWER_TIMEOUT))
    }
}

impl Drop for AmqpFollower {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// Gives credit back until the follower is over, then closes the channel. The stream is kept until then: lapin sends
/// `basic.cancel` for one that is dropped before, and RabbitMQ ends the connection where that comes behind the channel's end.
async fn acknowledge(
    line: Line,
    (channel, _stream): (Channel, AmqpStream),
    mut taken: watch::Receiver<u64>,
    over: CancellationToken,
    closed: CancellationToken,
) {
    let _closed = closed.drop_guard();
    while let Some(Ok(())) = over.run_until_cancelled(taken.changed()).await {
        let tag = *taken.borrow_and_update();
        // It fails when the channel is gone, and the stream then says so.
        let _sent = channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
    }
    if !line.gone.is_cancelled() {
        let _closed_in_order = line.within(channel.close(200, "OK".into())).await;
    }
}
