//! What one engine does, in a process of its own: tells a line of JSON, then commits until it is
//! killed, so that somebody can see how it opens after that.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wardline_storage::engine::{Direction, Durability, Engine, KeyRange, Row, Table};
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::open::{Opener, Options};

use crate::options::Sizes;
use crate::rows::{LATE, NOW, Rows, SOON, message};

/// Messages of a group while the store is filled.
const FILLING: u64 = 1_000;
/// Batches before something is measured.
const WARM_UP: u64 = 20;
/// From one commit beside a reclaim to the next: somebody publishes all the time.
const PACE: Duration = Duration::from_millis(2);

/// Measures all of it in a new folder, then commits for ever.
pub(crate) fn run(opener: &dyn Opener, store: &Path, sizes: &Sizes) -> Result<()> {
    let engine = open(opener, store, sizes)?;
    let (engine, mut rows) = (&*engine, Rows::from(0)?);
    let mut figures = json!({});
    for &group in &sizes.groups {
        let (per_s, bytes) = commits(engine, &mut rows, group, sizes)?;
        figures[format!("commit_{group}_per_s")] = json!(per_s);
        figures[format!("commit_{group}_bytes")] = json!(bytes);
    }
    let first = rows.written() + 1;
    fill(engine, &mut rows, sizes.messages)?;
    figures["store_bytes"] = json!(bytes_in(store)?);
    figures["pages_per_s"] = json!(pages(engine, first, sizes)?);
    figures["reclaim"] = reclaim(engine, &mut rows)?;
    println!("{figures}");
    std::io::stdout().flush()?;
    loop {
        engine.commit(&rows.batch(1, LATE), Durability::Synced)?;
    }
}

/// Opens what a killed process left, reads and commits once, and tells how long that took.
pub(crate) fn reopen(opener: &dyn Opener, store: &Path, sizes: &Sizes) -> Result<()> {
    let begun = Instant::now();
    let engine = open(opener, store, sizes)?;
    let opened = begun.elapsed();
    engine.get(Table::Message, &message(1), NOW)?;
    // Numbers that nobody has written: nothing is replaced.
    let mut rows = Rows::from(u64::from(u32::MAX))?;
    engine.commit(&rows.batch(1, LATE), Durability::Synced)?;
    println!("{}", json!({"open_s": opened.as_secs_f64(), "ready_s": begun.elapsed().as_secs_f64()}));
    Ok(())
}

fn open(opener: &dyn Opener, store: &Path, sizes: &Sizes) -> Result<Arc<dyn Engine>> {
    let options = Options::with_memory(sizes.memory_mib as usize * 1_048_576);
    let engine = opener.open(store, options)?;
    format::check(&*engine)?;
    Ok(engine)
}

/// Messages a second in synced groups of this size, and what was written to the disk for each.
fn commits(engine: &dyn Engine, rows: &mut Rows, group: u64, sizes: &Sizes) -> Result<(f64, f64)> {
    for _ in 0..WARM_UP {
        engine.commit(&rows.batch(group, LATE), Durability::Synced)?;
    }
    let (mut spent, mut messages, before) = (Duration::ZERO, 0, written_bytes()?);
    while spent < sizes.time() {
        let batch = rows.batch(group, LATE);
        let begun = Instant::now();
        engine.commit(&batch, Durability::Synced)?;
        spent += begun.elapsed();
        messages += group;
    }
    let bytes = (written_bytes()? - before) as f64 / messages as f64;
    Ok((messages as f64 / spent.as_secs_f64(), bytes))
}

/// So many messages; every second one expires soon.
fn fill(engine: &dyn Engine, rows: &mut Rows, messages: u64) -> Result<()> {
    for number in 0..messages.div_ceil(FILLING) {
        let expires = if number % 2 == 0 { SOON } else { LATE };
        engine.commit(&rows.batch(FILLING, expires), Durability::Synced)?;
    }
    Ok(())
}

/// Pages of history a second, each from a place that looks random, backwards as people scroll.
fn pages(engine: &dyn Engine, first: u64, sizes: &Sizes) -> Result<f64> {
    let places = sizes.messages - sizes.page;
    let (begun, mut pages) = (Instant::now(), 0_u64);
    while begun.elapsed() < sizes.time() {
        let from = first + pages.wrapping_mul(0x9e37_79b9_7f4a_7c15) % places.max(1);
        let (from, to) = (message(from), message(from + sizes.page));
        let mut read = 0;
        let mut visit = |row: Row<'_>| {
            read += u64::from(!row.value.is_empty());
            ControlFlow::Continue(())
        };
        let range = KeyRange { from: &from, to: &to };
        engine.scan(Table::Message, range, Direction::Backward, NOW, &mut visit)?;
        anyhow::ensure!(read == sizes.page, "a page of {read} messages instead of {}", sizes.page);
        pages += 1;
    }
    Ok(pages as f64 / begun.elapsed().as_secs_f64())
}

/// Frees half of the messages while somebody publishes: how long it took, what memory it took more
/// than before, and the longest of the commits beside it.
fn reclaim(engine: &dyn Engine, rows: &mut Rows) -> Result<Value> {
    let done = AtomicBool::new(false);
    forget_peak()?;
    let before = memory("VmRSS:")?;
    let (reclaimed, took, commits) = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let (mut worst, mut commits) = (Duration::ZERO, 0_u64);
            while !done.load(Relaxed) {
                let batch = rows.batch(1, LATE);
                let begun = Instant::now();
                engine.commit(&batch, Durability::Synced)?;
                worst = worst.max(begun.elapsed());
                commits += 1;
                thread::sleep(PACE);
            }
            anyhow::Ok((worst, commits))
        });
        let begun = Instant::now();
        let reclaimed = engine.reclaim(Timestamp(SOON.0 + 1));
        let took = begun.elapsed();
        done.store(true, Relaxed);
        let commits = beside.join().map_err(|_| anyhow::anyhow!("a commit beside a reclaim panicked"))?;
        anyhow::Ok((reclaimed?, took, commits?))
    })?;
    let (worst, beside) = commits;
    anyhow::ensure!(reclaimed.records > 0, "nothing was reclaimed");
    Ok(json!({
        "records": reclaimed.records,
        "seconds": took.as_secs_f64(),
        "memory_bytes": memory("VmHWM:")?.saturating_sub(before),
        "worst_commit_ms": worst.as_secs_f64() * 1e3,
        "commits_beside": beside,
    }))
}

/// What this process has had written to disks, from the kernel.
fn written_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io").context("the kernel does not tell what is written")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|line| line.trim().parse().ok()).context("/proc/self/io has another form")
}

/// From now on the kernel keeps a new peak of our memory.
fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("the kernel does not forget the peak of our memory")
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let found = text.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.with_context(|| format!("/proc/self/status has no {line}"))? * 1024)
}

/// What the files of a folder take of the disk.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        bytes += file?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}
