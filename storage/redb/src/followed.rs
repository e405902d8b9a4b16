//! Which rows changed while a copy is being made.
//!
//! Keys only: what they hold now is read from the store when the copy catches up. Within a bound:
//! half full, it asks the copy to catch up at once; full, it forgets all and says so, and the copy
//! is given up.

use std::collections::BTreeSet;

use wardline_storage::engine::{Mutation, Table};

/// Most bytes that are remembered.
pub(crate) const BYTES_MAX: usize = 32 << 20;
/// About what a key takes beside its bytes.
const KEY_OVERHEAD_BYTES: usize = 64;

/// A row, by table and key.
pub(crate) type Changed = (Table, Box<[u8]>);

/// The keys that were committed since the copy looked last.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    changed: BTreeSet<Changed>,
    bytes: usize,
    is_full: bool,
}

impl Followed {
    /// Remembers the keys of a batch.
    pub(crate) fn add(&mut self, batch: &[Mutation]) {
        for mutation in batch {
            if self.is_full {
                return;
            }
            // A copy: the key may be a part of something much larger.
            let key = Box::from(mutation.key().as_ref());
            if self.changed.insert((mutation.table(), key)) {
                self.bytes += mutation.key().len() + KEY_OVERHEAD_BYTES;
                self.is_full = self.bytes > BYTES_MAX;
            }
        }
        if self.is_full {
            self.changed = BTreeSet::new();
        }
    }

    /// Whether the copy should catch up rather than go on.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes > BYTES_MAX / 2
    }

    /// Gives what changed, in order, and begins anew; `None`: it was more than is remembered.
    pub(crate) fn take(&mut self) -> Option<BTreeSet<Changed>> {
        let taken = std::mem::take(self);
        (!taken.is_full).then_some(taken.changed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn delete(table: Table, key: u32) -> Mutation {
        Mutation::Delete { table, key: Bytes::copy_from_slice(&key.to_be_bytes()) }
    }

    #[test]
    fn each_row_is_remembered_once_and_in_order() {
        let mut followed = Followed::default();
        let batch = [delete(Table::Meta, 1), delete(Table::Message, 9), delete(Table::Message, 2)];
        followed.add(&batch);
        followed.add(&batch);
        let keys: Vec<_> = followed.take().expect("few").into_iter().map(|(table, _)| table).collect();
        assert_eq!(keys, [Table::Message, Table::Message, Table::Meta]);
        assert!(followed.take().expect("it began anew").is_empty());
    }

    #[test]
    fn it_keeps_its_bound_and_says_so() {
        let mut followed = Followed::default();
        let fits = (BYTES_MAX / (KEY_OVERHEAD_BYTES + 4)) as u32;
        (0..fits / 2).for_each(|key| followed.add(&[delete(Table::Message, key)]));
        assert!(!followed.is_half_full());
        (fits / 2..fits).for_each(|key| followed.add(&[delete(Table::Message, key)]));
        assert!(followed.is_half_full() && !followed.is_full);
        (fits..fits + 2).for_each(|key| followed.add(&[delete(Table::Message, key)]));
        assert!(followed.is_full && followed.changed.is_empty(), "the memory is given back");
        assert!(followed.take().is_none(), "what is forgotten must not be taken for nothing");
        assert!(followed.take().is_some_and(|changed| changed.is_empty()));
    }
}
