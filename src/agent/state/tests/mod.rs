//! Keepers over streams of the in-process broker.

mod logs;
mod owners;
mod upgrade;

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

use super::log::StreamLog;
use super::{Inherited, Keeper, Lost, Owner, QueueMemory};
use crate::agent::Clock;
use crate::agent::StateOptions;
use crate::agent::packets::packet::Fragment;
use crate::agent::runtime::troubles::Troubles;
use crate::cluster::hash;
use crate::model::{Dict, Node, Place, Receipt, Sample, SampleType, Value, json};
use crate::observe::{Board, Metrics};
use crate::pipeline::transform::{ChainOptions, Transformers};
use crate::pipeline::{Kind, Plan};
use crate::publish::Batch as Records;
use crate::state::{Record, RecordError, State, WindowBounds};
use crate::transport::{Broker, MemoryBroker, Outgoing, Session, Topology, topology};

const QUEUE: &str = "q";

fn deltas() -> Arc<Transformers> {
    let text = r#"{"sources": [{"name": "s", "meters": ["*"], "sinks": ["s"]}],
        "sinks": [{"name": "s", "publishers": ["test://"], "transformers":
            [{"name": "delta", "parameters": {"target": {"name": "growth"}}}]}]}"#;
    let node = Node::from_value(&json::read(text.as_bytes()).unwrap(), &Place { file: "p".into(), line: 1 });
    Arc::clone(&Plan::read(Kind::Samples, &node).unwrap().sinks[0].transformers)
}

fn options(log_bytes_max: usize) -> StateOptions {
    let window = WindowBounds { ids_kept: 100, age_ms: WindowBounds::AGE_MS, ids_max: 1_000 };
    StateOptions {
        log_bytes_max,
        segment_bytes: StateOptions::SEGMENT_BYTES,
        snapshot_after_bytes: StateOptions::SNAPSHOT_AFTER_BYTES,
        window,
        chain: ChainOptions::default(),
    }
}

/// The stream, and how it is written and read.
struct Lab {
    openings: std::cell::Cell<u64>,
    broker: MemoryBroker,
    session: Arc<dyn Session>,
    bytes_max: usize,
}

impl Lab {
    async fn new(bytes_max: usize) -> Lab {
        let broker = MemoryBroker::default();
        let session = broker.connect().await.unwrap();
        let lab = Lab { openings: std::cell::Cell::new(0), broker, session, bytes_max };
        lab.declare(QUEUE).await;
        lab
    }

    async fn declare(&self, queue: &str) {
        let bytes = i64::try_from(self.bytes_max).unwrap();
        let queues = vec![topology::state_log(topology::state_log_name(queue), bytes, bytes / 8)];
        self.session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
    }

    async fn open(&self, queue: &str, epoch: i64) -> Result<Keeper, Lost> {
        let log = Box::new(StreamLog::open(Arc::clone(&self.session), queue).await?);
        let owner = Owner {
            queue: queue.into(),
            sink: "s".into(),
            epoch,
            member: format!("m{epoch}").into(),
            nonce: self.openings.replace(self.openings.get() + 1),
        };
        let troubles = Arc::new(Troubles::new(Board::new(), Clock::Machine));
        Keeper::open(log, owner, deltas(), options(self.bytes_max), (Metrics::new(), troubles)).await
    }

    async fn append(&self, body: Vec<u8>) {
        let message = Outgoing {
            exchange: String::new(),
            routing_key: topology::state_log_name(QUEUE),
            body: body.into(),
            content_type: "application/octet-stream",
            headers: std::collections::BTreeMap::new(),
            alone: false,
        };
        self.session.publish(message).await.unwrap().wait().await.unwrap();
    }
}

fn at(step: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(step)
}

fn fragment(resource: &str, step: i64, volume: i64) -> Fragment {
    let sample = Sample {
        name: "size".into(),
        kind: SampleType::Cumulative,
        unit: Value::from("GB"),
        volume: Value::Int(volume),
        user_id: Value::Null,
        user_name: Value::Null,
        project_id: Value::Null,
        project_name: Value::Null,
        resource_id: Value::from(resource),
        timestamp: at(step).format("%Y-%m-%dT%H:%M:%S").to_string().into(),
        resource_metadata: Dict::new().into(),
        source: "openstack".into(),
        id: format!("{resource}-{step}").into(),
        monotonic_time: Value::Null,
    };
    let message_id = Value::from(format!("{resource}-{step}").as_str());
    Fragment { message_id, pipeline: "s".into(), batch: Records::Samples(vec![sample]) }
}

/// Works on one fragment and commits it; the volumes that came out.
async fn take(keeper: &mut Keeper, fragment: Fragment, step: i64) -> Result<Vec<Value>, Lost> {
    let parcels = [crate::agent::sinks::sink::Parcel::new(fragment, Receipt::new(|_| {}))];
    let (batch, outputs) = keeper.work(&parcels, at(step)).unwrap();
    let output = Fragment { batch: Records::Samples(outputs[0].samples.clone()), ..parcels[0].fragment.clone() };
    if !batch.ids.is_empty() {
        keeper.commit(batch, &[&output]).await?;
    }
    Ok(outputs[0].samples.iter().map(|sample| sample.volume.clone()).collect())
}
