//! An HTTP/1.1 server on a bare socket: it can do what no framework lets a server do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::decode::samples_of_second_version;

/// What a server sends at most where it sends without end, in bytes: "10 GB".
const ENDLESS_BYTES: u64 = 10 << 30;
/// The first byte of a TLS handshake.
const TLS: u8 = 0x16;

/// A request, whole; a body that was packed with snappy is unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether this text is in the path, the query or the body.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.target.contains(text) || String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// What a server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Sends this, and keeps the connection.
    Whole(Vec<u8>),
    /// Sends this, and ends the connection.
    CutOff(Vec<u8>),
    /// Says nothing, and keeps the connection.
    Silence,
    /// Sends the first part at once, and one byte of the second each second.
    Drip(Vec<u8>, Vec<u8>),
    /// Sends the first part, and then the second again and again, 10 GB of it.
    Endless(Vec<u8>, Vec<u8>),
}

/// An answer with this status, these further lines of the head (each ended by `\r\n`) and this body.
pub(crate) fn answer(status: u16, head: &str, body: &str) -> Vec<u8> {
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status} Said\r\n{length}{head}\r\n{body}").into_bytes()
}

/// What a server says that has taken everything: to a request of remote write 2.0, how many samples; to a search of Gnocchi, that
/// nothing is there.
pub(crate) fn well(request: &Request) -> Vec<u8> {
    if request.header("content-type").contains("io.prometheus.write.v2") {
        let written = samples_of_second_version(&request.body);
        return answer(204, &format!("X-Prometheus-Remote-Write-Samples-Written: {written}\r\n"), "");
    }
    // Zaqar has made messages.
    if request.target.starts_with("/v2/queues/") {
        return answer(201, "", "{}");
    }
    answer(200, "", if request.target.starts_with("/v1/search/") { "[]" } else { "" })
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _running: DropGuard,
}

struct Shared {
    handler: Box<Handler>,
    /// Each request with the status that it was answered with, or 0.
    requests: Mutex<Vec<(Request, u16)>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    written: AtomicU64,
}

impl Server {
    /// On a free port.
    pub(crate) async fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1:0".parse().unwrap(), handler).await
    }

    pub(crate) async fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            connections: AtomicUsize::default(),
            open: AtomicUsize::default(),
            written: AtomicU64::default(),
        });
        let over = CancellationToken::new();
        let (to, stop) = (Arc::clone(&shared), over.clone());
        tokio::spawn(over.clone().run_until_cancelled_owned(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                to.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(stop.clone().run_until_cancelled_owned(serve(stream, Arc::clone(&to))));
            }
        }));
        Server { address, shared, _running: over.drop_guard() }
    }

    /// Each request so far, with the status of its answer; 0 where it had none.
    pub(crate) fn requests(&self) -> Vec<(Request, u16)> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many came.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes the system took from this server, once nobody listens to an answer without end any more.
    pub(crate) async fn written(&self) -> u64 {
        while self.shared.open.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.shared.written.load(Ordering::Relaxed)
    }
}

/// Counts who gives an answer without end.
struct Speaking<'s>(&'s AtomicUsize);

impl<'s> Speaking<'s> {
    fn new(open: &'s AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Speaking(open)
    }
}

impl Drop for Speaking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut read = Vec::new();
    loop {
        let Some(request) = request(&mut stream, &mut read).await else { return };
        let answer = (shared.handler)(&request);
        let said = match &answer {
            Answer::Whole(bytes) | Answer::CutOff(bytes) | Answer::Drip(bytes, _) | Answer::Endless(bytes, _) => bytes,
            Answer::Silence => &Vec::new(),
        };
        let status = std::str::from_utf8(said).ok().and_then(|said| said.split(' ').nth(1)?.parse().ok());
        shared.requests.lock().unwrap().push((request, status.unwrap_or_default()));
        if say(&mut stream, answer, &shared).await.is_none() {
            return;
        }
    }
}

/// Nothing where the connection is over.
async fn say(stream: &mut TcpStream, answer: Answer, shared: &Shared) -> Option<()> {
    match answer {
        Answer::Whole(bytes) => stream.write_all(&bytes).await.ok(),
        Answer::CutOff(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            None
        }
        Answer::Silence => until_left(stream).await,
        Answer::Drip(first, rest) => {
            stream.write_all(&first).await.ok()?;
            for byte in rest {
                stream.write_all(&[byte]).await.ok()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            until_left(stream).await
        }
        Answer::Endless(first, chunk) => {
            let _speaking = Speaking::new(&shared.open);
            stream.write_all(&first).await.ok()?;
            while shared.written.load(Ordering::Relaxed) < ENDLESS_BYTES {
                let bytes = stream.write(&chunk).await.ok()?;
                shared.written.fetch_add(bytes as u64, Ordering::Relaxed);
                // A write that always finds room would let nobody else work.
                tokio::task::yield_now().await;
            }
            None
        }
    }
}

/// Until the other side ends the connection.
async fn until_left(stream: &mut TcpStream) -> Option<()> {
    while stream.read(&mut [0; 1024]).await.ok()? > 0 {}
    None
}

/// The next request; nothing where the connection is over. A handshake of TLS is answered as nginx does.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        if read.first() == Some(&TLS) {
            let refusal = answer(400, "Connection: close\r\n", "The plain HTTP request was sent to HTTPS port");
            drop(stream.write_all(&refusal).await);
            return None;
        }
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let mut request = Request { method, target, headers: lines.filter_map(pair).collect(), body: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    let end = head_end + 4 + length;
    while read.len() < end {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    request.body = read[head_end + 4..end].to_vec();
    read.drain(..end);
    if request.header("content-encoding") == "snappy" {
        request.body = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    }
    Some(request)
}
