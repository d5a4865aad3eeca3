//! A look at what is parked: each message that is meant is told, and left, dropped or put back.

use chrono::{DateTime, Utc};
use std::io;
use std::sync::Arc;

use super::walk::{Found, Seen, Walk};
use super::{Filter, Outcome, Parked, ParkedError, Requeue};
use crate::transport::Session;

/// What is looked at.
pub struct Look<'l> {
    /// The broker with the parking queue.
    pub session: &'l Arc<dyn Session>,
    /// The group.
    pub group: &'l str,
    /// Which messages are meant.
    pub filter: &'l Filter,
    /// The time that ages are counted to.
    pub now: DateTime<Utc>,
    /// Messages that are meant, at most.
    pub limit: Option<u64>,
    /// Hears of every message how far the look is.
    pub progress: &'l mut (dyn FnMut(Seen) + Send),
}

/// Hears of each message that is meant.
pub type Tell<'t> = &'t mut (dyn FnMut(&Parked) -> io::Result<()> + Send);

impl Look<'_> {
    /// Tells each message, and leaves all in the queue.
    pub async fn tell(mut self, tell: Tell<'_>) -> Result<Seen, ParkedError> {
        let (mut walk, mut count) = (Walk::begin(self.session, self.group).await?, 0);
        while let Some(found) = self.next(&mut walk, &mut count).await? {
            tell(&found.parked)?;
            walk.leave(found).await?;
        }
        walk.end().await
    }

    /// Tells each message, and takes it out of the queue for good. Nothing else is acknowledged.
    pub async fn drop_for_good(mut self, tell: Tell<'_>) -> Result<Seen, ParkedError> {
        let (mut walk, mut count) = (Walk::begin(self.session, self.group).await?, 0);
        while let Some(found) = self.next(&mut walk, &mut count).await? {
            tell(&found.parked)?;
            walk.drop_for_good(found);
        }
        walk.end().await
    }

    /// Puts each message back where it belongs; what cannot go there stays.
    pub async fn requeue(mut self, mut requeue: Requeue) -> Result<(Seen, Outcome), ParkedError> {
        let (mut walk, mut count) = (Walk::begin(self.session, self.group).await?, 0);
        while let Some(found) = self.next(&mut walk, &mut count).await? {
            requeue.put(found, &mut walk).await?;
        }
        let outcome = requeue.finish(&mut walk).await?;
        Ok((walk.end().await?, outcome))
    }

    /// The next message that is meant; others are left.
    async fn next(&mut self, walk: &mut Walk, count: &mut u64) -> Result<Option<Found>, ParkedError> {
        if self.limit.is_some_and(|limit| *count >= limit) {
            return Ok(None);
        }
        while let Some(found) = walk.next().await? {
            (self.progress)(walk.seen());
            if self.filter.matches(&found.parked, self.now) {
                *count += 1;
                return Ok(Some(found));
            }
            walk.leave(found).await?;
        }
        Ok(None)
    }
}
