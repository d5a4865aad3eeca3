//! Plays the files in `transcripts/`: lines that happen, and under each the orders it must give.
//!
//! | line | happening |
//! |---|---|
//! | `queues u v` | these queues exist |
//! | `view 7: a b! c*50 d- \| u=a@3 \| paused u>b` | revision, members (`!` not ready, `-` drained, `*` weight), owners, and perhaps `paused` and pins |
//! | `claimed u 5`, `refused u`, `opened u 5`, `open failed u 5`, `closed u 5`, `released u 5`, `release failed u 5` | |
//! | `silent`, `heard` | |
//! | `lease lost`, `broker lost`, `broker back`, `prepared`, `drain`, `tick` | |
//! | `new a moves 1 claims 2` | a new machine of member a, with these bounds if given |
//! | `at 2.5` | the time, in seconds |
//!
//! `NEPHOSCOPE_BLESS=1` writes what came out into the files, to be read before it is kept.

use nephoscope::cluster::{Group, Happening, MemberState, Owner, Ownership, OwnershipOptions};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

#[test]
fn every_transcript_gives_its_orders() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("NEPHOSCOPE_BLESS").is_some() {
            std::fs::write(&file, &played).unwrap();
            continue;
        }
        assert_eq!(played, written, "{} plays otherwise (left: played, right: written)", file.display());
    }
}

fn play(written: &str) -> String {
    let mut machine = Ownership::new("a", OwnershipOptions::default());
    let mut now = Duration::ZERO;
    let mut played = String::new();
    for line in written.lines().filter(|line| !line.starts_with("  ")) {
        played.push_str(line);
        played.push('\n');
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["at", seconds] => now = Duration::from_secs_f64(seconds.parse().unwrap()),
            ["new", me, options @ ..] => machine = Ownership::new(*me, read_options(options)),
            words => {
                let orders = machine.step(read(line, words), now);
                for order in orders {
                    writeln!(played, "  {order}").unwrap();
                }
            }
        }
    }
    played
}

fn read_options(words: &[&str]) -> OwnershipOptions {
    let mut options = OwnershipOptions::default();
    for pair in words.chunks(2) {
        match pair {
            ["moves", n] => options.moves_at_once = n.parse().unwrap(),
            ["claims", n] => options.claims_at_once = n.parse().unwrap(),
            other => panic!("no such option: {other:?}"),
        }
    }
    options
}

fn read(line: &str, words: &[&str]) -> Happening {
    let queue = |queue: &&str| (*queue).to_owned();
    let epoch = |epoch: &&str| epoch.parse().unwrap();
    match words {
        ["queues", queues @ ..] => Happening::Queues(queues.iter().map(|u| (*u).to_owned()).collect()),
        ["view", ..] => Happening::Viewed(read_view(line)),
        ["claimed", u, e] => Happening::Claimed { queue: queue(u), epoch: epoch(e) },
        ["refused", u] => Happening::ClaimRefused { queue: queue(u) },
        ["opened", u, e] => Happening::Opened { queue: queue(u), epoch: epoch(e) },
        ["open", "failed", u, e] => Happening::OpenFailed { queue: queue(u), epoch: epoch(e) },
        ["silent"] => Happening::Silent,
        ["heard"] => Happening::Heard,
        ["closed", u, e] => Happening::Closed { queue: queue(u), epoch: epoch(e) },
        ["released", u, e] => Happening::Released { queue: queue(u), epoch: epoch(e) },
        ["release", "failed", u, e] => Happening::ReleaseFailed { queue: queue(u), epoch: epoch(e) },
        ["lease", "lost"] => Happening::LeaseLost,
        ["broker", "lost"] => Happening::BrokerLost,
        ["broker", "back"] => Happening::BrokerBack,
        ["prepared"] => Happening::Prepared,
        ["drain"] => Happening::Drain,
        ["tick"] => Happening::Tick,
        other => panic!("nothing happens like this: {other:?}"),
    }
}

fn read_view(line: &str) -> Group {
    let (revision, rest) = line.strip_prefix("view ").and_then(|rest| rest.split_once(':')).unwrap();
    let mut parts = rest.split('|').map(str::split_whitespace);
    let mut group = Group { revision: revision.trim().parse().unwrap(), ..Group::default() };
    for member in parts.next().into_iter().flatten() {
        let (member, ready) = member.strip_suffix('!').map_or((member, true), |member| (member, false));
        let (member, drained) = member.strip_suffix('-').map_or((member, false), |member| (member, true));
        let (id, weight) = member.split_once('*').unwrap_or((member, "10"));
        if drained {
            group.drained.insert(id.to_owned());
        }
        group.members.insert(id.to_owned(), MemberState { weight: weight.parse().unwrap(), ready });
    }
    for owner in parts.next().into_iter().flatten() {
        let (queue, (member, epoch)) = owner.split_once('=').map(|(u, by)| (u, by.split_once('@').unwrap())).unwrap();
        let owner = Owner { member: member.to_owned(), epoch: epoch.parse().unwrap() };
        group.owners.insert(queue.to_owned(), owner);
    }
    for word in parts.next().into_iter().flatten() {
        match word.split_once('>') {
            Some((queue, member)) => drop(group.pins.insert(queue.to_owned(), member.to_owned())),
            None => group.paused = word == "paused",
        }
    }
    group
}
