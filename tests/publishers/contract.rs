//! One contract for all publishers: what a destination accepts, stalls on, refuses, or misses while it is dead is delivered exactly
//! as owed, in order of each resource, and nobody beside it waits.
//!
//! Each row is a publisher with the destination that is played for it. A whole agent publishes to it and to `test://beside`, which
//! takes everything: what is beside is what is owed.

mod destinations;
mod local;

use nephoscope::config;
use nephoscope::publish::{Batch, Context, Kind, PublishError, Publisher, build, identity, names};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::destinations::{Destination, Play};
use crate::clock;
use crate::decode::{self, Arrived};
use crate::lab::Lab;
use crate::records::sample;

/// A destination of the table.
pub(crate) struct Row {
    /// The publisher's name.
    pub scheme: &'static str,
    pub kind: Kind,
    /// How its destination is played.
    pub play: Play,
    /// What its destination cannot do, and why.
    cannot: &'static [(Deed, &'static str)],
    /// What can be seen of what arrived.
    pub shows: Shows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Takes connections, and says nothing.
    Stall,
    /// Says of one resource that it never takes it.
    Refuse,
    /// Ends all connections, and nobody listens.
    Die,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Every record.
    Everything,
    /// Of several values of a resource at once, the last.
    TheLast,
}

use Deed::{Die, Refuse, Stall};
use Kind::{Events, Samples};
use Shows::{Everything, TheLast};

const NOBODY_ANSWERS: &str = "the protocol has no answer";

/// A row and a test for each.
macro_rules! contract {
    ($($test:ident: $scheme:literal, $kind:ident, $play:expr, $cannot:expr, $shows:ident;)*) => {
        pub(crate) const ROWS: &[Row] = &[
            $(Row { scheme: $scheme, kind: $kind, play: $play, cannot: $cannot, shows: $shows },)*
        ];

        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                clock::passing(keeps_the_contract($scheme)).await;
            }
        )*
    };
}

contract! {
    file: "file", Samples, Play::File, &[
        (Stall, "a write to a disk is not given up"),
        (Refuse, "a file takes every line"),
    ], Everything;
    http: "http", Samples, Play::Web("/in?batch=true", decode::of_samples), &[], Everything;
    https: "https", Samples, Play::TlsWeb("/in?batch=true", decode::of_samples), &[], Everything;
    notifier: "notifier", Samples, Play::Amqp, &[
        (Refuse, "a broker takes every message"),
    ], Everything;
    test: "test", Samples, Play::Shelf, &[
        (Stall, "it answers at once, whatever it answers"),
        (Refuse, "it refuses by position, as it is told before"),
    ], Everything;
    gnocchi: "gnocchi", Samples, Play::Gnocchi, &[], Everything;
    zaqar: "zaqar", Samples, Play::Zaqar, &[], Everything;
    udp: "udp", Samples, Play::Udp, &[(Stall, NOBODY_ANSWERS), (Refuse, NOBODY_ANSWERS)], Everything;
    tcp: "tcp", Samples, Play::Tcp, &[(Stall, NOBODY_ANSWERS), (Refuse, NOBODY_ANSWERS)], Everything;
    otlp: "otlp", Samples, Play::Grpc, &[], Everything;
    otlps: "otlps", Samples, Play::TlsGrpc, &[], Everything;
    otlp_http: "otlp+http", Samples, Play::Web("?compression=none", decode::of_otlp_protobuf), &[], Everything;
    otlp_https: "otlp+https", Samples, Play::TlsWeb("?compression=none", decode::of_otlp_protobuf), &[], Everything;
    remote_write: "prometheus-remote-write", Samples, Play::Web("?version=auto", decode::of_remote_write), &[], Everything;
    remote_write_https: "prometheus-remote-write+https", Samples,
        Play::TlsWeb("?version=1.0", decode::of_remote_write), &[], Everything;
    cloudevents_http: "cloudevents+http", Events, Play::Web("/in?mode=structured", decode::of_cloud_event), &[], Everything;
    cloudevents_https: "cloudevents+https", Events, Play::TlsWeb("/in?mode=structured", decode::of_cloud_event), &[], Everything;
    prometheus: "prometheus", Samples, Play::Web("/metrics/job/j?a=b", decode::of_push), &[], TheLast;
    prometheus_scrape: "prometheus-scrape", Samples, Play::Page, &[
        (Stall, "whoever fetches the page is waited for by nobody"),
        (Refuse, "the page takes every series"),
        (Die, "the page is the agent's own"),
    ], TheLast;
    opentelemetryhttp: "opentelemetryhttp", Samples, Play::Web("/v1/metrics?a=b", decode::of_otlp_json), &[], Everything;
}

#[test]
fn every_publisher_has_a_row() {
    for name in names() {
        assert!(
            ROWS.iter().any(|row| row.scheme == name),
            "{name}: write a row that says how its destination is played"
        );
    }
    for row in ROWS {
        assert!(names().any(|name| name == row.scheme), "{}: there is no such publisher", row.scheme);
    }
}

/// The resource that is refused.
const BAD: &str = "r-3";
/// How long a destination stalls or is dead: many times what one of several publishers waits for.
const AWAY: Duration = Duration::from_mins(1);
/// Notifications that an agent may have in hand.
const PREFETCH: usize = 100;
/// What this process may grow by while a destination is away, in bytes.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

impl Row {
    fn named(scheme: &str) -> &'static Row {
        ROWS.iter().find(|row| row.scheme == scheme).unwrap()
    }

    fn can(&self, deed: Deed) -> bool {
        !self.cannot.iter().any(|(cannot, _)| *cannot == deed)
    }
}

async fn keeps_the_contract(scheme: &str) {
    let row = Row::named(scheme);
    let mut stage = Stage::set(row).await;
    stage.accepts().await;
    if row.can(Stall) {
        stage.away(Stall).await;
    }
    if row.can(Refuse) {
        stage.refuses().await;
    }
    if row.can(Die) {
        stage.away(Die).await;
    }
    stage.accepts().await;
    stage.counts();
}

/// A row in play.
struct Stage {
    row: &'static Row,
    destination: Box<dyn Destination>,
    lab: Lab,
    /// Of what is beside, what the destination refuses: by their positions.
    refused: Vec<usize>,
    was_away: bool,
}

impl Stage {
    async fn set(row: &'static Row) -> Stage {
        let destination = row.play.begin(row.scheme).await;
        let context = destination.context(Context::default());
        let lab = Lab::start(&destination.url(), row.kind, &destination.endpoint(), context).await;
        Stage { row, destination, lab, refused: Vec::new(), was_away: false }
    }

    /// What is sent is taken at once.
    async fn accepts(&mut self) {
        self.lab.send(40).await;
        self.settles().await;
        assert_eq!(self.lab.parked().await, []);
    }

    /// Until all is settled; then all that is owed is there, once and in order.
    async fn settles(&mut self) {
        self.lab.until("all is settled", async || self.lab.is_settled()).await;
        let owed = self.owed();
        let (shows, destination) = (self.row.shows, &self.destination);
        self.lab.until("all has arrived", async || is_complete(shows, &owed, &destination.arrived().await)).await;
        let arrived = self.destination.arrived().await;
        match shows {
            Everything => assert_eq!(by_resource(&arrived), by_resource(&owed)),
            TheLast => assert!(rises(&arrived), "{arrived:?}"),
        }
    }

    fn owed(&self) -> Vec<Arrived> {
        let beside = self.lab.beside().into_iter().enumerate();
        beside.filter(|(n, _)| !self.refused.contains(n)).map(|(_, record)| record).collect()
    }

    /// It gives no answer, or nobody is there: what is sent meanwhile is beside at once, and waits in the broker for it.
    async fn away(&mut self, deed: Deed) {
        let (before, resident) = (self.destination.arrived().await, resident_bytes());
        match deed {
            Stall => self.destination.stall().await,
            _ => self.destination.die().await,
        }
        for _ in 0..3 {
            self.lab.send(40).await;
            self.lab.until("all is beside", async || self.lab.beside().len() == self.lab.sent()).await;
            tokio::time::sleep(AWAY / 3).await;
        }
        assert_eq!(self.destination.arrived().await, before, "{deed:?}");
        let (ready, unacked) = self.lab.waiting(".overflow.");
        assert!(ready + unacked > 0, "what is owed to it waits in the broker: {:?}", self.lab.broker.queues());
        let (_, in_hand) = self.lab.waiting("");
        assert!(in_hand <= 2 * PREFETCH, "{in_hand} messages in hand");
        let grown = resident_bytes().saturating_sub(resident);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more than before");
        self.destination.recover().await;
        self.was_away = true;
        self.settles().await;
    }

    /// It takes everything but one resource: that is parked, with the reason.
    async fn refuses(&mut self) {
        let from = self.lab.beside().len();
        self.destination.refuse(Some(BAD));
        self.lab.send(40).await;
        self.lab.until("all is beside", async || self.lab.is_settled()).await;
        let records = self.lab.beside();
        self.refused = (from..records.len()).filter(|n| records[*n].0 == BAD).collect();
        self.settles().await;
        let parked = self.lab.parked().await;
        assert_eq!(parked.len(), self.refused.len());
        for (body, headers) in parked {
            let record: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(record.to_string().contains(&format!("\"{BAD}\"")), "{body}");
            assert_eq!(headers["x-nephoscope-kind"], "refused");
            let reason = &headers["x-nephoscope-reason"];
            assert!(reason.starts_with(self.row.scheme) && reason.contains(" refused it: "), "{reason}");
        }
        self.destination.refuse(None);
    }

    /// The counters say what happened.
    fn counts(&self) {
        let counted = |name: &str| self.lab.counted(&format!("nephoscope_{name}"));
        assert_eq!(counted("published_total"), self.owed().len());
        assert_eq!(counted("publish_refused_total"), self.refused.len());
        assert_eq!(counted("shed_total"), 0);
        assert_eq!(counted("overflowed_total") > 0, self.was_away);
        assert_eq!(counted("publish_retries_total") > 0, self.was_away);
        assert_eq!(counted("breaker"), 0, "it is asked as ever");
    }
}

/// The steps of each resource, in the order in which they came.
fn by_resource(records: &[Arrived]) -> BTreeMap<&str, Vec<i64>> {
    let mut all: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (resource, step) in records {
        all.entry(resource).or_default().push(step.parse().unwrap());
    }
    all
}

fn is_complete(shows: Shows, owed: &[Arrived], arrived: &[Arrived]) -> bool {
    match shows {
        Everything => arrived.len() >= owed.len(),
        TheLast => {
            let last =
                |records| by_resource(records).into_iter().map(|(of, steps)| (of.to_owned(), steps.last().copied()));
            last(owed).eq(last(arrived))
        }
    }
}

fn rises(records: &[Arrived]) -> bool {
    by_resource(records).values().all(|steps| steps.is_sorted())
}

/// The publisher of a row, without an agent.
pub(crate) fn publisher_to(row: &Row, destination: &dyn Destination) -> Arc<dyn Publisher> {
    let text = format!("[service_credentials]\nauth_type = gnocchi-basic\nendpoint = {}\n", destination.endpoint());
    let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    let context = destination.context(Context { gnocchi, zaqar, ..Context::default() });
    build(&destination.url(), row.kind, &context).unwrap()
}

pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// A machine that lost its power ends no connection. What was sent over the old one is offered again, over a new one, soon.
#[tokio::test(start_paused = true)]
async fn a_connection_that_leads_nowhere_any_more_is_left() {
    clock::passing(async {
        for row in ROWS.iter().filter(|row| row.kind == Samples && row.can(Stall)) {
            let mut destination = row.play.begin(row.scheme).await;
            if !destination.has_connections() {
                continue;
            }
            let publisher = publisher_to(row, &*destination);
            publisher.publish(&Batch::Samples(vec![sample("r-1", "1")])).await.unwrap();
            destination.freeze();
            let mut held = 0;
            while let Err(error) = publisher.publish(&Batch::Samples(vec![sample("r-2", "2")])).await {
                assert!(matches!(error, PublishError::Retry { .. }), "{}: {error}", row.scheme);
                held += 1;
                assert!(held <= 3, "{}: {error}", row.scheme);
            }
            let arrived = destination.arrived().await;
            assert_eq!(arrived, ["r-1", "r-2"].map(|id| (id.to_owned(), "1".to_owned())), "{}", row.scheme);
        }
    })
    .await;
}

/// Five minutes of 503: it is left alone but for an attempt now and then, and then gets all.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_for_five_minutes_is_asked_now_and_then() {
    clock::passing(async {
        let mut stage = Stage::set(Row::named("http")).await;
        stage.accepts().await;
        stage.destination.be_busy(true);
        let before = stage.destination.asked();
        stage.lab.send(400).await;
        stage.lab.until("all is beside", async || stage.lab.beside().len() == stage.lab.sent()).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        let asked = stage.destination.asked() - before;
        assert!((10..40).contains(&asked), "{asked} requests");
        stage.destination.be_busy(false);
        stage.was_away = true;
        stage.settles().await;
        stage.counts();
    })
    .await;
}
