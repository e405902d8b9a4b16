//! Processor time of this process's threads, by their names.
//!
//! On a machine with few cores a rate also says how much the clients were in the way; processor time says what the
//! server alone used. Linux only (proc(5), `schedstat`); elsewhere nothing is known.

use std::fs;
use std::io;
use std::time::Duration;

/// What all threads with a name that begins so have used until now.
///
/// # Errors
/// If the kernel does not tell.
pub fn of_threads(prefix: &str) -> io::Result<Duration> {
    let mut used = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        // A thread may have ended since the listing.
        let read = |file| fs::read_to_string(thread.join(file)).unwrap_or_default();
        if read("comm").starts_with(prefix) {
            let nanoseconds = read("schedstat").split(' ').next().and_then(|field| field.parse().ok());
            used += Duration::from_nanos(nanoseconds.unwrap_or(0));
        }
    }
    Ok(used)
}
