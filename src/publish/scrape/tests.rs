use chrono::Utc;
use rstest::rstest;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::address;
use crate::model::{Sample, Value};
use crate::observe::Metrics;
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, Publisher, build, check};

/// Of this moment.
fn of(meter: &str, resource: &str) -> Sample {
    Sample { resource_id: resource.into(), timestamp: Utc::now().to_rfc3339().into(), ..sample(meter, "1") }
}

fn batch(samples: &[Sample]) -> Batch {
    Batch::Samples(samples.to_vec())
}

/// An address that nobody has.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn publisher(at: SocketAddr, rest: &str, context: &Context) -> Arc<dyn Publisher> {
    build(&format!("prometheus-scrape://{at}{rest}"), Kind::Samples, context).unwrap()
}

async fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn sinks_share_a_listener_and_a_page() {
    let (at, context) = (free().await, Context::default());
    let first = publisher(at, "", &context);
    let second = publisher(at, "/metrics?ttl=60", &context);
    let other = publisher(at, "/other", &context);
    assert_eq!(first.reach().await, Ok(()));
    assert!(get(at, "/metrics").await.ends_with("\r\n\r\n"), "nothing was published yet");
    assert!(get(at, "/other").await.starts_with("HTTP/1.0 404"));
    first.publish(&batch(&[of("cpu", "a")])).await.unwrap();
    second.publish(&batch(&[of("cpu", "b"), of("mem", "a")])).await.unwrap();
    other.publish(&batch(&[of("disk", "a")])).await.unwrap();
    let page = get(at, "/metrics").await;
    let expected = "# TYPE cpu counter\n\
        cpu{resource_id=\"a\", user_id=\"u\", project_id=\"p\"} 1.5\n\
        cpu{resource_id=\"b\", user_id=\"u\", project_id=\"p\"} 1.5\n\
        # TYPE mem counter\n\
        mem{resource_id=\"a\", user_id=\"u\", project_id=\"p\"} 1.5\n";
    assert!(page.ends_with(expected), "{page}");
    assert!(get(at, "/other").await.contains("disk{"));
    // What is closed leaves the page; the listener goes with the last one.
    first.close().await;
    drop(first);
    assert!(!get(at, "/metrics").await.contains("cpu{resource_id=\"a\""));
    second.close().await;
    other.close().await;
    while TcpStream::connect(at).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn series_beyond_the_bound_are_lost_and_counted() {
    let metrics = Metrics::new();
    let context = Context { metrics: metrics.clone(), ..Context::default() };
    let at = free().await;
    let publisher = publisher(at, "/m?max_series=2", &context);
    let no_number = Sample { volume: Value::Null, ..of("cpu", "a") };
    let long = of("cpu", &"x".repeat(5000));
    let samples = [of("cpu", "a"), of("cpu", "b"), of("cpu", "c"), no_number, of("cpu", "a"), of("cpu", "d"), long];
    let Err(PublishError::Partly(partly)) = publisher.publish(&batch(&samples)).await else { panic!() };
    let causes: Vec<(usize, &str)> = partly.refused.iter().map(|r| (r.record, r.cause.as_str())).collect();
    let too_long = "name and labels have 5046 bytes, of which the page takes 4096";
    assert_eq!(causes, [(3, "the volume is no number, or beyond the largest double"), (6, too_long)]);
    assert_eq!(get(at, "/m").await.matches("cpu{").count(), 2);
    let shed = format!("nephoscope_shed_total{{publisher=\"prometheus-scrape://{at}/m\"}} 2");
    assert!(metrics.page().contains(&shed), "{}", metrics.page());
}

#[tokio::test]
async fn an_address_that_another_has_holds() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = taken.local_addr().unwrap();
    let publisher = publisher(at, "", &Context::default());
    let Err(PublishError::Retry { cause, .. }) = publisher.publish(&batch(&[of("cpu", "a")])).await else { panic!() };
    assert!(cause.starts_with(&format!("cannot listen on {at}: ")) && cause.contains("choose another"), "{cause}");
    assert_eq!(publisher.reach().await.unwrap_err(), cause);
    drop(taken);
    publisher.publish(&batch(&[of("cpu", "a")])).await.unwrap();
}

#[rstest]
#[case("0.0.0.0", Some("0.0.0.0:9464"))]
#[case("127.0.0.1:1", Some("127.0.0.1:1"))]
#[case("[::]", Some("[::]:9464"))]
#[case("[::1]:7", Some("[::1]:7"))]
#[case("::1", Some("[::1]:9464"))]
#[case("", None)]
#[case("localhost:1", None)]
#[case("127.0.0.1:0", None)]
#[case("127.0.0.1:x", None)]
fn a_place_to_listen_is_an_ip_address(#[case] place: &str, #[case] expected: Option<&str>) {
    assert_eq!(address(place), expected.map(|address| address.parse().unwrap()));
}

#[rstest]
#[case("prometheus-scrape://host/metrics", "write prometheus-scrape://ADDRESS[:PORT][/PATH]")]
#[case("prometheus-scrape://u:p@127.0.0.1", "leave the user out")]
#[case(
    "prometheus-scrape://127.0.0.1?ttl=0&max_series=2000000&tll=1",
    "ttl=0: expected a number of at least 1; max_series=2000000: expected at most 1000000; unknown option tll; did you mean ttl?"
)]
fn what_is_wrong_with_a_url_is_said(#[case] url: &str, #[case] complaint: &str) {
    let said = check(url, Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
    assert!(said.contains(complaint), "{said}");
}
