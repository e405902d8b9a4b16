//! The wall clock: the one place that reads it.
//!
//! Within a process it never goes back: when the system's clock is set back, time stands still until it has
//! caught up. So expiry and the times of messages cannot be undone by a correction of the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wardline_storage::id::Timestamp;

/// Tells the time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    latest: AtomicU64,
}

impl Clock {
    /// Now; never earlier than told before.
    pub(crate) fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = u64::try_from(system.as_millis()).unwrap_or(u64::MAX);
        let before = self.latest.fetch_max(millis, Ordering::Relaxed);
        Timestamp(before.max(millis))
    }
}
