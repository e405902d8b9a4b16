//! The ids of connections, and which one the broker gave to the connection that it accepts.
//!
//! quinn draws an id with its own lock held, and does not tell which connection it is for. What is
//! drawn within `accept`, by the thread that accepts, is for that connection; the last one counts,
//! since quinn draws again when an id is taken. The driver of the endpoint draws meanwhile, too, on
//! another thread.
//!
//! A client that follows quinn sends to this id for as long as the connection lives, unless its own
//! address changes by its own doing; the further ids that it is given are for that.
//!
//! An id is random but for a check, by which packets are known that were never for this node. The
//! random part is long: quinn draws the id that stands in a Retry and looks for no other like it,
//! and a client whose id another connection has is heard by nobody.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;

/// Bytes of an id.
pub(super) const ID: usize = 8;
/// Of them random: of 20,000 ids, two are alike once in a million times.
const RANDOM: usize = 6;

/// Makes ids, and remembers the last one of whoever accepts.
pub(super) struct Ids {
    key: hmac::Key,
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
struct Generator(Arc<Ids>);

impl Ids {
    /// Ids that the same key knows again, after a restart too.
    pub(super) fn new(key: hmac::Key) -> Arc<Self> {
        Arc::new(Self { key, accepting: Mutex::default(), drawn: Mutex::default() })
    }

    /// For an endpoint.
    pub(super) fn generator(self: &Arc<Self>) -> Box<dyn ConnectionIdGenerator> {
        Box::new(Generator(Arc::clone(self)))
    }

    /// Accepts a connection; also says which id it was given.
    pub(super) fn given_by<T>(&self, accept: impl FnOnce() -> T) -> (T, Option<ConnectionId>) {
        let _accepting = self.accepting.lock();
        *self.drawn.lock() = Drawn { by: Some(thread::current().id()), last: None };
        let accepted = accept();
        (accepted, std::mem::take(&mut *self.drawn.lock()).last)
    }

    fn draw(&self) -> [u8; ID] {
        let mut id = [0; ID];
        rand::fill(&mut id[..RANDOM]);
        let check = self.check(&id[..RANDOM]);
        id[RANDOM..].copy_from_slice(&check);
        id
    }

    fn check(&self, random: &[u8]) -> [u8; ID - RANDOM] {
        let tag = hmac::sign(&self.key, random);
        std::array::from_fn(|place| tag.as_ref()[place])
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        let id = ConnectionId::new(&self.0.draw());
        let mut drawn = self.0.drawn.lock();
        if drawn.by == Some(thread::current().id()) {
            drawn.last = Some(id);
        }
        id
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (random, check) = id.split_at_checked(RANDOM).ok_or(InvalidCid)?;
        if self.0.check(random) == check { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(key: &[u8]) -> Arc<Ids> {
        Ids::new(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    #[test]
    fn the_last_id_that_the_accepting_thread_draws_is_the_connection_s() {
        let ids = ids(b"ours");
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
    }

    #[test]
    fn ids_are_known_again_by_their_key_and_strangers_are_not() {
        let id = ids(b"ours").generator().generate_cid();
        assert_eq!(id.len(), ID);
        ids(b"ours").generator().validate(&id).expect("its own, after a restart too");
        ids(b"theirs").generator().validate(&id).expect_err("another node's");
        let long = [&id[..], &[0]].concat();
        let wrong: [&[u8]; 4] = [&id[..ID - 1], &long, b"", &[0; ID]];
        for wrong in wrong {
            ids(b"ours").generator().validate(&ConnectionId::new(wrong)).expect_err("no id");
        }
    }

    #[test]
    fn no_two_clients_of_a_storm_are_given_the_same_id() {
        let mut generator = ids(b"ours").generator();
        let drawn: HashSet<ConnectionId> = (0..100_000).map(|_| generator.generate_cid()).collect();
        assert_eq!(drawn.len(), 100_000);
    }
}
