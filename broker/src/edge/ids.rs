//! The ids of connections, and which one the broker gave to the connection that it accepts.
//!
//! quinn draws an id with its own lock held, and does not tell which connection it is for. What is
//! drawn within `accept`, by the thread that accepts, is for that connection; the last one counts,
//! since quinn draws again when an id is taken. The driver of the endpoint draws meanwhile, too, on
//! another thread.
//!
//! A client that follows quinn sends to this id for as long as the connection lives, unless its own
//! address changes by its own doing; the further ids that it is given are for that.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::{HashedConnectionIdGenerator, InvalidCid};

/// Makes ids, and remembers the last one of whoever accepts.
pub(super) struct Ids {
    key: u64,
    /// Held by whoever accepts.
    accepting: Mutex<()>,
    drawn: Mutex<Drawn>,
}

#[derive(Default)]
struct Drawn {
    /// Who accepts.
    by: Option<ThreadId>,
    last: Option<ConnectionId>,
}

/// quinn's end of it.
struct Generator {
    inner: HashedConnectionIdGenerator,
    ids: Arc<Ids>,
}

impl Ids {
    /// Ids that the same key knows again, after a restart too.
    pub(super) fn new(key: u64) -> Arc<Self> {
        Arc::new(Self { key, accepting: Mutex::default(), drawn: Mutex::default() })
    }

    /// For an endpoint.
    pub(super) fn generator(self: &Arc<Self>) -> Box<dyn ConnectionIdGenerator> {
        let inner = HashedConnectionIdGenerator::from_key(self.key);
        Box::new(Generator { inner, ids: Arc::clone(self) })
    }

    /// Accepts a connection; also says which id it was given.
    pub(super) fn given_by<T>(&self, accept: impl FnOnce() -> T) -> (T, Option<ConnectionId>) {
        let _accepting = self.accepting.lock();
        *self.drawn.lock() = Drawn { by: Some(thread::current().id()), last: None };
        let accepted = accept();
        (accepted, std::mem::take(&mut *self.drawn.lock()).last)
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        let id = self.inner.generate_cid();
        let mut drawn = self.ids.drawn.lock();
        if drawn.by == Some(thread::current().id()) {
            drawn.last = Some(id);
        }
        id
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        self.inner.validate(id)
    }

    fn cid_len(&self) -> usize {
        self.inner.cid_len()
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        self.inner.cid_lifetime()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_that_the_accepting_thread_draws_is_the_connection_s() {
        let ids = Ids::new(7);
        let mut generator = ids.generator();
        let mut elsewhere = ids.generator();
        generator.generate_cid();
        let (drawn, given) = ids.given_by(|| {
            let drawn = [generator.generate_cid(), generator.generate_cid()];
            // The endpoint's driver, meanwhile.
            std::thread::scope(|scope| scope.spawn(|| elsewhere.generate_cid()).join().expect("draws"));
            drawn
        });
        assert_eq!(given, Some(drawn[1]));
        assert_eq!(ids.given_by(|| ()).1, None);
        generator.validate(&drawn[1]).expect("its own");
    }
}
