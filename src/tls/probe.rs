//! Asks a port which protocol it has, and whether it accepts a client; only after a connection to it has failed.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Words, handshake};

/// How long the question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The first byte of a TLS record: a handshake, or an alert.
const RECORDS: [u8; 2] = [0x16, 0x15];
/// The preface of HTTP/2, and a frame of no settings.
const HTTP2_GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The first byte of the answer: a short frame, or the words of HTTP/1.
const HTTP_ANSWERS: [u8; 2] = [0, b'H'];
/// Read at once, in bytes.
const READ_BYTES: usize = 4096;

/// Whether a port answers a greeting of TLS as TLS does. `false` also where nobody answers.
pub async fn speaks_tls(host: &str, port: u16) -> bool {
    match greeting() {
        Some(greeting) => first_byte(host, port, &greeting).await.is_some_and(|first| RECORDS.contains(&first)),
        None => false,
    }
}

/// Whether a port answers a greeting of HTTP/2 without TLS in the same. `false` also where nobody answers.
pub async fn speaks_plain_http2(host: &str, port: u16) -> bool {
    first_byte(host, port, HTTP2_GREETING).await.is_some_and(|first| HTTP_ANSWERS.contains(&first))
}

/// What the answer of a port to a greeting begins with.
async fn first_byte(host: &str, port: u16, greeting: &[u8]) -> Option<u8> {
    let ask = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(greeting).await.ok()?;
        let mut first = [0];
        stream.read_exact(&mut first).await.ok()?;
        Some(first[0])
    };
    timeout(PROBE_TIMEOUT, ask).await.ok().flatten()
}

/// Why a server refuses a handshake with this configuration; `None` if it does not, or nobody answers.
///
/// With TLS 1.3 a server looks at a client's certificate when the client already talks, and closes: what was said before
/// that is lost with the connection. Here the client says nothing, so the server's reason arrives.
pub async fn refusal(
    config: Arc<ClientConfig>,
    host: &str,
    port: u16,
    words: &Words,
    identity: bool,
) -> Option<String> {
    let ask = async {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut client = ClientConnection::new(config, name).ok()?;
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        let mut bytes = vec![0; READ_BYTES];
        loop {
            let mut out = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut out).ok()?;
            }
            stream.write_all(&out).await.ok()?;
            let count = stream.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
            let mut read = &bytes[..count];
            while !read.is_empty() {
                client.read_tls(&mut read).ok()?;
                match client.process_new_packets() {
                    Err(error) => return Some(error),
                    // The server has begun to talk: it has taken us.
                    Ok(state) if state.plaintext_bytes_to_read() > 0 => return None,
                    Ok(_) => {}
                }
            }
        }
    };
    let error = timeout(PROBE_TIMEOUT, ask).await.ok().flatten()?;
    Some(handshake::meaning(&error, words, identity))
}

/// The bytes of a `ClientHello`.
fn greeting() -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(config.into(), ServerName::try_from("localhost").ok()?).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}
