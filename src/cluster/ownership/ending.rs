//! How a membership ends: in order because the member is to leave, or because its lease is gone.

use super::happening::{Happening, Order};
use super::queue::{Stage, Want};
use super::{Life, Ownership};

impl Ownership {
    pub(super) fn drain(&mut self, orders: &mut Vec<Order>) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.ready = false;
        self.queues.values_mut().for_each(|queue| queue.want(Want::Keep));
        orders.push(Order::Ready { ready: false });
        for (queue, stage) in self.in_hand() {
            self.reconcile(queue, stage, orders);
        }
    }

    /// Successors wait until the broker shows them that nobody consumes any more. What has not ended when this happens a
    /// second time is cut.
    pub(super) fn lease_lost(&mut self, orders: &mut Vec<Order>) {
        let again = self.life == Life::Ending;
        self.life = Life::Ending;
        for (queue, stage) in self.in_hand() {
            match stage {
                Stage::Opening(epoch) | Stage::Open(epoch) if !again => {
                    self.queue(queue.clone()).set(Some(Stage::Closing(epoch)));
                    orders.push(Order::Close { queue, epoch });
                }
                Stage::Closing(_) if !again => {}
                Stage::Opening(_) | Stage::Open(_) | Stage::Closing(_) => {
                    self.queue(queue.clone()).set(None);
                    orders.push(Order::Cut { queue });
                }
                Stage::Claiming(_) | Stage::Idle(_) | Stage::Releasing(_) => self.queue(queue).set(None),
            }
        }
        self.end_if_all_ended(orders);
    }

    fn end_if_all_ended(&mut self, orders: &mut Vec<Order>) {
        if self.stages().next().is_none() {
            self.life = Life::Done;
            orders.push(Order::Done);
        }
    }

    /// What still counts of what happens to a member without a lease.
    pub(super) fn end(&mut self, happening: Happening, orders: &mut Vec<Order>) {
        match happening {
            Happening::LeaseLost => self.lease_lost(orders),
            Happening::Closed { queue, epoch } | Happening::OpenFailed { queue, epoch }
                if self.stage(&queue) == Some(Stage::Closing(epoch)) =>
            {
                self.queue(queue).set(None);
                self.end_if_all_ended(orders);
            }
            _ => {}
        }
    }
}
