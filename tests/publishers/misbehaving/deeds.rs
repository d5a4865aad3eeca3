//! What servers do.

use nephoscope::publish::{Batch, PublishError};

use super::rows::Row;
use super::{HEARD_BYTES_MAX, RECORDS};
use crate::records::{batch, names};
use crate::server::{Answer, Request, Server, answer, well};

#[derive(Clone)]
pub(super) enum Deed {
    /// Nobody listens at the port.
    Nobody,
    /// The name has no address.
    NoSuchHost,
    /// A server without TLS where TLS is expected.
    PlainBehindTls,
    /// Somebody who takes the connection and says nothing, where TLS is expected.
    SilentBehindTls,
    /// To requests that carry records, this.
    Answers(fn(&Request) -> Answer),
    /// This status, with a body that quotes the login; see [`said`].
    Says(&'static str),
    /// This status with `Retry-After`.
    AsksToWait(u16, String),
    /// This status, and another place: itself where the text is empty.
    Redirects(u16, String),
    /// A body without end.
    SendsTenGigabytes { status: &'static str, chunked: bool },
}

impl Deed {
    pub(super) fn is_for(&self, row: &Row) -> bool {
        row.has_tls() || !matches!(self, Deed::PlainBehindTls | Deed::SilentBehindTls)
    }

    fn answer(&self, request: &Request) -> Answer {
        match self {
            Deed::Nobody | Deed::NoSuchHost | Deed::PlainBehindTls | Deed::SilentBehindTls => Answer::Silence,
            Deed::Answers(answer) => answer(request),
            Deed::Says(what) => Answer::Whole(said(what, request)),
            Deed::AsksToWait(status, wait) => {
                Answer::Whole(answer(*status, &format!("Retry-After: {wait}\r\n"), "not now"))
            }
            Deed::Redirects(status, to) => {
                let to = if to.is_empty() { &request.target } else { to };
                Answer::Whole(answer(*status, &format!("Location: {to}\r\n"), ""))
            }
            Deed::SendsTenGigabytes { status, chunked: false } => {
                let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", 10_u64 << 30);
                Answer::Endless(head.into_bytes(), vec![b'x'; 64 * 1024])
            }
            Deed::SendsTenGigabytes { status, chunked: true } => {
                let head = format!("HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
                Answer::Endless(head.into_bytes(), chunk)
            }
        }
    }
}

fn said(what: &str, request: &Request) -> Vec<u8> {
    let login = request.header("authorization");
    match what {
        "200" => well(request),
        "204" => answer(204, "", ""),
        "200 html" => answer(200, "Content-Type: text/html\r\n", "<html><body>the service has failed</body></html>"),
        "200 error" => answer(200, "Content-Type: application/json\r\n", r#"{"error": "the disk is full"}"#),
        status => answer(status.parse().unwrap(), "", &format!("you said {} as {login}", request.target)),
    }
}

/// What a publisher says of a batch that it gave to such a server, and the logins that the server saw.
pub(super) async fn play(row: &'static Row, deed: &Deed) -> (Result<(), PublishError>, Vec<String>) {
    let batch = batch(row.kind, &names(RECORDS));
    let place = match deed {
        Deed::Nobody => std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string(),
        Deed::NoSuchHost => "nowhere.invalid:80".to_owned(),
        Deed::SilentBehindTls => {
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let publisher = row.publisher_over_tls(&silent.local_addr().unwrap().to_string(), "");
            return (publisher.publish(&batch).await, Vec::new());
        }
        _ => return with_server(row, deed, &batch).await,
    };
    (row.publisher(&place, "").publish(&batch).await, Vec::new())
}

async fn with_server(row: &'static Row, deed: &Deed, batch: &Batch) -> (Result<(), PublishError>, Vec<String>) {
    let done = deed.clone();
    let handler = move |request: &Request| {
        if row.carries(request) { done.answer(request) } else { Answer::Whole(well(request)) }
    };
    let server = Server::start(handler).await;
    let place = server.address.to_string();
    let publisher = match deed {
        Deed::PlainBehindTls => row.publisher_over_tls(&place, ""),
        _ => row.publisher(&place, ""),
    };
    let outcome = publisher.publish(batch).await;
    let requests = server.requests();
    let carrying = requests.iter().filter(|(request, _)| row.carries(request)).count();
    // Halving four records is seven requests; remote write asks in both versions until it knows the receiver.
    assert!(carrying <= 4 * RECORDS, "{}: {carrying} requests", row.name);
    let heard = server.written().await;
    let most = HEARD_BYTES_MAX * carrying.max(1) as u64;
    assert!(heard < most, "{}: the server could send {heard} bytes in {carrying} answers", row.name);
    let logins = requests.iter().map(|(request, _)| request.header("authorization"));
    (outcome, logins.filter_map(|login| login.split(' ').nth(1)).map(str::to_owned).collect())
}
