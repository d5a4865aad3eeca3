//! The listener with clients that are slow, many, or do not read.

use super::super::status;
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn desk() -> Desk {
    let configuration = tokio::sync::watch::channel("{}".into()).1;
    Desk::new(configuration, Arc::default(), page::TapAccess::Loopback)
}

async fn started() -> (Serving, Board, CancellationToken) {
    let (board, stop) = (Board::new(), CancellationToken::new());
    let address = ([127, 0, 0, 1], 0).into();
    let serving = serve(address, Metrics::new(), board.clone(), desk(), stop.clone()).await.unwrap();
    (serving, board, stop)
}

#[tokio::test]
async fn it_is_ready_once_nothing_is_waited_for() {
    let (serving, board, _stop) = started().await;
    let before = ask(serving.address, "/readyz").await;
    assert!(before.starts_with("HTTP/1.1 503"), "{before}");
    assert!(before.ends_with("{\"ready\":false,\"waiting_for\":[\"the agent to start\"]}\n"), "{before}");
    assert!(ask(serving.address, "/metrics").await.contains("\nnephoscope_ready 0\n"));
    board.change(|status| status.waiting_for.clear());
    assert!(ask(serving.address, "/metrics").await.contains("\nnephoscope_ready 1\n"));
    let after = ask(serving.address, "/readyz").await;
    assert!(after.starts_with("HTTP/1.1 200") && after.ends_with("{\"ready\":true,\"waiting_for\":[]}\n"), "{after}");
}

#[tokio::test]
async fn it_shows_metrics_life_and_status() {
    let (serving, _board, _stop) = started().await;
    let metrics = ask(serving.address, "/metrics").await;
    assert!(metrics.contains(OPENMETRICS) && metrics.contains("nephoscope_build_info{"), "{metrics}");
    assert!(ask(serving.address, "/livez").await.ends_with("ok\n"));
    assert!(ask(serving.address, "/status").await.contains("\"phase\":\"starting\""));
    assert!(ask(serving.address, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_pipeline_is_named_by_a_url() {
    let (serving, board, _stop) = started().await;
    board.change(|status| {
        status.pipelines.insert("http://u:PA\"SS@h/x".to_owned(), status::Pipeline::default());
        status.standstill = vec!["the \"one\" at http://u:PASS@h to answer: 404".to_owned()];
    });
    let said = ask(serving.address, "/status").await;
    assert!(said.contains("{\"http://u:***@h/x\":{"), "{said}");
    assert!(said.contains("[\"the \\\"one\\\" at http://u:***@h to answer: 404\"]"), "{said}");
}

#[tokio::test]
async fn it_stops_when_told() {
    let (serving, _board, stop) = started().await;
    let address = serving.address;
    stop.cancel();
    serving.stopped().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn pages_of_others_are_served_at_an_address_of_their_own() {
    let stop = CancellationToken::new();
    let pages: Pages = Arc::new(|path| (path == "/metrics").then(|| "cpu 1\n".to_owned()));
    let serving = serve_pages("127.0.0.1:0".parse().unwrap(), Arc::clone(&pages), stop.clone()).await.unwrap();
    let answer = ask(serving.address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\ncpu 1\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
    assert!(ask(serving.address, "/other").await.starts_with("HTTP/1.1 404"));
    assert!(serve_pages(serving.address, pages, stop.clone()).await.is_err(), "the address is taken");
    stop.cancel();
    serving.stopped().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_what_to_do() {
    let (serving, board, stop) = started().await;
    let error = serve(serving.address, Metrics::new(), board, desk(), stop).await.unwrap_err().to_string();
    assert!(error.contains("[nephoscope] listen") && error.contains(&serving.address.to_string()), "{error}");
}

/// Many clients, each with a connection that it keeps.
fn crowd(address: SocketAddr, first_words: &[u8]) -> Vec<std::net::TcpStream> {
    // The clients are in this process, too: it keeps some descriptors for itself.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let most = line.split_whitespace().nth(3).and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    let count = 1_000.min(most.saturating_sub(150));
    let client = |_| {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        // One that was closed meanwhile.
        let _said = std::io::Write::write_all(&mut client, first_words);
        client
    };
    (0..count).map(client).collect()
}

#[rstest::rstest]
#[case::that_say_nothing(b"")]
#[case::that_begin_a_request(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_is_answered_beside_a_thousand(#[case] first_words: &'static [u8]) {
    let (serving, _board, _stop) = started().await;
    let address = serving.address;
    let clients = tokio::task::spawn_blocking(move || crowd(address, first_words)).await.unwrap();
    for _ in 0..3 {
        let answer = timeout(HEAD_TIMEOUT / 2, ask(address, "/livez")).await.expect("it waits behind the others");
        assert!(answer.ends_with("ok\n"), "{answer}");
    }
    // What the server has closed can be read to its end, the others cannot.
    let kept = clients.iter().filter(|client| {
        client.set_nonblocking(true).unwrap();
        let read = std::io::Read::read(&mut &**client, &mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    });
    let (kept, all) = (kept.count(), clients.len());
    assert!(kept <= CONNECTIONS_MAX && all > 2 * CONNECTIONS_MAX, "{kept} of {all}");
}

/// Reads to the end, whichever it is; how long that took on the tests' clock, and what came.
async fn until_closed(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let (began, mut answer) = (tokio::time::Instant::now(), Vec::new());
    // A reset is an end, too.
    let _end = stream.read_to_end(&mut answer).await;
    (began.elapsed(), answer)
}

#[rstest::rstest]
#[case::says_nothing("")]
#[case::never_ends_its_request("GET /livez HTTP/1.1\r\nHost: ")]
#[tokio::test(start_paused = true)]
async fn a_client_is_too_slow(#[case] said: &str) {
    let (serving, _board, _stop) = started().await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    let (waited, answer) = until_closed(&mut stream).await;
    assert!(waited <= CONNECTION_LIFE && !answer.starts_with(b"HTTP/1.1 200"), "{waited:?} {answer:?}");
    assert!(waited + Duration::from_secs(1) >= HEAD_TIMEOUT, "{waited:?}");
}

#[tokio::test]
async fn a_client_does_not_take_its_answer() {
    let (serving, board, _stop) = started().await;
    // More than the buffers of two sockets hold.
    let long = "x".repeat(64 * 1024 * 1024);
    board.change(|status| status.standstill = vec![long]);
    let mut stalled = TcpStream::connect(serving.address).await.unwrap();
    stalled.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stalled.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let other = timeout(HEAD_TIMEOUT / 2, ask(serving.address, "/livez")).await.expect("it waits behind the other");
    assert!(other.ends_with("ok\n"), "{other}");
    tokio::time::pause();
    tokio::time::advance(CONNECTION_LIFE + Duration::from_secs(1)).await;
    tokio::time::resume();
    let (_, rest) = until_closed(&mut stalled).await;
    assert!(rest.len() < 64 * 1024 * 1024, "it was left before the end");
}

#[rstest::rstest]
#[case::in_bytes(format!("X-Long: {}\r\n", "x".repeat(2 * HEAD_BYTES_MAX)))]
#[case::in_fields("X: y\r\n".repeat(HEAD_FIELDS_MAX + 1))]
#[tokio::test]
async fn a_head_is_too_large(#[case] fields: String) {
    let (serving, _board, _stop) = started().await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let _said = stream.write_all(request.as_bytes()).await;
    let (_, answer) = until_closed(&mut stream).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(ask(serving.address, "/livez").await.ends_with("ok\n"));
}
