//! Counts something as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of those that a number counts.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// Counts one more.
    pub(crate) fn new(number: &Arc<AtomicUsize>) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(number))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
