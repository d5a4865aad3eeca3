//! The addresses at which pages are served. Publishers of one address share its listener, those of one path its page.

use chrono::Utc;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::series::{Store, page};
use crate::observe::http::serve_pages;

/// The addresses of one process at which pages for Prometheus are served. A clone has the same.
#[derive(Clone, Default)]
pub struct Listeners(Arc<tokio::sync::Mutex<BTreeMap<SocketAddr, Weak<Listener>>>>);

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

/// What is shown at one address; it ends when the last user drops it.
pub(super) struct Listener {
    shown: Arc<Mutex<Vec<Shown>>>,
    _stop: DropGuard,
}

/// A store with the path of its page.
struct Shown {
    path: String,
    store: Weak<Mutex<Store>>,
}

impl Listeners {
    /// Shows a store at a path of an address, as long as both the store and what comes back are held.
    pub(super) async fn show(
        &self,
        address: SocketAddr,
        path: &str,
        store: &Arc<Mutex<Store>>,
    ) -> io::Result<Arc<Listener>> {
        let mut listeners = self.0.lock().await;
        listeners.retain(|_, listener| listener.strong_count() > 0);
        let listener = if let Some(listener) = listeners.get(&address).and_then(Weak::upgrade) {
            listener
        } else {
            let listener = Arc::new(Listener::open(address).await?);
            listeners.insert(address, Arc::downgrade(&listener));
            listener
        };
        let mut shown = listener.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|shown| shown.store.strong_count() > 0);
        shown.push(Shown { path: path.to_owned(), store: Arc::downgrade(store) });
        drop(shown);
        Ok(listener)
    }
}

impl Listener {
    async fn open(address: SocketAddr) -> io::Result<Listener> {
        let shown: Arc<Mutex<Vec<Shown>>> = Arc::default();
        let stop = CancellationToken::new();
        let pages = Arc::clone(&shown);
        serve_pages(address, Arc::new(move |path| at(&pages, path)), stop.clone()).await?;
        Ok(Listener { shown, _stop: stop.drop_guard() })
    }
}

/// The page at a path, of all stores that are shown there; nothing where there is none.
fn at(shown: &Mutex<Vec<Shown>>, path: &str) -> Option<String> {
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let stores: Vec<Arc<Mutex<Store>>> =
        shown.iter().filter(|shown| shown.path == path).filter_map(|shown| shown.store.upgrade()).collect();
    drop(shown);
    let stores: Vec<_> = stores.iter().map(|store| store.lock().unwrap_or_else(PoisonError::into_inner)).collect();
    if stores.is_empty() { None } else { Some(page(stores.iter().map(|store| &**store), Utc::now())) }
}
