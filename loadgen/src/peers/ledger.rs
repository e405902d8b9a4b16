//! Who must have what, and who has it.
//!
//! Pure: no clock, no I/O. Each message is owed to every reader once; what is still owed at the end
//! is lost.

use std::collections::VecDeque;

use crate::result::Integrity;

/// The messages of one measurement and their readers.
pub(crate) struct Ledger {
    readers: Vec<Reader>,
    published: u64,
    /// For each message from `oldest` on: how many readers still lack it.
    lacking: VecDeque<u32>,
    oldest: u64,
    foreign: u64,
    reordered: u64,
    duplicated: u64,
}

#[derive(Default)]
struct Reader {
    /// A bit for each message.
    has: Vec<u64>,
    count: u64,
    /// One more than the highest number so far.
    next: u64,
}

/// What a delivery was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Owed, and others still lack the message.
    Owed,
    /// Owed, and now everybody has the message.
    Last,
    /// Not owed: a duplicate, or a number that was never published.
    Wrong,
}

impl Ledger {
    pub(crate) fn new(readers: usize) -> Self {
        Self {
            readers: (0..readers).map(|_| Reader::default()).collect(),
            published: 0,
            lacking: VecDeque::new(),
            oldest: 0,
            foreign: 0,
            reordered: 0,
            duplicated: 0,
        }
    }

    /// Gives the next message's number, and owes it to every reader.
    pub(crate) fn publish(&mut self) -> u64 {
        let number = self.published;
        self.published += 1;
        self.lacking.push_back(self.readers.len() as u32);
        number
    }

    /// Notes a delivery.
    pub(crate) fn deliver(&mut self, reader: usize, number: u64) -> Delivery {
        if number >= self.published {
            self.foreign += 1;
            return Delivery::Wrong;
        }
        let reader = &mut self.readers[reader];
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if reader.has.len() <= word {
            reader.has.resize(word + 1, 0);
        }
        if reader.has[word] & bit != 0 {
            self.duplicated += 1;
            return Delivery::Wrong;
        }
        reader.has[word] |= bit;
        reader.count += 1;
        self.reordered += u64::from(number < reader.next);
        reader.next = reader.next.max(number + 1);
        self.settle(number)
    }

    /// Notes a delivery that cannot be one of the messages.
    pub(crate) fn stray(&mut self) {
        self.foreign += 1;
    }

    /// Whether nobody lacks anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.lacking.is_empty()
    }

    /// What is wrong so far.
    pub(crate) fn integrity(&self) -> Integrity {
        Integrity {
            lost: self.readers.iter().map(|reader| self.published - reader.count).sum(),
            duplicated: self.duplicated,
            reordered: self.reordered,
            foreign: self.foreign,
            misnumbered: 0,
        }
    }

    fn settle(&mut self, number: u64) -> Delivery {
        let lacking = &mut self.lacking[(number - self.oldest) as usize];
        *lacking -= 1;
        if *lacking > 0 {
            return Delivery::Owed;
        }
        while self.lacking.front() == Some(&0) {
            self.lacking.pop_front();
            self.oldest += 1;
        }
        Delivery::Last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_wrong() {
        let mut ledger = Ledger::new(2);
        assert_eq!([ledger.publish(), ledger.publish(), ledger.publish()], [0, 1, 2]);
        assert_eq!(ledger.deliver(0, 1), Delivery::Owed);
        assert_eq!(ledger.deliver(0, 0), Delivery::Owed, "late, and still owed");
        assert_eq!(ledger.deliver(1, 1), Delivery::Last);
        assert_eq!(ledger.deliver(1, 1), Delivery::Wrong);
        assert_eq!(ledger.deliver(1, 3), Delivery::Wrong, "never published");
        ledger.stray();
        let expected = Integrity { lost: 3, duplicated: 1, reordered: 1, foreign: 2, misnumbered: 0 };
        assert_eq!(ledger.integrity(), expected);
        assert!(!ledger.is_settled());
        for (reader, number) in [(1, 0), (0, 2), (1, 2)] {
            assert_ne!(ledger.deliver(reader, number), Delivery::Wrong);
        }
        assert!(ledger.is_settled());
        assert_eq!(ledger.integrity().lost, 0);
    }
}
