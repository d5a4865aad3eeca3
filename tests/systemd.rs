//! What `nephoscope run` tells systemd: a socket of the test stands where systemd's is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

use crate::field::{Agent, Folder, TO_FILES, until};
use crate::rig;

/// What the agent must show within this that it goes on.
const WATCHDOG: Duration = Duration::from_secs(2);

/// The place of systemd.
struct Listener {
    /// A path that is short enough for a socket.
    folder: TempDir,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start() -> Listener {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heard);
        // It ends with the process of this test.
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8(message[..length].to_vec()).unwrap();
                kept.lock().unwrap().extend(text.lines().map(str::to_owned));
            }
        });
        Listener { folder, heard }
    }

    /// An agent that systemd would have started.
    fn serve(&self, folder: &Folder) -> Agent {
        let socket = self.folder.path().join("notify");
        let watchdog = WATCHDOG.as_micros().to_string();
        folder.start_with(&[("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", &watchdog)])
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self, start: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(start)).count()
    }

    /// Waits until so many lines began with this.
    async fn until(&self, start: &str, count: usize, agent: &Agent) {
        let all = || format!("{:?}\n{}", self.heard(), agent.log());
        until(&format!("{count} × {start}"), || self.count(start) >= count, all).await;
    }
}

#[tokio::test]
async fn systemd_hears_of_start_reload_freeze_and_stop() {
    let systemd = Listener::start();
    let folder = Folder::new("systemd");
    folder.configure(&rig::rabbitmq().vhost("systemd"), "");
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = systemd.serve(&folder);
    systemd.until("READY=1", 1, &agent).await;
    systemd.until("STATUS=running; consumes 7 of 7 queues; member agent of a group of 1", 1, &agent).await;
    systemd.until("WATCHDOG=1", 3, &agent).await;

    agent.signal("HUP");
    systemd.until("READY=1", 2, &agent).await;
    let heard = systemd.heard();
    let reloading = heard.iter().position(|line| line == "RELOADING=1").unwrap();
    assert!(heard[reloading + 1].strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0);
    assert!(heard[reloading..].iter().any(|line| line == "READY=1"), "{heard:?}");

    // A frozen process says nothing: systemd would start it anew.
    agent.signal("STOP");
    tokio::time::sleep(WATCHDOG / 2).await;
    let before = systemd.count("WATCHDOG=1");
    tokio::time::sleep(WATCHDOG).await;
    assert_eq!(systemd.count("WATCHDOG=1"), before);
    agent.signal("CONT");
    systemd.until("WATCHDOG=1", before + 2, &agent).await;

    assert_eq!(systemd.count("STOPPING=1"), 0);
    agent.stop().await;
    assert_eq!(systemd.count("STOPPING=1"), 1, "{:?}", systemd.heard());
    assert_eq!(systemd.count("READY=1"), 2);
}

#[tokio::test]
async fn systemd_hears_of_an_agent_that_waits_for_etcd_and_does_not_restart_it() {
    let systemd = Listener::start();
    let folder = Folder::new("systemd-waits");
    // Nobody is there.
    folder.configure(
        "rabbit://u:p@127.0.0.1:1/",
        "[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = etcd3://127.0.0.1:1",
    );
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = systemd.serve(&folder);
    systemd
        .until("STATUS=starting; consumes 0 of 0 queues; waits for the group at etcd3://127.0.0.1:1", 1, &agent)
        .await;
    systemd.until("WATCHDOG=1", 8, &agent).await;
    assert_eq!(systemd.count("READY=1"), 0);
    agent.stop().await;
    assert_eq!(systemd.count("STOPPING=1"), 1, "{:?}", systemd.heard());
}
