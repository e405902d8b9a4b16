//! What the figures were taken on: without it they mean nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

/// How often the disk is synced to see how long that takes.
const SYNCS: usize = 200;
/// Bytes before each.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// A line about the machine, and the disk under this folder.
pub(crate) fn describe(folder: &Path) -> Result<String> {
    let cpu = value(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), "model name");
    let memory = value(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
    let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(format!(
        "{cpu}, {cores} cores, {:.0} GiB, Linux {}, {}; an append of 4 KiB and its fdatasync take {:.0} µs (median).",
        kib / 1_048_576.0,
        kernel.trim(),
        file_system(folder),
        sync_us(folder)?
    ))
}

fn value(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// The type of the file system whose mount point is the longest that the folder lies under.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let (point, kind) = (columns.nth(1)?, columns.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    found.max_by_key(|(length, _)| *length).map_or("unknown file system".to_owned(), |(_, kind)| kind)
}

fn sync_us(folder: &Path) -> Result<f64> {
    let path = folder.join("sync");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&BLOCK)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[SYNCS / 2])
}
