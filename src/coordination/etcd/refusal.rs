//! The meaning of a failed request to etcd: refused (a person must act) or away (it is tried again).

use etcd_client::Error;
use futures_util::future::join_all;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Backend;
use crate::coordination::CoordinationError;
use crate::tls::{self, Checked, ETCD};

/// `EMFILE` and `ENFILE`: this process, or the machine, has no descriptor left.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Sorts an error of the client.
pub(super) async fn sort(backend: &Backend, error: &Error) -> CoordinationError {
    let sorted = by_its_words(backend, error);
    if !matches!(sorted, CoordinationError::Away { .. }) || is_its_answer(error) {
        return sorted;
    }
    // One that is not there, or that is starting, says the same as one that refuses: so all are asked, at once.
    let places = backend.options.endpoints.iter().filter_map(|endpoint| place(endpoint));
    let asked = join_all(places.map(|(host, port)| ask(backend, host, port))).await;
    asked.into_iter().flatten().next().map_or(sorted, |why| backend.refused(why))
}

/// Whether etcd itself says it, and not the way to it.
fn is_its_answer(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().starts_with("etcdserver:"))
}

/// Why an endpoint would refuse us, or we it; `None` if it would not, or does not answer.
async fn ask(backend: &Backend, host: &str, port: u16) -> Option<String> {
    match &backend.options.tls {
        // It speaks what we speak.
        None if backend.answered.load(Ordering::Relaxed) => None,
        None => tls::speaks_tls(host, port).await.then(|| format!("the port speaks TLS; {}", ETCD.with_tls)),
        Some(of) => {
            let config = of.check().ok().and_then(Checked::client_config)?;
            match tls::refusal(Arc::new(config), host, port, &ETCD, of.identity.is_some()).await {
                // It hangs up at once on who speaks TLS to it, and says nothing.
                None if tls::speaks_plain_http2(host, port).await => {
                    Some(format!("the port does not speak TLS; {}", ETCD.without_tls))
                }
                why => why,
            }
        }
    }
}

fn by_its_words(backend: &Backend, error: &Error) -> CoordinationError {
    let cause: &(dyn std::error::Error + 'static) = match error {
        Error::GRpcStatus(status) => {
            if let Some(why) = answer(backend, status.message()) {
                return backend.refused(why);
            }
            // Where the call did not get there, its message is the cause in the form for programmers.
            status.source().unwrap_or(status)
        }
        Error::TransportError(cause) => cause,
        Error::IoError(cause) => cause,
        other => other,
    };
    if let Some(of) = &backend.options.tls
        && let Some(why) = tls::explain(cause, &ETCD, of.identity.is_some())
    {
        return backend.refused(why);
    }
    let mut text = tls::chain(cause);
    if os_error(cause).is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code)) {
        text.push_str("; raise the limit of open files of this process (LimitNOFILE= of its unit, ulimit -n)");
    }
    backend.away(text)
}

/// What etcd's own answer means, if a person must act.
fn answer(backend: &Backend, text: &str) -> Option<String> {
    let user = backend.options.user.as_ref().map(|(user, _)| user.as_str());
    let root = backend.keys.root();
    let is = |what: &str| text.contains(what);
    if is("invalid user ID or password") {
        let user = user.unwrap_or_default();
        return Some(format!(
            "user {user} may not log in: wrong user or password ({text}); correct user:password in [coordination] backend_url"
        ));
    }
    if is("user name is empty") || (user.is_none() && is("invalid auth token")) {
        return Some(format!(
            "etcd wants a user, and none is given ({text}); write etcd3+http://user:password@… in [coordination] backend_url"
        ));
    }
    if is("authentication is not enabled") {
        return Some(format!(
            "etcd has no users ({text}); take user:password@ out of [coordination] backend_url, or let etcd have users \
             (etcdctl auth enable)"
        ));
    }
    if is("permission denied") {
        let root = String::from_utf8_lossy(root);
        return Some(format!(
            "the user has no right to do that ({text}); let a role of it read and write the group's keys: etcdctl role \
             grant-permission ROLE --prefix=true readwrite {root}"
        ));
    }
    None
}

/// Host and port of `scheme://host:port`; IPv6 without brackets.
fn place(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.split_once("://")?.1.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

/// The system's number of an error at the bottom of a chain.
fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{EtcdGroup, EtcdOptions};
    use crate::coordination::Coordinator;
    use std::net::TcpListener;
    use std::time::Duration;

    #[tokio::test]
    async fn an_etcd_that_is_not_there_is_said_in_words() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = EtcdOptions::parse(&format!("etcd3+http://127.0.0.1:{port}")).unwrap();
        let said = EtcdGroup::new(options, "group", Duration::from_secs(5)).view().await.unwrap_err().to_string();
        assert!(said.contains("Connection refused") && !said.contains("Error("), "{said}");
    }
}
