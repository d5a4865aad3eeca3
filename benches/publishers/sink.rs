//! A process that takes everything: HTTP, gRPC, TCP and UDP on ports of its own, so that its work is nobody else's.
//!
//! It prints its ports, and for each line on its standard input how many requests it has answered.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};

/// The first argument of the process.
pub(crate) const MODE: &str = "--sink";

/// The process, from outside.
pub(crate) struct Sink {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Ports on 127.0.0.1.
    pub http: u16,
    pub grpc: u16,
    pub tcp: u16,
    pub udp: u16,
}

impl Sink {
    /// Starts one. Requests over HTTP go on to `upstream`, if there is one.
    pub(crate) fn start(upstream: Option<&str>) -> Sink {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([MODE].into_iter().chain(upstream))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut sink = Sink { child, stdin, stdout: BufReader::new(stdout), http: 0, grpc: 0, tcp: 0, udp: 0 };
        let numbers = sink.line();
        let ports: Vec<u16> = numbers.iter().map(|number| u16::try_from(*number).unwrap()).collect();
        (sink.http, sink.grpc, sink.tcp, sink.udp) = (ports[0], ports[1], ports[2], ports[3]);
        sink
    }

    /// Requests over HTTP and gRPC so far.
    pub(crate) fn requests(&mut self) -> u64 {
        self.stdin.write_all(b"\n").unwrap();
        self.line()[0]
    }

    fn line(&mut self) -> Vec<u64> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The process, from inside; ends with its standard input.
pub(crate) fn run(upstream: Option<String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let ports = runtime.block_on(async move {
        let (http, grpc) = (listener().await, listener().await);
        let (tcp, udp) = (listener().await, UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let ports = [
            http.local_addr().unwrap().port(),
            grpc.local_addr().unwrap().port(),
            tcp.local_addr().unwrap().port(),
            udp.local_addr().unwrap().port(),
        ];
        tokio::spawn(serve_http(http, upstream, Arc::clone(&counted)));
        let service = MetricsServiceServer::new(Metrics(counted)).max_decoding_message_size(usize::MAX);
        let incoming = tonic::transport::server::TcpIncoming::from(grpc);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        tokio::spawn(drain_tcp(tcp));
        tokio::spawn(drain_udp(udp));
        ports
    });
    println!("{} {} {} {}", ports[0], ports[1], ports[2], ports[3]);
    for _ in std::io::stdin().lines() {
        println!("{}", requests.load(Ordering::SeqCst));
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

struct Metrics(Arc<AtomicU64>);

#[tonic::async_trait]
impl MetricsService for Metrics {
    async fn export(
        &self,
        _: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn drain_tcp(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(1..) = stream.read(&mut buffer).await {}
        });
    }
}

async fn drain_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 64 * 1024];
    while socket.recv(&mut buffer).await.is_ok() {}
}

async fn serve_http(listener: TcpListener, upstream: Option<String>, requests: Arc<AtomicU64>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (upstream, client) = (Arc::new(upstream), reqwest::Client::new());
    while let Ok((stream, _)) = listener.accept().await {
        let (upstream, client, requests) = (Arc::clone(&upstream), client.clone(), Arc::clone(&requests));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, upstream.as_deref(), &client, &requests));
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// As whoever is asked answers when all is well: Gnocchi, Zaqar, a receiver of OTLP, of remote writes, of anything.
async fn answer(
    request: Request<Incoming>,
    upstream: Option<&str>,
    client: &reqwest::Client,
    requests: &AtomicU64,
) -> Result<Response<Full<Bytes>>, reqwest::Error> {
    requests.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let Some(upstream) = upstream else {
        let (status, text) = match path {
            path if path.contains("/v1/search/") => (200, "[]"),
            path if path.starts_with("/v2/queues/") => (201, "{}"),
            path if path.contains("/api/v1/write") => (204, ""),
            _ => (200, "{}"),
        };
        let response = Response::builder().status(status).header("content-type", "application/json");
        return Ok(response.body(Full::from(text)).unwrap());
    };
    let mut headers = head.headers.clone();
    headers.remove("host");
    let sent = client.request(head.method, format!("{upstream}{path}")).headers(headers).body(body).send().await?;
    let status = sent.status();
    let kind = sent.headers().get("content-type").cloned();
    let mut response = Response::builder().status(status);
    if let Some(kind) = kind {
        response = response.header("content-type", kind);
    }
    Ok(response.body(Full::from(sent.bytes().await?)).unwrap())
}
