//! A receiver of OTLP made of the generated server code, for tests: it keeps what it is sent, and answers as it is told.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::metrics::tests::ids;

/// What is answered to samples with these ids: how many of them are refused, and why; or a status.
pub(super) type Judge = dyn Fn(&[String]) -> Result<(i64, &'static str), Status> + Send + Sync;

#[derive(Clone)]
pub(super) struct Receiver {
    pub address: SocketAddr,
    pub metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    pub logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    /// Values of the header `authorization`.
    pub logins: Arc<Mutex<Vec<String>>>,
    judge: Arc<Judge>,
}

impl Receiver {
    /// Listens on a free port, until the test's runtime ends. Messages may have so many bytes.
    pub(super) async fn start(
        message_bytes_max: usize,
        judge: impl Fn(&[String]) -> Result<(i64, &'static str), Status> + Send + Sync + 'static,
    ) -> Receiver {
        Receiver::start_with(Server::builder(), message_bytes_max, judge).await
    }

    /// The same behind TLS, with this certificate and key.
    pub(super) async fn start_with_tls(identity: Identity) -> Receiver {
        let tls = ServerTlsConfig::new().identity(identity);
        Receiver::start_with(Server::builder().tls_config(tls).unwrap(), usize::MAX, |_| Ok((0, ""))).await
    }

    async fn start_with(
        mut server: Server,
        message_bytes_max: usize,
        judge: impl Fn(&[String]) -> Result<(i64, &'static str), Status> + Send + Sync + 'static,
    ) -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            metrics: Arc::default(),
            logs: Arc::default(),
            logins: Arc::default(),
            judge: Arc::new(judge),
        };
        let metrics = MetricsServiceServer::new(receiver.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(message_bytes_max);
        let logs = LogsServiceServer::new(receiver.clone()).accept_compressed(CompressionEncoding::Gzip);
        let server = server.add_service(metrics).add_service(logs);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        receiver
    }

    fn note_login<T>(&self, request: &Request<T>) {
        let login = request.metadata().get("authorization").and_then(|login| login.to_str().ok());
        self.logins.lock().unwrap().push(login.unwrap_or_default().to_owned());
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.note_login(&request);
        let request = request.into_inner();
        let (rejected_data_points, why) = (self.judge)(&ids(&request))?;
        self.metrics.lock().unwrap().push(request);
        let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: why.to_owned() };
        let partial_success = (!why.is_empty()).then_some(partial);
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.note_login(&request);
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
