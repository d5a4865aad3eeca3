//! What is parked is looked at, put back, dropped: by the library part of `nephoscope parked`, on the in-process broker.

use super::*;
use nephoscope::agent::parked::{Content, Filter, Look, Outcome, Parked, ParkedError, Seen, Whose};
use nephoscope::model::Glob;
use nephoscope::transport::topology::{QueueKind, parking_queue};
use nephoscope::transport::{Argument, Topology};
use rstest::rstest;

const PARKED: &str = "nephoscope.ceilometer.parked";
const GROUP: &str = "ceilometer";
/// As the agents of a lab declare the parking queue.
const AGENTS_MAX: i64 = 100;

/// What the broker has in the parking queue, by the ids of `parked list`.
struct Desk<'l> {
    lab: &'l Lab,
    session: Arc<dyn Session>,
    filter: Filter,
    limit: Option<u64>,
}

impl<'l> Desk<'l> {
    async fn new(lab: &'l Lab) -> Desk<'l> {
        let session = lab.broker.connect().await.unwrap();
        Desk { lab, session, filter: Filter::default(), limit: None }
    }

    fn reason(mut self, pattern: &str) -> Self {
        self.filter.reason = Some(Glob::new(pattern));
        self
    }

    async fn look<T>(&self, what: impl AsyncFnOnce(Look<'_>) -> Result<T, ParkedError>) -> T {
        let now = chrono::Utc::now();
        let mut progress = |_: Seen| {};
        let (session, filter, limit) = (&self.session, &self.filter, self.limit);
        what(Look { session, group: GROUP, filter, now, limit, progress: &mut progress }).await.unwrap()
    }

    async fn list(&self) -> Vec<Parked> {
        let mut all = Vec::new();
        let mut tell = |parked: &Parked| {
            all.push(parked.clone());
            Ok(())
        };
        self.look(async |look| look.tell(&mut tell).await).await;
        all
    }

    async fn requeue(&self) -> Outcome {
        let requeue = wiring::requeue(&self.lab.settings(), &self.session);
        self.look(async |look| look.requeue(requeue).await).await.1
    }

    async fn drop(&self) {
        self.look(async |look| look.drop_for_good(&mut |_| Ok(())).await).await;
    }
}

impl Lab {
    /// Parks something as agents do, or as those of an earlier version did.
    async fn park(&self, body: &str, headers: &[(&str, &str)]) {
        let headers =
            headers.iter().map(|(name, value)| (format!("x-nephoscope-{name}"), (*value).to_owned())).collect();
        let message = Outgoing { headers, ..Outgoing::to_queue(PARKED, body.to_owned().into(), "application/json") };
        self.session.publish(message).await.unwrap().wait().await.unwrap();
    }

    async fn declare_parking(&self, kind: QueueKind, messages_max: i64) {
        let queues = vec![parking_queue(GROUP, kind, messages_max)];
        self.session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
    }

    /// The sizes that a destination took, of each resource.
    fn sizes(&self, name: &str) -> Vec<(String, i64)> {
        let samples = self.context.shelf.batches(name).into_iter().flat_map(|batch| match batch {
            Batch::Samples(samples) => samples,
            Batch::Events(_) => Vec::new(),
        });
        let size = |sample: nephoscope::model::Sample| match sample.volume {
            Value::Int(size) => (sample.resource_id.as_str().unwrap().to_owned(), size),
            other => panic!("{other:?}"),
        };
        let mut sizes: Vec<_> = samples.map(size).collect();
        sizes.sort();
        sizes
    }
}

fn all_sizes(count: usize) -> Vec<(String, i64)> {
    let size = |n: usize| (format!("r-{}", n % RESOURCES), i64::try_from(n / RESOURCES).unwrap());
    let mut sizes: Vec<_> = (0..count).map(size).collect();
    sizes.sort();
    sizes
}

#[rstest]
#[case::alone_one_publisher(false, &["test://samples"])]
#[case::alone_two_publishers(false, &["test://samples", "test://other"])]
#[case::in_a_group_one_publisher(true, &["test://samples"])]
#[case::in_a_group_two_publishers(true, &["test://samples", "test://other"])]
#[tokio::test(start_paused = true)]
async fn what_one_publisher_refused_reaches_it_alone_when_it_is_put_back(
    #[case] partitioned: bool,
    #[case] publishers: &[&str],
) {
    let mut lab = Lab::new(partitioned).await;
    lab.write_pipeline("pipeline.yaml", "meters", publishers);
    lab.context.shelf.answer_next("samples", PublishError::retry("503"));
    lab.context.shelf.answer_next("samples", PublishError::refuse([0], "400"));
    lab.context.shelf.answer_next("events", PublishError::refuse([0], "409"));
    let agents = [lab.start("a"), lab.start("b")];
    lab.send(40).await;
    lab.settle().await;
    assert_eq!(lab.parked(), 2);
    let desk = Desk::new(&lab).await;
    let all = desk.list().await;
    let sample = all.iter().find(|parked| parked.label.content == Content::Sample).unwrap();
    let label = &sample.label;
    assert_eq!((&*label.reason, &*label.text), ("refused", "test://samples refused it: 400"));
    assert_eq!(label.event_type.as_deref(), Some("volume.size"));
    // In a group each pipeline queue has a batch of its own.
    assert!(label.attempts == Some(2) || partitioned && label.attempts == Some(1), "{label:?}");
    assert!(label.time.is_some() && ["a", "b"].contains(&&*label.member));
    assert_eq!((&*label.whose.sink, label.whose.publisher.as_deref()), ("sink", Some("test://samples")));
    assert_eq!(label.whose.pipeline.as_deref(), Some("source:sink"));
    assert!(label.whose.message_id.as_deref().unwrap().starts_with("\"m-"), "{:?}", label.whose);
    let event = all.iter().find(|parked| parked.label.content == Content::Event).unwrap();
    assert_eq!(event.label.event_type.as_deref(), Some("volume.create.end"));
    let outcome = desk.requeue().await;
    assert_eq!((outcome.to.values().sum::<u64>(), outcome.left.len()), (2, 0), "{outcome:?}");
    lab.settle().await;
    assert_eq!(lab.sizes("samples"), all_sizes(40), "everything once");
    if publishers.len() > 1 {
        assert_eq!(lab.sizes("other"), all_sizes(40), "the other got nothing twice");
    }
    let events: usize = lab.context.shelf.batches("events").iter().map(Batch::len).sum();
    assert_eq!((events, lab.parked()), (40, 0));
    // Refused once more it is parked once more, and the way is open.
    lab.context.shelf.answer_next("samples", PublishError::refuse([0], "400"));
    lab.send(8).await;
    lab.until("it is parked", || lab.parked() == 1).await;
    lab.context.shelf.answer_next("samples", PublishError::refuse([0], "still 400"));
    let desk = Desk::new(&lab).await;
    desk.requeue().await;
    lab.settle().await;
    lab.until("it is parked again", || lab.parked() == 1).await;
    let again = desk.list().await;
    assert!(again[0].label.text.contains("still 400") && again[0].label.whose == label_of(&again[0]), "{again:?}");
    drop(agents);
}

/// Whose a sample is that `samples` refused.
fn label_of(parked: &Parked) -> Whose {
    Whose {
        sink: "sink".to_owned(),
        publisher: Some("test://samples".to_owned()),
        pipeline: Some("source:sink".to_owned()),
        ..parked.label.whose.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_does_not_go_through_the_transformers_again() {
    let mut lab = Lab::new(true).await;
    let pipeline = "sources:\n- name: source\n  meters: ['volume.size']\n  sinks: [sink]\nsinks:\n- name: sink\n  transformers:\n  - \
                    name: unit_conversion\n    parameters:\n      target: {name: doubled, scale: '2'}\n  publishers: [test://samples]\n";
    std::fs::write(lab.folder.path().join("pipeline.yaml"), pipeline).unwrap();
    lab.context.shelf.answer_next("samples", PublishError::refuse([0], "400"));
    let _agent = lab.start("a");
    lab.send(1).await;
    lab.settle().await;
    let desk = Desk::new(&lab).await;
    let parked = String::from_utf8(desk.list().await[0].body.to_vec()).unwrap();
    desk.requeue().await;
    lab.until("it has it", || !lab.context.shelf.batches("samples").is_empty()).await;
    let Batch::Samples(samples) = &lab.context.shelf.batches("samples")[0] else { panic!("events") };
    let mut json = Vec::new();
    samples[0].write_json(&mut json);
    assert_eq!(String::from_utf8(json).unwrap(), parked);
}

#[tokio::test(start_paused = true)]
async fn a_whole_message_goes_back_to_its_queue_as_it_came() {
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        let _agent = lab.start("a");
        lab.until("it parks", || lab.broker.queues().iter().any(|queue| queue.name == PARKED)).await;
        // As if an earlier version had not understood them.
        for n in 0..5 {
            let body = String::from_utf8(notification(n)).unwrap();
            lab.park(&body, &[("kind", "unreadable"), ("origin", "notifications.info")]).await;
        }
        lab.sent = 5;
        lab.publish(b"no notification".to_vec()).await;
        lab.until("it is parked", || lab.parked() == 6).await;
        let desk = Desk::new(&lab).await;
        let outcome = desk.requeue().await;
        assert_eq!(outcome.to, BTreeMap::from([("notifications.info".to_owned(), 6)]));
        lab.settle().await;
        assert_eq!(lab.check(), 0);
        lab.until("what is unreadable is parked again", || lab.parked() == 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_stays_and_it_is_said_why() {
    let lab = Lab::new(false).await;
    lab.declare_parking(QueueKind::Classic, AGENTS_MAX).await;
    let sample = r#"{"name":"cpu","type":"gauge","timestamp":"t","resource_metadata":{},"source":"s","id":"i"}"#;
    let text = "test://samples refused it: 400";
    lab.park(sample, &[("kind", "refused"), ("origin", "elsewhere"), ("reason", text)]).await;
    lab.park(sample, &[("kind", "refused"), ("origin", "sink"), ("reason", "http://gone refused it: 400")]).await;
    lab.park("[]", &[("kind", "refused"), ("origin", "sink"), ("reason", text)]).await;
    lab.park(sample, &[("kind", "internal_error"), ("origin", "sink"), ("reason", "a mistake in a transformer")]).await;
    lab.park("{}", &[("kind", "foreign_packet"), ("origin", "nephoscope.ceilometer.sink.g1.0")]).await;
    lab.park("by hand", &[]).await;
    lab.park(sample, &[("kind", "refused"), ("origin", "sink"), ("reason", text)]).await;
    let desk = Desk::new(&lab).await;
    let outcome = desk.requeue().await;
    let to: Vec<_> = outcome.to.into_iter().collect();
    assert!(to.len() == 1 && to[0].0.contains(".sink.overflow.test-") && to[0].1 == 1, "{to:?}");
    let left: Vec<String> = outcome.left.into_keys().map(|refusal| refusal.0).collect();
    for why in [
        "no sink elsewhere",
        "no publisher http://gone",
        "its body is no sample",
        "a transformer failed",
        "there is no queue nephoscope.ceilometer.sink.g1.0",
        "nothing says",
    ] {
        assert_eq!(left.iter().filter(|left| left.contains(why)).count(), 1, "{why}: {left:?}");
    }
    assert_eq!((left.len(), lab.parked()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_full_overflow_queue_takes_nothing_and_what_was_for_it_stays() {
    let mut lab = Lab::new(false).await;
    lab.more = "overflow_max_bytes = 1000\npacket_notifications_max = 2\n";
    lab.declare_parking(QueueKind::Classic, AGENTS_MAX).await;
    for n in 0..40 {
        let sample = format!(
            r#"{{"name":"cpu","type":"gauge","timestamp":"t","resource_metadata":{{}},"source":"s","id":"{n}"}}"#
        );
        lab.park(&sample, &[("kind", "refused"), ("origin", "sink"), ("reason", "test://samples refused it: 400")])
            .await;
    }
    let desk = Desk::new(&lab).await;
    let outcome = desk.requeue().await;
    let (went, left) = (outcome.to.values().sum::<u64>(), outcome.left.values().sum::<u64>());
    assert!(went > 0 && left > 0 && went + left == 40, "{outcome:?}");
    assert_eq!(lab.parked() as u64, left);
    assert!(outcome.left.keys().all(|refusal| refusal.0.contains("it is full")), "{outcome:?}");
    // An agent makes room, and the rest goes too.
    let _agent = lab.start("a");
    for _ in 0..20 {
        lab.settle().await;
        desk.requeue().await;
    }
    lab.settle().await;
    let ids: BTreeSet<String> = lab.taken_ids("samples");
    assert_eq!((ids.len(), lab.parked()), (40, 0));
}

impl Lab {
    fn taken_ids(&self, name: &str) -> BTreeSet<String> {
        let samples = self.context.shelf.batches(name).into_iter().flat_map(|batch| match batch {
            Batch::Samples(samples) => samples,
            Batch::Events(_) => Vec::new(),
        });
        samples.map(|sample| sample.id.into_string()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn looks_eat_nothing_whatever_the_delivery_limit_is() {
    let lab = Lab::new(false).await;
    let mut queue = parking_queue(GROUP, QueueKind::Quorum, 1_000);
    queue.arguments.insert("x-delivery-limit".to_owned(), Argument::Integer(2));
    lab.session.declare(&Topology { queues: vec![queue], ..Topology::default() }).await.unwrap();
    for n in 0..600 {
        let reason = if n % 3 == 0 { "refused" } else { "internal_error" };
        lab.park(&n.to_string(), &[("kind", reason)]).await;
    }
    let desk = Desk::new(&lab).await;
    let first: BTreeSet<String> = desk.list().await.into_iter().map(|parked| parked.id).collect();
    for limit in [None, Some(1), Some(300), Some(1), Some(1), Some(1), None, None] {
        let seen = Desk { limit, ..Desk::new(&lab).await }.list().await.len();
        assert_eq!(seen as u64, limit.unwrap_or(600), "{} dropped", lab.broker.dropped(PARKED));
    }
    let last: BTreeSet<String> = desk.list().await.into_iter().map(|parked| parked.id).collect();
    assert_eq!((first.len(), lab.broker.dropped(PARKED)), (600, 0));
    assert_eq!(first, last, "ids stay");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_meant_is_dropped() {
    for kind in [QueueKind::Classic, QueueKind::Quorum] {
        let lab = Lab::new(false).await;
        lab.declare_parking(kind, 100_000).await;
        for n in 0..2_000 {
            let reason = if n % 2 == 0 { "refused" } else { "internal_error" };
            lab.park(&n.to_string(), &[("kind", reason)]).await;
        }
        Desk { limit: Some(10), ..Desk::new(&lab).await }.reason("refused").drop().await;
        assert_eq!(lab.parked(), 1_990);
        Desk::new(&lab).await.reason("refused").drop().await;
        let left = Desk::new(&lab).await.list().await;
        assert_eq!(left.len(), 1_000);
        assert!(left.iter().all(|parked| parked.label.reason == "internal_error"));
        let one = left[500].id.clone();
        let mut desk = Desk::new(&lab).await;
        desk.filter.ids.insert(one);
        desk.drop().await;
        assert_eq!(lab.parked(), 999);
    }
}

#[tokio::test(start_paused = true)]
async fn what_agents_park_meanwhile_is_not_looked_at_and_stays() {
    let lab = Lab::new(false).await;
    lab.declare_parking(QueueKind::Classic, 100_000).await;
    for n in 0..500 {
        lab.park(&n.to_string(), &[("kind", "refused")]).await;
    }
    let desk = Desk::new(&lab).await;
    let mut count = 0;
    let broker = lab.broker.clone();
    let more = broker.connect().await.unwrap();
    let mut tell = |_: &Parked| {
        count += 1;
        let message = Outgoing::to_queue(PARKED, "more".into(), "text/plain");
        // The in-process broker takes it at once.
        let sent = futures_util::FutureExt::now_or_never(more.publish(message));
        assert!(sent.is_some());
        Ok(())
    };
    desk.look(async |look| look.drop_for_good(&mut tell).await).await;
    assert_eq!((count, lab.parked()), (500, 500));
}

#[tokio::test(start_paused = true)]
async fn wherever_a_command_is_cut_off_nothing_is_lost() {
    for after in (0..60).chain([150, 299, 300, 301, 450]) {
        let mut lab = Lab::new(false).await;
        lab.declare_parking(QueueKind::Classic, AGENTS_MAX).await;
        for n in 0..100 {
            let body = String::from_utf8(notification(n)).unwrap();
            lab.park(&body, &[("kind", "unreadable"), ("origin", "notifications.info")]).await;
        }
        lab.sent = 100;
        let desk = Desk::new(&lab).await;
        let mut requeue = std::pin::pin!(desk.requeue());
        // Every poll runs from one await to the next: the process ends at one of them.
        for _ in 0..after {
            if futures_util::FutureExt::now_or_never(&mut requeue).is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        desk.session.cut();
        let parked = lab.parked();
        let queues = lab.broker.queues();
        let back = queues.iter().find(|queue| queue.name == "notifications.info").map_or(0, |queue| queue.ready);
        assert!(parked + back >= 100, "after {after}: {parked} parked, {back} put back");
        let settings = lab.settings();
        let again = Desk::new(&lab).await;
        let requeue = wiring::requeue(&settings, &again.session);
        again.look(async |look| look.requeue(requeue).await).await;
        let _agent = lab.start("a");
        lab.settle().await;
        lab.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_without_a_parking_queue_is_told_apart_from_one_with_an_empty_one() {
    let lab = Lab::new(false).await;
    let session = lab.broker.connect().await.unwrap();
    let (filter, mut progress) = (Filter::default(), |_: Seen| {});
    let look = Look {
        session: &session,
        group: GROUP,
        filter: &filter,
        now: chrono::Utc::now(),
        limit: None,
        progress: &mut progress,
    };
    let told = look.tell(&mut |_| Ok(())).await;
    assert!(matches!(&told, Err(ParkedError::NoQueue(queue)) if queue == PARKED), "{told:?}");
    lab.declare_parking(QueueKind::Classic, AGENTS_MAX).await;
    assert!(Desk::new(&lab).await.list().await.is_empty());
}
