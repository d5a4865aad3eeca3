//! One attempt at a connection: socket, TLS, AMQP handshake.

pub(super) mod socket;

use async_rs::Runtime;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use rustls::ClientConfig;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio_util::compat::TokioAsyncReadCompatExt;
use tokio_util::sync::CancellationToken;

use super::super::TransportError;
use super::options::{AmqpHost, AmqpOptions, Login};
use super::{reply, tls};
use crate::tls::RABBITMQ;
use socket::Kit;

/// The longest attempt at one host, handshakes included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest frame we ask for. lapin holds buffers of 64 frames for each connection, as long as it lives: at the broker's
/// 128 KiB that is 8 MiB, more than all else an agent holds. A larger body is several frames.
const FRAME_BYTES_MAX: u32 = 32 * 1024;

/// File descriptors that must be free before a connection is begun. lapin needs some in threads of its own, the first time for
/// a runtime, and panics there for good when it gets none.
const DESCRIPTORS_FREE: usize = 16;

/// A second handle on the socket, to cut it under lapin's feet.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire {
    socket: Arc<Mutex<Option<TcpStream>>>,
    gone: CancellationToken,
}

impl Wire {
    /// No more bytes either way, from now on. No AMQP close.
    pub(super) fn cut(&self) {
        if let Some(socket) = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // An error means that it is closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
        self.gone.cancel();
    }

    /// Cancelled by [`cut`](Wire::cut).
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(())
    }
}

/// Connects to one host.
pub(super) async fn dial(options: &AmqpOptions, host: &AmqpHost) -> Result<(Connection, Wire), TransportError> {
    let broker = format!("{}:{}", host.host, host.port);
    let tls = match &options.tls {
        Some(tls) => {
            let config = tls::client_config(tls);
            Some(Arc::new(config.map_err(|why| TransportError::Refused(format!("{broker}: {why}")))?))
        }
        None => None,
    };
    let wire = Wire::default();
    let (held, name, ours) = (wire.clone(), host.host.clone(), tls.clone());
    let addresses = addresses(host).await.map_err(|error| reply::system(&broker, &error))?;
    descriptors_are_free().map_err(|error| reply::system(&broker, &error))?;
    let open = async move |_: AMQPUri, _| {
        // A limit of its own: the one below cannot reach a thread of lapin's that waits for a socket.
        let connect = socket::connect(&addresses);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(io::Error::from)??;
        held.hold(&stream)?;
        Ok(AsyncTcpStream::Plain(socket::open(stream, &name, ours.clone()).await?.compat()))
    };
    let properties = ConnectionProperties::default().with_connection_name(options.connection_name.clone().into());
    let connecting = Connection::connector(uri(options, host), Runtime::new(Kit::current()), open, properties);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok((connection, wire)),
        Ok(Err(error)) => Err(refused_or_away(options, host, tls, &error).await),
        Err(_) => {
            wire.cut();
            Err(TransportError::Slow(CONNECT_TIMEOUT))
        }
    }
}

/// Takes [`DESCRIPTORS_FREE`] descriptors, and gives them back.
fn descriptors_are_free() -> io::Result<()> {
    let first = File::open("/dev/null")?;
    let further = (1..DESCRIPTORS_FREE).map(|_| first.try_clone());
    further.collect::<io::Result<Vec<_>>>().map(drop)
}

pub(super) async fn addresses(host: &AmqpHost) -> io::Result<Vec<SocketAddr>> {
    match tokio::time::timeout(CONNECT_TIMEOUT, lookup_host((host.host.as_str(), host.port))).await {
        Ok(found) => Ok(found?.collect()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer")),
    }
}

/// What an attempt failed of: refused, where a person must act; away, where the next attempt may help.
async fn refused_or_away(
    options: &AmqpOptions,
    host: &AmqpHost,
    tls: Option<Arc<ClientConfig>>,
    error: &lapin::Error,
) -> TransportError {
    let (broker, name, port) = (format!("{}:{}", host.host, host.port), &host.host, host.port);
    let identity = options.tls.as_ref().is_some_and(|tls| tls.cert_file.is_some());
    let at = |why: String| TransportError::Refused(format!("{broker}: {why}"));
    if options.tls.is_some()
        && let Some(why) = crate::tls::explain(error, &RABBITMQ, identity)
    {
        return at(why);
    }
    if let ErrorKind::ProtocolError(reply) = error.kind() {
        let text = reply.get_message().to_string();
        if let Some(why) = reply::about_login(reply.get_id(), &text, &host.username, options.vhost()) {
            return at(why);
        }
    }
    // A broker that is starting, or stopping, says the same as one that refuses: so it is asked.
    if is_riddle(error) {
        let refusal = if let Some(config) = tls {
            crate::tls::refusal(config, name, port, &RABBITMQ, identity).await
        } else {
            let speaks = crate::tls::speaks_tls(name, port).await;
            speaks.then(|| format!("the port speaks TLS; {}", RABBITMQ.with_tls))
        };
        if let Some(why) = refusal {
            return at(why);
        }
    }
    reply::plain(&broker, error)
}

/// Whether somebody took the connection and then answered with nothing that AMQP knows.
fn is_riddle(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::IOError(cause) => matches!(
            cause.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::InvalidData
        ),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
        _ => false,
    }
}

fn uri(options: &AmqpOptions, host: &AmqpHost) -> AMQPUri {
    let mechanism = match options.login {
        Login::AmqPlain => SASLMechanism::AMQPlain,
        Login::Plain => SASLMechanism::Plain,
        Login::External => SASLMechanism::External,
        Login::RabbitCrDemo => SASLMechanism::RabbitCrDemo,
    };
    // AMQP carries 16 bits of seconds. 0 is "as the broker likes": lapin has no off.
    let heartbeat = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
    AMQPUri {
        // TLS is ours to open (see `dial`), so that the socket can be cut and the verification is oslo's.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: host.username.clone(), password: host.password.clone() },
            host: host.host.clone(),
            port: host.port,
        },
        vhost: options.vhost().to_owned(),
        query: AMQPQueryString {
            heartbeat: Some(heartbeat),
            auth_mechanism: Some(mechanism),
            frame_max: Some(FRAME_BYTES_MAX),
            ..AMQPQueryString::default()
        },
    }
}
