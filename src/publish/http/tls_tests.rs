//! `https://` against a server of rustls, with certificates that `openssl` makes on the spot.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, build};

/// Makes an authority, and by it a server's and a client's certificate. Whether `openssl` is there to do so.
fn certificates(folder: &Path) -> bool {
    let openssl = |arguments: &str| {
        let status = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        status.is_ok_and(|done| done.status.success())
    };
    std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    std::fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let authority = format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
    openssl(&authority)
        && ["server", "client"].iter().all(|who| {
            openssl(&format!("req {key} -keyout {who}.key -out {who}.csr -subj /CN={who}"))
                && openssl(&format!(
                    "x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {who}.ext -out {who}.pem"
                ))
        })
}

/// Answers 200 to whoever gets through the handshake. Ends with the test's process.
fn server(folder: &Path, ask_for_client: bool) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pem = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if ask_for_client {
        let mut roots = RootCertStore::empty();
        roots.add(pem("ca.pem")).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![pem("server.pem")], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, mut connection) = (socket.unwrap(), ServerConnection::new(config.clone()).unwrap());
            let mut stream = Stream::new(&mut connection, &mut socket);
            let mut request = Vec::new();
            // The one record of the test ends its array.
            while !request.ends_with(b"}]") {
                let mut some = [0; 4096];
                match stream.read(&mut some) {
                    Ok(count @ 1..) => request.extend_from_slice(&some[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[tokio::test]
async fn servers_and_clients_show_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        println!("skipped: no openssl to make certificates with");
        return;
    }
    let batch = Batch::Samples(vec![sample("cpu", "1")]);
    let at = folder.path().display();
    let (plain, asking) = (server(folder.path(), false), server(folder.path(), true));
    let both = format!("clientcert={at}/client.pem&clientkey={at}/client.key");
    for (address, options, taken) in [
        (plain, "timeout=5".to_owned(), false),
        (plain, format!("verify_ssl={at}/ca.pem"), true),
        (plain, "verify_ssl=false".to_owned(), true),
        (plain, format!("verify_ssl={at}/client.pem"), false),
        (asking, format!("verify_ssl={at}/ca.pem"), false),
        (asking, format!("verify_ssl={at}/ca.pem&{both}"), true),
    ] {
        let url = format!("https://{address}/in?max_retries=0&{options}");
        let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
        match publisher.publish(&batch).await {
            Ok(()) => assert!(taken, "{url} was taken"),
            Err(PublishError::Retry { cause, .. }) => assert!(!taken, "{url}: {cause}"),
            Err(other) => panic!("{url}: {other}"),
        }
    }
}
