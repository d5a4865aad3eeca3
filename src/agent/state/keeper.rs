//! The keeper of one queue's state: it begins with a barrier, commits batches, and knows when it is not the owner any
//! more. What its log does not show back without a later barrier before it, has not happened.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::inherit::Inherited;
use super::log::StateLog;
use super::lost::Lost;
use super::read_back::{look, next, see};
use crate::agent::packets::packet::{self, Fragment, PacketBuilder};
use crate::agent::runtime::options::StateOptions;
use crate::agent::runtime::troubles::{Trouble, Troubles};
use crate::model::Complaint;
use crate::observe::Metrics;
use crate::pipeline::transform::{Cell, Chain, Transformers};
use crate::state::{Batch, Counted, Fold, Head, Kind, Record, Source, State};
use crate::transport::TransportError;

/// Before a log that could not be made again is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Who keeps a state.
pub(in crate::agent) struct Owner {
    /// The queue.
    pub queue: Arc<str>,
    /// Its sink.
    pub sink: Arc<str>,
    /// The epoch of the ownership.
    pub epoch: i64,
    /// The member id.
    pub member: Arc<str>,
    /// Tells this owner's barrier from any other.
    pub nonce: u64,
}

/// The keeper.
pub(in crate::agent) struct Keeper {
    pub(super) owner: Owner,
    pub(super) state: State,
    pub(super) chain: Chain,
    pub(super) metrics: Metrics,
    troubles: Arc<Troubles>,
    log: Box<dyn StateLog>,
    transformers: Arc<Transformers>,
    pub(super) options: StateOptions,
    /// The outputs of the last batch, while it is not known that they are published.
    pending: Option<Vec<u8>>,
    /// Senders that came further since the last commit.
    came: Vec<Source>,
    /// Bytes since the last snapshot, and of that.
    pub(super) since: usize,
    pub(super) last_snapshot: usize,
    /// Where that begins.
    pub(super) snapshot_at: Option<u64>,
    alarmed: bool,
}

impl Keeper {
    /// Puts the barrier, folds what stands before it, and puts the state into the transformers.
    pub(in crate::agent) async fn open(
        mut log: Box<dyn StateLog>,
        owner: Owner,
        transformers: Arc<Transformers>,
        options: StateOptions,
        (metrics, troubles): (Metrics, Arc<Troubles>),
    ) -> Result<Keeper, Lost> {
        let began = Instant::now();
        let (epoch, nonce) = (owner.epoch, owner.nonce);
        let barrier = Record::Barrier { epoch, member: owner.member.to_string(), nonce };
        log.begin(barrier.encode()).await?;
        let mut fold = Fold::new(options.window);
        let before = loop {
            let highest = fold.highest_epoch();
            let record = next(&mut *log).await?;
            if fold.take(record.offset, &record.body)? == (Counted::Barrier { epoch, nonce }) {
                break highest;
            }
        };
        if let Some(later) = before.filter(|highest| *highest >= epoch) {
            return Err(Lost::Fenced(later));
        }
        let ((since, last_snapshot), snapshot_at) = (fold.sizes(), fold.snapshot());
        let (state, pending) = fold.finish()?;
        let chain = Chain::new(Arc::clone(&transformers), &owner.sink, options.chain.clone());
        let mut keeper = Keeper {
            owner,
            state,
            chain,
            metrics,
            troubles,
            log,
            transformers,
            options,
            pending: pending.map(|pending| pending.outputs),
            came: Vec::new(),
            since,
            last_snapshot,
            snapshot_at,
            alarmed: false,
        };
        keeper.restore();
        keeper.metrics.state_restored(&keeper.owner.queue, epoch, keeper.state.cells.len(), began.elapsed());
        Ok(keeper)
    }

    /// The number of the last committed batch.
    pub(in crate::agent) fn number(&self) -> u64 {
        self.state.number
    }

    /// The last packet that was taken of a sender.
    pub(in crate::agent) fn sequence_of(&self, member: &str, epoch: i64) -> Option<u64> {
        self.state.sequence_of(member, epoch)
    }

    /// A packet of a sender is taken; written down with the next batch.
    pub(in crate::agent) fn came(&mut self, source: &Source) {
        self.state.came(source);
        source.note_in(&mut self.came);
    }

    /// Whether this state has never been begun: no batch, no snapshot.
    pub(in crate::agent) fn is_untouched(&self) -> bool {
        self.state.number == 0 && self.last_snapshot == 0
    }

    /// The generation for which this queue is closed for good, if it is.
    pub(in crate::agent) fn sealed(&self) -> Option<u64> {
        self.state.sealed
    }

    /// Begins an untouched state with what other queues had.
    pub(in crate::agent) async fn begin_with(&mut self, inherited: Inherited) -> Result<(), Lost> {
        self.state.cells = inherited.cells;
        self.state.window.join(inherited.ids);
        self.restore();
        self.snapshot_kept().await
    }

    /// Closes the queue for good: everything is published, and whoever reads the log finds all of it.
    pub(in crate::agent) async fn seal(&mut self, generation: u64) -> Result<(), Lost> {
        while let Err(lost) = self.seal_once(generation).await {
            self.mend(lost).await?;
        }
        Ok(())
    }

    async fn seal_once(&mut self, generation: u64) -> Result<(), Lost> {
        self.snapshot().await?;
        let epoch = self.owner.epoch;
        let sealed = Record::Sealed { epoch, generation, snapshot: self.snapshot_at };
        let confirmation = self.log.append(sealed.encode()).await?;
        see(&mut *self.log, epoch, Kind::Sealed).await?;
        self.state.sealed = Some(generation);
        Ok(confirmation.wait().await?)
    }

    /// Uses these transformers from here on, with what the state holds for them.
    pub(in crate::agent) fn use_transformers(&mut self, transformers: &Arc<Transformers>) {
        if Arc::ptr_eq(transformers, &self.transformers) || transformers.digest() == self.transformers.digest() {
            return;
        }
        self.transformers = Arc::clone(transformers);
        self.restore();
        // What no transformer uses any more leaves the log with the next snapshot, which is due at once.
        self.state.cells = self.chain.cells().into_iter().map(|cell| (cell.key, cell.value)).collect();
        self.since = usize::MAX;
    }

    /// Transformers as the last commit left them.
    pub(super) fn restore(&mut self) {
        let transformers = Arc::clone(&self.transformers);
        self.chain = Chain::new(transformers, &self.owner.sink, self.options.chain.clone());
        let cells = self.state.cells.iter().map(|(key, value)| Cell { key: key.clone(), value: value.clone() });
        let complaints: Vec<Complaint> = self.chain.restore(cells.collect());
        complaints.iter().for_each(|complaint| self.metrics.complained(complaint));
    }

    /// What is committed and perhaps not published, by this owner or a former one: to be published before anything else.
    pub(super) fn pending(&self) -> Option<Result<Vec<Fragment>, Lost>> {
        let read = |outputs: &Vec<u8>| packet::read(outputs).map(|packet| packet.fragments).map_err(Lost::Outputs);
        self.pending.as_ref().map(read)
    }

    /// Goes on where this keeper seemed to be at its end and its log alone is: somebody has deleted it, or made another one in
    /// its place, and the session lives. The queue is ours until we release it, so nobody has gone on meanwhile: all there is
    /// is written again, and nothing was lost. Otherwise why it is at its end.
    pub(in crate::agent) async fn mend(&mut self, lost: Lost) -> Result<(), Lost> {
        if !lost.may_be_deleted() {
            return Err(lost);
        }
        let trouble = Trouble::StateLog(self.owner.queue.to_string());
        let bounds = (self.options.log_bytes_max, self.options.segment_bytes);
        let (mut lost, mut begun) = (lost, false);
        let mended = loop {
            match self.log.make_again(bounds, begun).await {
                Ok(false) => break Err(lost),
                Ok(true) => {
                    begun = true;
                    match self.write_all().await {
                        Ok(()) => break Ok(()),
                        Err(failed) => lost = failed,
                    }
                }
                Err(error) => lost = error.into(),
            }
            if self.log.is_over() || matches!(lost, Lost::Fenced(_) | Lost::Transport(TransportError::Away { .. })) {
                break Err(lost);
            }
            // Held, not given up: what is in memory is nowhere else.
            let why = lost.to_string();
            if self.troubles.note(&trouble, &why, 0).is_some() {
                self.metrics.state_log_missing(&self.owner.queue, &why);
            }
            sleep(AGAIN).await;
        };
        self.troubles.over(&trouble);
        if mended.is_ok() {
            self.metrics.state_log_made_again(&self.owner.queue, self.state.cells.len());
        }
        mended
    }

    /// Begins a log with everything there is, and with the outputs that are pending: as those of a batch that did nothing
    /// else, because no snapshot says them.
    async fn write_all(&mut self) -> Result<(), Lost> {
        self.owner.nonce = self.owner.nonce.wrapping_add(1);
        let Owner { epoch, member, nonce, .. } = &self.owner;
        let (epoch, barrier) = (*epoch, Record::Barrier { epoch: *epoch, member: member.to_string(), nonce: *nonce });
        let barrier = barrier.encode();
        self.log.begin(barrier.clone()).await?;
        loop {
            let record = next(&mut *self.log).await?;
            if record.body == barrier {
                break;
            }
            // Not `look`: a barrier of our own may stand there, of a time when not all could be written behind it.
            match Head::of(&record.body) {
                Err(error) => return Err(Lost::Foreign(record.offset, error)),
                Ok(head) if head.epoch > epoch => return Err(Lost::Fenced(head.epoch)),
                Ok(_) => {}
            }
        }
        let Some(outputs) = self.pending.clone() else { return self.snapshot().await };
        let number = self.state.number;
        self.state.number = number - 1;
        let before = self.snapshot().await;
        self.state.number = number;
        before?;
        let (published, snapshot) = (self.state.published, self.snapshot_at);
        let batch = Batch { epoch, number, published, outputs, snapshot, ..Batch::default() };
        self.write(&Record::Batch(batch), number).await.map(drop)
    }

    /// Waits for a sign that this keeper is at its end. Dropping the future loses nothing.
    pub(in crate::agent) async fn fenced(&mut self) -> Lost {
        loop {
            match self.log.next().await {
                None => return Lost::Over,
                Some(record) => {
                    if let Err(lost) = look(&record, self.owner.epoch) {
                        return lost;
                    }
                }
            }
        }
    }

    /// Writes a batch with its outputs, and waits until it is committed: read back with no later barrier before it.
    pub(in crate::agent) async fn commit(&mut self, mut batch: Batch, outputs: &[&Fragment]) -> Result<(), Lost> {
        let began = Instant::now();
        let mut packet = PacketBuilder::new(&self.owner.member, self.owner.epoch, batch.number);
        outputs.iter().for_each(|fragment| packet.push(fragment));
        batch.outputs = packet.finish();
        batch.sources = std::mem::take(&mut self.came);
        let length = loop {
            batch.snapshot = self.snapshot_at;
            let (number, record) = (batch.number, Record::Batch(batch));
            let written = self.write(&record, number).await;
            let Record::Batch(same) = record else { return Ok(()) };
            batch = same;
            match written {
                Ok(length) => break length,
                // Whether or not the old log had it, the new one begins before it.
                Err(lost) => self.mend(lost).await?,
            }
        };
        self.state.apply(&batch);
        self.pending = Some(batch.outputs);
        self.metrics.state_committed(&self.owner.queue, length, began.elapsed());
        Ok(())
    }

    /// Writes the record of the batch of this number and reads it back; how many bytes it has.
    async fn write(&mut self, record: &Record, number: u64) -> Result<usize, Lost> {
        let (bytes, epoch) = (record.encode(), self.owner.epoch);
        let length = bytes.len();
        let confirmation = self.log.append(bytes).await?;
        let seen = async { see(&mut *self.log, epoch, Kind::Batch(number)).await.map(drop) };
        let confirmed = async { confirmation.wait().await.map_err(Lost::from) };
        tokio::try_join!(seen, confirmed)?;
        self.since = self.since.saturating_add(length);
        Ok(length)
    }

    /// The outputs of the last batch are published. Writes a snapshot if one is due.
    pub(in crate::agent) async fn published(&mut self) -> Result<(), Lost> {
        self.state.published = self.state.number;
        self.pending = None;
        let (soonest, latest) = self.options.snapshot_after_bytes;
        let latest = latest.min(self.options.log_bytes_max / 8);
        // The first at once: where no record tells of one, whoever comes next looks for it three times and then reads all.
        if self.snapshot_at.is_some()
            && self.since < self.last_snapshot.saturating_mul(4).clamp(soonest.min(latest), latest)
        {
            return Ok(());
        }
        self.snapshot_kept().await
    }

    /// Writes everything there is, if need be into a log that is made again.
    async fn snapshot_kept(&mut self) -> Result<(), Lost> {
        match self.snapshot().await {
            Err(lost) => self.mend(lost).await,
            written => written,
        }
    }

    /// Writes everything there is. Only while nothing is pending: a snapshot says nothing of outputs.
    async fn snapshot(&mut self) -> Result<(), Lost> {
        let mut confirmations = Vec::new();
        let mut length = 0;
        let epoch = self.owner.epoch;
        for part in self.state.snapshot(epoch) {
            let bytes = part.encode();
            length += bytes.len();
            confirmations.push(self.log.append(bytes).await?);
        }
        // Told of in later records only when all of it is seen to count: who begins to read there must find it whole.
        let mut begin = None;
        for (part, confirmation) in (0..).zip(confirmations) {
            let at = see(&mut *self.log, epoch, Kind::Snapshot(part)).await?;
            confirmation.wait().await?;
            begin = begin.or(Some(at));
        }
        (self.since, self.last_snapshot, self.snapshot_at) = (0, length, begin);
        self.metrics.state_snapshot(&self.owner.queue, self.state.cells.len(), length);
        // Two snapshots and what comes between them must fit.
        let third = self.options.log_bytes_max / 3;
        if length > third && !self.alarmed {
            self.metrics.state_log_small(&self.owner.queue, length, self.options.log_bytes_max);
        }
        self.alarmed = length > third;
        Ok(())
    }

    /// Ends in order: the next owner has nothing to publish again, and not more to read than one snapshot twice over.
    pub(in crate::agent) async fn release(&mut self) -> Result<(), Lost> {
        let worth_reading = self.options.snapshot_after_bytes.0 / 8;
        if self.pending.is_none() && self.since > self.last_snapshot.max(worth_reading) {
            self.snapshot_kept().await?;
        }
        while let Err(lost) = self.say_released().await {
            self.mend(lost).await?;
        }
        Ok(())
    }

    async fn say_released(&mut self) -> Result<(), Lost> {
        let (epoch, published) = (self.owner.epoch, self.state.published);
        let released = Record::Released { epoch, published, snapshot: self.snapshot_at };
        Ok(self.log.append(released.encode()).await?.wait().await?)
    }
}
