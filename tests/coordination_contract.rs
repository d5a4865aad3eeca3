//! What every coordination backend must do: one suite, against the in-process group on a paused clock and against a
//! real etcd.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::rig;

use crate::rig::Generation;
use nephoscope::cluster::Spec;
use nephoscope::coordination::{
    CoordinationError, Coordinator, Drained, EtcdGroup, EtcdOptions, MemberRecord, Membership, MemoryGroup, Operation,
    Process, Reason, View,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Time to live of leases here.
const TTL: Duration = Duration::from_secs(3);
/// etcd looks for expired leases twice a second.
const EXPIRY_SLACK: Duration = Duration::from_millis(1500);

/// The backend under test.
enum Ground {
    Twin(MemoryGroup),
    Etcd { endpoint: String, group: String, own: Option<rig::Own<rig::Etcd>>, limit: Option<Duration> },
}

/// The way of one member to the backend.
enum Way {
    Twin(MemoryGroup),
    /// Whether what comes over it is forwarded.
    Relay(watch::Sender<bool>),
}

impl Way {
    fn set(&self, cut: bool) {
        match self {
            Way::Twin(group) if cut => group.cut("a"),
            Way::Twin(group) => group.heal(),
            Way::Relay(open) => drop(open.send_replace(!cut)),
        }
    }
}

/// A port whose connections lead to `to`. While it is not open they hang; those that hung are ended when it opens again.
async fn relay(to: String) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, opened) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (to, mut opened) = (to.clone(), opened.clone());
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let mut watched = opened.clone();
                    let forward = *opened.borrow();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far), if forward => return,
                        _ = watched.wait_for(|open| !open) => {}
                    }
                    let _ = opened.wait_for(|open| *open).await;
                }
            });
        }
    });
    (port, open)
}

impl Ground {
    /// The group as a process of its own sees it.
    fn process(&self) -> Arc<dyn Coordinator> {
        match self {
            Ground::Twin(group) => Arc::new(group.clone()),
            Ground::Etcd { .. } => Arc::new(self.etcd()),
        }
    }

    fn etcd(&self) -> EtcdGroup {
        let Ground::Etcd { endpoint, .. } = self else { panic!("not etcd") };
        self.etcd_at(endpoint)
    }

    fn etcd_at(&self, endpoint: &str) -> EtcdGroup {
        let Ground::Etcd { group, limit, .. } = self else { panic!("not etcd") };
        let options = EtcdOptions::parse(&format!("etcd3://{endpoint}")).unwrap();
        EtcdGroup::new(options, group, TTL).with_silence_limit(*limit)
    }

    /// The same with members that bear silence for so long.
    fn limited(self, limit: Duration) -> Ground {
        match self {
            Ground::Twin(_) => Ground::Twin(MemoryGroup::with_silence_limit(TTL, Some(limit))),
            Ground::Etcd { endpoint, group, own, .. } => Ground::Etcd { endpoint, group, own, limit: Some(limit) },
        }
    }

    async fn join_over_a_way_that_can_be_cut(&self, id: &str) -> (Arc<dyn Membership>, Way) {
        match self {
            Ground::Twin(group) => (self.join(id).await.unwrap(), Way::Twin(group.clone())),
            Ground::Etcd { endpoint, .. } => {
                let (port, open) = relay(endpoint.clone()).await;
                let joined = self.etcd_at(&format!("127.0.0.1:{port}")).join(record(id)).await;
                (joined.unwrap(), Way::Relay(open))
            }
        }
    }

    async fn join(&self, id: &str) -> Result<Arc<dyn Membership>, CoordinationError> {
        self.process().join(record(id)).await
    }

    async fn set_paused(&self, paused: bool) {
        match self {
            Ground::Twin(group) => group.set_paused(paused),
            Ground::Etcd { .. } => {
                let operation = if paused { Operation::Pause } else { Operation::Resume };
                self.etcd().operate(&operation).await.unwrap();
            }
        }
    }

    /// The backend is stopped, and started again with all it knew.
    fn stop(&self, stopped: bool) {
        match self {
            Ground::Etcd { own: Some(own), .. } if stopped => own.stop(),
            Ground::Etcd { own: Some(own), .. } => own.start(),
            _ => self.freeze(stopped),
        }
    }

    /// The backend stops answering, with connections open; or answers again.
    fn freeze(&self, frozen: bool) {
        match self {
            Ground::Twin(group) => group.set_away(frozen),
            Ground::Etcd { own: Some(own), .. } if frozen => own.freeze(),
            Ground::Etcd { own: Some(own), .. } => own.thaw(),
            Ground::Etcd { own: None, .. } => panic!("the shared etcd is not frozen"),
        }
    }
}

fn record(id: &str) -> MemberRecord {
    MemberRecord {
        format: 1,
        id: id.to_owned(),
        host: "host.example".to_owned(),
        version: "0.1.0".to_owned(),
        weight: 10,
        config_digest: "d".to_owned(),
        ready: false,
        process: None,
    }
}

fn owner_of<'a>(view: &'a View, queue: &str) -> Option<&'a str> {
    view.owners.get(queue).map(|(id, _)| id.as_str())
}

/// Reads until the group is as wanted.
async fn until(member: &dyn Membership, limit: Duration, wanted: impl Fn(&View) -> bool) -> View {
    let reading = async {
        loop {
            if let Ok(view) = member.view().await
                && wanted(&view)
            {
                return view;
            }
            let _ = timeout(Duration::from_secs(1), member.changed()).await;
        }
    };
    timeout(limit, reading).await.expect("the group is not as wanted within the limit")
}

async fn a_member_joins_becomes_ready_and_is_seen_by_the_others(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    a.describe(MemberRecord { ready: true, ..record("a") }).await.unwrap();
    let view = b.view().await.unwrap();
    assert_eq!(view.members.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(view.members["a"], MemberRecord { ready: true, ..record("a") });
    assert!(!view.members["b"].ready);
    let process = ground.process().view().await.unwrap();
    // The revision is the server's: other groups on it write too.
    assert!(process.revision >= view.revision);
    assert_eq!(View { revision: view.revision, ..process }, view);
}

async fn a_second_process_with_a_live_id_is_refused(ground: Ground) {
    let first = ground.join("a").await.unwrap();
    assert!(matches!(ground.join("a").await, Err(CoordinationError::IdTaken(id)) if id == "a"));
    assert!(first.claim("u").await.unwrap().is_some(), "the first is not disturbed");
    first.leave().await;
    ground.join("a").await.unwrap();
}

async fn a_process_that_is_surely_dead_holds_no_id(ground: Ground) {
    let b = ground.join("b").await.unwrap();
    let this = Process::this();
    let live = ground.process().join(MemberRecord { process: this.clone(), ..record("a") }).await.unwrap();
    assert!(matches!(ground.join("a").await, Err(CoordinationError::IdTaken(_))), "this process lives");
    live.leave().await;
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = this.map(|this| Process { pid: child.id(), started: 1, ..this });
    child.wait().unwrap();
    let before = ground.process().join(MemberRecord { process: dead, ..record("a") }).await.unwrap();
    before.claim("u").await.unwrap().unwrap();
    let after = ground.join("a").await.unwrap();
    assert!(b.view().await.unwrap().owners.is_empty(), "what it had went with its lease");
    assert!(after.claim("u").await.unwrap().is_some());
}

async fn a_queue_is_claimed_by_one_and_its_epochs_rise(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    let first = a.claim("u").await.unwrap().unwrap();
    assert_eq!(b.claim("u").await.unwrap(), None);
    let view = b.view().await.unwrap();
    assert_eq!(view.owners["u"], ("a".to_owned(), first));
    assert!(view.revision >= first);
    assert!(a.release("u", first).await.unwrap());
    let second = b.claim("u").await.unwrap().unwrap();
    assert!(second > first);
}

async fn an_owner_that_claims_anew_gets_a_new_epoch(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let first = a.claim("u").await.unwrap().unwrap();
    let second = a.claim("u").await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(a.view().await.unwrap().owners["u"], ("a".to_owned(), second));
    assert!(!a.release("u", first).await.unwrap(), "the first epoch is over");
    assert!(a.release("u", second).await.unwrap());
}

async fn two_claim_the_same_queues_at_once(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    let queues: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    let claims = queues.iter().map(|queue| async { tokio::join!(a.claim(queue), b.claim(queue)) });
    let answers = futures_util::future::join_all(claims).await;
    let view = a.view().await.unwrap();
    for (queue, (by_a, by_b)) in queues.iter().zip(answers) {
        let (by_a, by_b) = (by_a.unwrap(), by_b.unwrap());
        assert!(by_a.is_some() != by_b.is_some(), "{queue}: {by_a:?} {by_b:?}");
        assert_eq!(owner_of(&view, queue), Some(if by_a.is_some() { "a" } else { "b" }));
    }
}

async fn only_the_owner_releases_and_only_its_epoch(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    let epoch = a.claim("u").await.unwrap().unwrap();
    assert!(!b.release("u", epoch).await.unwrap());
    assert!(!a.release("u", epoch + 1).await.unwrap());
    assert!(!a.release("another", epoch).await.unwrap());
    assert!(a.release("u", epoch).await.unwrap());
    assert!(!a.release("u", epoch).await.unwrap());
    assert_eq!(b.view().await.unwrap().owners.len(), 0);
}

async fn a_process_dies_and_its_queues_are_free_within_its_lease(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    a.claim("u").await.unwrap().unwrap();
    let died = Instant::now();
    drop(a);
    assert!(matches!(ground.join("a").await, Err(CoordinationError::IdTaken(_))), "its lease still stands");
    let view = until(&*b, TTL + EXPIRY_SLACK, |view| view.members.len() == 1).await;
    assert!(view.owners.is_empty(), "units go with their owner, at one revision");
    assert!(died.elapsed() + TTL / 3 + Duration::from_millis(100) >= TTL, "not before its time");
    assert!(b.claim("u").await.unwrap().is_some());
    ground.join("a").await.unwrap();
}

async fn a_member_that_lives_keeps_its_lease(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let epoch = a.claim("u").await.unwrap().unwrap();
    let before = a.deadline();
    sleep(TTL * 2).await;
    assert!(a.deadline() > before && a.deadline() > Instant::now());
    assert!(!a.lost().is_cancelled());
    assert_eq!(a.view().await.unwrap().owners["u"], ("a".to_owned(), epoch));
}

async fn a_member_leaves_and_all_it_had_is_free_at_once(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    for queue in ["u", "v", "w"] {
        a.claim(queue).await.unwrap().unwrap();
    }
    let _ = timeout(Duration::from_millis(100), b.changed()).await;
    let left = Instant::now();
    a.leave().await;
    let view = until(&*b, Duration::from_secs(1), |view| view.members.len() == 1).await;
    assert!(view.owners.is_empty());
    assert!(left.elapsed() < Duration::from_secs(1));
    assert!(a.lost().is_cancelled());
    assert!(matches!(a.claim("u").await, Err(CoordinationError::Lost(_))));
}

async fn a_change_wakes_those_who_wait(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    // What happened up to now may wake once or twice more.
    while timeout(Duration::from_millis(700), b.changed()).await.is_ok() {}
    let changing = async {
        sleep(Duration::from_millis(100)).await;
        let changed = Instant::now();
        a.claim("u").await.unwrap().unwrap();
        changed
    };
    let (changed, woken) = tokio::join!(changing, async {
        timeout(Duration::from_secs(2), b.changed()).await.expect("not woken");
        Instant::now()
    });
    assert!(woken - changed < Duration::from_secs(1));
    // A change before the wait is not missed.
    a.claim("v").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    timeout(Duration::from_millis(500), b.changed()).await.expect("the change before the wait was missed");
}

async fn an_operator_pauses_and_resumes(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    ground.set_paused(true).await;
    assert!(a.view().await.unwrap().paused);
    ground.set_paused(false).await;
    assert!(!a.view().await.unwrap().paused);
}

async fn revisions_rise_and_a_view_is_one_revision(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let mut last = 0;
    for n in 0..10 {
        let epoch = a.claim(&format!("u{n}")).await.unwrap().unwrap();
        let view = a.view().await.unwrap();
        assert!(view.revision > last && view.revision >= epoch);
        assert_eq!(view.owners.len(), n + 1);
        last = view.revision;
    }
}

async fn the_first_of_two_members_writes_the_specification(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let b = ground.join("b").await.unwrap();
    assert_eq!(a.view().await.unwrap().spec, None);
    let (four, five) = (Spec::first(4).unwrap(), Spec::first(5).unwrap());
    let (by_a, by_b) = tokio::join!(a.put_spec(&four, None), b.put_spec(&five, None));
    let (by_a, by_b) = (by_a.unwrap(), by_b.unwrap());
    assert!(by_a != by_b, "one of them");
    let (spec, revision) = b.view().await.unwrap().spec.unwrap();
    assert_eq!(spec, if by_a { four.clone() } else { five.clone() });
    assert!(a.put_spec(&spec, None).await.unwrap(), "the group has this one, whoever wrote it");
    assert_eq!(a.view().await.unwrap().spec, Some((spec.clone(), revision)));
    // It stays when they go.
    a.leave().await;
    b.leave().await;
    assert_eq!(ground.process().view().await.unwrap().spec, Some((spec, revision)));
}

async fn a_specification_is_changed_only_by_who_has_seen_the_present_one(ground: Ground) {
    let operator = ground.process();
    let first = Spec::first(4).unwrap();
    let planned = first.planned(6).unwrap();
    assert!(!operator.put_spec(&planned, Some(7)).await.unwrap(), "there is none yet");
    assert!(operator.put_spec(&first, None).await.unwrap());
    let (_, revision) = operator.view().await.unwrap().spec.unwrap();
    assert!(!operator.put_spec(&planned, None).await.unwrap());
    assert!(!operator.put_spec(&planned, Some(revision - 1)).await.unwrap());
    assert!(operator.put_spec(&planned, Some(revision)).await.unwrap());
    assert!(!operator.put_spec(&planned.completed(), Some(revision)).await.unwrap(), "that one is gone");
    let (spec, second) = operator.view().await.unwrap().spec.unwrap();
    assert_eq!(spec, planned);
    assert!(second > revision);
}

async fn marks_are_seen_by_all_and_outlive_who_made_them(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    a.mark(1, "imported/q.1", "7").await.unwrap();
    a.mark(1, "sealed/q.0", "").await.unwrap();
    a.mark(1, "sealed/q.0", "twice").await.unwrap();
    a.mark(10, "sealed/q.0", "of another generation").await.unwrap();
    let long = "x".repeat(513);
    assert!(matches!(a.mark(1, &long, "").await, Err(CoordinationError::TooLong { .. })));
    assert!(matches!(a.mark(1, "name", &long).await, Err(CoordinationError::TooLong { .. })));
    a.leave().await;
    assert!(matches!(a.mark(1, "name", "too late").await, Err(CoordinationError::Lost(_))));
    let b = ground.join("b").await.unwrap();
    let marks = |view: View| view.marks.into_iter().collect::<Vec<_>>();
    let mark = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        marks(b.view().await.unwrap()),
        [mark("1/imported/q.1", "7"), mark("1/sealed/q.0", "twice"), mark("10/sealed/q.0", "of another generation")]
    );
    b.clear_marks(1).await.unwrap();
    assert_eq!(marks(ground.process().view().await.unwrap()), [mark("10/sealed/q.0", "of another generation")]);
}

async fn an_operator_pins_queues_and_drains_members_and_takes_it_back(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let operator = ground.process();
    let queue = "main:notifications.info@1";
    let note = Drained { since: "2026-01-01T00:00:00Z".to_owned(), reason: "new disks".to_owned() };
    let pin = |member: &str| Operation::Pin { queue: queue.to_owned(), member: member.to_owned() };
    for operation in [pin("a"), pin("b"), Operation::Drain { member: "c".to_owned(), note: note.clone() }] {
        operator.operate(&operation).await.unwrap();
    }
    let view = a.view().await.unwrap();
    assert_eq!(view.pins.iter().collect::<Vec<_>>(), [(&queue.to_owned(), &"b".to_owned())]);
    assert_eq!(view.drained.iter().collect::<Vec<_>>(), [(&"c".to_owned(), &note)]);
    for _ in 0..2 {
        operator.operate(&Operation::Unpin { queue: queue.to_owned() }).await.unwrap();
        operator.operate(&Operation::Undrain { member: "c".to_owned() }).await.unwrap();
    }
    let view = a.view().await.unwrap();
    assert!(view.pins.is_empty() && view.drained.is_empty());
}

async fn the_history_of_a_queue_says_who_had_it_and_why(ground: Ground) {
    let operator = ground.process();
    let noted = async |queue: &str, count: usize| {
        let noted = async {
            loop {
                let mut all = operator.history(Some(queue)).await.unwrap();
                match all.remove(queue).filter(|moves| moves.len() == count) {
                    Some(moves) => return moves,
                    None => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(Duration::from_secs(3), noted).await.expect("the move is not noted")
    };
    let a = ground.join("a").await.unwrap();
    let first = a.claim("u").await.unwrap().unwrap();
    noted("u", 1).await;
    let b = ground.join("b").await.unwrap();
    a.release("u", first).await.unwrap();
    b.view().await.unwrap();
    let second = b.claim("u").await.unwrap().unwrap();
    noted("u", 2).await;
    b.leave().await;
    a.view().await.unwrap();
    let third = a.claim("u").await.unwrap().unwrap();
    let moves = noted("u", 3).await;
    let told: Vec<_> = moves.iter().map(|m| (m.member.as_str(), m.epoch, m.from.as_deref(), m.reason)).collect();
    assert_eq!(
        told,
        [
            ("a", third, Some("b"), Reason::Lost),
            ("b", second, Some("a"), Reason::Joined),
            ("a", first, None, Reason::First)
        ]
    );
    assert!(moves.iter().all(|m| m.at.ends_with('Z')), "{moves:?}");
    a.claim("u.0").await.unwrap();
    noted("u.0", 1).await;
    assert_eq!(operator.history(None).await.unwrap().into_keys().collect::<Vec<_>>(), ["u", "u.0"]);
    assert_eq!(operator.history(Some("u")).await.unwrap().into_keys().collect::<Vec<_>>(), ["u"]);
    a.mark(2, "sealed/u", "").await.unwrap();
    a.forget(2, "sealed/u", "u").await.unwrap();
    assert!(operator.view().await.unwrap().marks.is_empty());
    assert_eq!(operator.history(None).await.unwrap().into_keys().collect::<Vec<_>>(), ["u.0"]);
    assert_eq!(a.view().await.unwrap().owners.len(), 2);
}

async fn the_backend_freezes_and_a_member_keeps_what_it_has_and_begins_nothing(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let epoch = a.claim("u").await.unwrap().unwrap();
    ground.freeze(true);
    tokio::time::sleep_until(a.deadline() + TTL).await;
    assert!(!a.lost().is_cancelled(), "nobody has said that the lease is gone");
    let asked = Instant::now();
    for refused in [a.claim("v").await.map(drop), a.release("u", epoch).await.map(drop), a.describe(record("a")).await]
    {
        assert!(matches!(refused, Err(CoordinationError::Away { .. })), "{refused:?}");
    }
    assert!(asked.elapsed() < Duration::from_millis(100), "refused without asking");
    ground.freeze(false);
    let heard = async {
        while a.deadline() <= Instant::now() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    // A frozen etcd may find the lease expired when it thaws, or hear the keepalive first.
    let lost = a.lost();
    timeout(Duration::from_secs(8), async {
        tokio::select! { () = heard => {}, () = lost.cancelled() => {} }
    })
    .await
    .expect("neither confirmed nor lost");
    if lost.is_cancelled() {
        // The former lease of a live process does not keep it out for long.
        let again = timeout(Duration::from_secs(8), async {
            loop {
                match ground.join("a").await {
                    Ok(again) => break again,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        });
        assert!(again.await.expect("still kept out").claim("u").await.unwrap().is_some());
    } else {
        assert_eq!(a.view().await.unwrap().owners["u"], ("a".to_owned(), epoch));
        assert!(a.claim("v").await.unwrap().is_some());
    }
}

async fn the_backend_is_down_for_longer_than_a_lease_and_comes_back_with_all_of_them(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let epoch = a.claim("u").await.unwrap().unwrap();
    ground.stop(true);
    sleep(TTL * 2).await;
    assert!(a.deadline() < Instant::now() && !a.lost().is_cancelled());
    ground.stop(false);
    timeout(Duration::from_secs(8), async {
        while a.deadline() <= Instant::now() {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("not confirmed");
    assert!(!a.lost().is_cancelled());
    assert_eq!(a.view().await.unwrap().owners["u"], ("a".to_owned(), epoch));
    assert!(a.claim("v").await.unwrap().is_some());
}

async fn a_member_is_cut_off_alone_and_hears_in_the_end_that_it_was_taken_over(ground: Ground) {
    let b = ground.join("b").await.unwrap();
    let (a, cut) = ground.join_over_a_way_that_can_be_cut("a").await;
    a.claim("u").await.unwrap().unwrap();
    cut.set(true);
    until(&*b, TTL * 2 + EXPIRY_SLACK, |view| view.members.len() == 1).await;
    let epoch = b.claim("u").await.unwrap().unwrap();
    sleep(TTL).await;
    assert!(!a.lost().is_cancelled());
    assert!(matches!(a.claim("v").await, Err(CoordinationError::Away { .. })));
    cut.set(false);
    timeout(Duration::from_secs(6), a.lost().cancelled()).await.expect("it does not notice that its lease is gone");
    assert_eq!(b.view().await.unwrap().owners["u"], ("b".to_owned(), epoch));
}

async fn the_silence_lasts_longer_than_is_allowed_and_the_member_gives_itself_up(ground: Ground) {
    let ground = ground.limited(Duration::from_secs(1));
    let a = ground.join("a").await.unwrap();
    ground.freeze(true);
    let frozen = Instant::now();
    timeout(TTL * 2, a.lost().cancelled()).await.expect("not lost");
    let took = frozen.elapsed();
    let most = TTL * 4 / 5 + Duration::from_secs(1);
    assert!(took <= most + Duration::from_millis(300), "{took:?}");
    assert!(took + TTL / 3 + Duration::from_millis(300) >= most, "{took:?}: too early");
    assert!(matches!(a.claim("v").await, Err(CoordinationError::Lost(_))));
    ground.freeze(false);
}

async fn the_backend_freezes_shortly_and_nothing_is_lost(ground: Ground) {
    let a = ground.join("a").await.unwrap();
    let epoch = a.claim("u").await.unwrap().unwrap();
    ground.freeze(true);
    sleep(Duration::from_millis(700)).await;
    ground.freeze(false);
    sleep(TTL * 2).await;
    assert!(!a.lost().is_cancelled());
    assert_eq!(a.view().await.unwrap().owners["u"], ("a".to_owned(), epoch));
    let b = ground.join("b").await.unwrap();
    until(&*a, Duration::from_secs(3), |view| view.members.len() == 2).await;
    b.leave().await;
}

fn on_twin<F: Future<Output = ()>>(case: impl FnOnce(Ground) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(case(Ground::Twin(MemoryGroup::new(TTL))));
}

fn on_etcd<F: Future<Output = ()>>(generation: Generation, name: &str, own: bool, case: impl FnOnce(Ground) -> F) {
    let own = own.then(|| rig::own_etcd_of(generation));
    let endpoint = own.as_ref().map_or_else(|| rig::etcd_of(generation).endpoint, |own| own.endpoint.clone());
    // The rig's etcd outlives a run: a group per run.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ground = Ground::Etcd { endpoint, group: format!("{name}-{}", since.as_nanos()), own, limit: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_mins(1), case(ground)).await.expect("hangs") });
}

macro_rules! contract {
    ($($(#[own($own:literal)])? $case:ident;)*) => {
        mod twin {
            $(#[test] fn $case() { super::on_twin(super::$case) })*
        }
        mod etcd_three {
            $(#[test] fn $case() {
                super::on_etcd(super::Generation::Three, stringify!($case), false $(|| $own)?, super::$case)
            })*
        }
        mod etcd_four {
            $(#[test] fn $case() {
                super::on_etcd(super::Generation::Four, stringify!($case), false $(|| $own)?, super::$case)
            })*
        }
    };
}

contract! {
    a_member_joins_becomes_ready_and_is_seen_by_the_others;
    a_second_process_with_a_live_id_is_refused;
    a_process_that_is_surely_dead_holds_no_id;
    a_queue_is_claimed_by_one_and_its_epochs_rise;
    an_owner_that_claims_anew_gets_a_new_epoch;
    two_claim_the_same_queues_at_once;
    only_the_owner_releases_and_only_its_epoch;
    a_process_dies_and_its_queues_are_free_within_its_lease;
    a_member_that_lives_keeps_its_lease;
    a_member_leaves_and_all_it_had_is_free_at_once;
    a_change_wakes_those_who_wait;
    an_operator_pauses_and_resumes;
    revisions_rise_and_a_view_is_one_revision;
    the_first_of_two_members_writes_the_specification;
    a_specification_is_changed_only_by_who_has_seen_the_present_one;
    marks_are_seen_by_all_and_outlive_who_made_them;
    the_history_of_a_queue_says_who_had_it_and_why;
    an_operator_pins_queues_and_drains_members_and_takes_it_back;
    a_member_is_cut_off_alone_and_hears_in_the_end_that_it_was_taken_over;
    #[own(true)] the_backend_freezes_and_a_member_keeps_what_it_has_and_begins_nothing;
    #[own(true)] the_backend_is_down_for_longer_than_a_lease_and_comes_back_with_all_of_them;
    #[own(true)] the_silence_lasts_longer_than_is_allowed_and_the_member_gives_itself_up;
    #[own(true)] the_backend_freezes_shortly_and_nothing_is_lost;
}
