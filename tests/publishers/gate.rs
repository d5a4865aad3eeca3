//! What stands before a server: it stalls, dies and recovers, whatever the server speaks.

use rustls::ServerConfig;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A port through which a server is reached, perhaps over TLS. It begins open.
pub(crate) struct Gate {
    pub address: SocketAddr,
    server: SocketAddr,
    tls: Option<TlsAcceptor>,
    /// Whether connections of now lead somewhere.
    flow: Arc<Mutex<watch::Sender<bool>>>,
    /// Those of frozen connections: they stay, and lead nowhere.
    frozen: Vec<watch::Sender<bool>>,
    /// While somebody listens.
    listening: Option<(DropGuard, TaskTracker)>,
}

impl Gate {
    /// To a server; `certificate` is where its certificate is put, in PEM, where TLS is spoken.
    pub(crate) async fn start(server: SocketAddr, certificate: Option<&Path>) -> Gate {
        let mut gate = Gate {
            address: "127.0.0.1:0".parse().unwrap(),
            server,
            tls: certificate.map(acceptor),
            flow: Arc::new(Mutex::new(watch::Sender::new(true))),
            frozen: Vec::new(),
            listening: None,
        };
        gate.listen().await;
        gate
    }

    async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let over = CancellationToken::new();
        let (flow, server, tls, stop) = (Arc::clone(&self.flow), self.server, self.tls.clone(), over.clone());
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        tasks.spawn(over.clone().run_until_cancelled_owned(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let flow = flow.lock().unwrap().subscribe();
                connections.spawn(stop.clone().run_until_cancelled_owned(pass(client, server, tls.clone(), flow)));
            }
        }));
        self.listening = Some((over.drop_guard(), tasks));
    }

    /// Takes connections and what is sent over them, and passes nothing on.
    pub(crate) fn stall(&self) {
        self.flow.lock().unwrap().send_replace(false);
    }

    /// Goes on with what it held.
    pub(crate) fn go_on(&self) {
        self.flow.lock().unwrap().send_replace(true);
    }

    /// What is connected stays so and leads nowhere for ever; new connections lead to the server. So it is where a machine
    /// lost its power and another has its address.
    pub(crate) fn freeze(&mut self) {
        let former = std::mem::replace(&mut *self.flow.lock().unwrap(), watch::Sender::new(true));
        former.send_replace(false);
        self.frozen.push(former);
    }

    /// Ends all connections and the port.
    pub(crate) async fn die(&mut self) {
        let Some((over, tasks)) = self.listening.take() else { return };
        drop(over);
        tasks.close();
        tasks.wait().await;
    }

    /// Listens again, with nothing of what was before.
    pub(crate) async fn recover(&mut self) {
        self.die().await;
        self.go_on();
        self.listen().await;
    }
}

/// One connection. Where one side ends it, it ends.
async fn pass(client: TcpStream, server: SocketAddr, tls: Option<TlsAcceptor>, mut flow: watch::Receiver<bool>) {
    if flow.wait_for(|flows| *flows).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    match tls {
        None => join(client, server, flow).await,
        Some(tls) => {
            let Ok(client) = tls.accept(client).await else { return };
            join(client, server, flow).await;
        }
    }
}

async fn join(
    client: impl AsyncRead + AsyncWrite + Unpin,
    server: impl AsyncRead + AsyncWrite + Unpin,
    flow: watch::Receiver<bool>,
) {
    let ((from_client, to_client), (from_server, to_server)) = (tokio::io::split(client), tokio::io::split(server));
    tokio::select! {
        () = one_way(from_client, to_server, flow.clone()) => {}
        () = one_way(from_server, to_client, flow) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut flow: watch::Receiver<bool>) {
    let mut some = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut some).await {
        if flow.wait_for(|flows| *flows).await.is_err() || to.write_all(&some[..bytes]).await.is_err() {
            return;
        }
    }
}

/// Shows a new certificate for 127.0.0.1, and puts it there.
fn acceptor(certificate: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The certificate's place in a folder.
pub(crate) fn certificate_in(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}
