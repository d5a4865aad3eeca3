//! A management API that is no RabbitMQ's, or that says what no test can bring a real one to in seconds: nodes that are down or do not
//! see each other, another time, text that would act on a terminal, answers without end. AMQP is the real broker's.

use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{doctor, folder, seen};
use crate::rig;

/// Serves the first page whose path is part of the request; `None` as a body never ends. Its address.
async fn serve(date: &'static str, pages: &'static [(&'static str, Option<&'static str>)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let line = String::from_utf8_lossy(&request[..read]).lines().next().unwrap_or_default().to_owned();
                let page = pages.iter().find(|(path, _)| line.contains(path));
                let (status, body) = page.map_or(("404 Not Found", Some("{}")), |(_, body)| ("200 OK", *body));
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{date}\r\n");
                let _cut = stream.write_all(head.as_bytes()).await;
                match body {
                    Some(body) => {
                        let _cut = stream.write_all(body.as_bytes()).await;
                    }
                    None => while stream.write_all(&[b'['; 16 * 1024]).await.is_ok() {},
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_down_and_split_and_late() {
    let patient = folder("doctor-split", &rig::rabbitmq().vhost("doctor-split"), "");
    let address = serve(
        "Date: Wed, 01 Jan 2020 00:00:00 GMT\r\n",
        &[
            ("/api/overview", Some("{}")),
            (
                "/api/nodes",
                Some(
                    r#"[{"name": "rabbit@a", "running": true, "partitions": ["rabbit@b"]}, {"name": "rabbit@c", "running": false}]"#,
                ),
            ),
        ],
    )
    .await;
    let found = seen(&patient, &["--management", &address]).await;
    found.expect("rabbitmq.partition", "rabbit@a", "it does not see rabbit@b");
    found.expect("rabbitmq.node.down", "rabbit@c", "it does not run");
    found.expect("clock.differs", &address, "behind the clock here");
    let silent = serve("", &[("/api/overview", Some("{}"))]).await;
    seen(&patient, &["--management", &silent]).await.expect("clock.unknown", &silent, "no date");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_is_text() {
    let patient = folder("doctor-text", &rig::rabbitmq().vhost("doctor-text"), "");
    let address = serve(
        "Date: Wed, 01 Jan 2020 00:00:00 GMT\r\n",
        &[
            ("/api/overview", Some("{}")),
            ("/api/nodes", Some(r#"[{"name": "rabbit\u001b[2J\u202eevil\n\u0007@c", "running": false}]"#)),
        ],
    )
    .await;
    let output = doctor(&patient, &["--management", &address]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("rabbit\\u{1b}[2J\\u{202e}evil \\u{7}@c"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text}");
    assert!(text.starts_with("0 errors, 2 warnings, "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut() {
    let patient = folder("doctor-endless", &rig::rabbitmq().vhost("doctor-endless"), "");
    let endless = serve(
        "Date: Wed, 01 Jan 2020 00:00:00 GMT\r\n",
        &[("/api/overview", Some("{}")), ("/api/nodes", None), ("/api/queues", None), ("/api/policies", Some("[[[["))],
    )
    .await;
    let began = Instant::now();
    let found = seen(&patient, &["--management", &endless]).await;
    found.expect("rabbitmq.management.partial", "/api/nodes", "longer than 4194304 bytes");
    found.expect("rabbitmq.management.partial", "/api/policies", "is not that of RabbitMQ's management");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let page = serve("", &[("/", Some("<html>"))]).await;
    seen(&patient, &["--management", &page]).await.expect("rabbitmq.management.unreachable", &page, "is not that of");
}
