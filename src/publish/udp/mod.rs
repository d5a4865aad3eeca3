//! `udp://`: each signed meter message in msgpack is one datagram (Ceilometer reference §6.7).
//!
//! A sample is taken when the system has taken its datagram: nobody knows whether it arrives. What the system says against
//! it, also that nobody listens there, holds the batch.

use async_trait::async_trait;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
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

/// The longest datagram over IPv4, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_507;

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    read(target).map(|_| near_misses(target))
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    Ok(Arc::new(UdpPublisher {
        place: read(target)?,
        secret: context.telemetry_secret.clone(),
        socket: Mutex::default(),
    }))
}

fn read(target: &Target) -> Result<Place, Vec<String>> {
    let mut options = target.options();
    let place = Place::read(&mut options, target);
    options.finish(place)
}

struct UdpPublisher {
    place: Place,
    secret: String,
    /// The socket of the last batch, and where it leads.
    socket: Mutex<Option<(SocketAddr, UdpSocket)>>,
}

#[async_trait]
impl Publisher for UdpPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        // Events do not come here: the table of schemes says so.
        let Batch::Samples(samples) = batch else { return Ok(()) };
        let mut kept = self.socket.lock().await;
        let socket = self.socket(&mut kept).await.map_err(PublishError::retry)?;
        let mut said = Partly::default();
        let mut sent = Vec::new();
        let mut datagram = Vec::with_capacity(1024);
        for (record, sample) in samples.iter().enumerate() {
            datagram.clear();
            let message = message::of_sample(sample, &self.secret, NonFinite::Python);
            let outcome = match pack(&message, &mut datagram) {
                Ok(()) => self.send(socket, &datagram).await,
                Err(cause) => Err(Failure::Never(cause)),
            };
            match outcome {
                Ok(()) => sent.push(record),
                Err(Failure::Never(cause)) => said.refused.push(Refused { record, cause }),
                Err(Failure::Unreachable(cause)) => {
                    return held(said, sent.into_iter().chain(record..samples.len()), samples.len(), cause);
                }
                Err(Failure::Later(cause)) => return held(said, record..samples.len(), samples.len(), cause),
            }
        }
        // Within one machine the system knows at once that nobody listens.
        if let Some(cause) = pending(socket) {
            return held(said, sent.into_iter(), samples.len(), cause);
        }
        said.outcome()
    }

    async fn reach(&self) -> Result<(), String> {
        self.address().await.map(drop)
    }
}

/// Why a datagram was not sent.
enum Failure {
    /// It never will be.
    Never(String),
    /// The one before it found nobody.
    Unreachable(String),
    /// Not now.
    Later(String),
}

impl UdpPublisher {
    /// IPv6 where the host has it, as Ceilometer chooses.
    async fn address(&self) -> Result<SocketAddr, String> {
        let addresses = self.place.addresses().await?;
        let chosen = addresses.iter().find(|address| address.is_ipv6()).or(addresses.first());
        chosen.copied().ok_or_else(|| "the host has no address".to_owned())
    }

    /// The socket of the last batch, unless the name leads elsewhere now.
    async fn socket<'k>(&self, kept: &'k mut Option<(SocketAddr, UdpSocket)>) -> Result<&'k UdpSocket, String> {
        let address = self.address().await?;
        let of_last = kept.take().filter(|(former, _)| *former == address);
        let socket = match of_last {
            Some((_, socket)) => match pending(&socket) {
                // The next attempt has a new socket.
                Some(cause) => return Err(cause),
                None => socket,
            },
            None => connected(address).await.map_err(|cause| format!("cannot send to {address}: {cause}"))?,
        };
        Ok(&kept.insert((address, socket)).1)
    }

    async fn send(&self, socket: &UdpSocket, datagram: &[u8]) -> Result<(), Failure> {
        let bytes = datagram.len();
        let too_long = || format!("{bytes} bytes, where a datagram holds {DATAGRAM_BYTES_MAX}");
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(Failure::Never(too_long()));
        }
        match timeout(self.place.timeout, socket.send(datagram)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(cause)) if cause.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                Err(Failure::Never(format!("{bytes} bytes: {cause}")))
            }
            Ok(Err(cause)) if cause.kind() == ErrorKind::ConnectionRefused => Err(Failure::Unreachable(nobody(&cause))),
            Ok(Err(cause)) => Err(Failure::Later(format!("cannot send: {cause}"))),
            Err(_) => Err(Failure::Later("cannot send: the system takes no datagram".to_owned())),
        }
    }
}

/// A socket that leads to one address: it hears when nobody listens there.
async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// What became known of the last datagrams since they were sent.
fn pending(socket: &UdpSocket) -> Option<String> {
    socket.take_error().ok().flatten().map(|cause| nobody(&cause))
}

fn nobody(cause: &io::Error) -> String {
    format!("the last datagram did not arrive: {cause}")
}

/// These records again; some are refused besides.
fn held(said: Partly, records: impl Iterator<Item = usize>, of: usize, cause: String) -> Result<(), PublishError> {
    let refused = said.refused;
    let records: Vec<usize> = records.filter(|record| refused.iter().all(|bad| bad.record != *record)).collect();
    if records.len() == of {
        return Err(PublishError::retry(cause));
    }
    let left = if records.is_empty() { None } else { Some(Left { records, cause, after: None }) };
    Partly { refused, left }.outcome()
}

#[cfg(test)]
mod tests;
