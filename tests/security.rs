//! What an agent is told by servers that want certificates, users and rights, and how little it needs to go on: RabbitMQ and
//! etcd over TLS and with users, and a process that has no file descriptors left.
//!
//! Certificates are made anew by each test. Every refusal is asked for its cause and for what to do about it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "security/certificates.rs"]
mod certificates;
#[path = "security/descriptors.rs"]
mod descriptors;
#[path = "security/etcd.rs"]
mod etcd;
#[path = "security/rabbitmq.rs"]
mod rabbitmq;

/// The text names the cause and what to do, in the operator's words.
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not said: {text}");
    }
}
