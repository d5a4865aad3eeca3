//! The newest picture of the group, for those who look at the page: made only while somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Who look at the page at once, at most.
pub const VIEWERS_MAX: usize = 32;

/// Where the newest picture is shown. Clones show the same.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    newest: watch::Sender<Arc<str>>,
    viewers: AtomicUsize,
    /// Changed whenever one comes or goes.
    wanted: watch::Sender<bool>,
}

impl Shared {
    /// Asked inside: one who comes while another goes is not overlooked.
    fn say_whether_wanted(&self) {
        self.wanted.send_if_modified(|wanted| {
            let before = std::mem::replace(wanted, self.viewers.load(Ordering::SeqCst) > 0);
            before != *wanted
        });
    }
}

impl Default for Feed {
    fn default() -> Self {
        Feed::new()
    }
}

impl Feed {
    /// Nobody looks, and nothing is shown.
    pub fn new() -> Feed {
        let (newest, wanted) = (watch::Sender::new(Arc::from("")), watch::Sender::new(false));
        Feed(Arc::new(Shared { newest, viewers: AtomicUsize::new(0), wanted }))
    }

    /// One more looks; nothing where there are too many.
    pub fn look(&self) -> Option<Viewer> {
        let more = |now: usize| (now < VIEWERS_MAX).then_some(now + 1);
        self.0.viewers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        self.0.say_whether_wanted();
        let mut pictures = self.0.newest.subscribe();
        // What was shown to others before is shown at once.
        pictures.mark_changed();
        Some(Viewer { feed: self.clone(), pictures })
    }

    /// Shows a picture: one that was not taken is replaced.
    pub fn show(&self, picture: String) {
        self.0.newest.send_replace(picture.into());
    }

    /// Whether anybody looks, and the changes of that.
    pub fn wanted(&self) -> watch::Receiver<bool> {
        self.0.wanted.subscribe()
    }
}

/// One who looks, until it is dropped.
#[derive(Debug)]
pub struct Viewer {
    feed: Feed,
    pictures: watch::Receiver<Arc<str>>,
}

impl Viewer {
    /// The next picture that was not taken: the newest there is then. For ever where none comes any more.
    pub async fn next(&mut self) -> Arc<str> {
        loop {
            if self.pictures.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let picture = Arc::clone(&self.pictures.borrow_and_update());
            if !picture.is_empty() {
                return picture;
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.feed.0.viewers.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The next one who looks is not shown what is old by then.
            self.feed.0.newest.send_replace(Arc::from(""));
        }
        self.feed.0.say_whether_wanted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_looks_slowly_sees_the_newest() {
        let feed = Feed::new();
        assert!(!*feed.wanted().borrow());
        let mut viewer = feed.look().unwrap();
        assert!(*feed.wanted().borrow());
        feed.show("1".to_owned());
        feed.show("2".to_owned());
        assert_eq!(&*viewer.next().await, "2");
        let mut late = feed.look().unwrap();
        assert_eq!(&*late.next().await, "2");
        drop((viewer, late));
        assert!(!*feed.wanted().borrow());
        let mut again = feed.look().unwrap();
        feed.show("3".to_owned());
        assert_eq!(&*again.next().await, "3");
    }

    #[test]
    fn too_many_look() {
        let feed = Feed::new();
        let all: Vec<Viewer> = (0..VIEWERS_MAX).filter_map(|_| feed.look()).collect();
        assert_eq!(all.len(), VIEWERS_MAX);
        assert!(feed.look().is_none());
        drop(all);
        assert!(feed.look().is_some());
    }
}
