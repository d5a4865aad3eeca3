//! Destinations that are reached over a network.

use async_trait::async_trait;
use nephoscope::publish::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

use super::local::{Amqp, Lines, Page, Tray};
use crate::decode::{self, Arrived};
use crate::gate::{Gate, certificate_in};
use crate::otlp_receiver::Receiver;
use crate::server::{Answer, Request, Server, answer, well};

/// Where a publisher publishes to, as it is played here.
#[async_trait]
pub(crate) trait Destination: Send + Sync {
    /// What the sink names.
    fn url(&self) -> String;
    /// Where Gnocchi is.
    fn endpoint(&self) -> String {
        "http://127.0.0.1:1".to_owned()
    }
    /// What the publisher is told beside.
    fn context(&self, context: Context) -> Context {
        context
    }
    /// What has arrived so far, in order.
    async fn arrived(&self) -> Vec<Arrived>;
    /// The same with all that is said of them, where the destination is told all.
    async fn records(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }
    async fn stall(&mut self) {
        panic!("it cannot stall");
    }
    /// Refuses what is of this resource, or nothing any more.
    fn refuse(&mut self, _: Option<&str>) {
        panic!("it cannot refuse");
    }
    async fn die(&mut self) {
        panic!("it cannot die");
    }
    /// Answers that it has no time.
    fn be_busy(&mut self, _: bool) {
        panic!("it cannot be busy");
    }
    /// How many requests came.
    fn asked(&self) -> usize {
        0
    }
    /// Ends a stall, or death.
    async fn recover(&mut self) {}
    /// Whether there are connections that can [freeze](Destination::freeze).
    fn has_connections(&self) -> bool {
        false
    }
    fn freeze(&mut self) {}
}

/// How a destination is played.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    /// A server of HTTP: path and options of the URL, and what a request brings.
    Web(&'static str, fn(&Request) -> Vec<Arrived>),
    /// The same over TLS.
    TlsWeb(&'static str, fn(&Request) -> Vec<Arrived>),
    Gnocchi,
    Zaqar,
    /// The generated server of OTLP.
    Grpc,
    TlsGrpc,
    Tcp,
    Udp,
    File,
    /// The in-process broker.
    Amqp,
    /// A page that is fetched.
    Page,
    /// The shelf of `test://`.
    Shelf,
}

impl Play {
    pub(crate) async fn begin(self, scheme: &'static str) -> Box<dyn Destination> {
        match self {
            Play::Web(rest, read) => Box::new(Web::start(scheme, rest, read, false).await),
            Play::TlsWeb(rest, read) => Box::new(Web::start(scheme, rest, read, true).await),
            Play::Gnocchi => {
                Box::new(Web::start(scheme, "?enable_filter_project=false", decode::of_gnocchi, false).await)
            }
            Play::Zaqar => Box::new(Web::start(scheme, "?queue=q", decode::of_zaqar, false).await),
            Play::Grpc => Box::new(Grpc::start(scheme, false).await),
            Play::TlsGrpc => Box::new(Grpc::start(scheme, true).await),
            Play::Tcp => Box::new(Tcp::start().await),
            Play::Udp => Box::new(Udp::start().await),
            Play::File => Box::new(Lines::start()),
            Play::Amqp => Box::new(Amqp::start()),
            Play::Page => Box::new(Page::start()),
            Play::Shelf => Box::new(Tray::start()),
        }
    }
}

/// A gate, with the folder of its certificate where it speaks TLS.
struct Way {
    gate: Gate,
    certificate: Option<TempDir>,
}

impl Way {
    async fn to(server: std::net::SocketAddr, tls: bool) -> Way {
        let certificate = tls.then(|| tempfile::tempdir().unwrap());
        let path = certificate.as_ref().map(|folder| certificate_in(folder.path()));
        Way { gate: Gate::start(server, path.as_deref()).await, certificate }
    }

    /// A URL; `rest` is path and options.
    fn url(&self, scheme: &str, rest: &str) -> String {
        let url = format!("{scheme}://{}{rest}", self.gate.address);
        match &self.certificate {
            None => url,
            Some(folder) => format!("{url}&verify_ssl={}", certificate_in(folder.path()).display()),
        }
    }
}

/// A server of HTTP.
struct Web {
    scheme: &'static str,
    rest: &'static str,
    read: fn(&Request) -> Vec<Arrived>,
    refused: Arc<Mutex<Option<String>>>,
    busy: Arc<AtomicBool>,
    server: Server,
    way: Way,
}

impl Web {
    async fn start(scheme: &'static str, rest: &'static str, read: fn(&Request) -> Vec<Arrived>, tls: bool) -> Web {
        let refused: Arc<Mutex<Option<String>>> = Arc::default();
        let busy: Arc<AtomicBool> = Arc::default();
        let (asked, is_busy) = (Arc::clone(&refused), Arc::clone(&busy));
        let server = Server::start(move |request| {
            if is_busy.load(Ordering::Relaxed) {
                return Answer::Whole(answer(503, "", "no time"));
            }
            // What Gnocchi is asked beside carries no records.
            let carries = scheme != "gnocchi" || request.target.starts_with("/v1/batch/");
            let refuses = asked.lock().unwrap().as_ref().is_some_and(|resource| carries && request.has(resource));
            Answer::Whole(if refuses { answer(400, "", "not this one") } else { well(request) })
        })
        .await;
        let way = Way::to(server.address, tls).await;
        Web { scheme, rest, read, refused, busy, server, way }
    }
}

#[async_trait]
impl Destination for Web {
    fn url(&self) -> String {
        match self.scheme {
            // Where they are is said by the login.
            scheme @ ("gnocchi" | "zaqar") => format!("{scheme}://{}", self.rest),
            scheme => self.way.url(scheme, self.rest),
        }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.way.gate.address)
    }

    async fn arrived(&self) -> Vec<Arrived> {
        let requests = self.server.requests();
        requests.iter().filter(|(_, status)| *status < 300).flat_map(|(request, _)| (self.read)(request)).collect()
    }

    async fn records(&self) -> Vec<serde_json::Value> {
        let is_plain = matches!(self.scheme, "http" | "https");
        let requests = self.server.requests();
        requests.iter().filter(|_| is_plain).flat_map(|(request, _)| decode::samples(request)).collect()
    }

    async fn stall(&mut self) {
        self.way.gate.stall();
    }

    fn refuse(&mut self, resource: Option<&str>) {
        *self.refused.lock().unwrap() = resource.map(str::to_owned);
    }

    fn be_busy(&mut self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.server.requests().len()
    }

    async fn die(&mut self) {
        self.way.gate.die().await;
    }

    async fn recover(&mut self) {
        self.way.gate.recover().await;
    }

    fn has_connections(&self) -> bool {
        true
    }

    fn freeze(&mut self) {
        self.way.gate.freeze();
    }
}

/// A receiver of OTLP.
struct Grpc {
    scheme: &'static str,
    receiver: Receiver,
    way: Way,
}

impl Grpc {
    async fn start(scheme: &'static str, tls: bool) -> Grpc {
        let receiver = Receiver::start().await;
        Grpc { scheme, way: Way::to(receiver.address, tls).await, receiver }
    }
}

#[async_trait]
impl Destination for Grpc {
    fn url(&self) -> String {
        self.way.url(self.scheme, "?compression=none")
    }

    async fn arrived(&self) -> Vec<Arrived> {
        self.receiver.metrics.lock().unwrap().iter().flat_map(decode::of_otlp).collect()
    }

    async fn stall(&mut self) {
        self.way.gate.stall();
    }

    fn refuse(&mut self, resource: Option<&str>) {
        *self.receiver.refused.lock().unwrap() = resource.map(str::to_owned);
    }

    async fn die(&mut self) {
        self.way.gate.die().await;
    }

    async fn recover(&mut self) {
        self.way.gate.recover().await;
    }

    fn has_connections(&self) -> bool {
        true
    }

    fn freeze(&mut self) {
        self.way.gate.freeze();
    }
}

type Messages = Arc<Mutex<Vec<serde_json::Value>>>;

fn arrived(messages: &Messages) -> Vec<Arrived> {
    messages.lock().unwrap().iter().map(decode::of_message).collect()
}

/// A receiver of frames.
struct Tcp {
    messages: Messages,
    way: Way,
    _receiver: AbortOnDropHandle<()>,
}

impl Tcp {
    async fn start() -> Tcp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, messages) = (listener.local_addr().unwrap(), Messages::default());
        let to = Arc::clone(&messages);
        let receiver = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let to = Arc::clone(&to);
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u64_le().await {
                        let mut frame = vec![0; usize::try_from(length).unwrap()];
                        if stream.read_exact(&mut frame).await.is_err() {
                            return;
                        }
                        to.lock().unwrap().push(decode::whole_msgpack(&frame));
                    }
                });
            }
        });
        Tcp { messages, way: Way::to(address, false).await, _receiver: AbortOnDropHandle::new(receiver) }
    }
}

#[async_trait]
impl Destination for Tcp {
    fn url(&self) -> String {
        self.way.url("tcp", "?timeout=5")
    }

    async fn arrived(&self) -> Vec<Arrived> {
        arrived(&self.messages)
    }

    async fn records(&self) -> Vec<serde_json::Value> {
        self.messages.lock().unwrap().clone()
    }

    async fn die(&mut self) {
        self.way.gate.die().await;
    }

    async fn recover(&mut self) {
        self.way.gate.recover().await;
    }
}

/// A receiver of datagrams.
struct Udp {
    address: std::net::SocketAddr,
    messages: Messages,
    receiver: Option<AbortOnDropHandle<()>>,
}

impl Udp {
    async fn start() -> Udp {
        let mut udp = Udp { address: "127.0.0.1:0".parse().unwrap(), messages: Messages::default(), receiver: None };
        udp.recover().await;
        udp
    }
}

#[async_trait]
impl Destination for Udp {
    fn url(&self) -> String {
        format!("udp://{}?timeout=5", self.address)
    }

    async fn arrived(&self) -> Vec<Arrived> {
        arrived(&self.messages)
    }

    async fn records(&self) -> Vec<serde_json::Value> {
        self.messages.lock().unwrap().clone()
    }

    async fn die(&mut self) {
        let receiver = self.receiver.take().unwrap();
        receiver.abort();
        // The port is closed when the task is gone.
        drop(receiver.await);
    }

    async fn recover(&mut self) {
        let socket = UdpSocket::bind(self.address).await.unwrap();
        self.address = socket.local_addr().unwrap();
        let to = Arc::clone(&self.messages);
        self.receiver = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok(bytes) = socket.recv(&mut datagram).await {
                to.lock().unwrap().push(decode::whole_msgpack(&datagram[..bytes]));
            }
        })));
    }
}
