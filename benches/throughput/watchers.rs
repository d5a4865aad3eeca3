//! Who looks at an agent while it works: half of them at the page, half at what passes; half of each read nothing.

use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Between two attempts to connect to an agent that starts.
const AGAIN: Duration = Duration::from_millis(1);

/// Many clients of one agent; gone when dropped.
pub(crate) struct Watchers(JoinSet<()>);

impl Watchers {
    /// So many who connect to an agent as soon as it listens.
    pub(crate) fn of(port: u16, count: usize) -> Self {
        Watchers((0..count).map(|n| watch(port, n)).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

async fn watch(port: u16, n: usize) {
    let path = if n.is_multiple_of(2) { "/desk/events" } else { "/desk/tap?rate=100" };
    let reads = (n / 2).is_multiple_of(2);
    loop {
        let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let asked = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        // The agent may have let go of one for the next.
        let _closed = client.write_all(asked.as_bytes()).await;
        let mut taken = vec![0; 65_536];
        while reads && client.read(&mut taken).await.is_ok_and(|bytes| bytes > 0) {}
        if !reads {
            std::future::pending::<()>().await;
        }
        // It was refused: the places are taken.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
