//! The rig itself: what the other integration tests stand on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::rig::Generation;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use rstest::rstest;

/// Does something speak AMQP 0-9-1 on this port?
fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut first = [0; 1];
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    stream.read_exact(&mut first).is_ok() && first == [1]
}

/// A machine under load answers late.
fn comes_to_speak_amqp(port: u16) -> bool {
    (0..20).any(|_| speaks_amqp(port))
}

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The version that an etcd says it has.
fn etcd_version(port: u16) -> String {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn two_askers_get_the_same_shared_servers_and_generations_are_different_releases() {
    let of = |generation| (rig::rabbitmq_of(generation), rig::etcd_of(generation));
    let askers: Vec<_> = [Generation::Three, Generation::Four, Generation::Three, Generation::Four]
        .map(|generation| std::thread::spawn(move || of(generation)))
        .into();
    let served: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    let ports: Vec<_> = served.iter().map(|(rabbit, etcd)| (rabbit.port, etcd.port)).collect();
    assert!(
        ports[0] == ports[2] && ports[1] == ports[3] && ports[0].0 != ports[1].0 && ports[0].1 != ports[1].1,
        "{ports:?}"
    );
    for ((rabbit, etcd), releases) in served.iter().zip([["3.1", "3.4."], ["4.", "3.5."]]) {
        assert!(comes_to_speak_amqp(rabbit.port));
        let release = rabbit.ctl(&["version"]);
        assert!(release.starts_with(releases[0]), "{release}");
        let release = etcd_version(etcd.port);
        assert!(release.contains(&format!("\"etcdserver\":\"{}", releases[1])), "{release}");
    }
}

/// OpenStack's main queues are such by default.
#[tokio::test]
async fn a_transient_queue_is_denied_by_rabbitmq_4_but_on_the_node_that_allows_what_is_deprecated() {
    let declared = async |rabbit: rig::Rabbit| {
        let connection = Connection::connect(&rabbit.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let name = format!("transient-{}", std::process::id());
        channel.queue_declare(name.into(), QueueDeclareOptions::default(), FieldTable::default()).await
    };
    for generation in Generation::ALL {
        declared(rig::rabbitmq_with_deprecated(generation)).await.unwrap();
    }
    declared(rig::rabbitmq()).await.unwrap();
    let refused = declared(rig::rabbitmq_of(Generation::Four)).await.unwrap_err().to_string();
    assert!(refused.contains("transient_nonexcl_queues"), "{refused}");
}

#[rstest]
fn an_own_broker_is_frozen_thawed_killed_and_started_again_on_the_same_port_with_its_configuration(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let broker = rig::own_rabbitmq_with(generation, "channel_max = 77");
    let port = broker.port;
    assert!(comes_to_speak_amqp(port));
    broker.freeze();
    assert!(!speaks_amqp(port), "frozen: it accepts and never answers");
    broker.thaw();
    assert!(comes_to_speak_amqp(port), "thawed");
    broker.kill();
    assert!(!accepts(port));
    broker.start();
    assert!(comes_to_speak_amqp(port), "started again");
    assert!(broker.ctl(&["environment"]).contains("{channel_max,77}"));
    drop(broker);
    assert!(!accepts(port), "the guard removed it");
}

#[rstest]
fn an_own_etcd_is_killed_and_started_again_on_the_same_port(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let etcd = rig::own_etcd_of(generation);
    let port = etcd.port;
    etcd.kill();
    assert!(!accepts(port));
    etcd.start();
    assert!(accepts(port));
    drop(etcd);
    assert!(!accepts(port), "the guard removed it");
}

#[test]
fn two_tests_ask_for_a_server_of_their_own_at_once() {
    let (one, other) = (rig::own_etcd(), rig::own_etcd());
    assert_ne!(one.port, other.port);
}

#[rstest]
fn one_member_of_a_cluster_of_three_is_killed(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let cluster = rig::etcd_cluster_of(generation);
    cluster.members[0].kill();
    assert!(!accepts(cluster.members[0].port));
    assert!(accepts(cluster.members[1].port) && accepts(cluster.members[2].port));
    cluster.members[0].start();
    assert!(accepts(cluster.members[0].port));
}

#[test]
fn gnocchi_is_killed_and_started_again_with_what_it_knew() {
    let Some(gnocchi) = rig::own_gnocchi(rig::Metricd::Runs) else { return };
    let port: u16 = gnocchi.url.rsplit(':').next().unwrap().parse().unwrap();
    let ask = |request: String| {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let head = "HTTP/1.0\r\nAuthorization: basic YWRtaW46\r\nContent-Type: application/json\r\n";
    let body = r#"{"name": "mine"}"#;
    let made = ask(format!("POST /v1/resource_type {head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert!(made.lines().next().is_some_and(|first| first.contains(" 201 ")), "{made}");
    gnocchi.kill();
    assert!(!accepts(port));
    gnocchi.start();
    let found = ask(format!("GET /v1/resource_type/mine {head}\r\n"));
    assert!(found.contains(r#""name": "mine""#), "{found}");
    drop(gnocchi);
    assert!(!accepts(port), "the guard removed it");
}

#[test]
fn prometheus_and_a_pushgateway_are_started_and_removed() {
    let (Some(prometheus), Some(gateway)) = (rig::own_prometheus(""), rig::own_pushgateway()) else { return };
    let ports = [&prometheus.url, &gateway.url].map(|url| url.rsplit(':').next().unwrap().parse().unwrap());
    assert!(ports.iter().all(|port| accepts(*port)));
    drop((prometheus, gateway));
    assert!(!ports.iter().any(|port| accepts(*port)), "the guards removed them");
}
