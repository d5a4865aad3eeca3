//! What publishers publish to: a real Gnocchi, Prometheus and Pushgateway from Debian's packages.
//!
//! Each function gives nothing, and prints the reason, where the packages are not installed: the test that asked is skipped.

use super::{Own, Place, free_slot, port_of};
use std::sync::LazyLock;

/// A Gnocchi that runs; `Authorization: basic YWRtaW46` is its administrator.
#[derive(Clone, Debug)]
pub struct Gnocchi {
    /// `http://127.0.0.1:<port>`
    pub url: String,
}

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    // Of this process; whoever was faster has the same.
    let _there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
});

impl Gnocchi {
    /// Asks it as its administrator: status and body of the answer. The error is that there is none.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<String>,
    ) -> reqwest::Result<(u16, Vec<u8>)> {
        let request = CLIENT.request(method, format!("{}{path}", self.url));
        let request = request.header("authorization", "basic YWRtaW46");
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        let reply = request.send().await?;
        Ok((reply.status().as_u16(), reply.bytes().await?.to_vec()))
    }
}

/// A Prometheus that runs and takes remote writes at `/api/v1/write`.
#[derive(Clone, Debug)]
pub struct Prometheus {
    /// `http://127.0.0.1:<port>`
    pub url: String,
}

/// A Pushgateway that runs.
#[derive(Clone, Debug)]
pub struct Pushgateway {
    /// `http://127.0.0.1:<port>`
    pub url: String,
}

/// Whether Gnocchi works off measures in the background.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metricd {
    /// A second or so after they came.
    Runs,
    /// Only when it is asked with `refresh=true`: no result depends on timing.
    No,
}

/// The Gnocchi that the whole test run shares, without metricd: name your resources so that neighbours do not meet.
pub fn gnocchi() -> Option<Gnocchi> {
    shared("gnocchi.sh").map(|url| Gnocchi { url })
}

/// A Gnocchi for one test alone, with nothing in it.
pub fn own_gnocchi(metricd: Metricd) -> Option<Own<Gnocchi>> {
    own("gnocchi.sh", if metricd == Metricd::Runs { "1" } else { "0" }, |url| Gnocchi { url })
}

/// The Prometheus that the whole test run shares.
pub fn prometheus() -> Option<Prometheus> {
    shared("prometheus.sh").map(|url| Prometheus { url })
}

/// A Prometheus for one test alone, that scrapes `127.0.0.1:<port>/<path>` every second, or nothing.
pub fn own_prometheus(scrape: &str) -> Option<Own<Prometheus>> {
    own("prometheus.sh", scrape, |url| Prometheus { url })
}

/// The Pushgateway that the whole test run shares.
pub fn pushgateway() -> Option<Pushgateway> {
    shared("pushgateway.sh").map(|url| Pushgateway { url })
}

/// A Pushgateway for one test alone.
pub fn own_pushgateway() -> Option<Own<Pushgateway>> {
    own("pushgateway.sh", "", |url| Pushgateway { url })
}

fn shared(script: &str) -> Option<String> {
    start(script, &Place::of(super::Generation::Three, 0))
}

fn own<S>(script: &'static str, configuration: &str, server: impl Fn(String) -> S) -> Option<Own<S>> {
    let (slot, claim) = free_slot(script, super::Generation::Three);
    let place = Place { configuration: configuration.to_owned(), ..Place::of(super::Generation::Three, slot) };
    // What a test that was killed left behind is not this test's beginning.
    place.wipe(script);
    let url = start(script, &place)?;
    Some(Own { server: server(url), script, place, _claim: Some(claim) })
}

/// The URL of what a script started.
fn start(script: &str, place: &Place) -> Option<String> {
    match place.try_script(script, &["start", &place.slot.to_string()]) {
        Ok(ready) => Some(format!("http://127.0.0.1:{}", port_of(&ready))),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}
