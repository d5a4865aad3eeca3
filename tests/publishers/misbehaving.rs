//! What a server can answer, for every publisher that speaks HTTP: one table of verdicts.
//!
//! A row is a publisher with some of its options, a case is what the server does to the request that carries the records. The
//! verdict of a case holds for every row that the case does not name.

mod deeds;
mod rows;

use futures_util::future::join_all;
use nephoscope::publish::{Partly, PublishError};
use regex::Regex;
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use self::deeds::Deed;
use self::rows::{ROWS, Row};
use crate::clock;
use crate::contract::resident_bytes;
use crate::records::{batch, names};
use crate::server::{Answer, Request, Server, answer, well};

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// All of it counts as delivered.
    Taken,
    /// All of it is offered again, when the agent thinks fit.
    Held,
    /// All of it is offered again after so many seconds, give or take three.
    HeldFor(u64),
    /// All of it is parked.
    Refused,
    /// Anything else.
    Mixed(String),
}

use Verdict::{Held, HeldFor, Refused, Taken};

/// How many records a batch has here.
const RECORDS: usize = 4;
/// What a server may send of one answer before it is left, in bytes: what is read, and what the buffers of both sides hold.
const HEARD_BYTES_MAX: u64 = 16 << 20;
/// What this process may grow by meanwhile, in bytes.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

fn verdict(outcome: &Result<(), PublishError>, records: usize) -> Verdict {
    match outcome {
        Ok(()) => Taken,
        Err(PublishError::Retry { after: None, .. }) => Held,
        Err(PublishError::Retry { after: Some(after), .. }) => HeldFor(after.as_secs()),
        Err(PublishError::Partly(Partly { refused, left: None })) if refused.len() == records => Refused,
        Err(other) => Verdict::Mixed(format!("{other:?}")),
    }
}

fn agree(expected: &Verdict, found: &Verdict) -> bool {
    match (expected, found) {
        (HeldFor(expected), HeldFor(found)) => expected.abs_diff(*found) <= 3,
        _ => expected == found,
    }
}

/// Publishes a batch by each row and compares the verdicts; all that is wrong is said at once. How long the slowest took.
async fn judge(deed: &Deed, expected: &Verdict, but: &[(&str, Verdict)]) -> Duration {
    for (name, _) in but {
        assert!(ROWS.iter().any(|row| row.name == *name), "there is no row {name}");
    }
    let played = join_all(ROWS.iter().filter(|row| deed.is_for(row)).map(async |row| {
        let began = Instant::now();
        let (outcome, logins) = deeds::play(row, deed).await;
        (row, outcome, logins, began.elapsed())
    }));
    let (mut wrong, mut slowest) = (Vec::new(), Duration::ZERO);
    for (row, outcome, logins, took) in played.await {
        let expected = but.iter().find(|(name, _)| *name == row.name).map_or(expected, |(_, verdict)| verdict);
        let (found, text) = (verdict(&outcome, RECORDS), format!("{outcome:?}"));
        if !agree(expected, &found) {
            wrong.push(format!("{}: {found:?} instead of {expected:?}: {text}", row.name));
        }
        if text.contains("SeCrEt") || logins.iter().any(|login| text.contains(login)) {
            wrong.push(format!("{}: tells a secret: {text}", row.name));
        }
        slowest = slowest.max(took);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    slowest
}

/// Whoever cannot be spoken to took nothing.
#[rstest]
#[case::refused_connection(Deed::Nobody)]
#[case::a_name_without_address(Deed::NoSuchHost)]
#[case::a_plain_server_behind_https(Deed::PlainBehindTls)]
#[case::end_of_the_connection(Deed::Answers(|_| Answer::CutOff(Vec::new())))]
#[case::end_within_the_head(Deed::Answers(|_| Answer::CutOff(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())))]
#[case::another_protocol(Deed::Answers(|_| Answer::CutOff(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec())))]
#[case::a_head_without_end(Deed::Answers(|_| {
    Answer::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Filler: yet another line of the head\r\n".repeat(1000))
}))]
#[case::end_within_the_body_of_200(Deed::Answers(|_| Answer::CutOff(cut_off(200))))]
#[case::end_within_the_body_of_202(Deed::Answers(|_| Answer::CutOff(cut_off(202))))]
#[tokio::test]
async fn a_server_that_gives_no_whole_answer_holds(#[case] deed: Deed) {
    judge(&deed, &Held, &[]).await;
}

fn cut_off(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: 100\r\n\r\n{{\"the first").into_bytes()
}

/// Each request has its time, whatever comes meanwhile: with the defaults no more than ten seconds.
#[rstest]
#[case::silence(Deed::Answers(|_| Answer::Silence))]
#[case::silence_behind_https(Deed::SilentBehindTls)]
#[case::a_byte_a_second(Deed::Answers(|_| Answer::Drip(Vec::new(), answer(200, "", ""))))]
#[case::a_byte_a_second_of_the_body(Deed::Answers(|_| {
    Answer::Drip(answer(200, "", &"x".repeat(30))[..60].to_vec(), b"x".repeat(30))
}))]
#[case::never_more_than_go_on(Deed::Answers(|_| {
    Answer::Drip(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(30))
}))]
#[tokio::test(start_paused = true)]
async fn a_server_that_takes_its_time_holds_for_a_bounded_time(#[case] deed: Deed) {
    let slowest = clock::passing(judge(&deed, &Held, &[])).await;
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

/// `but`: what is not an answer of gRPC is none at all.
#[rstest]
#[case::s200("200", Taken, &[])]
// Zaqar says 201 of what it has taken.
#[case::s204("204", Taken, &[("zaqar", Held), ("zaqar events", Held)])]
#[case::s200_with_a_page_of_html("200 html", Taken, &[("otlp+http", Held), ("otlp+http events", Held), ("zaqar", Held), ("zaqar events", Held)])]
#[case::s200_with_an_error("200 error", Taken, &[("zaqar", Held), ("zaqar events", Held)])]
#[case::s301("301", Refused, &[("gnocchi", Held), ("gnocchi events", Held), ("zaqar", Held), ("zaqar events", Held)])]
#[case::s400("400", Refused, &[])]
#[case::s401("401", Held, &[])]
#[case::s403("403", Held, &[])]
// Nothing to change is no fault where Gnocchi says so; here somebody else does.
#[case::s404("404", Refused, &[("gnocchi", Held), ("gnocchi events", Held), ("zaqar", Held), ("zaqar events", Held)])]
#[case::s413("413", Refused, &[])]
#[case::s422("422", Refused, &[])]
// OTLP over HTTP: only 429, 502, 503 and 504 are to be repeated.
#[case::s500("500", Held, &[("otlp+http", Refused), ("otlp+http events", Refused)])]
#[case::s502("502", Held, &[])]
#[case::s503("503", Held, &[])]
#[case::s504("504", Held, &[])]
#[tokio::test]
async fn every_status_has_its_verdict(
    #[case] status: &'static str,
    #[case] expected: Verdict,
    #[case] but: &[(&str, Verdict)],
) {
    let but: Vec<_> = but.iter().cloned().chain([("otlp", Held)]).collect();
    judge(&Deed::Says(status), &expected, &but).await;
}

#[rstest]
#[case::in_seconds("7".to_owned(), 7)]
#[case::as_a_date((chrono::Utc::now() + chrono::TimeDelta::seconds(60)).format("%a, %d %b %Y %H:%M:%S GMT").to_string(), 60)]
#[case::of_a_day("86400".to_owned(), 300)]
#[tokio::test]
async fn the_wait_that_a_server_asks_for_is_passed_on(
    #[case] said: String,
    #[case] seconds: u64,
    #[values(429, 503)] status: u16,
) {
    judge(&Deed::AsksToWait(status, said), &HeldFor(seconds), &[("otlp", Held)]).await;
}

/// Neither to the same place, where it would never end, nor to another host, which would get the records and the login.
#[rstest]
#[tokio::test]
async fn nobody_is_sent_elsewhere(
    #[values(301, 302, 303, 307, 308)] status: u16,
    #[values(false, true)] elsewhere: bool,
) {
    let other = Server::start(|_| Answer::Whole(answer(200, "", ""))).await;
    let to = if elsewhere { format!("http://{}/in", other.address) } else { String::new() };
    let but = [("gnocchi", Held), ("gnocchi events", Held), ("otlp", Held), ("zaqar", Held), ("zaqar events", Held)];
    judge(&Deed::Redirects(status, to), &Refused, &but).await;
    assert_eq!(other.connections(), 0);
}

/// `read`: as much as the publisher wants to know; then the connection ends.
#[rstest]
#[case::of_200("200", Taken, &[
    // Here the body says whether some points are refused.
    ("otlp+http", Held), ("otlp+http events", Held), ("opentelemetryhttp", Held), ("zaqar", Held), ("zaqar events", Held),
])]
#[case::of_400("400", Refused, &[])]
#[case::of_503("503", Held, &[])]
#[tokio::test]
async fn of_a_body_of_ten_gigabytes_only_the_beginning_is_read(
    #[case] status: &'static str,
    #[case] expected: Verdict,
    #[case] but: &[(&str, Verdict)],
    #[values(false, true)] chunked: bool,
) {
    let before = resident_bytes();
    let but: Vec<_> = but.iter().cloned().chain([("otlp", Held)]).collect();
    judge(&Deed::SendsTenGigabytes { status, chunked }, &expected, &but).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more than before");
}

/// Of the requests that were taken, how many have each record.
fn taken(row: &Row, requests: &[(Request, u16)]) -> BTreeMap<String, usize> {
    let name = Regex::new("(r|bad)-[0-9]{4}").unwrap();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (request, _) in requests.iter().filter(|(request, status)| row.carries(request) && *status < 300) {
        let text = format!("{} {}", request.target, String::from_utf8_lossy(&request.body));
        let names: BTreeSet<&str> = name.find_iter(&text).map(|found| found.as_str()).collect();
        names.into_iter().for_each(|name| *taken.entry(name.to_owned()).or_default() += 1);
    }
    taken
}

/// Publishes a batch of these by each row to a server of its own that answers as `handler` says, and again what is held.
/// Which are refused, by row; all others must have arrived, once.
async fn publish_all(names: &[String], handler: fn(&Request, usize) -> Answer) {
    for row in ROWS.iter().filter(|row| row.name != "otlp") {
        let seen = AtomicUsize::new(0);
        let server = Server::start(move |request| {
            if row.carries(request) {
                handler(request, seen.fetch_add(1, Ordering::Relaxed))
            } else {
                Answer::Whole(well(request))
            }
        });
        let server = server.await;
        let publisher = row.publisher(&server.address.to_string(), "");
        let batch = batch(row.kind, names);
        let mut outcome = publisher.publish(&batch).await;
        if let Err(PublishError::Retry { .. }) = outcome {
            outcome = publisher.publish(&batch).await;
        }
        let refused: Vec<&String> = match &outcome {
            Ok(()) => Vec::new(),
            Err(PublishError::Partly(Partly { refused, left: None })) => {
                refused.iter().map(|refused| &names[refused.record]).collect()
            }
            Err(other) => panic!("{}: {other:?}", row.name),
        };
        let bad: Vec<&String> = names.iter().filter(|name| name.starts_with("bad")).collect();
        assert_eq!(refused, bad, "{}", row.name);
        let requests = server.requests();
        let arrived = taken(row, &requests);
        let good: BTreeMap<String, usize> =
            names.iter().filter(|name| !bad.contains(name)).map(|name| (name.clone(), 1)).collect();
        assert!(arrived == good, "{}: {arrived:?}", row.name);
        let carrying = requests.iter().filter(|(request, _)| row.carries(request)).count();
        assert!(carrying <= 2 * names.len() + 2, "{}: {carrying} requests", row.name);
    }
}

#[tokio::test]
async fn one_bad_record_of_a_thousand_is_refused_alone() {
    let mut names = names(1000);
    names[617] = "bad-0617".to_owned();
    publish_all(&names, |request, _| {
        Answer::Whole(if request.has("bad-0617") { answer(400, "", "no") } else { well(request) })
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_for_a_server_goes_in_smaller_parts() {
    publish_all(&names(64), |request, _| {
        Answer::Whole(if request.body.len() > 2000 { answer(413, "", "") } else { well(request) })
    })
    .await;
}

#[tokio::test]
async fn after_a_401_all_is_offered_again_and_arrives_once() {
    publish_all(&names(RECORDS), |request, nth| {
        Answer::Whole(if nth == 0 { answer(401, "", "who are you?") } else { well(request) })
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_busy_for_a_while_misses_nothing() {
    publish_all(&names(RECORDS), |request, nth| {
        Answer::Whole(if nth == 0 { answer(503, "", "") } else { well(request) })
    })
    .await;
}
