//! The options of a URL of the otlp family.

use reqwest::Url;

use super::metrics::{Form, Metadata, Place, SampleId};
use crate::publish::kind::Kind;
use crate::publish::target::{Options, Row, Target};
use crate::publish::web::{Login, Web, WebOptions};

/// The rows of the options, beside those of [every publisher over HTTP](crate::publish::web::OPTIONS).
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "attributes",
        "resource or point",
        "resource",
        "samples: where the ids of resource, project and user are, their names, the source and the metadata: \
         in OTLP's resource, or in each data point for receivers that do not look at resources",
    ),
    Row::new(
        "sample_id",
        "exemplar, attribute or none",
        "exemplar",
        "place of the sample's ID; as an attribute it makes a series of each sample",
    ),
    Row::new(
        "metadata",
        "names or *",
        "",
        "samples: the metadata that become attributes `metadata.NAME`, separated by commas (a dot looks into an object), \
         or all; at most 64, each of at most 4096 bytes",
    ),
    Row::new("compression", "none or gzip", "none", "compression of requests"),
    Row::new(
        "max_bytes",
        "number, 1024 to 67108864",
        "4000000",
        "maximum size of a request, uncompressed; a larger batch goes in several requests",
    ),
];

/// The largest request unless `max_bytes` says otherwise, in bytes: receivers take 4 MiB unless they are told otherwise.
const REQUEST_BYTES: usize = 4_000_000;
/// The bounds of `max_bytes`.
const REQUEST_BYTES_MIN: usize = 1024;
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Over what OTLP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

/// What the URL says.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub protocol: Protocol,
    pub url: Url,
    pub form: Form,
    pub gzip: bool,
    pub request_bytes_max: usize,
    pub login: Login,
    web: WebOptions,
}

impl Read {
    pub(super) fn of(target: &Target, kind: Kind) -> Result<Read, Vec<String>> {
        let mut options = target.options();
        let (protocol, scheme, port) = match target.scheme.as_str() {
            "otlp+http" => (Protocol::Http, "http", 4318),
            "otlp+https" => (Protocol::Http, "https", 4318),
            "otlps" => (Protocol::Grpc, "https", 4317),
            _ => (Protocol::Grpc, "http", 4317),
        };
        let web = WebOptions::read(&mut options);
        let form = form(&mut options);
        let gzip = match options.text("compression").as_deref() {
            None | Some("none") => false,
            Some("gzip") => true,
            Some(other) => {
                options.complain(format!("compression={other}: expected none or gzip"));
                false
            }
        };
        let request_bytes_max = options.number("max_bytes", REQUEST_BYTES_MIN).unwrap_or(REQUEST_BYTES);
        if request_bytes_max > REQUEST_BYTES_MAX {
            options.complain(format!("max_bytes={request_bytes_max}: expected at most {REQUEST_BYTES_MAX}"));
        }
        let login = Login::read(&mut options, target);
        let mut target = target.with_port(port);
        match protocol {
            Protocol::Http if matches!(target.path.as_str(), "" | "/") => {
                target.path = match kind {
                    Kind::Samples => "/v1/metrics".to_owned(),
                    Kind::Events => "/v1/logs".to_owned(),
                };
            }
            Protocol::Grpc if !matches!(target.path.as_str(), "" | "/") => {
                options.complain(format!("gRPC has no path: take {} out", crate::config::shown(&target.path)));
            }
            _ => {}
        }
        let url = web.url(&mut options, scheme, &target, Vec::new());
        let read = url.map(|url| Read { protocol, url, form, gzip, request_bytes_max, login, web });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    /// The client.
    pub(super) fn web(&self, target: &Target) -> Result<Web, Vec<String>> {
        let secrets = self.login.secrets(target);
        match self.protocol {
            Protocol::Grpc => Web::http2(&self.web, &self.url, secrets),
            Protocol::Http => Web::new(&self.web, &self.url, secrets),
        }
    }
}

fn form(options: &mut Options) -> Form {
    let place = match options.text("attributes").as_deref() {
        None | Some("resource") => Place::Resource,
        Some("point") => Place::Point,
        Some(other) => {
            options.complain(format!("attributes={other}: expected resource or point"));
            Place::Resource
        }
    };
    let sample_id = match options.text("sample_id").as_deref() {
        None | Some("exemplar") => SampleId::Exemplar,
        Some("attribute") => SampleId::Attribute,
        Some("none") => SampleId::None,
        Some(other) => {
            options.complain(format!("sample_id={other}: expected exemplar, attribute or none"));
            SampleId::Exemplar
        }
    };
    let names = options.text("metadata").unwrap_or_default();
    let metadata = match names.as_str() {
        "" => Metadata::None,
        "*" => Metadata::All,
        names => {
            let mut named: Vec<String> =
                names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
            // A key may be there once.
            let mut seen = std::collections::BTreeSet::new();
            named.retain(|name| seen.insert(name.clone()));
            Metadata::Named(named)
        }
    };
    Form { place, sample_id, metadata }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("otlp://h", Kind::Samples, "http://h:4317/")]
    #[case("otlps://h:443/", Kind::Events, "https://h/")]
    #[case("otlp+http://h", Kind::Samples, "http://h:4318/v1/metrics")]
    #[case("otlp+http://h:80", Kind::Events, "http://h/v1/logs")]
    #[case("otlp+https://u:p@[::1]/otlp/v1/metrics", Kind::Samples, "https://[::1]:4318/otlp/v1/metrics")]
    fn where_it_goes(#[case] url: &str, #[case] kind: Kind, #[case] expected: &str) {
        assert_eq!(Read::of(&Target::parse(url).unwrap(), kind).unwrap().url.as_str(), expected);
    }

    #[rstest]
    #[case("otlp://h/v1/metrics", "gRPC has no path")]
    #[case("otlp://", "write otlp://host")]
    #[case("otlp://h?compression=zstd", "expected none or gzip")]
    #[case("otlp://h?max_bytes=12", "at least 1024")]
    #[case("otlp://h?max_bytes=99999999", "at most 67108864")]
    #[case("otlp://h?attributes=both", "expected resource or point")]
    #[case("otlp://h?sample_id=yes", "expected exemplar, attribute or none")]
    #[case("otlp://h?compresion=gzip", "did you mean compression?")]
    #[case("otlp://169.254.169.254", "link_local=true")]
    fn what_is_wrong(#[case] url: &str, #[case] complaint: &str) {
        let complaints = Read::of(&Target::parse(url).unwrap(), Kind::Samples).unwrap_err().join("; ");
        assert!(complaints.contains(complaint), "{complaints}");
    }
}
