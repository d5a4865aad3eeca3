//! States of a real etcd, and of the group in it.

use etcd_client::{AlarmAction, AlarmType, Client, Permission, PermissionType};
use nephoscope::coordination::{Coordinator, EtcdGroup, EtcdOptions, MemberRecord, Operation};
use rstest::rstest;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Seen, folder, nobody, seen};
use crate::field::Folder;
use crate::rig::{self, Generation};

/// A member's configuration; its broker is nobody's, and what is said of that is not looked at.
fn member(name: &str, authority: &str) -> Folder {
    let more = format!(
        "[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = etcd3://{authority}?timeout=3\n"
    );
    folder(name, "amqp://127.0.0.1:1/", &more)
}

async fn of(folder: &Folder) -> Seen {
    seen(folder, &[]).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_users_and_alarms_of_an_etcd(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let etcd = rig::own_etcd_of(generation);
    let number = generation.number();
    let sound = member(&format!("doctor-etcd-{number}"), &etcd.endpoint);
    let mut admin = Client::connect([&etcd.endpoint], None).await.unwrap();
    let revision = async |admin: &mut Client| admin.get("x", None).await.unwrap().header().unwrap().revision();
    let before = revision(&mut admin).await;
    let found = of(&sound).await;
    found.expect("etcd.version", &etcd.endpoint, if generation == Generation::Three { "3.4" } else { "3.5" });
    assert!(!found.bad().iter().any(|id| id.starts_with("etcd") || id.starts_with("clock")), "{:#?}", found.findings);
    assert_eq!(found.of("clock.unknown").len(), 0);
    assert_eq!(revision(&mut admin).await, before, "nothing is written");

    // With one endpoint away.
    let closed = nobody();
    let found =
        of(&member(&format!("doctor-endpoint-{number}"), &format!("127.0.0.1:{closed},{}", etcd.endpoint))).await;
    found.expect("etcd.endpoint.unreachable", &closed.to_string(), "systemctl start etcd");
    let found = of(&member(&format!("doctor-nowhere-{number}"), &format!("127.0.0.1:{closed}"))).await;
    found.expect("etcd.unreachable", &closed.to_string(), "backend_url");

    let alarm = admin.alarm(AlarmAction::Activate, AlarmType::Nospace, None);
    alarm.await.unwrap();
    let found = of(&sound).await;
    found.expect("etcd.alarm", &etcd.endpoint, "NOSPACE");
    assert_eq!(found.of("etcd.right.missing").len(), 0, "that etcd takes no writes is no right: {:#?}", found.findings);
    admin.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.unwrap();

    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    let users =
        [("whole", PermissionType::Readwrite), ("reader", PermissionType::Read), ("writer", PermissionType::Write)];
    for (user, permission) in users {
        admin.role_add(user).await.unwrap();
        let all = Permission::new(permission, "/nephoscope/").with_prefix();
        admin.role_grant_permission(user, all).await.unwrap();
        admin.user_add(user, "secret", None).await.unwrap();
        admin.user_grant_role(user, user).await.unwrap();
    }
    admin.auth_enable().await.unwrap();
    let at = |user: &str| member(&format!("doctor-{user}-{number}"), &format!("{user}:secret@{}", etcd.endpoint));
    for (user, missing) in [("whole", [false, false]), ("reader", [false, true]), ("writer", [true, false])] {
        let found = of(&at(user)).await;
        let rights = ["read /nephoscope/", "write /nephoscope/"].map(|right| {
            found.has(
                "etcd.right.missing",
                right,
                "etcdctl role grant-permission ROLE --prefix=true readwrite /nephoscope/",
            )
        });
        assert_eq!(rights, missing, "{user}: {:#?}", found.findings);
    }
    let wrong = member(&format!("doctor-wrong-{number}"), &format!("whole:other@{}", etcd.endpoint));
    of(&wrong).await.expect("etcd.refused", &etcd.endpoint, "wrong user or password");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_a_group() {
    let etcd = rig::etcd();
    let patient = member("doctor-group", &etcd.endpoint);
    let options = EtcdOptions::parse(&format!("etcd3://{}", etcd.endpoint)).unwrap();
    let group = EtcdGroup::new(options, &patient.name, Duration::from_secs(30));
    let record = |id: &str, ready: bool, digest: &str| MemberRecord {
        format: 1,
        id: id.to_owned(),
        host: format!("{id}.example"),
        version: "0.1.0".to_owned(),
        weight: 10,
        config_digest: digest.to_owned(),
        ready,
        process: None,
    };
    let one = group.join(record("one", true, "5d41")).await.unwrap();
    let two = group.join(record("two", false, "ffff")).await.unwrap();
    group.operate(&Operation::Pause).await.unwrap();
    let found = of(&patient).await;
    found.expect("group.paused", "the group", "nephoscope cluster resume");
    found.expect("group.member.not_ready", "two", "journalctl -u nephoscope on two.example");
    found.expect("group.configuration_differs", "the group", "one: 5d41, two: ffff");

    let mut client = Client::connect([&etcd.endpoint], None).await.unwrap();
    let key = format!("/nephoscope/{}/members/three", patient.name);
    client.put(key.clone(), r#"{"format":99}"#, None).await.unwrap();
    of(&patient).await.expect("group.unreadable", &key, "its format is 99");
    client.delete(key, None).await.unwrap();
    one.leave().await;
    two.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_a_leader() {
    let cluster = rig::etcd_cluster();
    cluster.members[1].kill();
    cluster.members[2].kill();
    // Until the one that is left has noticed.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let endpoint = &cluster.members[0].endpoint;
    let found = of(&member("doctor-leader", endpoint)).await;
    found.expect("etcd.no_leader", endpoint, "start the other members");
}

/// Passes everything on to a server, each piece later.
async fn slowed(to: String, by: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let ((mut from, mut into), (mut back, mut out)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut into).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    tokio::time::sleep(by).await;
                    if out.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_is_slow() {
    let port = slowed(rig::etcd().endpoint, Duration::from_millis(300)).await;
    let found = of(&member("doctor-slow", &format!("127.0.0.1:{port}"))).await;
    found.expect("etcd.slow", &port.to_string(), "a read takes");
}
