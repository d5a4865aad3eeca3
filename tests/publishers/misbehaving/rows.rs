//! The publishers that speak HTTP.

use nephoscope::config;
use nephoscope::publish::{Context, Kind, Publisher, build, identity, names};
use std::sync::Arc;

use crate::server::Request;

/// A publisher with some of its options.
pub(super) struct Row {
    /// Its scheme, and what makes this row another than that of the scheme alone.
    pub name: &'static str,
    /// What it publishes here.
    pub kind: Kind,
    /// Its URL; `PLACE` is host and port.
    url: &'static str,
    /// The same over TLS, where that is another scheme or option.
    tls: Option<&'static str>,
    /// The method and the beginning of the path of the requests that carry records.
    carried_by: (&'static str, &'static str),
}

const fn row(
    name: &'static str,
    kind: Kind,
    url: &'static str,
    tls: Option<&'static str>,
    carried_by: (&'static str, &'static str),
) -> Row {
    Row { name, kind, url, tls, carried_by }
}

use Kind::{Events, Samples};

const POST: (&str, &str) = ("POST", "/");
const GNOCCHI: &str = "gnocchi://?enable_filter_project=false";

pub(super) const ROWS: &[Row] = &[
    row("http", Samples, "http://me:SeCrEt@PLACE/in?a=b", Some("https://PLACE/in?a=b"), POST),
    row("http batch=false", Samples, "http://me:SeCrEt@PLACE/in?batch=false", None, POST),
    row("http events", Events, "http://me:SeCrEt@PLACE/in?token=SeCrEt", None, POST),
    row("gnocchi", Samples, GNOCCHI, Some(GNOCCHI), ("POST", "/v1/batch/")),
    row("gnocchi events", Events, GNOCCHI, Some(GNOCCHI), ("PATCH", "/v1/resource/")),
    row("zaqar", Samples, "zaqar://?queue=q", Some("zaqar://?queue=q"), ("POST", "/v2/queues/")),
    row("zaqar events", Events, "zaqar://?queue=q&max_messages=1", None, ("POST", "/v2/queues/")),
    row(
        "prometheus",
        Samples,
        "prometheus://me:SeCrEt@PLACE/metrics/job/j/instance/a?a=b",
        Some("prometheus://PLACE/metrics/job/j/instance/a?ssl=true"),
        POST,
    ),
    row("prometheus by resource", Samples, "prometheus://me:SeCrEt@PLACE/metrics/job/j?a=b", None, POST),
    row(
        "opentelemetryhttp",
        Samples,
        "opentelemetryhttp://me:SeCrEt@PLACE/v1/metrics?a=b",
        Some("opentelemetryhttp://PLACE/v1/metrics?ssl=true"),
        POST,
    ),
    row(
        "opentelemetryhttp format=ceilometer",
        Samples,
        "opentelemetryhttp://me:SeCrEt@PLACE/v1/metrics?format=ceilometer",
        None,
        POST,
    ),
    row(
        "otlp+http",
        Samples,
        "otlp+http://me:SeCrEt@PLACE?compression=none",
        Some("otlp+https://PLACE?compression=none"),
        POST,
    ),
    row("otlp+http events", Events, "otlp+http://PLACE?token=SeCrEt", None, POST),
    row(
        "prometheus-remote-write",
        Samples,
        "prometheus-remote-write://me:SeCrEt@PLACE?version=auto",
        Some("prometheus-remote-write+https://PLACE?version=auto"),
        POST,
    ),
    row(
        "prometheus-remote-write version=1.0",
        Samples,
        "prometheus-remote-write://PLACE?version=1.0&token=SeCrEt",
        None,
        POST,
    ),
    row(
        "cloudevents+http",
        Events,
        "cloudevents+http://me:SeCrEt@PLACE?mode=structured",
        Some("cloudevents+https://PLACE?mode=structured"),
        POST,
    ),
    row("cloudevents+http mode=binary", Events, "cloudevents+http://PLACE?mode=binary&header=X-Key:SeCrEt", None, POST),
    row("cloudevents+http mode=batch", Events, "cloudevents+http://PLACE?mode=batch&token=SeCrEt", None, POST),
    // Over HTTP/2, which this server does not speak: whatever it says is no answer.
    row(
        "otlp",
        Samples,
        "otlp://me:SeCrEt@PLACE?compression=none",
        Some("otlps://PLACE?compression=none"),
        ("PRI", "*"),
    ),
];

/// Those that speak something else than HTTP.
const OTHERS: &[&str] = &["file", "notifier", "test", "udp", "tcp", "prometheus-scrape"];

impl Row {
    /// Whether a request carries records.
    pub(super) fn carries(&self, request: &Request) -> bool {
        let (method, path) = self.carried_by;
        request.method == method && request.target.starts_with(path)
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The publisher; `options` begin with `&`.
    pub(super) fn publisher(&self, place: &str, options: &str) -> Arc<dyn Publisher> {
        self.built(self.url, "http", place, options)
    }

    pub(super) fn publisher_over_tls(&self, place: &str, options: &str) -> Arc<dyn Publisher> {
        self.built(self.tls.unwrap(), "https", place, options)
    }

    fn built(&self, url: &str, scheme: &str, place: &str, options: &str) -> Arc<dyn Publisher> {
        let login = match self.kind {
            Samples => "auth_type = gnocchi-basic",
            Events => "auth_type = gnocchi-noauth\nuser_id = u\nproject_id = p\nroles = admin",
        };
        let text = format!("[service_credentials]\n{login}\nendpoint = {scheme}://{place}\n");
        let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
        let url = format!("{}{options}", url.replace("PLACE", place));
        build(&url, self.kind, &Context { gnocchi, zaqar, ..Context::default() }).unwrap()
    }
}

#[test]
fn every_publisher_that_speaks_http_has_a_row() {
    let schemes: Vec<&str> = ROWS.iter().flat_map(|row| [Some(row.url), row.tls]).flatten().collect();
    for name in names() {
        let is_row = schemes.iter().any(|url| url.starts_with(&format!("{name}://")));
        assert!(is_row != OTHERS.contains(&name), "{name}: write a row for it, or say that it does not speak HTTP");
    }
}
