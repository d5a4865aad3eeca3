//! What an `http://` or `https://` URL says (Ceilometer reference §6.3); other options stay in the URL.

use crate::model::json::NonFinite;
use crate::publish::target::{Row, Target};
use crate::publish::web::{Endpoint, WebOptions};

/// The rows of the options, beside those of [every publisher over HTTP](crate::publish::web::OPTIONS).
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "batch",
        "true or false",
        "true",
        "one array with all records of a batch; without it, one request for each record",
    ),
    Row::new("raw_only", "true or false", "false", "events: only the payloads that `[event] store_raw` kept"),
    Row::NAN,
];

/// What the URL says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Where to post to.
    pub endpoint: Endpoint,
    pub batch: bool,
    pub raw_only: bool,
    pub non_finite: NonFinite,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let web = WebOptions::read(&mut options);
        let batch = options.flag("batch").unwrap_or(true);
        let raw_only = options.flag("raw_only").unwrap_or(false);
        let non_finite = options.non_finite();
        let endpoint = Endpoint::reached(web, &mut options, &target.scheme, target);
        let read = endpoint.map(|endpoint| Options { endpoint, batch, raw_only, non_finite });
        options.finish(read)?.ok_or_else(Vec::new)
    }
}
