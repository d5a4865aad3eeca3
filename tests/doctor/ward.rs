//! A RabbitMQ of its own that is brought into states over its management API.

use serde_json::{Value, json};

use crate::rig::{self, Generation, Own, Rabbit};

/// A node with its management API, and a way to bring it into a state.
pub(super) struct Ward {
    pub(super) node: Own<Rabbit>,
    web: reqwest::Client,
}

impl Ward {
    pub(super) fn new(generation: Generation, more: &str) -> Ward {
        let _there = rustls::crypto::ring::default_provider().install_default();
        let node = rig::own_rabbitmq_with(generation, &format!("# rig: management\n{more}"));
        Ward { node, web: reqwest::Client::new() }
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: &Value) -> String {
        let url = format!("{}/api/{path}", self.node.management());
        let request = self.web.request(method, &url).basic_auth("guest", Some("guest"));
        let reply = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {text}");
        text
    }

    pub(super) async fn put(&self, path: &str, body: Value) {
        self.ask(reqwest::Method::PUT, path, &body).await;
    }

    /// A fresh virtual host, with every right of guest.
    pub(super) async fn vhost(&self, name: &str) -> String {
        self.put(&format!("vhosts/{name}"), json!({})).await;
        self.rights("guest", name, [".*", ".*", ".*"]).await;
        format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.node.port)
    }

    pub(super) async fn rights(&self, user: &str, vhost: &str, [configure, write, read]: [&str; 3]) {
        let rights = json!({"configure": configure, "write": write, "read": read});
        self.put(&format!("permissions/{vhost}/{user}"), rights).await;
    }

    pub(super) async fn user(&self, name: &str, tags: &str) {
        self.put(&format!("users/{name}"), json!({"password": "secret", "tags": tags})).await;
    }

    pub(super) async fn queue(&self, vhost: &str, name: &str, durable: bool, arguments: Value) {
        self.put(&format!("queues/{vhost}/{name}"), json!({"durable": durable, "arguments": arguments})).await;
    }

    pub(super) async fn policy(&self, vhost: &str, name: &str, pattern: &str, definition: Value) {
        let policy = json!({"pattern": pattern, "definition": definition, "apply-to": "queues", "priority": 1});
        self.put(&format!("policies/{vhost}/{name}"), policy).await;
    }

    /// Everything that is declared in a virtual host.
    pub(super) async fn declared(&self, vhost: &str) -> String {
        let columns =
            "columns=name,durable,auto_delete,arguments,type,source,destination,routing_key,pattern,definition";
        let mut all = String::new();
        for what in ["queues", "exchanges", "bindings", "policies"] {
            all += &self.ask(reqwest::Method::GET, &format!("{what}/{vhost}?{columns}"), &Value::Null).await;
        }
        all
    }
}
