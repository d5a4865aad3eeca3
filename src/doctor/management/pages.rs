//! The pages of the management API, as far as they are read. What is missing in them has a default: versions differ.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// RabbitMQ writes an object without members as an empty list here and there: whatever is no such object is an empty one.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// `/api/overview`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Overview {
    /// Whether there are no statistics.
    pub disable_stats: bool,
}

/// One of `/api/nodes`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Node {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// The nodes that it does not see.
    pub partitions: Vec<String>,
}

/// `/api/health/checks/alarms`, where there are alarms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Alarms {
    /// `failed`.
    pub status: String,
    /// Each with what it is of.
    pub alarms: Vec<Alarm>,
}

/// An alarm.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Alarm {
    /// The node that has it.
    pub node: String,
    /// `memory` or `disk`.
    pub resource: String,
}

/// One of `/api/feature-flags`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct FeatureFlag {
    /// Its name.
    pub name: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// `stable`, `required` or `experimental`.
    pub stability: String,
}

/// `/api/vhosts/<vhost>`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Vhost {
    /// `undefined`, `classic`, `quorum` …
    pub default_queue_type: Option<String>,
}

/// `/api/permissions/<vhost>/<user>`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Permissions {
    /// A regular expression of names.
    pub configure: String,
    /// The same.
    pub write: String,
    /// The same.
    pub read: String,
}

/// One of `/api/exchanges/<vhost>`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Exchange {
    /// `topic`, `fanout` …
    #[serde(rename = "type")]
    pub kind: String,
}

/// A page of `/api/queues/<vhost>`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct QueuePage {
    /// Its queues.
    pub items: Vec<Queue>,
    /// How many pages there are.
    pub page_count: u64,
}

/// A queue.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Queue {
    /// Its name.
    pub name: String,
    /// `classic`, `quorum` or `stream`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Whether it is one connection's.
    pub exclusive: bool,
    /// `x-…`.
    #[serde(deserialize_with = "object")]
    pub arguments: Map<String, Value>,
    /// How many messages; nothing where there are no statistics yet.
    pub messages: Option<u64>,
    /// How many consumers; the same.
    pub consumers: Option<u64>,
}

/// `/api/queues/<vhost>/<queue>`, for its consumers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct QueueDetails {
    /// Who consumes it.
    pub consumer_details: Vec<Consumer>,
}

/// A consumer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Consumer {
    /// Its channel.
    #[serde(deserialize_with = "object")]
    pub channel_details: ChannelDetails,
}

/// The channel of a consumer.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct ChannelDetails {
    /// The name of the connection in paths: `127.0.0.1:1 -> 127.0.0.1:2`.
    pub connection_name: String,
    /// Where it comes from.
    pub peer_host: String,
    /// Who it is.
    pub user: String,
}

/// `/api/connections/<name>`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct Connection {
    /// What the program says of itself.
    #[serde(deserialize_with = "object")]
    pub client_properties: ClientProperties,
}

/// What a program says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::doctor) struct ClientProperties {
    /// `ceilometer-agent-notification:123:…`.
    pub connection_name: Option<String>,
    /// The library.
    pub product: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_without_statistics_has_a_list_for_its_channel() {
        let page = r#"{"consumer_details": [{"channel_details": []}], "messages": 3}"#;
        let read: QueueDetails = serde_json::from_str(page).unwrap();
        assert_eq!(read.consumer_details[0].channel_details.user, "");
    }
}
