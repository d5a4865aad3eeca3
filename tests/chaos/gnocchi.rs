//! A group whose samples and events go to a real Gnocchi: agents are killed, Gnocchi is stopped for a while, and in it afterwards is what
//! was owed.
//!
//! The metric has a period of one second and metricd runs: a measure that comes after a younger one of its metric was worked off is dropped by
//! Gnocchi without a word. So one batch that overtakes another one is one missing measure here.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::rig::{self, Generation, Gnocchi, Metricd};
use super::stage::{Kind, Servers};

/// Of resources with measures, and of resources that come and go.
const RESOURCES: u32 = 20;
/// Every so many notifications one resource is born and another one ends.
const LIFE_EVERY: u32 = 25;
/// Of one agent after the other.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// For how long Gnocchi is stopped.
const AWAY: Duration = Duration::from_secs(30);
/// Past this what has not come does not come.
const PATIENCE: Duration = Duration::from_secs(180);

const METERS: &str = "metric:\n  - name: chaos.volume\n    event_type: chaos.tick\n    type: gauge\n    unit: B\n    \
    volume: $.payload.n\n    resource_id: $.payload.id\n    project_id: $.payload.tenant_id\n    user_id: $.payload.user_id\n    \
    timestamp: $.timestamp\n";
const EVENTS: &str = "- event_type: ['chaos.born', 'chaos.gone']\n  traits:\n    resource_id: {fields: payload.id}\n    \
    project_id: {fields: payload.tenant_id}\n";
const RESOURCES_FILE: &str = "archive_policy_default: chaos\narchive_policies:\n  - name: chaos\n    aggregation_methods: [mean]\n    \
    back_window: 0\n    definition: [{granularity: 1 second, timespan: 1 day}]\nresources:\n  - resource_type: stack\n    \
    metrics: {chaos.volume: }\n    event_create: [chaos.born]\n    event_delete: [chaos.gone]\n    \
    event_attributes: {id: resource_id, project_id: project_id}\n";

/// Kills one of three agents every five seconds for so long, with Gnocchi stopped for half a minute of it.
pub async fn holds(generation: Generation, kind: Kind, rate: u32, load: Duration) {
    let Some(gnocchi) = tokio::task::block_in_place(|| rig::own_gnocchi(Metricd::Runs)) else { return };
    let servers = tokio::task::block_in_place(|| Servers::start(generation, kind, "")).unwrap();
    let stage = tokio::task::block_in_place(|| servers.stage("gnocchi", Duration::from_secs(3), 4, false));
    let more = format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {}\n", gnocchi.url);
    let url = format!(
        "gnocchi://?enable_filter_project=false&resources_definition_file={}/gnocchi.yaml",
        stage.folder.display()
    );
    let pipelines =
        format!("sources: [{{name: all, meters: ['*'], sinks: [s]}}]\nsinks: [{{name: s, publishers: ['{url}']}}]\n");
    let event_pipelines = pipelines.replace("meters", "events");
    let mut fleet = Fleet::with(
        &stage,
        &[
            ("meters.d/chaos.yaml", METERS),
            ("event_definitions.yaml", EVENTS),
            ("gnocchi.yaml", RESOURCES_FILE),
            ("pipeline.yaml", &pipelines),
            ("event_pipeline.yaml", &event_pipelines),
            ("gnocchi.conf", &more),
        ],
        more.clone(),
    );
    set_up(&stage.folder);
    for _ in 0..3 {
        fleet.join(&stage).await;
    }
    // Seven main queues, and the queues of two sinks.
    fleet.until_open(7 + 2 * stage.queues).await;

    let sending = tokio::spawn(send(stage.urls()[0].clone(), rate, load));
    let (began, mut turn, mut away) = (Instant::now(), 0, None);
    while began.elapsed() < load {
        sleep(KILL_EVERY).await;
        if turn == 2 {
            tokio::task::block_in_place(|| gnocchi.stop());
            away = Some(Instant::now());
        }
        if away.is_some_and(|since: Instant| since.elapsed() >= AWAY) {
            tokio::task::block_in_place(|| gnocchi.start());
            away = None;
        }
        let victim = turn % 3;
        fleet.kill(victim);
        fleet.start(victim);
        turn += 1;
    }
    if away.is_some() {
        tokio::task::block_in_place(|| gnocchi.start());
    }
    let owed = sending.await.unwrap();
    println!("{} notifications owed, {turn} agents killed, Gnocchi away for {} s", owed.count(), AWAY.as_secs());
    let asked = Asked { gnocchi: (*gnocchi).clone() };
    let drained = Instant::now();
    let mut wrong = asked.wrong(&owed).await;
    while !wrong.is_empty() && drained.elapsed() < PATIENCE {
        fleet.revive();
        sleep(Duration::from_secs(1)).await;
        wrong = asked.wrong(&owed).await;
    }
    println!("drained in {:.1} s, {} things wrong", drained.elapsed().as_secs_f64(), wrong.len());
    let shown: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} things are not as they are owed, among them {shown:#?}", wrong.len());
}

fn set_up(folder: &std::path::Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.arg("gnocchi-setup").arg("--config-file").arg(folder.join("gnocchi.conf"));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What must be in Gnocchi, by resource.
#[derive(Default)]
struct Owed {
    /// The values of the measures, by their second; whether the broker has confirmed their notifications.
    measures: BTreeMap<String, BTreeMap<i64, (f64, bool)>>,
    born: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Whose birth or end may be there or not.
    unsure: BTreeSet<String>,
}

impl Owed {
    fn count(&self) -> usize {
        let sure = self.measures.values().flat_map(BTreeMap::values).filter(|(_, sure)| *sure).count();
        sure + self.born.len() + self.gone.len()
    }
}

/// The moment of a measure: two seconds after that of the one before.
fn moment(counter: u32) -> i64 {
    1_767_225_600 + i64::from(counter) * 2
}

/// Sends at a steady rate; what is confirmed is owed.
async fn send(url: String, rate: u32, load: Duration) -> Owed {
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (mut owed, began, mut lives) = (Owed::default(), Instant::now(), 0_u32);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    for n in 0_u32.. {
        ticks.tick().await;
        if began.elapsed() >= load {
            break;
        }
        if n % LIFE_EVERY == LIFE_EVERY - 1 {
            // The one that was born four lives ago ends, but for every other.
            let id = format!("life-{lives}");
            let is_sure = notify(&channel, "chaos.born", &id, moment(lives), 0).await;
            if is_sure {
                owed.born.insert(id)
            } else {
                owed.unsure.insert(id)
            };
            if lives >= 4 && lives.is_multiple_of(2) {
                let id = format!("life-{}", lives - 4);
                let is_sure = notify(&channel, "chaos.gone", &id, moment(lives), 0).await;
                if is_sure {
                    owed.gone.insert(id)
                } else {
                    owed.unsure.insert(id)
                };
            }
            lives += 1;
            continue;
        }
        let (resource, counter) = (format!("r-{}", n % RESOURCES), n / RESOURCES);
        let is_sure = notify(&channel, "chaos.tick", &resource, moment(counter), n).await;
        owed.measures.entry(resource).or_default().insert(moment(counter), (f64::from(n), is_sure));
    }
    owed
}

/// Sends one; whether the broker has it for sure.
async fn notify(channel: &Channel, event_type: &str, id: &str, at: i64, n: u32) -> bool {
    let time = chrono::DateTime::from_timestamp(at, 0).unwrap().format("%Y-%m-%d %H:%M:%S.%6f");
    let message = uuid::Uuid::new_v4();
    let body = format!(
        r#"{{"message_id":"{message}","publisher_id":"chaos.host","event_type":"{event_type}","priority":"INFO","timestamp":"{time}","_unique_id":"{message}","payload":{{"id":"{id}","n":{n},"tenant_id":"t","user_id":"u"}}}}"#
    );
    let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent =
        channel.basic_publish("cinder".into(), "notifications.info".into(), options, body.as_bytes(), properties);
    match sent.await {
        Ok(confirm) => matches!(confirm.await, Ok(Confirmation::Ack(None))),
        Err(_) => false,
    }
}

/// What Gnocchi says.
struct Asked {
    gnocchi: Gnocchi,
}

impl Asked {
    async fn get(&self, path: &str) -> Option<serde_json::Value> {
        let path = format!("/v1/resource/stack/{path}");
        let (status, body) = self.gnocchi.ask(reqwest::Method::GET, &path, None).await.ok()?;
        if status < 300 { serde_json::from_slice(&body).ok() } else { None }
    }

    /// Everything that is not as it is owed.
    async fn wrong(&self, owed: &Owed) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, expected) in &owed.measures {
            let found = self.get(&format!("{id}/metric/chaos.volume/measures?refresh=true&granularity=1")).await;
            let found: BTreeMap<i64, f64> =
                found.iter().flat_map(|found| found.as_array().unwrap()).map(point).collect();
            for (at, (value, is_sure)) in expected {
                match found.get(at) {
                    None if *is_sure => wrong.push(format!("{id}: measure {value} at {at} is missing")),
                    Some(other) if other.total_cmp(value).is_ne() => {
                        wrong.push(format!("{id}: {other} at {at}, expected {value}"));
                    }
                    _ => {}
                }
            }
            let more = found.keys().filter(|at| !expected.contains_key(at));
            wrong.extend(more.map(|at| format!("{id}: a measure at {at}, which nobody sent")));
        }
        for id in &owed.born {
            match self.get(id).await {
                None => wrong.push(format!("{id} was not born")),
                Some(resource) => {
                    let has_ended = !resource["ended_at"].is_null();
                    if has_ended != owed.gone.contains(id) && !owed.unsure.contains(id) {
                        wrong.push(format!("{id} has ended: {has_ended}"));
                    }
                }
            }
        }
        wrong
    }
}

/// `[time, period, value]`
fn point(of: &serde_json::Value) -> (i64, f64) {
    let at = chrono::DateTime::parse_from_rfc3339(of[0].as_str().unwrap()).unwrap();
    (at.timestamp(), of[2].as_f64().unwrap())
}
