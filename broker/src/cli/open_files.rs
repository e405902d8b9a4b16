//! How many files the broker may have open.
//!
//! The engine keeps up to 512 open, the pages have up to 64 connections, the operator's socket has
//! 4, and clients share one socket. So with the least that is asked for here a broker cannot run
//! out by itself, whereas one whose store can open no file stops.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Least that must be allowed.
pub(super) const OPEN_FILES_MIN: u64 = 1_024;

/// What a process may allow itself; `None`: as many as it likes.
pub(super) fn allowed() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Allows this process as many as it may. The usual limit is low for the sake of programs that use
/// select(2).
///
/// # Errors
/// If that is too few for a broker.
pub(super) fn allow() -> anyhow::Result<()> {
    let maximum = allowed();
    ensure!(
        maximum.is_none_or(|maximum| maximum >= OPEN_FILES_MIN),
        "{} open files are allowed, and a broker needs at least {OPEN_FILES_MIN}: LimitNOFILE= in the unit, \
         ulimit -Hn in a shell",
        maximum.unwrap_or_default()
    );
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            code = "open-files",
            %error,
            "no more open files can be allowed than the usual limit: the store fails when there are none left"
        );
    }
    Ok(())
}
