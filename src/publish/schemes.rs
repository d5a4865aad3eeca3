//! The table of publishers, and the one way from a URL to a publisher.

use std::sync::Arc;

use super::kind::{AskBroker, Built, Kind, Look};
use super::pace::{Pace, Paced};
use super::target::{COMMON, Repeats, Row, Target};
use super::{
    Context, Publisher, cloudevents, file, gnocchi, http, notifier, opentelemetryhttp, otlp, prometheus, remote_write,
    scrape, tcp, test, udp, zaqar,
};
use crate::config::shown;
use crate::model::did_you_mean;

/// Why a URL does not become a publisher: all that is wrong with it. The agent refuses to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot load publisher {url}: {}", complaints.join("; "))]
pub struct BuildError {
    /// The URL, without passwords and options.
    pub url: String,
    /// What is wrong, and what to do.
    pub complaints: Vec<String>,
}

/// One row of the table.
struct Scheme {
    name: &'static str,
    samples: bool,
    events: bool,
    state: State,
}

/// Whether a scheme can be used.
#[derive(Clone, Copy)]
enum State {
    /// Here: `check` reads the options, looks at files and changes nothing; `build` opens what is needed.
    Here {
        /// Its options, by groups.
        options: &'static [&'static [Row]],
        /// See [`check`].
        check: Check,
        /// See [`build`].
        build: Build,
    },
    /// Ceilometer had it; what to write instead.
    Gone(&'static str),
}

const CLOUDEVENTS: State =
    State::Here { options: cloudevents::OPTIONS, check: cloudevents::check, build: cloudevents::build };
const REMOTE_WRITE: State =
    State::Here { options: remote_write::OPTIONS, check: remote_write::check, build: remote_write::build };

/// Every scheme that Ceilometer ever had (Ceilometer reference §6), and those that it never had.
const SCHEMES: &[Scheme] = &[
    row("file", true, true, State::Here { options: file::OPTIONS, check: file::check, build: file::build }),
    row("http", true, true, State::Here { options: http::OPTIONS, check: http::check, build: http::build }),
    row("https", true, true, State::Here { options: http::OPTIONS, check: http::check, build: http::build }),
    row(
        "notifier",
        true,
        true,
        State::Here { options: notifier::OPTIONS, check: notifier::check, build: notifier::build },
    ),
    row("test", true, true, State::Here { options: test::OPTIONS, check: test::check, build: test::build }),
    row("gnocchi", true, true, State::Here { options: gnocchi::OPTIONS, check: gnocchi::check, build: gnocchi::build }),
    row("udp", true, false, State::Here { options: udp::OPTIONS, check: udp::check, build: udp::build }),
    row("tcp", true, false, State::Here { options: tcp::OPTIONS, check: tcp::check, build: tcp::build }),
    row("otlp", true, true, State::Here { options: otlp::OPTIONS, check: otlp::check, build: otlp::build }),
    row("otlps", true, true, State::Here { options: otlp::OPTIONS, check: otlp::check, build: otlp::build }),
    row("otlp+http", true, true, State::Here { options: otlp::OPTIONS, check: otlp::check, build: otlp::build }),
    row("otlp+https", true, true, State::Here { options: otlp::OPTIONS, check: otlp::check, build: otlp::build }),
    row("prometheus-remote-write", true, false, REMOTE_WRITE),
    row("prometheus-remote-write+https", true, false, REMOTE_WRITE),
    row("cloudevents+http", false, true, CLOUDEVENTS),
    row("cloudevents+https", false, true, CLOUDEVENTS),
    row("zaqar", true, true, State::Here { options: zaqar::OPTIONS, check: zaqar::check, build: zaqar::build }),
    row(
        "prometheus",
        true,
        false,
        State::Here { options: prometheus::OPTIONS, check: prometheus::check, build: prometheus::build },
    ),
    row(
        "prometheus-scrape",
        true,
        false,
        State::Here { options: scrape::OPTIONS, check: scrape::check, build: scrape::build },
    ),
    row(
        "opentelemetryhttp",
        true,
        false,
        State::Here {
            options: opentelemetryhttp::OPTIONS,
            check: opentelemetryhttp::check,
            build: opentelemetryhttp::build,
        },
    ),
    row("kafka", true, true, State::Gone("notifier:// or https://")),
    row("rpc", true, false, State::Gone("notifier://")),
    row("meter", true, false, State::Gone("notifier://")),
    row("meter_publisher", true, false, State::Gone("notifier://")),
    row("direct", true, true, State::Gone("the target itself: file://, https:// or notifier://")),
    row("database", true, true, State::Gone("notifier:// or https://")),
    row("file_alt", true, true, State::Gone("file://")),
    row("http_alt", true, true, State::Gone("https://")),
    row("panko", false, true, State::Gone("https:// or notifier://")),
    row("monasca", true, false, State::Gone("https://")),
];

/// Those that Ceilometer never had: no URL of an installation of it has their options.
const OURS: &[&str] = &[
    "otlp",
    "otlps",
    "otlp+http",
    "otlp+https",
    "prometheus-remote-write",
    "prometheus-remote-write+https",
    "prometheus-scrape",
    "cloudevents+http",
    "cloudevents+https",
];

const fn row(name: &'static str, samples: bool, events: bool, state: State) -> Scheme {
    Scheme { name, samples, events, state }
}

/// The warning about a `#` in a URL.
const FRAGMENT: &str =
    "a # and everything behind it has no effect in the URL; remove it, or write %23 where it belongs to an option";

/// Makes the publisher of a URL. Links to servers are opened later, at the first batch; files are opened now.
pub fn build(url: &str, kind: Kind, context: &Context) -> Result<Arc<dyn Publisher>, BuildError> {
    let Found { mut target, build, options, .. } = find(url, kind)?;
    let (mut complaints, _) = repeated(&target, options);
    let (pace, more) = Pace::take_out_of(&mut target);
    complaints.extend(more);
    let built = build(&target, kind, context)
        .map(|built| -> Arc<dyn Publisher> { Arc::new(Paced::new(built, &pace, &target.shown(), &context.metrics)) });
    all_of(complaints, built).map_err(|complaints| BuildError { url: target.shown(), complaints })
}

/// Says what [`build`] would say of the URL, its options and the files that it names, and changes nothing: no file is made
/// and no server asked. Where nothing is wrong, what is probably not meant comes back.
pub fn check(url: &str, kind: Kind, broker: AskBroker<'_>) -> Result<Vec<String>, BuildError> {
    check_with(url, kind, Look { broker, search: &[], gnocchi: None, zaqar: None })
}

/// The same, with the definition files and the logins of the configuration.
pub fn check_with(url: &str, kind: Kind, look: Look<'_>) -> Result<Vec<String>, BuildError> {
    let Found { mut target, check, options, .. } = find(url, kind)?;
    let (mut complaints, mut warnings) = repeated(&target, options);
    if target.has_fragment {
        warnings.push(FRAGMENT.to_owned());
    }
    complaints.extend(Pace::take_out_of(&mut target).1);
    let checked = check(&target, kind, look).map(|more| {
        warnings.extend(more);
        warnings
    });
    all_of(complaints, checked).map_err(|complaints| BuildError { url: target.shown(), complaints })
}

/// Options that are written several times and hold but once: complaints, and warnings where Ceilometer takes one of them.
fn repeated(target: &Target, own: &[&[Row]]) -> (Vec<String>, Vec<String>) {
    let twice = |(row, times): (&Row, String)| format!("{} is written {times}; write it once", row.name);
    let ours = target.repeated(COMMON.iter()).into_iter().map(twice).collect();
    let own = target.repeated(own.iter().copied().flatten()).into_iter();
    if OURS.contains(&target.scheme.as_str()) {
        return ([ours, own.map(twice).collect()].concat(), Vec::new());
    }
    let taken = |(row, times): (&Row, String)| {
        let which = if row.repeats == Repeats::First { "first" } else { "last" };
        format!("{} is written {times}, and the {which} one counts, as in Ceilometer; write it once", row.name)
    };
    (ours, own.map(taken).collect())
}

/// What is right, if nothing is wrong; else all complaints.
fn all_of<T>(mut complaints: Vec<String>, right: Result<T, Vec<String>>) -> Result<T, Vec<String>> {
    match right {
        Ok(right) if complaints.is_empty() => Ok(right),
        Ok(_) => Err(complaints),
        Err(more) => {
            complaints.extend(more);
            Err(complaints)
        }
    }
}

type Check = fn(&Target, Kind, Look<'_>) -> Result<Vec<String>, Vec<String>>;
type Build = fn(&Target, Kind, &Context) -> Built;

/// A URL with the publisher that is meant.
struct Found {
    target: Target,
    options: &'static [&'static [Row]],
    check: Check,
    build: Build,
}

fn find(url: &str, kind: Kind) -> Result<Found, BuildError> {
    let refuse = |url: String, complaint: String| Err(BuildError { url, complaints: vec![complaint] });
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(complaint) => return refuse(shown(url), complaint),
    };
    let name = target.scheme.as_str();
    let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name == name) else {
        let meant = did_you_mean(name, SCHEMES.iter().filter(|s| takes(s, kind)).map(|s| s.name));
        return refuse(target.shown(), format!("there is no publisher {name}{meant}; {}", available(kind)));
    };
    match (scheme.state, takes(scheme, kind)) {
        (State::Here { options, check, build }, true) => Ok(Found { target, options, check, build }),
        (State::Gone(instead), true) => {
            let text = format!(
                "{name} was removed from Ceilometer and is not supported; use {instead}; {}",
                kind.none_wanted()
            );
            refuse(target.shown(), text)
        }
        (_, false) => refuse(target.shown(), format!("{name} does not take {}; {}", kind.name(), available(kind))),
    }
}

/// The options of a scheme as a table for `docs/publishers`; nothing if there is no such publisher here.
pub fn options_page(scheme: &str) -> Option<String> {
    let row = SCHEMES.iter().find(|row| row.name == scheme)?;
    let State::Here { options, .. } = row.state else { return None };
    Some(table(options.iter().copied().flatten()))
}

/// The options that every publisher has beside its own, as a table for `docs/publishers.md`.
pub fn common_options_page() -> String {
    table(COMMON)
}

fn table<'r>(rows: impl IntoIterator<Item = &'r Row>) -> String {
    let line = |Row { name, expected, default, meaning, .. }: &Row| {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        format!("| `{name}` | {expected} | {default} | {meaning} |\n")
    };
    let lines: String = rows.into_iter().map(line).collect();
    format!("| option | expected | default | meaning |\n|---|---|---|---|\n{lines}")
}

/// Every scheme that is here.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().filter(|row| matches!(row.state, State::Here { .. })).map(|row| row.name)
}

fn takes(scheme: &Scheme, kind: Kind) -> bool {
    match kind {
        Kind::Samples => scheme.samples,
        Kind::Events => scheme.events,
    }
}

fn available(kind: Kind) -> String {
    let here = SCHEMES.iter().filter(|s| takes(s, kind) && matches!(s.state, State::Here { .. }));
    format!("{} go to: {}", kind.name(), here.map(|s| s.name).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shown::without_secrets;
    use rstest::rstest;

    #[rstest]
    #[case("gnochi://", Kind::Samples, "there is no publisher gnochi; did you mean gnocchi?")]
    #[case("notifer://", Kind::Events, "did you mean notifier?")]
    #[case("carbon://h", Kind::Events, "there is no publisher carbon; events go to: file")]
    #[case("panko://", Kind::Events, "pipelines = meter")]
    #[case("file://", Kind::Events, "pipelines = meter")]
    #[case("file:///x?max_byte=10", Kind::Samples, "did you mean max_bytes?")]
    #[case("gnocchi://?archive_polici=low", Kind::Samples, "did you mean archive_policy?")]
    #[case("zaqar://", Kind::Samples, "queue is missing: write ?queue=NAME behind zaqar://")]
    #[case("kafka://h", Kind::Events, "use notifier:// or https://")]
    #[case("udp://h:1", Kind::Events, "udp does not take events")]
    #[case("meter_publisher://", Kind::Samples, "use notifier://")]
    #[case("notifier", Kind::Samples, "scheme://")]
    #[case("notifier://,file:///x", Kind::Samples, "several URLs in one")]
    #[case("https://u:1/2@h/x", Kind::Samples, "an `@` stands behind the host")]
    #[case("file:///x?max_bytes=ten", Kind::Events, "expected a number of at least 0")]
    fn a_url_that_cannot_be_loaded_says_what_to_do(#[case] url: &str, #[case] kind: Kind, #[case] what: &str) {
        let checked = check(url, kind, &|_| Ok(())).unwrap_err();
        let built = build(url, kind, &Context::default()).err().unwrap();
        assert_eq!(checked, built);
        let told = without_secrets(&checked.to_string()).into_owned();
        assert!(told.contains(what), "what an operator reads: {told}");
    }

    #[rstest]
    #[case("test://?rate=50&rate=60", Err("rate is written twice; write it once"))]
    #[case("http://h/?rate=5&rate=5&rate=5", Err("rate is written 3 times; write it once"))]
    #[case("otlp://h?timeout=5&timeout=6", Err("timeout is written twice; write it once"))]
    #[case("otlp+http://h?header=a:b&header=c:d", Ok(""))]
    #[case("notifier://?topic=a&topic=b", Ok(""))]
    #[case("http://h/?x=1&x=2", Ok(""))]
    #[case("http://h/?batch=false&batch=true", Ok("batch is written twice, and the last one counts, as in Ceilometer"))]
    #[case("zaqar://?queue=a&queue=b", Ok("queue is written twice, and the first one counts, as in Ceilometer"))]
    fn an_option_is_written_several_times(#[case] url: &str, #[case] expected: Result<&str, &str>) {
        let checked = check(url, Kind::Samples, &|_| Ok(()));
        match (checked, expected) {
            (Err(error), Err(why)) => {
                assert!(error.to_string().ends_with(why), "{error}");
                assert_eq!(build(url, Kind::Samples, &Context::default()).err(), Some(error));
            }
            (Ok(warnings), Ok("")) => assert_eq!(warnings, [""; 0]),
            (Ok(warnings), Ok(why)) => assert!(warnings[0].starts_with(why), "{warnings:?}"),
            (checked, _) => panic!("{checked:?}"),
        }
    }

    #[rstest]
    #[case("test://#x")]
    #[case("file:///x?max_bytes=10#y")]
    #[case("otlp+http://h#")]
    #[case("gnocchi://?archive_policy=low#x")]
    fn a_url_has_a_fragment(#[case] url: &str) {
        assert_eq!(check(url, Kind::Samples, &|_| Ok(())).unwrap(), [FRAGMENT]);
    }

    /// The page of a scheme, without its end.
    fn page_of(scheme: &str) -> String {
        let family = if scheme.starts_with("otlp") { "otlp" } else { scheme.split('+').next().unwrap() };
        format!("docs/publishers/{}.md", if family == "https" { "http" } else { family })
    }

    /// `NEPHOSCOPE_REGENERATE=1` writes the tables instead of comparing them.
    #[test]
    fn every_publisher_has_a_page_with_its_options() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let tables = names().map(|name| (page_of(name), options_page(name).unwrap()));
        for (page, table) in tables.chain([("docs/publishers.md".to_owned(), common_options_page())]) {
            let path = root.join(&page);
            let mut text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{page}: {why}"));
            if std::env::var_os("NEPHOSCOPE_REGENERATE").is_some() {
                let begin = text.find("| option |").unwrap_or_else(|| panic!("{page}: no table of options"));
                let end = begin + text[begin..].find("\n\n").map_or(text.len() - begin, |end| end + 1);
                text.replace_range(begin..end, &table);
                std::fs::write(&path, &text).unwrap();
            }
            assert!(
                text.contains(&table),
                "{page}: its options are old: NEPHOSCOPE_REGENERATE=1 cargo test --lib its_options"
            );
        }
    }
}
