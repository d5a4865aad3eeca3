//! Keepers over streams of the in-process broker.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

use super::log::StreamLog;
use super::{Inherited, Keeper, Lost, Owner};
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
        name: "size".to_owned(),
        kind: SampleType::Cumulative,
        unit: Value::from("GB"),
        volume: Value::Int(volume),
        user_id: Value::Null,
        user_name: Value::Null,
        project_id: Value::Null,
        project_name: Value::Null,
        resource_id: Value::from(resource),
        timestamp: at(step).format("%Y-%m-%dT%H:%M:%S").to_string(),
        resource_metadata: Dict::new(),
        source: "openstack".to_owned(),
        id: format!("{resource}-{step}"),
        monotonic_time: Value::Null,
    };
    let message_id = Value::from(format!("{resource}-{step}").as_str());
    Fragment { message_id, pipeline: "s".into(), batch: Records::Samples(vec![sample]) }
}

/// Works on one fragment and commits it; the volumes that came out.
async fn take(keeper: &mut Keeper, fragment: Fragment, step: i64) -> Result<Vec<Value>, Lost> {
    let parcels = [crate::agent::sinks::sink::Parcel { fragment, receipt: Receipt::new(|_| {}) }];
    let (batch, outputs) = keeper.work(&parcels, at(step)).unwrap();
    let output = Fragment { batch: Records::Samples(outputs[0].clone()), ..parcels[0].fragment.clone() };
    if !batch.ids.is_empty() {
        keeper.commit(batch, &[&output]).await?;
    }
    Ok(outputs[0].iter().map(|sample| sample.volume.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_former_owner_that_does_not_know_it_yet_commits_nothing() {
    let lab = Lab::new(1 << 20).await;
    let mut former = lab.open(QUEUE, 1).await.unwrap();
    assert_eq!(take(&mut former, fragment("r", 1, 10), 1).await.unwrap(), []);
    former.published().await.unwrap();
    let mut owner = lab.open(QUEUE, 5).await.unwrap();
    let zombie = take(&mut former, fragment("r", 2, 1_000), 2).await;
    assert!(matches!(zombie, Err(Lost::Fenced(5))), "{zombie:?}");
    assert_eq!(take(&mut owner, fragment("r", 2, 13), 2).await.unwrap(), [Value::Int(3)]);
    owner.published().await.unwrap();
    let mut next = lab.open(QUEUE, 6).await.unwrap();
    assert_eq!(take(&mut next, fragment("r", 3, 20), 3).await.unwrap(), [Value::Int(7)]);
    assert!(matches!(owner.fenced().await, Lost::Fenced(6)));
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_does_not_rise_above_the_logs_is_told_by_how_much() {
    let lab = Lab::new(1 << 20).await;
    lab.open(QUEUE, 7).await.unwrap();
    for epoch in [7, 3] {
        let refused = lab.open(QUEUE, epoch).await.err();
        assert!(matches!(refused, Some(Lost::Fenced(7))), "{refused:?}");
    }
    lab.open(QUEUE, 8).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_changes_nothing_for_any_later_owner() {
    let lab = Lab::new(1 << 20).await;
    for (epoch, volumes) in [(1, vec![]), (2, vec![]), (3, vec![])] {
        let mut keeper = lab.open(QUEUE, epoch).await.unwrap();
        assert_eq!(take(&mut keeper, fragment("r", 1, 10), epoch).await.unwrap(), volumes);
        assert_eq!(keeper.number(), 1, "one batch, whoever sees it");
    }
    let mut keeper = lab.open(QUEUE, 4).await.unwrap();
    assert_eq!(take(&mut keeper, fragment("r", 2, 11), 4).await.unwrap(), [Value::Int(1)]);
}

#[tokio::test(start_paused = true)]
async fn outputs_are_pending_until_the_log_says_that_they_are_published() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    take(&mut keeper, fragment("r", 2, 12), 2).await.unwrap();
    let id = |keeper: &Keeper| match &keeper.pending().unwrap().unwrap()[0].batch {
        Records::Samples(samples) => samples[0].id.clone(),
        Records::Events(_) => panic!("events"),
    };
    let first = id(&keeper);
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(id(&next), first, "the same ids whoever publishes");
    next.published().await.unwrap();
    next.release().await.unwrap();
    assert!(lab.open(QUEUE, 3).await.unwrap().pending().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_cut_many_times_over_is_still_whole() {
    let lab = Lab::new(64 * 1024).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    for step in 1..=600 {
        let expected: Vec<Value> = (step > 1).then_some(Value::Int(2)).into_iter().collect();
        assert_eq!(take(&mut keeper, fragment("r", step, 2 * step), step).await.unwrap(), expected);
        keeper.published().await.unwrap();
    }
    assert!(lab.broker.stream_records(&topology::state_log_name(QUEUE))[0].offset > 0, "nothing was cut");
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(next.number(), 600);
    assert_eq!(take(&mut next, fragment("r", 601, 1_205), 601).await.unwrap(), [Value::Int(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_record_makes_the_log_unusable_and_says_where() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    lab.append(b"hello".to_vec()).await;
    let lost = take(&mut keeper, fragment("r", 1, 1), 1).await;
    assert!(matches!(lost, Err(Lost::Foreign(1, RecordError::Foreign))), "{lost:?}");
    let refused = lab.open(QUEUE, 2).await.err().unwrap().to_string();
    assert!(refused.contains("at offset 1") && refused.contains("not a record"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_inherits_what_its_slots_had() {
    let lab = Lab::new(1 << 20).await;
    let mut old = lab.open(QUEUE, 1).await.unwrap();
    for resource in ["mine", "other"] {
        take(&mut old, fragment(resource, 1, 10), 1).await.unwrap();
        old.published().await.unwrap();
    }
    old.seal(2).await.unwrap();
    assert_eq!(lab.open(QUEUE, 2).await.unwrap().sealed(), Some(2));
    lab.declare("new").await;
    let mut new = lab.open("new", 3).await.unwrap();
    assert!(new.is_untouched());
    let window = options(0).window;
    let mine = |slot| slot == hash::slot(b"mine");
    let read = Inherited::read(&lab.session, &[QUEUE.to_owned()], mine, window).await;
    let inherited = read.unwrap();
    assert_eq!((inherited.cells.len(), inherited.ids.len()), (1, 1));
    new.begin_with(inherited).await.unwrap();
    let missing = [QUEUE.to_owned(), "deleted".to_owned()];
    let read = Inherited::read(&lab.session, &missing, mine, window).await.unwrap();
    assert_eq!((read.cells.len(), read.gone), (1, vec!["deleted".to_owned()]), "nobody waits for what is gone");
    // Its owner dies; the next one finds it begun.
    let mut new = lab.open("new", 4).await.unwrap();
    assert!(!new.is_untouched());
    assert_eq!(take(&mut new, fragment("mine", 1, 10), 2).await.unwrap(), [], "seen in the old queue");
    assert_eq!(take(&mut new, fragment("mine", 2, 14), 2).await.unwrap(), [Value::Int(4)]);
    assert_eq!(take(&mut new, fragment("other", 2, 14), 2).await.unwrap(), [], "another queue's");
}

/// What stands before the snapshot of a sealed log is not read: here it could not be.
#[tokio::test(start_paused = true)]
async fn a_sealed_log_is_read_from_its_snapshot_on_whoever_came_too_late() {
    for (too_late, told) in [(0, true), (3, true), (0, false)] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let barrier = |epoch, nonce| Record::Barrier { epoch, member: "m".to_owned(), nonce };
        for nonce in 0..40 {
            lab.append(barrier(1, nonce).encode()).await;
        }
        for part in State::empty(options(1 << 20).window).snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Sealed { epoch: 1, generation: 2, snapshot: told.then_some(41) }.encode()).await;
        for nonce in 0..too_late {
            lab.append(barrier(2, nonce).encode()).await;
        }
        let window = options(0).window;
        let read = Inherited::read(&lab.session, &[QUEUE.to_owned()], |_| true, window).await;
        assert_eq!(read.is_ok(), told, "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_loses_the_end_of_the_log_is_found_out() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    for step in 1..=3 {
        take(&mut keeper, fragment("r", step, step), step).await.unwrap();
        keeper.published().await.unwrap();
    }
    let memory = super::QueueMemory::default();
    assert_eq!(memory.committed(QUEUE, keeper.number()), 0);
    lab.broker.lose_newest(&topology::state_log_name(QUEUE), 2);
    let next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(memory.committed(QUEUE, next.number()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_deleted_is_written_again_with_what_is_pending() {
    for (pending, empty_one) in [(false, false), (true, false), (true, true)] {
        let lab = Lab::new(1 << 20).await;
        let mut keeper = lab.open(QUEUE, 1).await.unwrap();
        take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
        keeper.published().await.unwrap();
        take(&mut keeper, fragment("r", 2, 12), 2).await.unwrap();
        if !pending {
            keeper.published().await.unwrap();
        }
        // Twice: the second time before anything else was written.
        for _ in 0..2 {
            lab.broker.delete_queue(&topology::state_log_name(QUEUE));
            if empty_one {
                lab.declare(QUEUE).await;
            }
            let lost = keeper.fenced().await;
            keeper.mend(lost).await.unwrap();
        }
        let mut next = lab.open(QUEUE, 2).await.unwrap();
        assert_eq!((next.number(), next.pending().is_some()), (2, pending));
        if let Some(outputs) = next.pending() {
            let Records::Samples(samples) = &outputs.unwrap()[0].batch else { panic!("events") };
            assert_eq!((&*samples[0].name, &samples[0].volume), ("growth", &Value::Int(2)));
            next.published().await.unwrap();
        }
        assert_eq!(take(&mut next, fragment("r", 2, 12), 3).await.unwrap(), [], "its ids are known");
        assert_eq!(take(&mut next, fragment("r", 3, 15), 3).await.unwrap(), [Value::Int(3)]);
        next.published().await.unwrap();
        assert_eq!(lab.open(QUEUE, 3).await.unwrap().number(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_is_deleted_in_the_middle_of_what_is_written() {
    let lab = Lab::new(1 << 20).await;
    let delete = || assert!(lab.broker.delete_queue(&topology::state_log_name(QUEUE)));
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    delete();
    keeper.published().await.unwrap();
    delete();
    assert_eq!(take(&mut keeper, fragment("r", 2, 13), 2).await.unwrap(), [Value::Int(3)]);
    keeper.published().await.unwrap();
    delete();
    keeper.release().await.unwrap();
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert!(next.pending().is_none());
    delete();
    next.seal(2).await.unwrap();
    let window = options(0).window;
    let inherited = Inherited::read(&lab.session, &[QUEUE.to_owned()], |_| true, window).await.unwrap();
    assert_eq!((inherited.cells.len(), inherited.ids.len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_there_is_not_written_again_and_a_later_owners_is_its() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    assert!(matches!(keeper.mend(Lost::Over).await, Err(Lost::Over)));
    assert!(matches!(keeper.mend(Lost::Slow).await, Err(Lost::Slow)));
    lab.broker.delete_queue(&topology::state_log_name(QUEUE));
    lab.declare(QUEUE).await;
    let mut later = lab.open(QUEUE, 5).await.unwrap();
    let lost = keeper.fenced().await;
    assert!(matches!(keeper.mend(lost).await, Err(Lost::Fenced(5))));
    assert_eq!(take(&mut later, fragment("r", 2, 13), 2).await.unwrap(), [], "it began without a state");
}

/// What stands before the last snapshot is not read: here it could not be.
#[tokio::test(start_paused = true)]
async fn an_owner_reads_from_the_last_snapshot_on_which_the_end_of_the_log_tells() {
    for (snapshot, number) in [(Some(1), Some(7)), (None, None)] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let state = State { number: 7, published: 7, ..State::empty(options(1 << 20).window) };
        for part in state.snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Released { epoch: 1, published: 7, snapshot }.encode()).await;
        let opened = lab.open(QUEUE, 2).await.map(|keeper| keeper.number());
        assert_eq!(opened.as_ref().ok().copied(), number, "{opened:?}");
        if number.is_none() {
            assert!(matches!(opened, Err(Lost::Foreign(0, _) | Lost::Unusable(_))), "{opened:?}");
        }
    }
}

/// Owners whose connection is closed again and again before their first batch: each would have to read more than the one before.
#[tokio::test(start_paused = true)]
async fn barriers_alone_do_not_hide_the_last_snapshot() {
    for barriers in [31, 510] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let state = State { number: 7, published: 7, ..State::empty(options(1 << 20).window) };
        for part in state.snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Released { epoch: 1, published: 7, snapshot: Some(1) }.encode()).await;
        for nonce in 0..barriers {
            lab.append(Record::Barrier { epoch: 2, member: "m".to_owned(), nonce }.encode()).await;
        }
        let opened = lab.open(QUEUE, 3).await.map(|keeper| keeper.number());
        assert_eq!(opened.unwrap(), 7, "{barriers}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_goes_leaves_a_snapshot_where_much_would_have_to_be_read() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    keeper.options.snapshot_after_bytes.0 = 1024;
    // Past the first snapshot, and half-way to the next that would be due anyhow.
    for step in 1.. {
        take(&mut keeper, fragment("r", step, step), step).await.unwrap();
        keeper.published().await.unwrap();
        if keeper.last_snapshot > 1024 && keeper.since > 2 * keeper.last_snapshot {
            break;
        }
    }
    keeper.release().await.unwrap();
    let records = lab.broker.stream_records(&topology::state_log_name(QUEUE)).into_iter();
    let records: Vec<_> = records.map(|record| (record.offset, Record::decode(&record.body).unwrap())).collect();
    let [.., (begin, Record::Snapshot { .. }), (_, Record::Released { snapshot, .. })] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(*snapshot, Some(*begin));
    let next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!((next.number(), next.snapshot_at), (keeper.number(), *snapshot));
}

#[test]
fn the_kinds_of_records_are_those_of_the_page() {
    let page = include_str!("../../../docs/formats.md");
    for (kind, record) in [
        (0, Record::Barrier { epoch: 2, member: "m".to_owned(), nonce: 3 }),
        (3, Record::Released { epoch: 2, published: 0, snapshot: None }),
        (4, Record::Sealed { epoch: 2, generation: 0, snapshot: None }),
    ] {
        assert_eq!(record.encode()[5], kind);
    }
    assert!(page.contains("`4e534c47 01 00 04 01 6d 03 b32294e9`"));
}
