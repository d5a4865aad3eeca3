//! A service that sends notifications at a steady rate, with publisher confirms: what is confirmed is owed.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a handful is sent.
const TICK: Duration = Duration::from_millis(10);
/// Unconfirmed notifications at most; past it the sender waits for the broker, and the rate falls.
const UNCONFIRMED_MAX: usize = 4_000;
/// A confirm that has not come by then does not come.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(20);
/// Seconds between two notifications of a resource, by their timestamps.
pub const STEP_SECONDS: u32 = 2;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Notifications per second.
    pub rate: u32,
    /// They are of so many resources, in turn.
    pub resources: u32,
    /// So many of a hundred cannot be read by anybody.
    pub poison_percent: u32,
}

/// What became of a notification at the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Sent and not confirmed: it may be there or not.
    Unsure,
    /// Confirmed.
    Owed,
    /// Confirmed, and poison.
    Poison,
}

/// The fates, by number.
pub type Fates = Arc<Mutex<Vec<Fate>>>;

/// Whether the sender waits.
pub type Pause = Arc<AtomicBool>;

impl Load {
    /// Whether the `n`th is poison: never one of the first round, so that every resource has a first sample.
    pub fn is_poison(&self, n: u32) -> bool {
        n >= self.resources && n.wrapping_mul(2_654_435_761) % 100 < self.poison_percent
    }

    /// Resource and counter of the `n`th.
    pub fn place(&self, n: u32) -> (u32, u32) {
        (n % self.resources, n / self.resources)
    }

    fn body(&self, n: u32) -> Vec<u8> {
        let (resource, counter) = self.place(n);
        if self.is_poison(n) {
            return match n % 3 {
                0 => format!(r#"{{"oslo.version":"2.0","oslo.message":"{{\"message_id\":\"m-{n}"#).into_bytes(),
                1 => [b"\xff\xfe".as_slice(), &n.to_be_bytes()].concat(),
                _ => Vec::new(),
            };
        }
        let at = i64::from(counter) * i64::from(STEP_SECONDS) + 1_767_225_600;
        let at = chrono::DateTime::from_timestamp(at, 0).unwrap().format("%Y-%m-%d %H:%M:%S.%6f");
        let volume = volume(counter);
        format!(
            r#"{{"message_id":"m-{n}","publisher_id":"chaos.host","event_type":"chaos.tick","priority":"INFO","timestamp":"{at}","_unique_id":"u-{n}","payload":{{"id":"r-{resource}","n":{n},"volume":{volume},"tenant_id":"t","user_id":"u"}}}}"#
        )
        .into_bytes()
    }
}

/// The cumulative volume: the difference of any two tells which two.
pub fn volume(counter: u32) -> u64 {
    let counter = u64::from(counter);
    8 * counter * counter
}

/// The rate of `counter` when the last sample before it was that of `before`: exact in binary.
pub fn rate(before: u32, counter: u32) -> f64 {
    (volume(counter) - volume(before)) as f64 / f64::from((counter - before) * STEP_SECONDS)
}

/// Sends until told to stop, but for pauses; whenever the broker is away it tries to connect again, and goes on with the next
/// number.
pub async fn send(urls: Vec<String>, load: Load, fates: Fates, pause: Pause, stop: CancellationToken) {
    let mut turn = 0;
    while !stop.is_cancelled() {
        turn += 1;
        match connect(&urls[turn % urls.len()]).await {
            Some((_connection, channel)) => session(&channel, load, &fates, &pause, &stop).await,
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Sends one more now, and gives its number; panics if the broker does not take it.
pub async fn send_one(url: &str, load: Load, fates: &Mutex<Vec<Fate>>) -> u32 {
    let (_connection, channel) = connect(url).await.unwrap();
    loop {
        let n = number(fates);
        if !load.is_poison(n) {
            let confirm = publish(&channel, n, load).await.unwrap();
            assert!(matches!(confirm.await, Ok(Confirmation::Ack(None))), "the broker does not take one more");
            fates.lock().unwrap()[n as usize] = Fate::Owed;
            return n;
        }
    }
}

async fn connect(url: &str) -> Option<(Connection, Channel)> {
    let connecting = async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.ok()?;
        let channel = connection.create_channel().await.ok()?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
        Some((connection, channel))
    };
    tokio::time::timeout(Duration::from_secs(5), connecting).await.ok()?
}

/// The next number, unsure.
fn number(fates: &Mutex<Vec<Fate>>) -> u32 {
    let mut fates = fates.lock().unwrap();
    fates.push(Fate::Unsure);
    u32::try_from(fates.len() - 1).unwrap()
}

async fn publish(channel: &Channel, n: u32, load: Load) -> lapin::Result<PublisherConfirm> {
    let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("cinder".into(), "notifications.info".into(), options, &load.body(n), properties).await
}

async fn session(channel: &Channel, load: Load, fates: &Fates, pause: &Pause, stop: &CancellationToken) {
    let (sent, mut confirms) = mpsc::channel::<(u32, PublisherConfirm)>(UNCONFIRMED_MAX);
    let over = stop.child_token();
    let book = async {
        while let Some((n, confirm)) = confirms.recv().await {
            // A returned message (`Ack` with a message in it) went nowhere: nothing is owed.
            match tokio::time::timeout(CONFIRM_PATIENCE, confirm).await {
                Ok(Ok(Confirmation::Ack(None))) => {
                    fates.lock().unwrap()[n as usize] = if load.is_poison(n) { Fate::Poison } else { Fate::Owed };
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => over.cancel(),
            }
        }
    };
    let work = async {
        let mut began = Instant::now();
        let mut count = 0_u64;
        let mut ticks = tokio::time::interval(TICK);
        while !over.is_cancelled() {
            ticks.tick().await;
            if pause.load(Ordering::Relaxed) {
                (began, count) = (Instant::now(), 0);
                continue;
            }
            let due = u64::try_from(began.elapsed().as_millis()).unwrap() * u64::from(load.rate) / 1000;
            while count < due && !over.is_cancelled() {
                let n = number(fates);
                let Ok(Ok(confirm)) = tokio::time::timeout(CONFIRM_PATIENCE, publish(channel, n, load)).await else {
                    return drop(sent);
                };
                if sent.send((n, confirm)).await.is_err() {
                    return;
                }
                count += 1;
            }
        }
        drop(sent);
    };
    tokio::join!(work, book);
}
