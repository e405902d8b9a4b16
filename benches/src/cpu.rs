//! Processor time of this process's threads.
//!
//! On a machine with few cores a rate also says how much the clients were in the way; processor
//! time says what the server alone used. Linux only (proc(5), `schedstat`); elsewhere nothing is
//! known.

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
            used += running(&read("schedstat")).unwrap_or_default();
        }
    }
    Ok(used)
}

/// What this thread has used until now.
///
/// # Errors
/// If the kernel does not tell.
pub fn of_this_thread() -> io::Result<Duration> {
    let read = fs::read_to_string("/proc/thread-self/schedstat")?;
    running(&read).ok_or_else(|| io::Error::other("schedstat has another form"))
}

/// Time spent on a processor: the first field, in nanoseconds.
fn running(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
