//! The rig itself: what the other integration tests stand on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Does something speak AMQP 0-9-1 on this port?
fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut first = [0; 1];
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    stream.read_exact(&mut first).is_ok() && first == [1]
}

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn two_askers_get_the_same_shared_servers() {
    let askers: Vec<_> = (0..2).map(|_| std::thread::spawn(|| (rig::rabbitmq().port, rig::etcd().port))).collect();
    let ports: Vec<_> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    assert_eq!(ports[0], ports[1]);
    assert!(speaks_amqp(ports[0].0));
    assert!(accepts(ports[0].1));
}

#[test]
fn an_own_broker_is_frozen_thawed_killed_and_started_again_on_the_same_port() {
    let broker = rig::own_rabbitmq();
    let port = broker.port;
    assert!(speaks_amqp(port));
    broker.freeze();
    assert!(!speaks_amqp(port), "frozen: it accepts and never answers");
    broker.thaw();
    assert!(speaks_amqp(port));
    broker.kill();
    assert!(!accepts(port));
    broker.start();
    assert!(speaks_amqp(port));
    drop(broker);
    assert!(!accepts(port), "the guard removed it");
}

#[test]
fn an_own_etcd_is_killed_and_started_again_on_the_same_port() {
    let etcd = rig::own_etcd();
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

#[test]
fn one_member_of_a_cluster_of_three_is_killed() {
    let cluster = rig::etcd_cluster();
    cluster.members[0].kill();
    assert!(!accepts(cluster.members[0].port));
    assert!(accepts(cluster.members[1].port) && accepts(cluster.members[2].port));
    cluster.members[0].start();
    assert!(accepts(cluster.members[0].port));
}
