//! The broker of the bench, and the main queues in it.

use crate::rig;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};

/// The exchange that all notifications are sent to.
const EXCHANGE: &str = "nova";

/// RabbitMQ and etcd of this checkout.
pub(crate) struct Broker {
    pub(crate) rabbit: rig::Rabbit,
    pub(crate) etcd: rig::Etcd,
    /// The process of RabbitMQ.
    pub(crate) pid: u32,
    channel: Channel,
}

impl Broker {
    pub(crate) async fn connect() -> Self {
        let (rabbit, etcd) = (rig::rabbitmq(), rig::etcd());
        let pid = rabbit.ctl(&["eval", "os:getpid()."]).trim().trim_matches('"').parse().unwrap();
        let connection = Connection::connect(&rabbit.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let exchange = channel.exchange_declare(
            EXCHANGE.into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        );
        exchange.await.unwrap();
        // The connection lives as long as its channel's last user: the process.
        std::mem::forget(connection);
        Broker { rabbit, etcd, pid, channel }
    }

    /// Fresh main queues, as oslo.messaging declares them, with these notifications in turn.
    pub(crate) async fn fill(&self, queues: &[String], notifications: impl Iterator<Item = Vec<u8>>) {
        for queue in queues {
            self.delete(queue).await;
            let declared = QueueDeclareOptions::default();
            self.channel.queue_declare(queue.as_str().into(), declared, FieldTable::default()).await.unwrap();
            let bound = QueueBindOptions::default();
            let (key, none) = (queue.as_str(), FieldTable::default());
            self.channel.queue_bind(key.into(), EXCHANGE.into(), key.into(), bound, none).await.unwrap();
        }
        let mut confirms = Vec::new();
        for (body, queue) in notifications.zip(queues.iter().cycle()) {
            confirms.push(self.send(queue, &body).await);
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }

    /// Hands one notification to the broker.
    pub(crate) async fn send(&self, queue: &str, body: &[u8]) -> PublisherConfirm {
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        self.channel.basic_publish(EXCHANGE.into(), queue.into(), options, body, properties).await.unwrap()
    }

    /// Messages ready in these queues.
    pub(crate) async fn ready(&self, queues: &[String]) -> usize {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let mut ready = 0;
        for queue in queues {
            let declared = self.channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
            ready += declared.await.unwrap().message_count() as usize;
        }
        ready
    }

    /// Removes a queue, if it is there.
    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
}
