//! What the application's handles and the client's one task share.
//!
//! Owns the pure states behind their locks and the bells that wake the task. It never waits and
//! never does I/O. Invariants: no lock is held across an await; after [`Shared::close`] nothing is
//! taken in and everybody who waits is told why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wardline_proto::v1::Publish;

use crate::core::outbox::Outbox;
use crate::core::receipts::{Mark, Receipts};
use crate::error::RequestError;
use crate::mailbox::Mailbox;
use crate::options::{Acknowledging, Options};
use crate::requests::Requests;
use crate::types::{Ack, ConversationId, Priority, Status};
use crate::wire;

/// In the order of their numbers.
const PRIORITIES: [Priority; 2] = [Priority::Routine, Priority::Urgent];

/// Where the answer to a publish goes, and its seat in the window.
pub(crate) struct Publisher {
    pub(crate) reply: oneshot::Sender<Result<Ack, RequestError>>,
    pub(crate) _seat: OwnedSemaphorePermit,
}

/// What the handles and the task share.
pub(crate) struct Shared {
    pub(crate) acknowledging: Acknowledging,
    pub(crate) mailbox: Mailbox,
    pub(crate) status: watch::Sender<Status>,
    /// Tells the task to end.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the task has ended.
    pub(crate) ended: CancellationToken,
    /// Seats for publishes without an answer, by priority.
    windows: [Arc<Semaphore>; 2],
    outboxes: [Mutex<Outbox<Publisher>>; 2],
    receipts: Mutex<Receipts>,
    requests: Mutex<Requests>,
    /// The highest position that an answer told.
    position: AtomicU64,
    /// Ring for the publish lanes.
    publishes_bells: [Notify; 2],
    /// Rings for the control stream: requests to send at once.
    pub(crate) requests_bell: Notify,
    /// Rings for the control stream: receipts to send within the delay.
    pub(crate) receipts_bell: Notify,
    /// Rings for all who wait until something is settled: publishes answered, receipts durable.
    pub(crate) settled: Notify,
}

impl Shared {
    pub(crate) fn new(options: &Options, status: Status) -> Self {
        Self {
            acknowledging: options.acknowledging,
            mailbox: Mailbox::new(options.inbox_max, &options.resume),
            windows: [(); 2].map(|()| Arc::new(Semaphore::new(options.publish_window))),
            status: watch::Sender::new(status),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            outboxes: PRIORITIES.map(|priority| Mutex::new(Outbox::new(priority))),
            receipts: Mutex::default(),
            requests: Mutex::default(),
            position: AtomicU64::new(0),
            publishes_bells: [Notify::new(), Notify::new()],
            requests_bell: Notify::new(),
            receipts_bell: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Works on the publishes of one priority.
    pub(crate) fn outbox<R>(&self, priority: Priority, work: impl FnOnce(&mut Outbox<Publisher>) -> R) -> R {
        work(&mut self.outboxes[priority as usize].lock())
    }

    /// Whether every publish has its final answer.
    pub(crate) fn has_published_all(&self) -> bool {
        PRIORITIES.into_iter().all(|priority| self.outbox(priority, |outbox| outbox.is_empty()))
    }

    /// Rings for the lane of one priority.
    pub(crate) fn publishes_bell(&self, priority: Priority) -> &Notify {
        &self.publishes_bells[priority as usize]
    }

    /// Seats for publishes of one priority.
    pub(crate) fn window(&self, priority: Priority) -> &Arc<Semaphore> {
        &self.windows[priority as usize]
    }

    /// Works on the receipts.
    pub(crate) fn receipts<R>(&self, work: impl FnOnce(&mut Receipts) -> R) -> R {
        work(&mut self.receipts.lock())
    }

    /// Works on the requests.
    pub(crate) fn requests<R>(&self, work: impl FnOnce(&mut Requests) -> R) -> R {
        work(&mut self.requests.lock())
    }

    /// Takes note of the position of an answer.
    pub(crate) fn note_position(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
    }

    /// The highest one so far.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Puts a publish in line.
    ///
    /// # Errors
    /// [`RequestError::Closed`] if it will never be sent.
    pub(crate) fn push(
        &self,
        priority: Priority,
        publish: Publish,
        publisher: Publisher,
    ) -> Result<(), RequestError> {
        self.outbox(priority, |outbox| match self.closed() {
            Some(closed) => Err(closed),
            None => {
                outbox.push(publish, publisher);
                Ok(())
            }
        })?;
        self.publishes_bell(priority).notify_one();
        Ok(())
    }

    /// Puts a publish in line once more, as one of another priority. Its seat stays.
    pub(crate) fn push_again(&self, priority: Priority, publish: Publish, publisher: Publisher) {
        let publish = Publish { priority: wire::priority(priority), ..publish };
        self.outbox(priority, |outbox| outbox.push(publish, publisher));
        self.publishes_bell(priority).notify_one();
    }

    /// Notes a receipt to be sent.
    pub(crate) fn note(&self, conversation: ConversationId, mark: Mark) {
        if self.receipts(|receipts| receipts.note(conversation, mark)) {
            self.receipts_bell.notify_one();
        }
    }

    /// Makes everything that was in flight ready for the next session.
    pub(crate) fn session_lost(&self) {
        self.receipts(Receipts::lost);
        self.requests(Requests::lost);
    }

    /// Why nothing more is taken in; `None` while the client is open.
    pub(crate) fn closed(&self) -> Option<RequestError> {
        match &*self.status.borrow() {
            Status::Closed { why } => Some(RequestError::Closed(why.clone())),
            _ => None,
        }
    }

    /// Ends everything; tells all who wait.
    pub(crate) fn close(&self, why: String) {
        self.status.send_replace(Status::Closed { why: why.clone() });
        self.mailbox.close();
        self.windows.iter().for_each(|window| window.close());
        for publisher in PRIORITIES.into_iter().flat_map(|priority| self.outbox(priority, Outbox::close)) {
            // Whoever dropped the pending acknowledgement does not want to know.
            let _ = publisher.reply.send(Err(RequestError::Closed(why.clone())));
        }
        self.requests(|requests| requests.close(&why));
        self.settled.notify_waiters();
    }
}
