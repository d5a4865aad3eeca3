//! What an etcd tells about itself and about a user's rights to somebody who changes nothing there.
//!
//! Whether the user may write is asked by a transaction that would write if its condition were false, and that has none: etcd looks at
//! the rights for everything in it, and does nothing of it.

use etcd_client::{AlarmAction, AlarmType, Client, GetOptions, Txn, TxnOp};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Backend, EtcdGroup};
use crate::coordination::CoordinationError;

/// Reads whose median time is told.
const READS: usize = 9;

/// What etcd tells.
#[derive(Debug)]
pub struct EtcdLook {
    /// Each endpoint, `http://host:port`, with what it tells of itself, or why it does not.
    pub endpoints: Vec<(String, Result<EndpointLook, CoordinationError>)>,
    /// The alarms of the whole etcd: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// Whether the user may read the keys of the group.
    pub read: Result<(), CoordinationError>,
    /// Whether the user may write them.
    pub write: Result<(), CoordinationError>,
}

/// What one endpoint tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLook {
    /// Its version, such as `3.5.16`.
    pub version: String,
    /// Whether it has a leader.
    pub has_leader: bool,
    /// The median time of a linearizable read; nothing where the user may not read.
    pub read_takes: Option<Duration>,
}

impl EtcdGroup {
    /// Looks at every endpoint, and at the user's rights on the group's keys.
    pub async fn look(&self) -> EtcdLook {
        let backend = &self.backend;
        let endpoints = backend.options.endpoints.iter().map(async |endpoint| {
            let alone = backend.at(endpoint);
            (endpoint.clone(), alone.look().await)
        });
        let (endpoints, alarms, read, write) =
            tokio::join!(join_all(endpoints), backend.alarms(), backend.may_read(), backend.may_write());
        EtcdLook { endpoints, alarms, read, write }
    }
}

impl Backend {
    /// The same with one endpoint, over a connection of its own.
    fn at(&self, endpoint: &str) -> Backend {
        let mut options = (*self.options).clone();
        options.endpoints = vec![endpoint.to_owned()];
        Backend {
            name: options.to_string().into(),
            options: Arc::new(options),
            client: Arc::new(OnceCell::new()),
            ..self.clone()
        }
    }

    async fn look(&self) -> Result<EndpointLook, CoordinationError> {
        let status = self.call(async |mut client: Client| client.status().await).await;
        let status = status.map_err(|failure| failure.of(self, ""))?;
        let (version, has_leader) = (status.version().to_owned(), status.leader() != 0);
        let mut times = Vec::new();
        for _ in 0..READS {
            let began = Instant::now();
            if !has_leader || self.may_read().await.is_err() {
                break;
            }
            times.push(began.elapsed());
        }
        times.sort();
        let read_takes = times.get(READS / 2).copied().filter(|_| times.len() == READS);
        Ok(EndpointLook { version, has_leader, read_takes })
    }

    /// Nothing where etcd does not say: that it does not answer shows elsewhere.
    async fn alarms(&self) -> Vec<String> {
        let ask = async |mut client: Client| client.alarm(AlarmAction::Get, AlarmType::None, None).await;
        let Ok(answer) = self.call(ask).await else { return Vec::new() };
        let name = |alarm: AlarmType| match alarm {
            AlarmType::None => None,
            AlarmType::Nospace => Some("NOSPACE"),
            AlarmType::Corrupt => Some("CORRUPT"),
        };
        let mut alarms: Vec<String> =
            answer.alarms().iter().filter_map(|of| name(of.alarm())).map(str::to_owned).collect();
        alarms.sort();
        alarms.dedup();
        alarms
    }

    async fn may_read(&self) -> Result<(), CoordinationError> {
        let options = GetOptions::new().with_range(self.keys.root_end()).with_limit(1).with_keys_only();
        let read = async |mut client: Client| client.get(self.keys.root(), Some(options.clone())).await;
        self.call(read).await.map(drop).map_err(|failure| failure.of(self, ""))
    }

    async fn may_write(&self) -> Result<(), CoordinationError> {
        let keys = &self.keys;
        let written =
            [keys.member("doctor"), keys.owner("doctor"), keys.spec(), keys.history("doctor"), keys.pin("doctor")];
        let ask = async |mut client: Client| {
            // Without a condition it succeeds, so what it would do else is not done.
            let puts: Vec<TxnOp> = written.iter().map(|key| TxnOp::put(key.clone(), "", None)).collect();
            client.txn(Txn::new().or_else(puts)).await
        };
        self.call(ask).await.map(drop).map_err(|failure| failure.of(self, ""))
    }
}
