//! What a result was measured on: without it, a number means nothing.
//!
//! Reads `/proc` and asks git; what cannot be found out is `null`, never guessed. The only thing
//! measured is what a sync costs on the file system that holds the data, since that bounds every
//! latency of a durable ack.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

/// Syncs measured.
const SYNCS: usize = 200;
/// Bytes written before each.
const SYNC_BYTES: usize = 4096;

/// Describes the machine, and the file system that this folder lies on.
///
/// # Errors
/// If the folder cannot be written to.
pub fn describe(folder: &Path) -> anyhow::Result<Value> {
    Ok(json!({
        "cpu": cpu(),
        "cores": std::thread::available_parallelism().ok().map(usize::from),
        "memory_bytes": memory_bytes(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        "data_file_system": file_system(folder),
        "fdatasync_p50_us": sync_p50(folder)?.as_micros() as u64,
    }))
}

/// The commit that is checked out, and whether the work tree differs from it.
pub fn revision(root: &Path) -> Value {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    json!({
        "revision": git(&["rev-parse", "HEAD"]),
        "dirty": git(&["status", "--porcelain"]).map(|changes| !changes.is_empty()),
    })
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// The type of the file system whose mount point is the longest that the folder lies under.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let (point, kind) = (columns.nth(1)?, columns.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    // The last of equals covers the others.
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn sync_p50(folder: &Path) -> anyhow::Result<Duration> {
    let path = folder.join("sync.probe");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0x5a; SYNC_BYTES])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
