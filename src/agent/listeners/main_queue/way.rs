//! Where a main queue's listener sends what it converts: to the sinks of this process, or to the pipeline queues of the group.

use crate::agent::packets::encoding::Part;
use crate::agent::packets::lane::Expected;
use crate::agent::stages::route::Routes;
use crate::model::Receipt;

/// Where what is converted goes: the one difference between an agent alone and a group.
pub(in crate::agent) trait Way: Send {
    /// What a fragment is made into where it is converted.
    type Part: Part;

    /// Whether what is taken from now on may still go this way: asked after the queue had no consumer for a moment.
    fn is_current(&self) -> impl Future<Output = bool> + Send;
    /// The listener is over, and what it took is back in its queue: nothing of it is sent or published from here.
    fn abandon(&self);
    /// Takes what a batch yielded, by sink; `false` when nothing can be taken any more. What is sent in packets may
    /// wait for what is `expected`.
    fn take(
        &mut self,
        routes: &Routes,
        yielded: Yielded<Self::Part>,
        expected: Expected,
    ) -> impl Future<Output = bool> + Send;
}

/// What a batch yielded, in order: the sink, the part, and its share of the receipt.
pub(in crate::agent) type Yielded<T> = Vec<(usize, T, Receipt)>;
