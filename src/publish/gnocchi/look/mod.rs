//! Looks at what Gnocchi has: the measures of a metric. Nothing is written.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;

use super::api::Api;
use super::api::path;
use super::definitions::Definitions;
use super::options;
use crate::config::Settings;
use crate::model::{Complaint, Value, time};
use crate::publish::identity;
use crate::publish::outcome::Answer;
use crate::publish::web::Secrets;

/// For one request, where the section of the login has no `timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A Gnocchi that is looked at.
pub struct Archive {
    api: Api,
    definitions: Definitions,
}

/// One aggregate of Gnocchi's: the mean of the measures of a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The beginning of that time, in microseconds since 1970.
    pub at: i64,
    /// Its length, in microseconds.
    pub granularity: i64,
    /// The mean.
    pub value: f64,
}

impl Archive {
    /// With the login of `gnocchi://`, at this address, else where that login leads to. All that is wrong if there is no login.
    pub fn new(settings: &Settings, address: Option<&str>) -> Result<Archive, Vec<Complaint>> {
        let place = settings.place("service_credentials", "auth_type");
        let wrong = |all: Vec<String>| all.into_iter().map(|text| Complaint::error(&place, text)).collect::<Vec<_>>();
        let mut logins = settings.logins.clone();
        let Some(credentials) = &mut logins.gnocchi.credentials else {
            return Err(settings.logins.gnocchi.complaints.clone());
        };
        let timeout = *credentials.timeout.get_or_insert(TIMEOUT);
        if let Some(address) = address {
            credentials.endpoint_override = Some(address.to_owned());
        }
        let (definitions, _) =
            super::load(options::FILE, None, &settings.sources.search).map_err(|complaint| vec![complaint])?;
        let identity = identity::logins(&logins).0.map_err(wrong)?;
        let web = identity.web(timeout, false, Secrets::default()).map_err(wrong)?;
        Ok(Archive { api: Api::new(Arc::clone(&identity), web), definitions })
    }

    /// Whether samples of a meter go to Gnocchi.
    pub fn knows(&self, meter: &str) -> bool {
        self.definitions.metric(meter).is_some()
    }

    /// The means of a metric from one time to another, in microseconds since 1970; nothing where Gnocchi has no such resource or
    /// metric. `Err` is why there is no answer.
    pub async fn measures(
        &self,
        resource: &Value,
        meter: &str,
        (start, stop): (i64, i64),
    ) -> Result<Option<Vec<Measure>>, String> {
        let Some(of) = path::text_of(resource).and_then(|id| path::resource("generic", &path::id(&id))) else {
            return Ok(None);
        };
        let metric = utf8_percent_encode(meter, NON_ALPHANUMERIC);
        let seconds = |micros: i64| micros.div_euclid(1_000_000);
        let path = format!(
            "v1/{}/metric/{metric}/measures?aggregation=mean&refresh=true&start={}&stop={}",
            of.trim_start_matches("v1/"),
            seconds(start),
            seconds(stop) + 1
        );
        let reply = self.api.ask(Method::GET, &path, None).await.map_err(|answer| away(&answer))?;
        match reply.status.as_u16() {
            200 => read(&reply.body),
            404 => Ok(None),
            _ => Err(self.api.advised(self.api.cause(&reply), &reply)),
        }
    }
}

fn away(answer: &Answer) -> String {
    answer.cause().unwrap_or("no answer; start Gnocchi, or correct its address").to_owned()
}

fn read(body: &[u8]) -> Result<Option<Vec<Measure>>, String> {
    let rows: Vec<(String, f64, f64)> = serde_json::from_slice(body)
        .map_err(|error| format!("its answer is not Gnocchi's: {error}; correct the address"))?;
    let measure = |(at, granularity, value): (String, f64, f64)| {
        let at = time::parse(&at)?.timestamp_micros();
        #[expect(clippy::cast_possible_truncation, reason = "a granularity is seconds to years")]
        let granularity = (granularity * 1e6).round() as i64;
        (granularity > 0).then_some(Measure { at, granularity, value })
    };
    Ok(Some(rows.into_iter().filter_map(measure).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_read_as_gnocchi_writes_them() {
        let body = br#"[["2026-03-01T10:00:00+00:00", 300.0, 1.5], ["2026-03-01T10:05:00+00:00", 300.0, 2]]"#;
        let measures = read(body).unwrap().unwrap();
        assert_eq!(measures.len(), 2);
        assert_eq!((measures[1].at - measures[0].at, measures[0].granularity), (300_000_000, 300_000_000));
        assert!(read(b"{}").unwrap_err().contains("not Gnocchi's"));
    }
}
