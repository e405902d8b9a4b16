//! Time that commits spend in the write-ahead log, which RocksDB does not count without timers.
//!
//! It times a call for the thread that makes it, if it is asked to; for all calls it would read the
//! clock for every look-up.

use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

/// Level 4: times, but not of mutexes. RocksDB 11 put a level of its own for waits (`perf_level.h`)
/// before it, which neither its C interface nor the crate (0.25) has, so they give this one the
/// name of the next; under its own name nothing is timed.
const TIMES: PerfStatsLevel = PerfStatsLevel::EnableTimeAndCPUTimeExceptForMutex;

/// Time that commits spent writing and syncing the write-ahead log.
#[derive(Debug, Default)]
pub(crate) struct WalTime {
    microseconds: AtomicU64,
}

impl WalTime {
    /// Runs a commit on this thread, and adds what of its time went to the log.
    pub(crate) fn of<T>(&self, commit: impl FnOnce() -> T) -> T {
        let mut perf = PerfContext::default();
        perf.reset();
        // For this thread and this call: elsewhere it would read the clock for every look-up.
        set_perf_stats(TIMES);
        let result = commit();
        set_perf_stats(PerfStatsLevel::Disable);
        self.microseconds.fetch_add(perf.metric(PerfMetric::WriteWalTime) / 1000, Ordering::Relaxed);
        result
    }

    /// How much it was since the store was opened, in microseconds.
    pub(crate) fn microseconds(&self) -> u64 {
        self.microseconds.load(Ordering::Relaxed)
    }
}
