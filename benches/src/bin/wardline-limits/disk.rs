//! The limits that the disk sets: bare RocksDB, and fdatasync alone.
//!
//! Both write into a folder of their own within the one that was named, and remove it.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use wardline_benches::bare_rocksdb::BareRocks;
use wardline_benches::message::publishes;

use super::options::Disk;

/// Batches written before the measurement.
const WARM_UP_BATCHES: usize = 20;

pub(crate) fn rocksdb(disk: &Disk, group: u64, bytes: usize, as_broker: bool) -> Result<Value> {
    let folder = folder(disk)?;
    let mut store = BareRocks::open(folder.path(), bytes)?;
    let alike = if as_broker { publishes(group)? } else { Vec::new() };
    let mut write = || if as_broker { store.write_alike(&alike) } else { store.write(group) };
    for _ in 0..WARM_UP_BATCHES {
        write()?;
    }
    let (begun, mut messages) = (Instant::now(), 0);
    while begun.elapsed() < disk.time.duration() {
        write()?;
        messages += group;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({
        "limit": "rocksdb",
        "group": group,
        "payload_bytes": bytes,
        "as_broker": as_broker,
        "seconds": seconds,
        "messages": messages,
        "messages_per_second": messages as f64 / seconds,
    }))
}

pub(crate) fn fdatasync(disk: &Disk, bytes: usize) -> Result<Value> {
    let folder = folder(disk)?;
    let mut file = File::create(folder.path().join("appended"))?;
    let block = vec![b'x'; bytes];
    let (begun, mut microseconds) = (Instant::now(), Vec::new());
    while begun.elapsed() < disk.time.duration() {
        let written = Instant::now();
        file.write_all(&block)?;
        // On Linux this is fdatasync(2).
        file.sync_data()?;
        microseconds.push(written.elapsed().as_secs_f64() * 1e6);
    }
    microseconds.sort_by(f64::total_cmp);
    let quantile = |at: f64| microseconds[(at * (microseconds.len() - 1) as f64).round() as usize];
    Ok(json!({
        "limit": "fdatasync",
        "write_bytes": bytes,
        "seconds": begun.elapsed().as_secs_f64(),
        "syncs": microseconds.len(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "max_us": quantile(1.0),
    }))
}

fn folder(disk: &Disk) -> Result<TempDir> {
    TempDir::with_prefix_in("wardline-limits-", &disk.folder)
        .with_context(|| format!("cannot write in {}; name another --folder", disk.folder.display()))
}
