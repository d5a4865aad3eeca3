//! The options of a `prometheus://` URL (Ceilometer reference §6.4); other options stay in the URL.

use base64::prelude::{BASE64_URL_SAFE, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::publish::target::{Row, Target};
use crate::publish::web::Endpoint;

/// The rows of the options, beside those of every publisher over HTTP.
pub(super) const OPTIONS: &[Row] = &[
    Row::new("ssl", "true or false", "false", "TLS to the Pushgateway"),
    Row::new("batch", "true or false", "", "no effect, as in Ceilometer"),
    Row::new("raw_only", "true or false", "", "no effect, as in Ceilometer"),
];

/// What stands for itself in a part of a path: as Python's `quote(id, safe="")` has it.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the URL says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub endpoint: Endpoint,
    /// Whether the path names a group for all, by labels beside `job`.
    pub grouped: bool,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let scheme = if options.flag("ssl").unwrap_or(false) { "https" } else { "http" };
        for without_effect in ["batch", "raw_only"] {
            options.flag(without_effect);
        }
        let endpoint = Endpoint::read(&mut options, scheme, target);
        let read = endpoint.map(|endpoint| Options { endpoint, grouped: is_grouped(&target.path) });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    pub(super) fn near_misses(&self) -> Vec<String> {
        self.endpoint.near_misses(OPTIONS)
    }
}

/// Whether a path names labels behind its job: `/metrics/job/<job>/<label>/<value>…`.
fn is_grouped(path: &str) -> bool {
    let mut parts = path.trim_end_matches('/').split('/').skip(1);
    let job = parts.next() == Some("metrics") && matches!(parts.next(), Some("job" | "job@base64"));
    job && parts.nth(1).is_some()
}

/// The group of one resource: its id as a label in the path, before the query. What would be another path by itself goes in
/// the Pushgateway's form for that.
pub(super) fn of_resource(url: &Url, id: &str) -> Url {
    let label = match id {
        // An empty text has no letters in base64; the Pushgateway asks for the padding alone.
        "" => "resource_id@base64/=".to_owned(),
        "." | ".." => format!("resource_id@base64/{}", BASE64_URL_SAFE.encode(id)),
        _ if id.contains('/') => format!("resource_id@base64/{}", BASE64_URL_SAFE.encode(id)),
        _ => format!("resource_id/{}", utf8_percent_encode(id, &ESCAPED)),
    };
    let mut group = url.clone();
    group.set_path(&format!("{}/{label}", url.path().trim_end_matches('/')));
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/metrics/job/c", false)]
    #[case("/metrics/job/c/", false)]
    #[case("/metrics/job/c/instance/a", true)]
    #[case("/metrics/job@base64/Yw==/instance/a/", true)]
    #[case("/gw/metrics/job/c/x/y", false)]
    #[case("", false)]
    fn labels_behind_the_job_are_a_group_for_all(#[case] path: &str, #[case] grouped: bool) {
        assert_eq!(is_grouped(path), grouped);
    }

    #[rstest]
    #[case("73db6891-d36e", "/m/resource_id/73db6891-d36e?q=1")]
    #[case("a b%2f?#é", "/m/resource_id/a%20b%252f%3F%23%C3%A9?q=1")]
    #[case("a/b", "/m/resource_id@base64/YS9i?q=1")]
    #[case("/..", "/m/resource_id@base64/Ly4u?q=1")]
    #[case("..", "/m/resource_id@base64/Li4=?q=1")]
    #[case("", "/m/resource_id@base64/=?q=1")]
    #[case("...", "/m/resource_id/...?q=1")]
    fn an_id_reaches_its_own_group(#[case] id: &str, #[case] expected: &str) {
        let url = Url::parse("http://h/m/?q=1").unwrap();
        let group = of_resource(&url, id);
        assert_eq!(&group.as_str()["http://h".len()..], expected);
    }
}
