//! Recent receipts of a conversation, coalesced: per person and kind the furthest one.
//!
//! Hints for senders who are connected, never the record. Each change gets a new version, and a
//! session asks for what is newer than the version that it has seen; so nothing is queued per
//! session.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use wardline_storage::id::UserId;
use wardline_storage::model::ReceiptKind;

/// Single receipts of urgent messages that are kept.
const SINGLES_MAX: usize = 64;

/// Counts the changes of one conversation's receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u64);

/// The furthest receipts of a conversation's members.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    version: Version,
    by_version: BTreeMap<Version, (UserId, Bytes)>,
    furthest: HashMap<(UserId, ReceiptKindKey), Version>,
    singles: VecDeque<Version>,
}

/// The kinds that are watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ReceiptKindKey {
    Delivered,
    Read,
}

impl Receipts {
    /// Records somebody's receipt, encoded as a `PushFrame` with its length.
    pub(crate) fn record(&mut self, user: UserId, kind: ReceiptKind, frame: Bytes) {
        self.version = Version(self.version.0 + 1);
        let replaced = match kind {
            ReceiptKind::Delivered => self.furthest.insert((user, ReceiptKindKey::Delivered), self.version),
            ReceiptKind::Read => self.furthest.insert((user, ReceiptKindKey::Read), self.version),
            ReceiptKind::DeliveredOnly | ReceiptKind::ReadOnly => {
                self.singles.push_back(self.version);
                if self.singles.len() > SINGLES_MAX { self.singles.pop_front() } else { None }
            }
        };
        if let Some(old) = replaced {
            self.by_version.remove(&old);
        }
        self.by_version.insert(self.version, (user, frame));
    }

    /// Forgets a person's watermarks, when they are a member no longer.
    pub(crate) fn forget(&mut self, user: UserId) {
        for kind in [ReceiptKindKey::Delivered, ReceiptKindKey::Read] {
            if let Some(version) = self.furthest.remove(&(user, kind)) {
                self.by_version.remove(&version);
            }
        }
    }

    /// The version now.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Copies what is newer than `after`, except the reader's own, to `out` until that holds `fill`
    /// bytes. Returns the version up to which was looked, and how many were copied.
    pub(crate) fn copy(
        &self,
        reader: UserId,
        after: Version,
        fill: usize,
        out: &mut BytesMut,
    ) -> (Version, u64) {
        let mut copied = 0;
        for (version, (user, frame)) in self.by_version.range(Version(after.0 + 1)..) {
            if copied > 0 && out.len() >= fill {
                return (Version(version.0 - 1), copied);
            }
            if *user != reader {
                out.extend_from_slice(frame);
                copied += 1;
            }
        }
        (self.version, copied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(byte: u8) -> UserId {
        UserId::new([byte; 16])
    }

    fn read(receipts: &Receipts, after: Version, fill: usize) -> (Version, Vec<u8>) {
        let mut out = BytesMut::new();
        let (version, _) = receipts.copy(user(0), after, fill, &mut out);
        (version, out.to_vec())
    }

    #[test]
    fn coalesce_by_person_and_kind() {
        let mut receipts = Receipts::default();
        for byte in 1..=3 {
            receipts.record(user(1), ReceiptKind::Delivered, Bytes::copy_from_slice(&[byte]));
        }
        receipts.record(user(1), ReceiptKind::Read, Bytes::from_static(&[9]));
        receipts.record(user(0), ReceiptKind::Read, Bytes::from_static(&[7]));
        let (version, bytes) = read(&receipts, Version::default(), 100);
        assert_eq!(bytes, [3, 9]);
        assert_eq!(read(&receipts, version, 100), (version, vec![]));
        receipts.record(user(2), ReceiptKind::Read, Bytes::from_static(&[5]));
        assert_eq!(read(&receipts, version, 100).1, [5]);
    }

    #[test]
    fn goes_on_where_the_room_ended() {
        let mut receipts = Receipts::default();
        for byte in 1..=5 {
            receipts.record(user(byte), ReceiptKind::Read, Bytes::copy_from_slice(&[byte]));
        }
        let (version, first) = read(&receipts, Version::default(), 2);
        assert_eq!(first, [1, 2]);
        assert_eq!(read(&receipts, version, 100).1, [3, 4, 5]);
    }

    #[test]
    fn keeps_a_bounded_number_of_singles_and_forgets_who_left() {
        let mut receipts = Receipts::default();
        for _ in 0..200 {
            receipts.record(user(1), ReceiptKind::ReadOnly, Bytes::from_static(&[1]));
        }
        assert_eq!(read(&receipts, Version::default(), 1000).1.len(), SINGLES_MAX);
        receipts.record(user(2), ReceiptKind::Read, Bytes::from_static(&[2]));
        receipts.forget(user(2));
        assert!(!read(&receipts, Version::default(), 1000).1.contains(&2));
    }
}
