//! A process that may have few file descriptors: the real program, started with a small limit.

use std::net::TcpStream;
use std::time::Duration;

use super::assert_says;
use crate::field::{Folder, TO_FILES, Wire, ask, free_port, notification, until, until_out};
use crate::rig;

/// What a process without descriptors says, whatever it was that it could not open.
const NONE_LEFT: &str = "Too many open files";
/// What one with enough of them says.
const WORKS: &str = "queue=main:notifications.info";
/// Limits that are too small, and the last one, which is not.
const LIMITS: [usize; 8] = [8, 10, 12, 14, 16, 20, 24, 48];
/// Lines that an agent may log in [`WATCHED`]: more would be a hot loop.
const LINES_MAX: usize = 60;
/// For so long it is looked at.
const WATCHED: Duration = Duration::from_secs(4);

#[tokio::test]
async fn security_there_are_no_descriptors_for_a_connection() {
    let url = rig::rabbitmq().vhost("descriptors");
    let mut agents = Vec::new();
    for most in LIMITS {
        let folder = Folder::new(&format!("descriptors-{most}"));
        folder.configure(&url, &format!("listen = 127.0.0.1:{}", free_port()));
        folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
        agents.push((most, folder.start_with_descriptors(most)));
    }
    // Until each has said something about it, and then for a while: what loops, loops now.
    for (most, agent) in &agents {
        let said = || agent.said(NONE_LEFT) > 0 || agent.said(WORKS) > 0 || agent.said("panicked") > 0;
        until(&format!("{most} are too few, or enough"), said, || agent.log()).await;
    }
    tokio::time::sleep(WATCHED).await;
    for (most, mut agent) in agents {
        let log = agent.log();
        assert!(!log.contains("panicked"), "with {most}: {log}");
        assert!(log.lines().count() < LINES_MAX, "with {most}: {log}");
        assert_eq!(agent.said(WORKS) > 0, most == LIMITS[LIMITS.len() - 1], "with {most}: {log}");
        if agent.said(WORKS) == 0 && !agent.has_ended() {
            assert_says(&log, &["cannot reach the broker", "raise the limit of open files", "LimitNOFILE="]);
        }
    }
}

#[tokio::test]
async fn security_the_listener_leaves_the_descriptors_to_the_broker() {
    let url = rig::rabbitmq().vhost("flood");
    let folder = Folder::new("flood");
    let port = free_port();
    folder.configure(&url, &format!("listen = 127.0.0.1:{port}"));
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start_with_descriptors(48);
    agent.until_it_works().await;
    let crowd: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    assert!(crowd.len() > 200, "{}", crowd.len());
    let wire = Wire::connect(&url).await;
    for n in 0..10 {
        assert!(wire.put("notifications.info", &notification(n), lapin::BasicProperties::default()).await);
    }
    until_out(&folder, &agent, 0..10).await;
    until("another is answered", || ask(port, "/livez").starts_with("HTTP/1.1 200"), || agent.log()).await;
    assert!(!agent.log().contains(NONE_LEFT), "{}", agent.log());
    drop(crowd);
    agent.stop().await;
}
