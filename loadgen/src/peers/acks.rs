//! Acknowledgements that a server sends in the order of the publishes, on a connection that a task
//! of ours reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::{Context, anyhow};
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::harness::Ack;

/// Publishes that wait for their acknowledgement. As many as the harness has in flight.
#[derive(Clone, Default)]
pub(crate) struct InOrder {
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<anyhow::Result<()>>>>>,
}

impl InOrder {
    /// Waits for the acknowledgement of the next publish; to be called just before it.
    pub(crate) fn expect(&self) -> Ack {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        async { receiver.await.context("the connection has ended")? }.boxed_local()
    }

    /// Notes an acknowledgement.
    pub(crate) fn arrived(&self, answer: anyhow::Result<()>) {
        if let Some(sender) = self.waiting.borrow_mut().pop_front() {
            // Whoever gave up waiting has ended the measurement.
            let _ = sender.send(answer);
        }
    }

    /// Fails all that wait.
    pub(crate) fn failed(&self, why: &str) {
        for sender in self.waiting.borrow_mut().drain(..) {
            let _ = sender.send(Err(anyhow!("{why}")));
        }
    }
}
