//! What there is to reclaim in each table: when the next record expires, and since when replaced or
//! deleted bytes have been lying about.
//!
//! Both err on the side of reclaiming: a time may be too early (its record was replaced since),
//! never too late. After opening nothing is known, so each table that holds anything counts as due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::Table;
use crate::id::Timestamp;

const NEVER: u64 = Timestamp::NEVER.0;

/// The garbage of one table.
#[derive(Debug)]
pub struct Garbage {
    /// No record expires before this.
    earliest_expiry: AtomicU64,
    /// Since when replaced or deleted bytes wait; `NEVER`: there are none.
    dead_since: AtomicU64,
}

/// What was known when a pass over a table began; given back if it fails.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    earliest_expiry: u64,
    dead_since: u64,
}

impl Garbage {
    /// Of an empty table.
    fn none() -> Self {
        Self { earliest_expiry: AtomicU64::new(NEVER), dead_since: AtomicU64::new(NEVER) }
    }

    /// Notes that anything may be there.
    pub fn note_unknown(&self) {
        self.dead_since.store(0, Ordering::Relaxed);
    }

    /// Notes a live record that expires then.
    pub fn note_expiry(&self, expires: Timestamp) {
        // Nearly always a record expires later than the earliest: spare the write.
        if expires.0 < self.earliest_expiry.load(Ordering::Relaxed) {
            self.earliest_expiry.fetch_min(expires.0, Ordering::Relaxed);
        }
    }

    /// Notes that bytes were replaced or deleted.
    pub fn note_dead(&self, now: Timestamp) {
        if self.dead_since.load(Ordering::Relaxed) > now.0 {
            self.dead_since.fetch_min(now.0, Ordering::Relaxed);
        }
    }

    /// Whether replaced or deleted bytes wait.
    pub fn has_dead(&self) -> bool {
        self.dead_since.load(Ordering::Relaxed) != NEVER
    }

    /// Whether a pass at `now` would free anything.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.has_dead() || self.earliest_expiry.load(Ordering::Relaxed) <= now.0
    }

    /// Forgets what is known, as a pass begins that will see every record.
    pub fn take(&self) -> Found {
        Found {
            earliest_expiry: self.earliest_expiry.swap(NEVER, Ordering::Relaxed),
            dead_since: self.dead_since.swap(NEVER, Ordering::Relaxed),
        }
    }

    /// Takes back what was known, since the pass did not finish.
    pub fn restore(&self, found: Found) {
        self.earliest_expiry.fetch_min(found.earliest_expiry, Ordering::Relaxed);
        self.dead_since.fetch_min(found.dead_since, Ordering::Relaxed);
    }

    /// For how long the oldest garbage has been waiting at `now`.
    fn age(&self, now: Timestamp, opened: Timestamp) -> Duration {
        // What was there at opening may be of any age; it counts from the first time that was heard
        // of.
        let dead_since = self.dead_since.load(Ordering::Relaxed).max(opened.0);
        let earliest = self.earliest_expiry.load(Ordering::Relaxed).min(dead_since);
        now.since(Timestamp(earliest))
    }
}

/// The garbage of every table.
#[derive(Debug)]
pub struct Heap {
    tables: [Garbage; Table::ALL.len()],
    /// The latest time that a caller spoke of. For ages only: it decides nothing.
    latest: AtomicU64,
    /// The first time that a caller spoke of; 0: none yet.
    opened: AtomicU64,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            tables: std::array::from_fn(|_| Garbage::none()),
            latest: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }
}

impl Heap {
    /// The garbage of one table.
    pub fn of(&self, table: Table) -> &Garbage {
        &self.tables[table as usize]
    }

    /// Hears what time it is.
    pub fn hear(&self, now: Timestamp) {
        if now.0 > self.latest.load(Ordering::Relaxed) {
            self.latest.fetch_max(now.0, Ordering::Relaxed);
            let _ = self.opened.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The latest time heard of.
    pub fn latest(&self) -> Timestamp {
        Timestamp(self.latest.load(Ordering::Relaxed))
    }

    /// For how long the oldest garbage has been waiting at `now`.
    pub fn oldest(&self, now: Timestamp) -> Duration {
        let opened = Timestamp(self.opened.load(Ordering::Relaxed));
        self.tables.iter().map(|table| table.age(now, opened)).max().unwrap_or_default()
    }
}
