//! `nephoscope tap`: prints notifications, samples or events as they pass an agent.
//!
//! It asks one agent, over HTTP at the address that it listens to. The agent filters; what is too much is left out there, and counted.
//!
//! Never here: a broker. Nothing is consumed, and nothing waits for this command.

mod answer;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ConfigArguments, Failure, pass_on, refuse_errors, runtime, unwritten};
use crate::config::{Secret, Settings};
use crate::model::shown::json_on_terminal;
use crate::observe::tap::LEFT_OUT;
use answer::{Answer, TapError};

/// The arguments of `nephoscope tap`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// What to print
    #[arg(long, value_enum, default_value_t = Kind::Notifications)]
    kind: Kind,
    /// Only of notifications with such an event type
    ///
    /// In a pattern *, ? and [abc] match as in a shell.
    #[arg(long, value_name = "PATTERN")]
    event_type: Option<String>,
    /// Only samples of such a meter, or what made one
    #[arg(long, value_name = "PATTERN")]
    meter: Option<String>,
    /// Only of the resource with this ID
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// Only from this queue; a pipeline queue shows what its owner takes from it
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Lines per second at most; the agent leaves out the others and counts them
    #[arg(long, value_name = "N/s", default_value = "100/s", value_parser = rate)]
    rate: u32,
    /// Lines in all, then end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Address of the agent; without it, [nephoscope] listen of the configuration
    #[arg(long, value_name = "ADDRESS:PORT")]
    agent: Option<SocketAddr>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Notifications, as they come from main queues
    Notifications,
    /// Samples, as the definitions make them
    Samples,
    /// Events, as the definitions make them
    Events,
}

/// The largest rate that an agent takes.
const RATE_MAX: u32 = 10_000;

fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = number.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("expected lines per second, 1/s to {RATE_MAX}/s"))
}

/// Prints what passes, until the limit, or until it is stopped.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let Some(address) = arguments.agent.or_else(|| settings.observing.listen.map(own)) else {
        let text = "cannot tap: this configuration lets its agent listen nowhere; set [nephoscope] listen, or name an agent \
                    with --agent";
        return Err(Failure::Other(text.to_owned()));
    };
    let request = request(&path(arguments), address, &settings);
    runtime()?.block_on(async {
        let mut answer = Answer::ask(address, &request).await.map_err(failed)?;
        let mut left = arguments.limit;
        while let Some(lines) = answer.next().await.map_err(failed)? {
            let lines = String::from_utf8_lossy(&lines);
            let whole = lines.lines().filter(|line| !line.starts_with(LEFT_OUT)).count();
            left = left.map(|left| left.saturating_sub(whole as u64));
            // Senders of notifications are free in what they write: on a terminal it must do nothing.
            if !pass_on(json_on_terminal(&lines).as_bytes()).map_err(unwritten)? {
                // The place is another's.
                return Ok(());
            }
        }
        if left == Some(0) {
            return Ok(());
        }
        Err(Failure::Other(format!(
            "the agent at {address} ended the tap: it was stopped, or the tap was open for an hour; run the command again"
        )))
    })
}

fn failed(error: TapError) -> Failure {
    Failure::Other(error.to_string())
}

/// Where an agent of this machine is asked that listens at all addresses.
fn own(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn path(arguments: &Arguments) -> String {
    let kind = match arguments.kind {
        Kind::Notifications => "notifications",
        Kind::Samples => "samples",
        Kind::Events => "events",
    };
    let (rate, limit) = (arguments.rate.to_string(), arguments.limit.map(|limit| limit.to_string()));
    let pairs = [
        ("kind", Some(kind)),
        ("event_type", arguments.event_type.as_deref()),
        ("meter", arguments.meter.as_deref()),
        ("resource", arguments.resource.as_deref()),
        ("queue", arguments.queue.as_deref()),
        ("rate", Some(&*rate)),
        ("limit", limit.as_deref()),
    ];
    let pair =
        |(name, value): (&str, Option<&str>)| Some(format!("{name}={}", utf8_percent_encode(value?, NON_ALPHANUMERIC)));
    let query: Vec<String> = pairs.into_iter().filter_map(pair).collect();
    format!("/desk/tap?{}", query.join("&"))
}

/// HTTP/1.0: the answer is the lines and nothing else, until the connection ends.
fn request(path: &str, address: SocketAddr, settings: &Settings) -> String {
    let token = settings.observing.tap_token.as_ref().map(Secret::reveal);
    let login = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{login}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit_or_none() {
        assert_eq!((rate("5/s"), rate("10000")), (Ok(5), Ok(10_000)));
        for wrong in ["0/s", "5/min", "10001", "-1", ""] {
            assert_eq!(rate(wrong), Err("expected lines per second, 1/s to 10000/s".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn an_agent_that_listens_everywhere_is_asked_here() {
        let asked = |listen: &str| own(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9187"), "127.0.0.1:9187");
        assert_eq!(asked("[::]:9187"), "[::1]:9187");
        assert_eq!(asked("10.0.0.7:9187"), "10.0.0.7:9187");
    }

    #[test]
    fn what_is_asked_for_cannot_leave_its_place_in_the_request() {
        let arguments = Arguments {
            config: ConfigArguments(Vec::new()),
            kind: Kind::Samples,
            event_type: Some("a&limit=1 HTTP/1.0\r\nX: y".to_owned()),
            meter: None,
            resource: Some("ü/1".to_owned()),
            queue: None,
            rate: 7,
            limit: None,
            agent: None,
        };
        let expected =
            "/desk/tap?kind=samples&event_type=a%26limit%3D1%20HTTP%2F1%2E0%0D%0AX%3A%20y&resource=%C3%BC%2F1&rate=7";
        assert_eq!(path(&arguments), expected);
    }
}
