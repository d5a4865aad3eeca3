//! What happens to queues and exchanges, and to where agents publish: deletions, policies, refusals, absence.
//!
//! What a deletion itself destroys is not owed. So before a queue is deleted the sender pauses, everything that is owed comes
//! out, and the broker says how many messages went with the queue: none, but for the parking queue, whose number is kept.

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::collector::Manner;
use super::fleet::Fleet;
use super::run::Scene;

/// What is deleted is there again by then.
const BACK_MAX: Duration = Duration::from_secs(5);
/// Past this it does not come back, or not out.
const PATIENCE: Duration = Duration::from_secs(60);
/// After everything has come out, until it is acknowledged too.
const SETTLED: Duration = Duration::from_millis(500);
/// Between two deletions, under load.
const BETWEEN: Duration = Duration::from_secs(2);
/// Main and pipeline queues, and not the state streams, the parking queue and what was rescued.
const QUEUES: &str = r"^(notifications\.|nephoscope\..*\.g1\.[0-9]+$)";
const MAIN: &str = "notifications.info";

/// What a fault found out.
#[derive(Default)]
pub struct Found {
    /// Parked messages that a deletion took away.
    pub parked: u32,
    /// What is not as promised.
    pub wrong: Vec<String>,
}

/// Deletes one thing after the other.
pub async fn deleted(scene: &Scene<'_>) -> Found {
    let mut found = Found::default();
    let group = &scene.stage.group;
    let pipeline = |sink: &str| format!("nephoscope.{group}.{sink}.g1.0");
    let parked = format!("nephoscope.{group}.parked");
    for queue in [MAIN.to_owned(), pipeline("plain"), pipeline("rates"), pipeline("event:events")] {
        let taken = delete_drained(&queue, scene, &mut found).await;
        if taken > 0 {
            found.wrong.push(format!("{taken} messages were in {queue} when it was deleted: it proves nothing"));
        }
    }
    // Nothing of the stream and the exchange is owed, and the load goes on.
    delete(&format!("{}.state", pipeline("rates")), scene, &mut found).await;
    found.parked += delete_drained(&parked, scene, &mut found).await;
    delete_exchange(scene, &mut found).await;
    unbind(scene, &mut found).await;
    found
}

async fn delete_drained(queue: &str, scene: &Scene<'_>, found: &mut Found) -> u32 {
    scene.pause.store(true, Ordering::Relaxed);
    let began = Instant::now();
    // First what is on its way to the broker is confirmed.
    sleep(SETTLED).await;
    while scene.missing() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} records do not come, before {queue} is deleted", scene.missing());
        sleep(Duration::from_millis(20)).await;
    }
    sleep(SETTLED).await;
    delete(queue, scene, found).await
}

/// Deletes a queue; the sender goes on at once. Gives how many messages went with it.
async fn delete(queue: &str, scene: &Scene<'_>, found: &mut Found) -> u32 {
    let connection = connect(scene).await;
    let channel = connection.create_channel().await.unwrap();
    let is_consumed = !["state", "parked"].contains(&queue.rsplit('.').next().unwrap_or_default());
    let gone = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    scene.pause.store(false, Ordering::Relaxed);
    back(&format!("the queue {queue}"), found, async || {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        // A refused look closes its channel.
        let channel = connection.create_channel().await.unwrap();
        let there = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        there.is_ok_and(|there| !is_consumed || there.consumer_count() > 0)
    })
    .await;
    sleep(BETWEEN).await;
    gone
}

/// Whether it is back in time.
async fn back(what: &str, found: &mut Found, there: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !there().await {
        if began.elapsed() > PATIENCE {
            found.wrong.push(format!("{what} does not come back"));
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    println!("    deleted: {what} is back after {:.1} s", took.as_secs_f64());
    if took > BACK_MAX {
        found.wrong.push(format!("{what} is back after {:.1} s only", took.as_secs_f64()));
    }
}

/// Where the sender sends: it is refused and connects again, until messages go where somebody takes them.
async fn delete_exchange(scene: &Scene<'_>, found: &mut Found) {
    let connection = connect(scene).await;
    let channel = connection.create_channel().await.unwrap();
    channel.exchange_delete("cinder".into(), ExchangeDeleteOptions::default()).await.unwrap();
    flows("the exchange cinder", scene, found).await;
}

async fn unbind(scene: &Scene<'_>, found: &mut Found) {
    let connection = connect(scene).await;
    let channel = connection.create_channel().await.unwrap();
    channel.queue_unbind(MAIN.into(), "cinder".into(), MAIN.into(), FieldTable::default()).await.unwrap();
    flows("the binding of cinder", scene, found).await;
}

/// Whether notifications are taken by the broker again, in time.
async fn flows(what: &str, scene: &Scene<'_>, found: &mut Found) {
    let owed = || scene.fates.lock().unwrap().iter().filter(|fate| **fate == super::sender::Fate::Owed).count();
    // What was sent before is confirmed meanwhile.
    sleep(Duration::from_millis(200)).await;
    let before = owed();
    back(what, found, async || owed() > before).await;
    sleep(BETWEEN).await;
}

/// One pipeline queue holds one packet, and its publisher is away; then it takes everything, and then its publisher is back.
pub async fn refuses(seconds: u64, scene: &Scene<'_>) {
    limit_length(scene, r"\.rates\.g1\.0$", 1).await;
    scene.collector.be(Manner { away: [false, true, false], ..Manner::default() });
    sleep(Duration::from_secs(seconds)).await;
    clear_policy(scene);
    sleep(Duration::from_secs(3)).await;
    scene.collector.be_away(false);
}

/// As long as the load lasts.
pub async fn refuses_slow(until: Instant, scene: &Scene<'_>) {
    limit_length(scene, r"\.rates\.g1\.0$", 3).await;
    scene.collector.be(Manner { slow: Duration::from_secs(1), ..Manner::default() });
    tokio::time::sleep_until(until).await;
    scene.collector.be_away(false);
    clear_policy(scene);
}

/// By SIGKILL and by SIGTERM in turn; publishers are away from before the first until after the last.
pub async fn restarts(times: usize, scene: &Scene<'_>, fleet: &mut Fleet) {
    scene.collector.be_away(true);
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    for turn in 0..times {
        let running = fleet.running();
        if turn.is_multiple_of(2) {
            running.iter().for_each(|at| fleet.kill(*at));
        } else {
            for at in &running {
                fleet.stop(*at).await;
            }
        }
        running.iter().for_each(|at| fleet.start(*at));
        fleet.until_listening().await;
        // What came back is taken again, all that the prefetch allows.
        sleep(Duration::from_millis(500)).await;
    }
    println!("    {times} restarts in {:.1} s", began.elapsed().as_secs_f64());
    scene.collector.be_away(false);
}

/// Nobody takes what agents publish.
pub async fn away(seconds: u64, scene: &Scene<'_>) {
    scene.collector.be_away(true);
    sleep(Duration::from_secs(seconds)).await;
    scene.collector.be_away(false);
}

/// A delivery limit, and more restarts than it allows; then a length that is passed, then nothing.
pub async fn policies(scene: &Scene<'_>, fleet: &mut Fleet) {
    set_policy(scene, QUEUES, r#"{"delivery-limit": 10}"#);
    restarts(12, scene, fleet).await;
    sleep(Duration::from_secs(2)).await;
    limit_length(scene, QUEUES, 3).await;
    scene.collector.be(Manner { slow: Duration::from_millis(300), ..Manner::default() });
    sleep(Duration::from_secs(8)).await;
    clear_policy(scene);
    sleep(Duration::from_secs(2)).await;
    scene.collector.be_away(false);
}

/// In two steps: RabbitMQ 4.0 applies the length of a policy before its overflow, and a classic queue that holds more drops it.
async fn limit_length(scene: &Scene<'_>, queues: &str, messages: u32) {
    set_policy(scene, queues, r#"{"overflow": "reject-publish"}"#);
    sleep(Duration::from_secs(1)).await;
    set_policy(scene, queues, &format!(r#"{{"max-length": {messages}, "overflow": "reject-publish"}}"#));
}

fn set_policy(scene: &Scene<'_>, queues: &str, definition: &str) {
    let vhost = &scene.stage.vhost;
    let words = ["set_policy", "-p", vhost, "chaos", queues, definition, "--apply-to", "queues"];
    tokio::task::block_in_place(|| scene.servers.broker().ctl(&words));
}

fn clear_policy(scene: &Scene<'_>) {
    tokio::task::block_in_place(|| scene.servers.broker().ctl(&["clear_policy", "-p", &scene.stage.vhost, "chaos"]));
}

async fn connect(scene: &Scene<'_>) -> Connection {
    Connection::connect(&scene.stage.urls()[0], ConnectionProperties::default()).await.unwrap()
}
