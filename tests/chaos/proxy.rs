//! A link between one agent and one server that can be cut: nothing passes and nobody is told, or the connection is closed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a link does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    /// Nothing passes in either direction; connections stay open, new ones are taken and hear nothing.
    hole: bool,
    /// Raised to close all connections that there are.
    cuts: u64,
}

/// A proxy on a port of its own; gone with its last handle.
#[derive(Clone)]
pub struct Proxy {
    /// On 127.0.0.1.
    pub port: u16,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Before a server on a port of this machine.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State { hole: false, cuts: 0 });
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { return };
                tokio::spawn(carry(near, server, seen.clone()));
            }
        });
        Proxy { port, state }
    }

    /// Swallows everything (`true`), or lets it pass again, what waited first.
    pub fn hole(&self, hole: bool) {
        self.state.send_modify(|state| state.hole = hole);
    }

    /// Closes every connection that is open.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

async fn carry(near: TcpStream, server: u16, mut state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    if state.wait_for(|state| !state.hole || state.cuts != cuts).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // As it is without us between: small frames go at once.
    let _slower = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let was_cut = {
        let mut state = state.clone();
        async move { state.wait_for(|state| state.cuts != cuts).await.map(drop) }
    };
    tokio::select! {
        _ = was_cut => {}
        () = pump(near_in, far_out, state.clone()) => {}
        () = pump(far_in, near_out, state.clone()) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        // What came before the hole was dug may still fall into it.
        if read == 0 || state.wait_for(|state| !state.hole).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
