//! The socket under lapin: TCP, with TLS where the options ask for it.
//!
//! Never here: lapin's own TLS. It brings 33 crates that read a format of certificates which no option names.

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures_util::{AsyncRead, AsyncWrite, Stream};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::either::Either;

/// A connected socket: TCP alone, or TLS on TCP.
pub(in crate::transport::amqp) type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Connects to the first of `addresses` that answers.
pub(in crate::transport::amqp) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addresses).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A socket on a connection to the host `name`, with TLS if there is a configuration for it.
pub(in crate::transport::amqp) async fn open(
    stream: TcpStream,
    name: &str,
    tls: Option<Arc<ClientConfig>>,
) -> io::Result<Socket> {
    let Some(config) = tls else { return Ok(Either::Left(stream)) };
    let name =
        ServerName::try_from(name.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Either::Right(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
}

/// What lapin runs on: the present tokio runtime, with a [`Socket`] for its sockets.
#[derive(Debug, Clone)]
pub(in crate::transport::amqp) struct Kit(Tokio);

impl Kit {
    /// On the runtime that this is called in.
    pub(in crate::transport::amqp) fn current() -> Kit {
        Kit(Tokio::current())
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Compat<Socket>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Either::Left(connecting.await?.into_inner()).compat()) }
    }
}
