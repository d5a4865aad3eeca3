//! `tcp://`: signed meter messages in msgpack, each behind its length, over one connection (Ceilometer reference §6.7).
//!
//! The protocol has no acknowledgement. A batch is taken when all its frames were given whole to a connection that had not
//! failed by then. If a connection fails, nobody knows how much of the batch the receiver has read, and all of it is
//! offered again.

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::kind::{Built, Kind, LookAtBroker};
use super::outcome::{Left, Partly, Refused};
use super::socket::{self, Place, near_misses, pack};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher, message};
use crate::model::json::NonFinite;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[socket::OPTIONS];

/// So much must be written within `timeout`, in bytes: a batch has an end also where the receiver takes a byte a second.
const STEP_BYTES: usize = 16 * 1024;
/// How much that a receiver says is thrown away before it counts as no receiver of this protocol, in bytes.
const CHATTER_BYTES_MAX: usize = 64 * 1024;

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    read(target).map(|_| near_misses(target))
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    Ok(Arc::new(TcpPublisher {
        place: read(target)?,
        publisher_id: context.host.clone(),
        secret: context.telemetry_secret.clone(),
        idle: Mutex::default(),
    }))
}

fn read(target: &Target) -> Result<Place, Vec<String>> {
    let mut options = target.options();
    let place = Place::read(&mut options, target);
    options.finish(place)
}

struct TcpPublisher {
    place: Place,
    publisher_id: String,
    secret: String,
    /// The connection between two batches. While a batch is on its way it is not here: if that is cut short, the
    /// connection, which may end within a frame, goes with it.
    idle: Mutex<Option<TcpStream>>,
}

#[async_trait]
impl Publisher for TcpPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let Frames { bytes, packed, refused } = self.frames(batch);
        let mut idle = self.idle.lock().await;
        let sent = if bytes.is_empty() { Ok(()) } else { self.send(&mut idle, &bytes).await };
        match sent {
            Ok(()) => Partly { refused, left: None }.outcome(),
            Err(cause) if refused.is_empty() => Err(PublishError::retry(cause)),
            Err(cause) => Partly { refused, left: Some(Left { records: packed, cause, after: None }) }.outcome(),
        }
    }

    async fn reach(&self) -> Result<(), String> {
        self.connect().await.map(drop)
    }

    async fn close(&self) {
        if let Some(mut connection) = self.idle.lock().await.take() {
            let _closed = timeout(self.place.timeout, connection.shutdown()).await;
        }
    }
}

/// A batch as it goes over the wire.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    /// The positions of what is in it.
    packed: Vec<usize>,
    refused: Vec<Refused>,
}

impl TcpPublisher {
    fn frames(&self, batch: &Batch) -> Frames {
        let mut frames = Frames::default();
        // Events do not come here: the table of schemes says so.
        let Batch::Samples(samples) = batch else { return frames };
        for (record, sample) in samples.iter().enumerate() {
            let message = message::of_sample_from(&self.publisher_id, sample, &self.secret, NonFinite::Python);
            let begin = frames.bytes.len();
            frames.bytes.extend([0; size_of::<u64>()]);
            let body = frames.bytes.len();
            match pack(&message, &mut frames.bytes) {
                Ok(()) => {
                    let length = (frames.bytes.len() - body) as u64;
                    frames.bytes[begin..body].copy_from_slice(&length.to_le_bytes());
                    frames.packed.push(record);
                }
                Err(cause) => {
                    frames.bytes.truncate(begin);
                    frames.refused.push(Refused { record, cause });
                }
            }
        }
        frames
    }

    async fn send(&self, idle: &mut Option<TcpStream>, bytes: &[u8]) -> Result<(), String> {
        let mut connection = match idle.take().filter(is_open) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        self.write(&mut connection, bytes).await?;
        if !is_open(&connection) {
            return Err("the receiver closed the connection while the batch was on its way".to_owned());
        }
        *idle = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let mut said = Vec::new();
        for address in self.place.addresses().await? {
            match timeout(self.place.timeout, TcpStream::connect(address)).await {
                Ok(Ok(connection)) => return self.prepared(connection, address),
                Ok(Err(cause)) => said.push(format!("cannot connect to {address}: {cause}")),
                Err(_) => said.push(format!("cannot connect to {address}: no answer in time")),
            }
        }
        Err(said.join("; "))
    }

    /// A receiver that does not acknowledge what was sent ends the connection, instead of holding it for a quarter of an
    /// hour: what is written meanwhile would be written into nothing.
    fn prepared(&self, connection: TcpStream, address: SocketAddr) -> Result<TcpStream, String> {
        let millis = u32::try_from(self.place.timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        let prepared = rustix::net::sockopt::set_tcp_user_timeout(&connection, millis)
            .map_err(io::Error::from)
            .and_then(|()| connection.set_nodelay(true));
        prepared.map(|()| connection).map_err(|cause| format!("cannot prepare the connection to {address}: {cause}"))
    }

    /// All bytes, as long as it goes on: a receiver may be slow, not silent.
    async fn write(&self, connection: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
        for step in bytes.chunks(STEP_BYTES) {
            match timeout(self.place.timeout, connection.write_all(step)).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => return Err(format!("cannot write: {cause}")),
                Err(_) => {
                    return Err(format!("the receiver did not read on within {} s", self.place.timeout.as_secs_f64()));
                }
            }
        }
        Ok(())
    }
}

/// Whether nothing says that the connection is over. What the receiver says is thrown away.
fn is_open(connection: &TcpStream) -> bool {
    let mut chatter = [0; 1024];
    let mut heard = 0;
    while heard < CHATTER_BYTES_MAX {
        // Asks the system: the runtime may not have heard of it yet.
        match rustix::net::recv(connection, &mut chatter, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok((bytes, _)) => heard += bytes,
            Err(cause) => return matches!(cause, Errno::AGAIN | Errno::INTR),
        }
    }
    false
}

#[cfg(test)]
mod tests;
