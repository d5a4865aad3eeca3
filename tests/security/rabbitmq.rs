//! RabbitMQ over TLS, and with users that may not do everything.

use rstest::rstest;
use std::path::PathBuf;

use nephoscope::transport::{
    AmqpBroker, AmqpHost, AmqpOptions, Broker, Exchange, Login, Outgoing, Queue, Session, TlsOptions, Topology,
    TransportError,
};

use super::assert_says;
use super::certificates::Authority;
use crate::field::{self, Folder, TO_FILES, Wire, notification, until_out};
use crate::rig::{self, Generation, Own, Rabbit};

/// A RabbitMQ that also listens for TLS, on a port of its own, with the certificate in `server.pem`, and wants a client's.
fn with_tls(folder: &Folder, authority: &Authority, generation: Generation) -> (Own<Rabbit>, u16) {
    let port = field::free_port();
    let at = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let conf = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true",
        authority.file,
        at("server.pem"),
        at("server.key"),
    );
    let broker = rig::own_rabbitmq_with(generation, &conf);
    // RabbitMQ 4 opens it after the plain one.
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    (broker, port)
}

/// What a client brings along.
fn options(host: &str, port: u16, tls: Option<TlsOptions>) -> AmqpOptions {
    AmqpOptions { tls, ..AmqpOptions::to_host(AmqpHost::guest(host, port), "/") }
}

fn tls(ca: &str, identity: Option<&(String, String)>) -> TlsOptions {
    TlsOptions {
        ca_file: Some(PathBuf::from(ca)),
        cert_file: identity.map(|(certificate, _)| PathBuf::from(certificate)),
        key_file: identity.map(|(_, key)| PathBuf::from(key)),
        verify_hostname: true,
    }
}

/// Why a connection is refused; it must be refused, not away.
async fn refusal(options: AmqpOptions) -> String {
    match AmqpBroker::new(options).connect().await {
        Err(TransportError::Refused(why)) => why,
        Err(other) => panic!("not refused, but: {other}"),
        Ok(session) => {
            // With TLS 1.3 a client learns after the handshake what the server thinks of it.
            let answer = session.inspect("nothing").await;
            panic!("connected, and then: {answer:?}")
        }
    }
}

#[rstest]
#[tokio::test]
async fn security_rabbitmq_wants_certificates(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let folder = Folder::new(&format!("rabbit-tls-{}", generation.number()));
    let authority = Authority::new(&folder.file(""), "authority");
    let stranger = Authority::new(&folder.file(""), "stranger");
    authority.sign("server", &["127.0.0.1"]);
    let (broker, port) = with_tls(&folder, &authority, generation);
    let client = authority.sign("client", &[]);
    let good = || tls(&authority.file, Some(&client));

    let session = AmqpBroker::new(options("127.0.0.1", port, Some(good()))).connect().await.unwrap();
    assert!(matches!(session.inspect("nothing").await, Err(TransportError::NoQueue(_))));
    session.close().await;

    // Who we take the broker for.
    let why = refusal(options("127.0.0.1", port, Some(tls(&stranger.file, Some(&client))))).await;
    assert_says(&why, &[&port.to_string(), "not trusted", "set ssl_ca_file in [oslo_messaging_rabbit]"]);
    let why = refusal(options("localhost", port, Some(good()))).await;
    assert_says(&why, &["for another name than localhost", "127.0.0.1", "transport_url"]);
    let careless = TlsOptions { verify_hostname: false, ..good() };
    AmqpBroker::new(options("localhost", port, Some(careless))).connect().await.unwrap().close().await;

    // Who the broker takes us for.
    let why = refusal(options("127.0.0.1", port, Some(tls(&authority.file, None)))).await;
    assert_says(&why, &["wants a client certificate", "set ssl_cert_file and ssl_key_file"]);
    let foreign = stranger.sign("foreign", &[]);
    let why = refusal(options("127.0.0.1", port, Some(tls(&authority.file, Some(&foreign))))).await;
    assert_says(&why, &["does not take the client certificate", "ssl_cert_file"]);
    let old = authority.sign_expired("old-client", &[]);
    let why = refusal(options("127.0.0.1", port, Some(tls(&authority.file, Some(&old))))).await;
    assert_says(&why, &["client certificate", "expired"]);

    // A port of the other kind.
    let why = refusal(options("127.0.0.1", broker.port, Some(good()))).await;
    assert_says(&why, &["the port does not speak TLS", "ssl = false", "5671"]);
    let why = refusal(options("127.0.0.1", port, None)).await;
    assert_says(&why, &["the port speaks TLS", "ssl = true"]);

    // The same server with a certificate that has expired.
    authority.sign_expired("server", &["127.0.0.1"]);
    broker.ctl(&["eval", "ssl:clear_pem_cache()."]);
    let why = refusal(options("127.0.0.1", port, Some(good()))).await;
    assert_says(&why, &["the certificate of the broker has expired", "renew it"]);
}

#[tokio::test]
async fn security_files_of_the_client_cannot_be_used() {
    let folder = Folder::new("client-files");
    let authority = Authority::new(&folder.file(""), "authority");
    let (one, two) = (authority.sign("one", &[]), authority.sign("two", &[]));
    folder.write("empty.pem", "");
    folder.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let at = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let (ca, key) = (authority.file.clone(), one.1.clone());
    for (ca, identity, words) in [
        (at("none.pem"), None, vec!["cannot read ssl_ca_file", "none.pem", "correct the path"]),
        (at("empty.pem"), None, vec!["cannot use ssl_ca_file", "no certificate in it"]),
        (at(""), None, vec!["cannot read ssl_ca_file", "it is no file"]),
        (key, None, vec!["cannot use ssl_ca_file", "no certificate in it"]),
        (
            ca.clone(),
            Some((one.0.clone(), two.1)),
            vec!["ssl_key_file", "not the key of the certificate in ssl_cert_file"],
        ),
        (ca.clone(), Some((one.0.clone(), one.0.clone())), vec!["cannot use ssl_key_file", "no key in it"]),
        (ca.clone(), Some((one.0, at("locked.key"))), vec!["ssl_key_file", "encrypted", "openssl pkey"]),
        (ca, Some((one.1.clone(), one.1)), vec!["cannot use ssl_cert_file", "no certificate in it"]),
    ] {
        // Nobody is asked: the port is nobody's.
        assert_says(&refusal(options("127.0.0.1", 1, Some(tls(&ca, identity.as_ref())))).await, &words);
    }
}

/// A user of the shared broker, with these rights in a virtual host: its name. One call, of a second, for all of it.
fn add_user(broker: &Rabbit, name: &str, vhost: &str, [configure, write, read]: &[&str; 3]) -> String {
    let user = format!("{name}-{}", std::process::id());
    broker.ctl(&[
        "eval",
        &format!(
            "rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"secret\">>, <<\"test\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{vhost}\">>, <<\"{configure}\">>, \
             <<\"{write}\">>, <<\"{read}\">>, <<\"test\">>)."
        ),
    ]);
    user
}

/// A user with every right in a fresh virtual host of the shared broker: the options to log in with.
fn user(broker: &Rabbit, name: &str) -> AmqpOptions {
    let url = broker.vhost(name);
    let vhost = url.rsplit('/').next().unwrap().to_owned();
    let username = add_user(broker, name, &vhost, &[".*", ".*", ".*"]);
    let host = AmqpHost { username, password: "secret".to_owned(), ..AmqpHost::guest("127.0.0.1", broker.port) };
    AmqpOptions::to_host(host, vhost)
}

async fn connected(options: &AmqpOptions) -> std::sync::Arc<dyn Session> {
    AmqpBroker::new(options.clone()).connect().await.unwrap()
}

fn queue(name: &str) -> Topology {
    let queue = Queue {
        name: name.to_owned(),
        durable: true,
        auto_delete: false,
        exclusive: false,
        arguments: std::collections::BTreeMap::new(),
        fallback_transient: false,
    };
    Topology { queues: vec![queue], ..Topology::default() }
}

#[rstest]
#[tokio::test]
async fn security_rabbitmq_refuses_a_user(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let broker = rig::rabbitmq_of(generation);
    let all = user(&broker, "all");
    let name = all.hosts[0].username.clone();
    connected(&all).await.close().await;

    for login in [Login::AmqPlain, Login::Plain] {
        let mut wrong = AmqpOptions { login, ..all.clone() };
        wrong.hosts[0].password = "another".to_owned();
        let why = refusal(wrong).await;
        assert_says(&why, &[&name, "wrong user or password", "correct user:password in transport_url"]);
        assert!(!why.contains("another"), "{why}");
    }
    let why = refusal(AmqpOptions { virtual_host: "nowhere".to_owned(), ..all.clone() }).await;
    assert_says(&why, &["there is no virtual host nowhere", "rabbitmqctl add_vhost nowhere"]);
    let why = refusal(AmqpOptions { virtual_host: "/".to_owned(), ..all.clone() }).await;
    assert_says(&why, &[&name, "may not use the virtual host /", "rabbitmqctl set_permissions -p / "]);
}

#[rstest]
#[tokio::test]
async fn security_rabbitmq_refuses_what_a_user_asks_for(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let broker = rig::rabbitmq_of(generation);
    let owner = user(&broker, "owner");
    connected(&owner).await.declare(&queue("q")).await.unwrap();
    let limited = async |name: &str, rights: &[&str; 3]| {
        let mut options = owner.clone();
        options.hosts[0].username = add_user(&broker, name, &owner.virtual_host, rights);
        connected(&options).await
    };
    let to_q = || Outgoing::to_queue("q", "x".into(), "text/plain");
    let refused = |what: &str, error: TransportError| match error {
        TransportError::Refused(why) => {
            assert_says(&why, &["the user has no right to do that", "rabbitmqctl set_permissions -p "]);
        }
        other => panic!("{what}: {other}"),
    };

    let session = limited("no-configure", &["", ".*", ".*"]).await;
    refused("declare a queue", session.declare(&queue("new")).await.unwrap_err());
    let exchange = Exchange { name: "x".to_owned(), durable: true, auto_delete: false, fallback_transient: false };
    let exchanges = Topology { exchanges: vec![exchange], ..Topology::default() };
    refused("declare an exchange", session.declare(&exchanges).await.unwrap_err());

    let session = limited("no-read", &[".*", ".*", ""]).await;
    let options = nephoscope::transport::ConsumeOptions {
        prefetch_messages: 1,
        exclusive: false,
        arguments: std::collections::BTreeMap::new(),
    };
    refused("consume", session.consume("q", options).await.err().unwrap());

    let session = limited("no-write", &[".*", "", ".*"]).await;
    for message in [to_q(), to_q().alone(), to_q()] {
        match session.publish(message).await.unwrap().wait().await {
            Err(TransportError::Rejected { why, too_large: false, .. }) => {
                assert_says(&why, &["the user has no right to do that", "rabbitmqctl set_permissions -p "]);
            }
            other => panic!("publish: {other:?}"),
        }
    }
    assert!(!session.over().is_cancelled(), "it is an answer to one message, and nothing else ends");
}

/// The command that `docs/rabbitmq.md` shows: configure, write, read.
fn rights_of_the_page() -> [String; 3] {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rabbitmq.md")).unwrap();
    let rights = page.lines().filter_map(|line| Some(line.strip_prefix("  '")?.split_once('\'')?.0.to_owned()));
    rights.collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn security_an_agent_works_with_the_rights_of_the_page() {
    let rights = rights_of_the_page();
    let broker = rig::rabbitmq_of(Generation::Four);
    let url = broker.vhost("limited");
    let vhost = url.rsplit('/').next().unwrap();
    let username = add_user(&broker, "limited", vhost, &[&rights[0], &rights[1], &rights[2]]);
    let place = format!("127.0.0.1:{}/{vhost}", broker.port);
    let folder = Folder::new("agent-rights");
    let etcd = rig::etcd().endpoint;
    let conf = format!(
        "[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\n[notification]\nworkload_partitioning = true\n\
         [coordination]\nbackend_url = etcd3://{etcd}"
    );
    folder.configure(&format!("amqp://{username}:secret@{place}"), &conf);
    folder.pipelines(&[TO_FILES.0, "notifier://"], &[TO_FILES.1, "notifier://"]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&format!("amqp://guest:guest@{place}")).await;
    assert!(wire.put("notifications.info", b"no notification", lapin::BasicProperties::default()).await);
    for n in 0..10 {
        assert!(wire.put("notifications.info", &notification(n), lapin::BasicProperties::default()).await);
    }
    until_out(&folder, &agent, 0..10).await;
    agent.until_it_says("agent.message.parked").await;
    agent.stop().await;
    assert_eq!(agent.said("refused for user"), 0, "{}", agent.log());
    assert!(wire.depth("metering.sample").await > 0 && wire.depth("event.sample").await > 0);
}

#[rstest]
#[tokio::test]
async fn security_an_agent_works_over_tls(#[values(Generation::Three, Generation::Four)] generation: Generation) {
    let folder = Folder::new(&format!("agent-tls-{}", generation.number()));
    let authority = Authority::new(&folder.file(""), "authority");
    authority.sign("server", &["127.0.0.1"]);
    let (certificate, key) = authority.sign("client", &[]);
    let (broker, port) = with_tls(&folder, &authority, generation);
    let (etcd, etcd_port) = super::etcd::with_tls(&folder, &authority, generation);
    let ca = &authority.file;
    let conf = format!(
        "[oslo_messaging_rabbit]\namqp_durable_queues = true\nssl = true\nssl_ca_file = {ca}\nssl_cert_file = {certificate}\nssl_key_file = {key}\n\
         [notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = \
         etcd3+https://127.0.0.1:{etcd_port}?ca_cert={ca}&cert_cert={certificate}&cert_key={key}"
    );
    folder.configure(&format!("amqp://guest:guest@127.0.0.1:{port}/"), &conf);
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&broker.url).await;
    for n in 0..10 {
        assert!(wire.put("notifications.info", &notification(n), lapin::BasicProperties::default()).await);
    }
    until_out(&folder, &agent, 0..10).await;
    assert_eq!(agent.said("unverified"), 0, "{}", agent.log());
    agent.stop().await;
    drop(etcd);
}
