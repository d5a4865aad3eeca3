//! What watches the agents, on real servers: three agents as processes, `nephoscope top` at a pseudo-terminal, the page in a real
//! browser, and the tap. One agent is killed, and the picture is right after it.
//!
//! Where no Chromium is installed the page is looked at over HTTP alone, and a line says so.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "desk/browser.rs"]
mod browser;
#[path = "desk/fleet.rs"]
mod fleet;
#[path = "desk/terminal.rs"]
mod terminal;

use crate::field;
use browser::Browser;
use fleet::Fleet;
use serde_json::Value;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use terminal::Terminal;

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

fn states(picture: &Value) -> Vec<String> {
    let members = picture["members"].as_array().unwrap();
    members.iter().map(|m| format!("{} {}", m["id"].as_str().unwrap(), m["state"].as_str().unwrap())).collect()
}

/// How many queues run at each owner.
fn running_at(picture: &Value, owner: &str) -> usize {
    let queues = picture["queues"].as_array().unwrap();
    queues.iter().filter(|queue| queue["owner"] == owner && queue["state"] == "running").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn desk_top_shows_three_agents_and_after_a_kill_what_is_left() {
    let mut fleet = Fleet::start("desk-top").await;
    let sending = fleet.send();
    let picture = fleet.picture().await;
    assert_eq!(states(&picture), ["a running", "b running", "c running"], "{picture:#}");
    assert_eq!(picture["queues"].as_array().unwrap().len(), fleet::QUEUES, "{picture:#}");
    let running: usize = ["a", "b", "c"].iter().map(|id| running_at(&picture, id)).sum();
    assert_eq!(running, fleet::QUEUES, "{picture:#}");
    assert!(picture["now"]["received"].as_f64().unwrap() > 0.0, "{picture:#}");
    // Every queue has an owner, and all of them say what waits at the broker.
    assert!(picture["queues"].as_array().unwrap().iter().all(|queue| queue["ready"].is_u64()), "{picture:#}");
    assert!(picture["minutes"].as_array().unwrap().len() <= 60 && picture["moves"].as_array().unwrap().len() > 5);
    let text = fleet.top(&["--once"]).await;
    for expected in [
        "nephoscope  group desk-top",
        "3 members",
        "\nmembers\n",
        "\nqueues\n",
        "main:notifications.info",
        "meters.g1.0",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    fleet.kill("c");
    let picture = fleet.until(|picture| {
        states(picture)[..2] == ["a running", "b running"]
            && running_at(picture, "a") + running_at(picture, "b") == fleet::QUEUES
            && picture["members"].as_array().unwrap().iter().all(|m| m["id"] != "c" || m["state"] == "gone")
    });
    let picture = picture.await;
    let lost = picture["moves"].as_array().unwrap().iter().filter(|one| one["reason"] == "lost" && one["from"] == "c");
    assert!(lost.count() > 0, "{picture:#}");
    drop(sending);
    // An operator who is at the wrong place is told so.
    let (code, said) = fleet::run(&["top", "--once", "--config-file", &fleet.other_group()]).await;
    assert!(code == 1 && said.contains("cannot see an agent: ") && said.contains("--config-file"), "{said}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn desk_top_is_driven_by_keys_in_a_pseudo_terminal() {
    let fleet = Fleet::start("desk-keys").await;
    let mut terminal = Terminal::start(&fleet.configuration("a"), 110, 30);
    terminal.until("3 members").await;
    terminal.until("meters.g1.0").await;
    // A filter, a look at one queue, and back.
    terminal.press("/meters.g1.1\r").await;
    terminal.until("filter: meters.g1.1").await;
    terminal.press("\r").await;
    let screen = terminal.until("moves, newest first").await;
    assert!(screen.contains("kind") && screen.contains("pipeline"), "{screen}");
    // Escape would wait for more of a sequence.
    terminal.press("\r").await;
    terminal.until("filter: meters.g1.1").await;
    // The queue goes to another member, as the screen says.
    let queue = format!("nephoscope.{}.meters.g1.1", fleet.group);
    let owner =
        fleet.picture().await["queues"].as_array().unwrap().iter().find(|q| q["name"] == *queue).unwrap()["owner"]
            .clone();
    let other = ["a", "b", "c"].into_iter().find(|id| owner != *id).unwrap();
    terminal.press("m").await;
    terminal.until("move nephoscope.").await;
    terminal.press(&format!("{other}\r")).await;
    terminal.until("is pinned to").await;
    fleet
        .until(|picture| {
            let queues = picture["queues"].as_array().unwrap();
            queues.iter().any(|q| {
                q["name"] == *queue && q["owner"] == other && q["pinned_to"] == other && q["state"] == "running"
            })
        })
        .await;
    terminal.until(&format!("{other} (pinned)")).await;
    // A pause, asked and answered.
    terminal.press("p").await;
    terminal.until("pause rebalancing").await;
    terminal.press("y").await;
    terminal.until("rebalancing is paused").await;
    fleet.until(|picture| picture["paused"] == true).await;
    terminal.press("q").await;
    assert_eq!(terminal.ended().await, 0);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn desk_tap_prints_what_passes_and_delivers_all_the_same() {
    let fleet = Fleet::start("desk-tap").await;
    // The owner of the main queue is asked: what passes there passes nowhere else.
    let owner = fleet.picture().await["queues"]
        .as_array()
        .unwrap()
        .iter()
        .find(|q| q["name"] == "main:notifications.info")
        .unwrap()["owner"]
        .as_str()
        .unwrap()
        .to_owned();
    let sending = fleet.send();
    let (code, said) =
        fleet::run_with(&fleet, &owner, &["tap", "--kind", "samples", "--meter", "image.*", "--limit", "3"]).await;
    assert_eq!(code, 0, "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let samples: Vec<&Value> = lines.iter().filter(|line| line["sample"].is_object()).collect();
    assert_eq!(samples.len(), 3, "{said}");
    assert_eq!(
        (&samples[0]["queue"], &samples[0]["sample"]["name"]),
        (&"notifications.info".into(), &"image.size".into())
    );
    let sent = sending.stop().await;
    fleet.until_published(sent).await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn desk_a_hundred_who_do_not_read_harm_nobody() {
    let fleet = Fleet::start("desk-crowd").await;
    let memory = |picture: &Value| {
        let members = picture["members"].as_array().unwrap();
        members.iter().map(|member| member["rss_bytes"].as_u64().unwrap()).max().unwrap()
    };
    let before = memory(&fleet.picture().await);
    let sending = fleet.send();
    let mut crowd = Vec::new();
    for n in 0..100 {
        let path = if n % 2 == 0 { "/desk/events" } else { "/desk/tap?rate=10000" };
        for id in ["a", "b", "c"] {
            let mut client = TcpStream::connect(("127.0.0.1", fleet.port(id))).unwrap();
            // One that the agent has closed meanwhile for another.
            let _closed = write!(client, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            crowd.push(client);
        }
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let after = fleet.picture().await;
    assert_eq!(states(&after), ["a running", "b running", "c running"], "{after:#}");
    assert!(memory(&after) < before + 64 * 1024 * 1024, "{before} bytes before, {} after", memory(&after));
    assert!(field::ask(fleet.port("a"), "/livez").ends_with("ok\n"));
    let sent = sending.stop().await;
    fleet.until_published(sent).await;
    drop(crowd);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn desk_the_page_shows_the_group_in_a_browser_and_asks_nobody_else() {
    let mut fleet = Fleet::start("desk-page").await;
    let sending = fleet.send();
    fleet.picture().await;
    let address = format!("http://127.0.0.1:{}/", fleet.port("b"));
    let Some(mut browser) = Browser::start(Path::new(TMP)) else {
        let page = field::ask(fleet.port("b"), "/");
        assert!(page.contains("default-src 'none'") && page.contains("EventSource"), "{page}");
        println!("SKIPPED: Chromium is not installed; the page was looked at over HTTP alone");
        return;
    };
    browser.open(&address, 1240, 860, "light").await;
    browser
        .until("document.querySelectorAll('.member').length === 3 && document.querySelectorAll('.cell').length > 10")
        .await;
    browser.until("byId('verdict').textContent === 'all is well'").await;
    browser.until("document.querySelectorAll('#rates circle').length > 0").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    browser.shoot(&Path::new(TMP).join("desk-light.png"));
    // By keyboard: from one tab to the next.
    browser.evaluate("byId('tab-queues').focus()");
    for (tab, words) in [
        ("publishers", "file://"),
        ("parked", "Since the members started"),
        ("moves", " ago"),
        ("configuration", "[nephoscope] group"),
    ] {
        browser.press("ArrowRight");
        browser.until(&format!("document.activeElement.id === 'tab-{tab}'")).await;
        browser.until(&format!("byId('panel-{tab}').innerText.includes({words:?})")).await;
    }
    let configuration = browser.evaluate("byId('panel-configuration').innerText");
    assert!(configuration.as_str().unwrap().contains("guest:***@"), "{configuration}");
    browser.shoot(&Path::new(TMP).join("desk-configuration.png"));
    browser.open(&address, 1240, 1500, "dark").await;
    browser.until("document.querySelectorAll('.member').length === 3").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    browser.shoot(&Path::new(TMP).join("desk-dark.png"));
    browser.open(&address, 390, 844, "light").await;
    browser.until("document.querySelectorAll('.member').length === 3").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= 390"), true, "it is wider than a phone");
    browser.shoot(&Path::new(TMP).join("desk-phone.png"));
    // One member is killed: it is seen, and then its queues are the others'.
    browser.open(&format!("{address}#moves"), 1240, 1500, "dark").await;
    browser.until("document.querySelectorAll('.member').length === 3").await;
    fleet.kill("c");
    browser.until("document.body.innerText.includes('c says nothing')").await;
    browser.shoot(&Path::new(TMP).join("desk-killed.png"));
    browser
        .until("!document.body.innerText.includes('c says nothing') && [...document.querySelectorAll('#panel-moves tbody .state')].some((s) => s.textContent === 'lost')")
        .await;
    let owned = "[...document.querySelectorAll('.member')].slice(0, 2).reduce((n, m) => n + m.querySelectorAll('.cell').length, 0)";
    browser.until(&format!("{owned} === {}", fleet::QUEUES)).await;
    browser.shoot(&Path::new(TMP).join("desk-after.png"));
    let asked = browser.requests();
    assert!(asked.len() > 5, "{asked:?}");
    let elsewhere: Vec<&String> =
        asked.iter().filter(|url| !url.starts_with(&address) && *url != "about:blank").collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(sending);
    fleet.stop().await;
}
