//! What the machine knows of one queue: where it is on its way, what is wanted of it, and when to try again.

use super::happening::OwnershipOptions;
use crate::cluster::group::Epoch;
use std::time::Duration;

/// Where a queue is on its way, as far as this member has a hand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A claim is under way; with an epoch where the owner key is already mine.
    Claiming(Option<Epoch>),
    /// Mine, but nothing is open: the broker session was lost.
    Idle(Epoch),
    /// Mine, being opened.
    Opening(Epoch),
    /// Mine, and worked on.
    Open(Epoch),
    /// Mine, finishing what is in flight.
    Closing(Epoch),
    /// Closed; the owner key is being deleted.
    Releasing(Epoch),
}

/// What the machine does with a queue as soon as its bounds allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Want {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// Free (or idle) and mine by placement: it is to be claimed.
    Claim,
    /// Held and not mine any more: it is to be closed.
    Give,
}

/// A queue that did not open, or ended by itself, is not claimed again at once.
#[derive(Debug, Clone, Copy)]
struct Setback {
    since: Duration,
    pause: Duration,
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    stage: Option<Stage>,
    want: Want,
    /// When to try again to release it.
    again: Option<Duration>,
    setback: Option<Setback>,
    /// The epoch that was given back: a view read before that still shows it.
    given_up: Option<Epoch>,
}

impl Queue {
    /// The stage; none while this member has no hand in it.
    pub(super) fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The one place where a stage changes: what is wanted and what is waited for is of a stage.
    pub(super) fn set(&mut self, stage: Option<Stage>) {
        self.stage = stage;
        self.again = None;
        let stays = match self.want {
            Want::Claim => matches!(stage, Some(Stage::Idle(_))),
            Want::Give => self.can_close().is_some(),
            Want::Keep => true,
        };
        if !stays {
            self.want = Want::Keep;
        }
    }

    /// The epoch of what there is to close.
    fn can_close(&self) -> Option<Epoch> {
        match self.stage? {
            Stage::Opening(epoch) | Stage::Open(epoch) => Some(epoch),
            _ => None,
        }
    }

    pub(super) fn want(&mut self, want: Want) {
        self.want = want;
    }

    /// Whether it is to be claimed, and no setback holds it back.
    pub(super) fn is_to_claim(&self, now: Duration) -> bool {
        self.want == Want::Claim && self.held_back_until().is_none_or(|until| until <= now)
    }

    /// The epoch of what is to be closed.
    pub(super) fn to_close(&self) -> Option<Epoch> {
        self.can_close().filter(|_| self.want == Want::Give)
    }

    /// Whether a claim is under way.
    pub(super) fn is_claiming(&self) -> bool {
        matches!(self.stage, Some(Stage::Claiming(_)))
    }

    /// Whether it is on its way from this member to another.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.stage, Some(Stage::Closing(_) | Stage::Releasing(_)))
    }

    /// Its epoch while this member holds it and works on it, or could.
    pub(super) fn held(&self) -> Option<Epoch> {
        match self.stage? {
            Stage::Idle(epoch) | Stage::Opening(epoch) | Stage::Open(epoch) | Stage::Closing(epoch) => Some(epoch),
            Stage::Claiming(_) | Stage::Releasing(_) => None,
        }
    }

    /// It could not be released: that is to be tried again then.
    pub(super) fn release_again(&mut self, at: Duration) {
        self.again = Some(at);
    }

    /// The epoch of what is to be released once more now; asked once.
    pub(super) fn is_to_release(&mut self, now: Duration) -> Option<Epoch> {
        match self.stage {
            Some(Stage::Releasing(epoch)) => self.again.take_if(|at| *at <= now).map(|_| epoch),
            _ => None,
        }
    }

    /// When there is something to do for it without anything happening.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let claim = self.held_back_until().filter(|_| self.want == Want::Claim);
        claim.into_iter().chain(self.again).min()
    }

    /// It did not open, or ended by itself: each time in a row it waits twice as long before it is claimed again.
    pub(super) fn set_back(&mut self, now: Duration, options: &OwnershipOptions) {
        let pause = self.setback.map_or(options.setback_min, |setback| setback.pause * 2).min(options.setback_max);
        self.setback = Some(Setback { since: now, pause });
    }

    /// It has opened, or what kept it from that is gone.
    pub(super) fn forget_setback(&mut self) {
        self.setback = None;
    }

    /// Whether its last setback is so young that the loss of the session explains it.
    pub(super) fn was_set_back_by_loss(&self, now: Duration, options: &OwnershipOptions) -> bool {
        self.setback.is_some_and(|setback| now <= setback.since + options.loss_shows_within)
    }

    fn held_back_until(&self) -> Option<Duration> {
        self.setback.map(|setback| setback.since + setback.pause)
    }

    /// The owner key with this epoch was deleted by this member.
    pub(super) fn give_up(&mut self, epoch: Epoch) {
        self.given_up = Some(epoch);
    }

    /// Whether an owner key of this member with this epoch is one that it has deleted since.
    pub(super) fn gave_up(&self, epoch: Epoch) -> bool {
        self.given_up.is_some_and(|given_up| epoch <= given_up)
    }

    /// A view shows this epoch of mine, or none: what was given back and is not shown any more is forgotten.
    pub(super) fn shown(&mut self, epoch: Option<Epoch>) {
        self.given_up = self.given_up.filter(|given_up| epoch.is_some_and(|epoch| epoch <= *given_up));
    }

    /// Whether nothing is known of it that has to be remembered.
    pub(super) fn is_blank(&self) -> bool {
        let Queue { stage, want, again, setback, given_up } = self;
        stage.is_none() && *want == Want::Keep && again.is_none() && setback.is_none() && given_up.is_none()
    }
}
