//! etcd over TLS, and with users that may not do everything.

use etcd_client::{Client, Permission, PermissionType};
use nephoscope::coordination::{CoordinationError, Coordinator, EtcdGroup, EtcdOptions, MemberRecord};
use rstest::rstest;
use std::time::Duration;

use super::assert_says;
use super::certificates::Authority;
use crate::field::{self, Folder};
use crate::rig::{self, Etcd, Generation, Own};

/// An etcd that also listens for TLS, on a port of its own, with the certificate in `server.pem`, and wants a client's.
pub(crate) fn with_tls(folder: &Folder, authority: &Authority, generation: Generation) -> (Own<Etcd>, u16) {
    let port = field::free_port();
    let at = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let arguments = format!(
        "--listen-client-urls http://127.0.0.1:PORT,https://127.0.0.1:{port} --cert-file {} --key-file {} \
         --trusted-ca-file {} --client-cert-auth",
        at("server.pem"),
        at("server.key"),
        authority.file,
    );
    (rig::own_etcd_with(generation, &arguments), port)
}

/// A client's certificates, as the options of a URL.
fn query(ca: &str, identity: Option<&(String, String)>) -> String {
    let identity = identity.map_or_else(String::new, |(cert, key)| format!("&cert_cert={cert}&cert_key={key}"));
    format!("ca_cert={ca}{identity}")
}

fn group(url: &str) -> EtcdGroup {
    EtcdGroup::new(EtcdOptions::parse(url).unwrap(), "security", Duration::from_secs(3))
}

fn record(id: &str) -> MemberRecord {
    MemberRecord {
        format: 1,
        id: id.to_owned(),
        host: "h".to_owned(),
        version: "1".to_owned(),
        weight: 1,
        config_digest: String::new(),
        ready: true,
        process: None,
    }
}

/// Why joining is refused; it must be refused, not away.
async fn refusal(url: &str) -> String {
    match group(url).join(record("a")).await {
        Err(CoordinationError::Refused { cause, .. }) => cause,
        Err(other) => panic!("{url}: not refused, but: {other}"),
        Ok(_) => panic!("{url}: joined"),
    }
}

#[rstest]
#[tokio::test]
async fn security_etcd_wants_certificates(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let folder = Folder::new(&format!("etcd-tls-{}", generation.number()));
    let authority = Authority::new(&folder.file(""), "authority");
    let stranger = Authority::new(&folder.file(""), "stranger");
    authority.sign("server", &["127.0.0.1"]);
    let (etcd, port) = with_tls(&folder, &authority, generation);
    let client = authority.sign("client", &[]);
    let good = query(&authority.file, Some(&client));
    let at = |query: &str| format!("etcd3+https://127.0.0.1:{port}?{query}");

    let member = group(&at(&good)).join(record("a")).await.unwrap();
    assert!(member.claim("u").await.unwrap().is_some());
    member.leave().await;
    // The members of two ways are one group.
    let plain = group(&format!("etcd3://{}", etcd.endpoint));
    assert!(plain.view().await.unwrap().members.is_empty());

    // Who we take etcd for.
    let why = refusal(&at(&query(&stranger.file, Some(&client)))).await;
    assert_says(&why, &["not trusted", "set ca_cert in [coordination] backend_url"]);
    let why = refusal(&format!("etcd3+https://localhost:{port}?{good}")).await;
    assert_says(&why, &["for another name than localhost", "127.0.0.1", "[coordination] backend_url"]);

    // Who etcd takes us for.
    let why = refusal(&at(&query(&authority.file, None))).await;
    assert_says(&why, &["etcd wants a client certificate", "set cert_cert and cert_key"]);
    let foreign = stranger.sign("foreign", &[]);
    let why = refusal(&at(&query(&authority.file, Some(&foreign)))).await;
    assert_says(&why, &["does not take the client certificate", "cert_cert"]);
    let old = authority.sign_expired("old-client", &[]);
    let why = refusal(&at(&query(&authority.file, Some(&old)))).await;
    assert_says(&why, &["client certificate"]);

    // A port of the other kind.
    let why = refusal(&format!("etcd3+https://{}?{good}", etcd.endpoint)).await;
    assert_says(&why, &["the port does not speak TLS", "etcd3+http://"]);
    let why = refusal(&format!("etcd3+http://127.0.0.1:{port}")).await;
    assert_says(&why, &["the port speaks TLS", "etcd3+https://"]);

    // Files that cannot be used; nobody is asked.
    let why = refusal(&format!("etcd3+https://127.0.0.1:1?{}", query("/nowhere.pem", None))).await;
    assert_says(&why, &["cannot read ca_cert /nowhere.pem", "correct the path"]);
    let mixed = (client.0.clone(), foreign.1.clone());
    let why = refusal(&format!("etcd3+https://127.0.0.1:1?{}", query(&authority.file, Some(&mixed)))).await;
    assert_says(&why, &["cannot use cert_key", "not the key of the certificate in cert_cert"]);

    // The same server with a certificate that has expired.
    authority.sign_expired("server", &["127.0.0.1"]);
    let why = refusal(&at(&good)).await;
    assert_says(&why, &["the certificate of etcd has expired", "renew it"]);
}

#[rstest]
#[tokio::test]
async fn security_etcd_knows_users(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let etcd = rig::own_etcd_of(generation);
    let at = |user: &str| format!("etcd3://{user}{}", etcd.endpoint);
    let why = refusal(&at("root:secret@")).await;
    assert_says(&why, &["etcd has no users", "take user:password@ out"]);

    let mut admin = Client::connect([&etcd.endpoint], None).await.unwrap();
    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    for (user, prefix) in [("whole", "/nephoscope/security/"), ("other", "/elsewhere/")] {
        admin.role_add(user).await.unwrap();
        let all = Permission::new(PermissionType::Readwrite, prefix).with_prefix();
        admin.role_grant_permission(user, all).await.unwrap();
        admin.user_add(user, "secret", None).await.unwrap();
        admin.user_grant_role(user, user).await.unwrap();
    }
    admin.auth_enable().await.unwrap();

    let member = group(&at("whole:secret@")).join(record("m")).await.unwrap();
    assert!(member.claim("u").await.unwrap().is_some());

    let why = refusal(&at("whole:another@")).await;
    assert_says(&why, &["user whole may not log in", "wrong user or password", "correct user:password"]);
    assert!(!why.contains("another"), "{why}");
    let why = refusal(&at("nobody:secret@")).await;
    assert_says(&why, &["user nobody may not log in"]);
    let why = refusal(&at("")).await;
    assert_says(&why, &["etcd wants a user", "user:password@"]);
    let why = refusal(&at("other:secret@")).await;
    assert_says(&why, &["no right", "etcdctl role grant-permission", "/nephoscope/security/"]);
    let viewed = group(&at("other:secret@")).view().await;
    assert!(matches!(viewed, Err(CoordinationError::Refused { .. })), "{viewed:?}");

    // etcd forgets who has logged in when it starts again: the member logs in again, and stays one.
    etcd.restart();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!member.lost().is_cancelled());
    assert!(member.claim("v").await.unwrap().is_some());
}
