//! TLS as a client has it: the certificate files of an operator, what a failed handshake means, what a port speaks.
//!
//! One vocabulary for RabbitMQ and etcd: what is said here names the cause, and the setting to change in the words of
//! the side that it is about ([`Words`]). Never here: connections. Who connects asks this room before and after.

mod files;
mod handshake;
mod probe;

pub use files::{Checked, Files};
pub use handshake::explain;
pub use probe::{refusal, speaks_plain_http2, speaks_tls};

/// What one side calls its settings.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Who is at the other end.
    pub server: &'static str,
    /// Where the settings are.
    pub place: &'static str,
    /// The authorities that a server's certificate must descend from.
    pub authority: &'static str,
    /// The client's certificate.
    pub certificate: &'static str,
    /// The client's key.
    pub key: &'static str,
    /// What to do where the server speaks TLS and the client does not.
    pub with_tls: &'static str,
    /// What to do where the client speaks TLS and the server does not.
    pub without_tls: &'static str,
    /// What to do about a certificate for another name.
    pub rename: &'static str,
}

/// RabbitMQ: `[oslo_messaging_rabbit]`, or the options of a transport URL.
pub const RABBITMQ: Words = Words {
    server: "the broker",
    place: "[oslo_messaging_rabbit]",
    authority: "ssl_ca_file",
    certificate: "ssl_cert_file",
    key: "ssl_key_file",
    with_tls: "set [oslo_messaging_rabbit] ssl = true, or give the port without TLS in transport_url (5672)",
    without_tls: "set [oslo_messaging_rabbit] ssl = false, or give the port with TLS in transport_url (5671)",
    rename: "give a name that is in it in transport_url, or set [oslo_messaging_rabbit] \
             ssl_enforce_hostname_verification = false",
};

/// etcd: the options behind the `?` of `[coordination] backend_url`.
pub const ETCD: Words = Words {
    server: "etcd",
    place: "[coordination] backend_url",
    authority: "ca_cert",
    certificate: "cert_cert",
    key: "cert_key",
    with_tls: "write etcd3+https:// in [coordination] backend_url",
    without_tls: "write etcd3+http:// in [coordination] backend_url",
    rename: "give a name that is in it in [coordination] backend_url",
};

/// An error with all that caused it, in one line: the chain that libraries hide behind their first word.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let further = error.to_string();
        if !text.contains(&further) {
            text = format!("{text}: {further}");
        }
        next = error.source();
    }
    text
}
