//! Screens as text: a group at work, a group in which something is wrong, and names that would act on a terminal.

use super::super::ui::{Action, Key};
use super::*;
use crate::desk::picture::{Count, Member, Now, Publisher, Queue, QueueMove, Times};
use crate::observe::desk::minutes::Minute;
use std::fmt::Write as _;

fn picture() -> Picture {
    let member = |id: &str, state: &str| Member {
        id: id.to_owned(),
        host: format!("{id}.example"),
        version: "0.1.0".to_owned(),
        state: state.to_owned(),
        started: "2026-03-01T09:00:00Z".to_owned(),
        heard_s: Some(if state == "running" { 0 } else { 7 }),
        weight: Some(10),
        queues: 2,
        received: (state == "running").then_some(612.4),
        published: (state == "running").then_some(1_300.0),
        cpu: (state == "running").then_some(12.0),
        rss_bytes: (state == "running").then_some(48 << 20),
        lease_margin_ms: (state == "running").then_some(7_900),
        ..Member::default()
    };
    let queue = |name: &str, owner: &str, state: &str, taken: f64| Queue {
        name: name.to_owned(),
        kind: if name.starts_with("main:") { "main" } else { "pipeline" }.to_owned(),
        state: state.to_owned(),
        owner: Some(owner.to_owned()),
        epoch: Some(41),
        since: Some("2026-03-01T09:00:02Z".to_owned()),
        taken: Some(taken),
        settled: Some(taken),
        ready: Some(3),
        held: 20,
        oldest_s: Some(1),
        log_bytes: if name.starts_with("main:") { 0 } else { 5 << 20 },
        ..Queue::default()
    };
    let publisher = |sink: &str, name: &str| Publisher {
        sink: sink.to_owned(),
        name: name.to_owned(),
        state: "works".to_owned(),
        accepted: Some(900.0),
        accepted_in_all: 1_234_567,
        ..Publisher::default()
    };
    Picture {
        group: "ceilometer".to_owned(),
        at: "2026-03-01T12:00:00Z".to_owned(),
        shared: true,
        queues_per_sink: Some(2),
        now: Now {
            received: Some(1_224.8),
            samples: Some(2_449.0),
            events: Some(1_224.0),
            published: Some(2_600.0),
            ready: Some(12),
            held: 80,
            oldest_s: Some(1),
            parked: 3,
            main: Times { p50_us: Some(2_000), p99_us: Some(8_000) },
            pipeline: Times { p50_us: Some(4_000), p99_us: Some(32_000) },
            ..Now::default()
        },
        members: vec![member("controller-1", "running"), member("controller-2", "running")],
        queues: vec![
            queue("main:notifications.info", "controller-1", "running", 1_200.0),
            queue("main:notifications.sample", "controller-2", "running", 24.8),
            queue("nephoscope.ceilometer.cpu_sink.g1.0", "controller-1", "running", 40.5),
            queue("nephoscope.ceilometer.cpu_sink.g1.1", "controller-2", "running", 7.3),
        ],
        publishers: vec![publisher("cpu_sink", "gnocchi://"), publisher("meter_sink", "http://collector:8080/samples")],
        parked: vec![Count { what: "unreadable".to_owned(), count: 3 }],
        complaints: vec![Count { what: "meters.d/a.yaml:12".to_owned(), count: 40 }],
        moves: vec![QueueMove {
            at: "2026-03-01T09:00:01.000Z".to_owned(),
            queue: "nephoscope.ceilometer.cpu_sink.g1.1".to_owned(),
            from: Some("controller-1".to_owned()),
            to: "controller-2".to_owned(),
            reason: "joined".to_owned(),
        }],
        minutes: (0..60).map(|n| Minute { minute: n, received: n * n % 50 * 1_000, ..Minute::default() }).collect(),
        ..Picture::default()
    }
}

/// The same after `controller-2` was killed, while the broker of a publisher is away.
fn wrong() -> Picture {
    let mut picture = picture();
    let dead = &mut picture.members[1];
    *dead = Member {
        state: "not heard".to_owned(),
        heard_s: Some(7),
        received: None,
        published: None,
        cpu: None,
        rss_bytes: None,
        lease_margin_ms: None,
        ..dead.clone()
    };
    for queue in picture.queues.iter_mut().filter(|queue| queue.owner.as_deref() == Some("controller-2")) {
        "not heard".clone_into(&mut queue.state);
        (queue.taken, queue.settled, queue.ready, queue.oldest_s, queue.held) = (None, None, None, None, 0);
    }
    let publisher = &mut picture.publishers[1];
    "held".clone_into(&mut publisher.state);
    (publisher.accepted, publisher.waiting, publisher.retries) = (Some(0.0), 120, 9);
    publisher.held_since = Some("2026-03-01T11:55:00Z".to_owned());
    publisher.why = Some("connection refused".to_owned());
    publisher.held_at = vec!["controller-1".to_owned()];
    picture.now.waiting = 120;
    picture.unseen = vec!["etcd does not answer within 5s".to_owned()];
    picture.paused = true;
    picture
}

fn shown(picture: &Picture, ui: &Ui, width: usize, height: usize) -> String {
    let mut text = String::new();
    for line in lines(picture, ui, width, height) {
        let taken: usize = line.0.iter().map(|part| super::super::text::width(&part.text)).sum();
        assert!(taken <= width, "{line:?}");
        writeln!(text, "{}", line.text()).unwrap();
    }
    text
}

/// The screen after these keys; the last action.
fn after(picture: &Picture, keys: &[Key]) -> (Ui, Action) {
    let mut ui = Ui::new();
    let action = keys.iter().fold(Action::Show, |_, key| ui.press(*key, picture, 5));
    (ui, action)
}

fn typed(text: &str) -> Vec<Key> {
    text.chars().map(|c| if c == '\n' { Key::Enter } else { Key::Char(c) }).collect()
}

#[test]
fn a_group_at_work() {
    insta::assert_snapshot!(shown(&picture(), &Ui::new(), 100, 16));
}

#[test]
fn everything_at_once() {
    insta::assert_snapshot!(whole(&picture()));
}

#[test]
fn a_member_was_killed_and_a_publisher_is_away() {
    insta::assert_snapshot!(shown(&wrong(), &Ui::new(), 110, 18));
}

#[rstest::rstest]
#[case::publishers("2")]
#[case::members("3")]
#[case::parked("4")]
#[case::moves("5")]
#[case::filtered("/cpu\n")]
#[case::sorted("sss")]
#[case::one_queue("j\n")]
#[case::one_publisher("2j\n")]
#[case::one_member("3j\n")]
#[case::no_pause("p")]
#[case::move_where("jm")]
fn keys_lead_to_a_screen(#[case] keys: &str) {
    let (ui, _) = after(&wrong(), &typed(keys));
    insta::assert_snapshot!(format!("after_{}", keys.replace(['\n', '/'], "_")), shown(&wrong(), &ui, 90, 20));
}

#[test]
fn a_phone_has_a_screen_too() {
    insta::assert_snapshot!(shown(&wrong(), &Ui::new(), 40, 14));
    for (width, height) in [(1, 1), (5, 3), (10, 200), (300, 4)] {
        assert_eq!(lines(&wrong(), &Ui::new(), width, height).len(), height);
    }
}

#[test]
fn keys_lead_to_operations() {
    let pin = |queue: &str, member: &str| {
        Action::Operate(Operation::Pin { queue: queue.to_owned(), member: member.to_owned() })
    };
    let cpu = "nephoscope.ceilometer.cpu_sink.g1.0";
    for (keys, action) in [
        ("q", Action::Quit),
        ("py", Action::Operate(Operation::Pause)),
        ("pn", Action::Show),
        ("m2\n", pin(cpu, "controller-2")),
        ("mcontroller-1\n", pin(cpu, "controller-1")),
        ("m9\n", Action::Show),
        ("uy", Action::Operate(Operation::Unpin { queue: cpu.to_owned() })),
        ("\nm1\n", pin(cpu, "controller-1")),
        ("/q", Action::Show),
        ("2m", Action::Show),
        ("\nq", Action::Quit),
    ] {
        assert_eq!(after(&picture(), &typed(keys)).1, action, "{keys:?}");
    }
    assert_eq!(after(&wrong(), &typed("py")).1, Action::Operate(Operation::Resume));
    let alone = Picture { shared: false, ..picture() };
    let (ui, action) = after(&alone, &typed("p"));
    assert_eq!(action, Action::Show);
    assert!(ui.said.contains("no group"), "{}", ui.said);
}

#[test]
fn an_answer_is_to_what_was_asked_whatever_the_group_does_meanwhile() {
    let (mut ui, _) = after(&picture(), &typed("p"));
    let paused = Picture { paused: true, ..picture() };
    assert!(shown(&paused, &ui, 90, 20).contains("pause rebalancing"));
    assert_eq!(ui.press(Key::Char('y'), &paused, 5), Action::Operate(Operation::Pause));
    let (mut ui, _) = after(&picture(), &typed("m2"));
    let mut one_more = picture();
    one_more.members.insert(0, Member { id: "controller-0".to_owned(), ..picture().members[0].clone() });
    assert!(shown(&one_more, &ui, 160, 20).contains("1 controller-1  2 controller-2"));
    let queue = "nephoscope.ceilometer.cpu_sink.g1.0".to_owned();
    let pin = Operation::Pin { queue, member: "controller-2".to_owned() };
    assert_eq!(ui.press(Key::Enter, &one_more, 5), Action::Operate(pin));
}

#[test]
fn the_chosen_row_stays_chosen_while_rows_come_and_go() {
    let (mut ui, _) = after(&picture(), &typed("jjj"));
    let mut fewer = picture();
    fewer.queues.remove(0);
    assert_eq!(ui.table(&fewer).rows[ui.chosen(&ui.table(&fewer))].name, "main:notifications.sample");
    fewer.queues.clear();
    assert_eq!(ui.press(Key::Enter, &fewer, 5), Action::Show);
    assert_eq!(ui.chosen(&ui.table(&fewer)), 0);
}

#[test]
fn what_others_write_is_text() {
    let mut hostile = picture();
    let acts = "\u{1b}]0;title\u{7}\u{1b}[2J<b>x</b>\u{202e}evil\u{9b}31m\r\n日本";
    acts.clone_into(&mut hostile.group);
    acts.clone_into(&mut hostile.members[0].id);
    acts.clone_into(&mut hostile.queues[0].name);
    acts.clone_into(&mut hostile.publishers[0].name);
    acts.clone_into(&mut hostile.parked[0].what);
    acts.clone_into(&mut hostile.moves[0].queue);
    hostile.queues[0].error = Some(acts.to_owned());
    hostile.members[0].waiting_for = vec![acts.to_owned()];
    hostile.unseen = vec![acts.to_owned()];
    let mut screens = vec![whole(&hostile)];
    for keys in ["", "2", "3", "4", "5", "\n", "2\n", "3\n", "4\n", "5\n", "m", "u", "/"] {
        let (ui, _) = after(&hostile, &typed(keys));
        screens.push(shown(&hostile, &ui, 160, 30));
    }
    for screen in screens {
        let bad = screen.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{screen}");
        assert!(screen.contains("\\u{1b}]0;title\\u{7}"), "{screen}");
    }
}
