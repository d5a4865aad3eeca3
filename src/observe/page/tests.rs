//! The page and the tap over HTTP, with clients that are many, slow, or do not read.

use super::*;
use crate::observe::http::{CONNECTION_LIFE, CONNECTIONS_MAX, Serving, serve};
use crate::observe::tap::{LINES_MAX, Passing, TAPS_MAX};
use crate::observe::{Board, Metrics};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

struct Started {
    serving: Serving,
    desk: Desk,
    metrics: Metrics,
    stop: tokio_util::sync::DropGuard,
}

async fn started(tap_access: TapAccess) -> Started {
    let (metrics, stop) = (Metrics::new(), CancellationToken::new());
    let configuration = watch::channel("{\"files\":[]}".into()).1;
    let desk = Desk::new(configuration, Arc::clone(metrics.taps()), tap_access);
    let address = ([127, 0, 0, 1], 0).into();
    let serving = serve(address, metrics.clone(), Board::new(), desk.clone(), stop.clone()).await.unwrap();
    Started { serving, desk, metrics, stop: stop.drop_guard() }
}

impl Started {
    async fn connect(&self, path: &str, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.serving.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{more}\r\n", self.serving.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, path: &str) -> String {
        let mut answer = String::new();
        self.connect(path, "").await.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Reads until this has come.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        let mut from = 0;
        // Only in what is new: there may be megabytes.
        while !String::from_utf8_lossy(&read[from..]).contains(wanted) {
            from = read.len().saturating_sub(wanted.len());
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{wanted}: {}", String::from_utf8_lossy(&read));
        }
    };
    timeout(Duration::from_secs(20), reading).await.unwrap_or_else(|_| panic!("{wanted} does not come"));
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn the_page_may_load_nothing_but_itself() {
    let started = started(TapAccess::Loopback).await;
    let page = started.ask("/").await;
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") && body.starts_with("<!doctype html>"), "{head}");
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(started.ask("/desk/config").await.ends_with("\r\n\r\n{\"files\":[]}"));
}

#[tokio::test]
async fn pictures_come_as_events_while_somebody_looks() {
    let started = started(TapAccess::Loopback).await;
    let mut wanted = started.desk.feed.wanted();
    let mut stream = started.connect("/desk/events", "").await;
    let head = until(&mut stream, "retry: 2000\n\n").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(*wanted.wait_for(|wanted| *wanted).await.unwrap());
    started.desk.feed.show("{\"n\":1}".to_owned());
    until(&mut stream, "data: {\"n\":1}\n\n").await;
    started.desk.feed.show("{\"n\":2}".to_owned());
    until(&mut stream, "data: {\"n\":2}\n\n").await;
    drop(stream);
    // The next picture finds nobody.
    let nobody = async {
        while *wanted.borrow_and_update() {
            started.desk.feed.show("{}".to_owned());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), nobody).await.expect("it is still shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_look_and_do_not_read_and_another_is_answered() {
    let started = started(TapAccess::Loopback).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(started.connect("/desk/events", "").await);
    }
    // Larger than the buffers of two sockets, a few times over.
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for _ in 0..20 {
        started.desk.feed.show(large.clone());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for path in ["/livez", "/metrics", "/"] {
        let answer = timeout(Duration::from_secs(5), started.ask(path)).await.expect("it waits behind the others");
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer}");
    }
    // No more than so many look, and those who came later were told.
    let mut refused = 0;
    for client in &mut clients {
        let mut first = [0; 12];
        let read = timeout(Duration::from_secs(1), client.read(&mut first)).await;
        refused += usize::from(matches!(read, Ok(Ok(12)) if first.ends_with(b"503")));
    }
    assert!(refused > 0 && clients.len() > CONNECTIONS_MAX, "{refused}");
}

#[tokio::test]
async fn who_does_not_take_pictures_is_left_and_who_does_is_kept() {
    let started = started(TapAccess::Loopback).await;
    let mut reads = started.connect("/desk/events", "").await;
    until(&mut reads, "retry").await;
    let mut stalled = started.connect("/desk/events", "").await;
    until(&mut stalled, "retry").await;
    let large = format!("\"{}\"", "x".repeat(8 * 1024 * 1024));
    for _ in 0..2 {
        started.desk.feed.show(large.clone());
        until(&mut reads, "x\"\n\n").await;
    }
    tokio::time::pause();
    // Beyond the life of a connection, with a picture now and then for who reads.
    for second in 0..CONNECTION_LIFE.as_secs() + 10 {
        tokio::time::advance(Duration::from_secs(1)).await;
        started.desk.feed.show(format!("{{\"second\":{second}}}"));
        tokio::time::resume();
        until(&mut reads, &format!("data: {{\"second\":{second}}}\n\n")).await;
        tokio::time::pause();
    }
    tokio::time::resume();
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(10), stalled.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the one that does not read is still there");
    assert!(!String::from_utf8_lossy(&rest).contains("\"second\":39"));
}

#[tokio::test]
async fn who_looks_does_not_keep_the_agent_from_stopping() {
    let Started { serving, stop, desk, .. } = started(TapAccess::Loopback).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(b"GET /desk/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut stream, "retry").await;
    drop(stop);
    timeout(Duration::from_millis(500), serving.stopped()).await.expect("it waits for who looks");
    drop(desk);
}

#[tokio::test]
async fn a_page_of_somebody_else_gets_nothing() {
    let started = started(TapAccess::Loopback).await;
    let ask = async |path: &str, head: &str| {
        let mut stream = TcpStream::connect(started.serving.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n{head}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for path in ["/desk/events", "/desk/config", "/desk/tap"] {
        for head in ["Host: evil.example:9187\r\n", "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n"] {
            let answer = ask(path, head).await;
            assert!(answer.starts_with("HTTP/1.0 403") && answer.contains("cannot "), "{path} {head}: {answer}");
        }
    }
    // Who looks after the agent may use any name.
    for path in ["/livez", "/metrics", "/status"] {
        let answer = ask(path, "Host: controller-1:9187\r\nSec-Fetch-Site: cross-site\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer}");
    }
}

fn pass(metrics: &Metrics, times: usize) {
    let body = br#"{"event_type":"image.update","publisher_id":"image.a","message_id":"m","priority":"INFO","timestamp":"2026-03-01 10:00:00","payload":{"id":"i"}}"#;
    let notification = crate::model::envelope::open(body).unwrap();
    for _ in 0..times {
        let queue = "notifications.info";
        metrics.taps().pass(&Passing { queue, notification: Some(&notification), samples: &[], events: &[] });
    }
}

#[tokio::test]
async fn lines_come_as_they_pass_until_there_are_enough() {
    let started = started(TapAccess::Loopback).await;
    let mut stream = started.connect("/desk/tap?event_type=image.%2A&limit=2", "").await;
    until(&mut stream, "application/x-ndjson").await;
    pass(&started.metrics, 3);
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("{\"queue\":\"notifications.info\",\"event_type\":\"image.update\",\"notification\":{")
    );
    assert!(!started.metrics.taps().is_open());
    let bad = started.ask("/desk/tap?rate=many").await;
    assert!(
        bad.starts_with("HTTP/1.0 400") && bad.contains("cannot tap with rate=\"many\": expected lines per second"),
        "{bad}"
    );
}

#[tokio::test]
async fn who_taps_and_does_not_read_is_told_what_was_left_out() {
    let started = started(TapAccess::Loopback).await;
    let mut stream = started.connect("/desk/tap?rate=10000", "").await;
    until(&mut stream, "application/x-ndjson").await;
    // Without a moment in which it could be read.
    pass(&started.metrics, 2 * LINES_MAX);
    let text = until(&mut stream, "notification").await;
    assert!(text.contains(&format!("{{\"left_out\":{LINES_MAX}}}\n")), "{text}");
}

#[tokio::test]
async fn a_tap_is_authorised_and_few_are() {
    let token = "0123456789abcdef";
    let with_token = started(TapAccess::of("0.0.0.0:1".parse().unwrap(), Some(token))).await;
    let denied = with_token.ask("/desk/tap").await;
    assert!(denied.starts_with("HTTP/1.0 401") && denied.contains("Authorization: Bearer"), "{denied}");
    let mut stream = with_token.connect("/desk/tap", &format!("Authorization: Bearer {token}\r\n")).await;
    until(&mut stream, "application/x-ndjson").await;
    let off = started(TapAccess::of("0.0.0.0:1".parse().unwrap(), None)).await.ask("/desk/tap").await;
    assert!(off.starts_with("HTTP/1.0 403") && off.contains("[nephoscope] tap_token"), "{off}");
    let started = started(TapAccess::Loopback).await;
    let mut clients = Vec::new();
    for _ in 0..TAPS_MAX {
        let mut stream = started.connect("/desk/tap", "").await;
        until(&mut stream, "application/x-ndjson").await;
        clients.push(stream);
    }
    let many = started.ask("/desk/tap").await;
    assert!(many.starts_with("HTTP/1.0 503") && many.contains("cannot tap: as many"), "{many}");
}
