//! The options of a `cloudevents` URL.

use reqwest::Url;

use crate::publish::target::{Row, Target};
use crate::publish::web::{Login, Web, WebOptions};

/// The rows of the options, beside those of [every publisher over HTTP](crate::publish::web::OPTIONS).
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "mode",
        "structured, binary or batch",
        "structured",
        "one event a request as JSON, one a request with its attributes in headers, or all of a batch in one request",
    ),
    Row::new(
        "source",
        "URI reference",
        "",
        "the attribute `source`; without it `/openstack/SERVICE` by the trait `service`",
    ),
    Row::new("subject", "name of a trait", "resource_id", "the trait that becomes the attribute `subject`"),
];

/// How events are put into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Structured,
    Binary,
    Batch,
}

/// What the URL says.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub url: Url,
    pub mode: Mode,
    pub source: Option<String>,
    pub subject: String,
    pub login: Login,
    web: WebOptions,
}

impl Read {
    pub(super) fn of(target: &Target) -> Result<Read, Vec<String>> {
        let mut options = target.options();
        let scheme = if target.scheme.ends_with("+https") { "https" } else { "http" };
        let web = WebOptions::read(&mut options);
        let mode = match options.text("mode").as_deref() {
            None | Some("structured") => Mode::Structured,
            Some("binary") => Mode::Binary,
            Some("batch") => Mode::Batch,
            Some(other) => {
                options.complain(format!("mode={other}: expected structured, binary or batch"));
                Mode::Structured
            }
        };
        let source = options.text("source").filter(|source| !source.is_empty());
        if source.as_ref().is_some_and(|source| source.contains(|c: char| c.is_whitespace() || c.is_control())) {
            options.complain("source: expected a URI reference, without spaces");
        }
        let subject = options.text("subject").unwrap_or_else(|| "resource_id".to_owned());
        let login = Login::read(&mut options, target);
        let url = web.url(&mut options, scheme, target, Vec::new());
        let read = url.map(|url| Read { url, mode, source, subject, login, web });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    /// The client.
    pub(super) fn web(&self, target: &Target) -> Result<Web, Vec<String>> {
        Web::new(&self.web, &self.url, self.login.secrets(target))
    }
}
