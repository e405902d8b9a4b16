//! Where a run takes place: machine, kernel, file system, limits, and what was built from what.
//!
//! A figure without these cannot be compared. Read from `/proc` and, for the time of a sync,
//! measured. What cannot be found out says `unknown`; nothing here fails a run but a folder that
//! cannot be written.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use aws_lc_rs::digest;
use hdrhistogram::Histogram;

use crate::result::Environment;
use crate::run::usage::{Process, cores_online, number};

/// Syncs that are timed.
const SYNCS: usize = 200;
/// What each of them writes first.
const SYNC_BYTES: usize = 4096;
/// Longest of them that is told from longer ones.
const SYNC_US_MAX: u64 = 60_000_000;
const UNKNOWN: &str = "unknown";

/// What is asked about the broker.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Its process.
    pub broker_pid: Option<u32>,
    /// Its data folder, or else the output folder: syncs are timed there.
    pub folder: &'a Path,
    /// Its configuration.
    pub broker_config: Option<&'a Path>,
    /// As it told.
    pub broker_version: String,
}

/// Finds out.
///
/// # Errors
/// If the broker's configuration cannot be read, or nothing be written to the folder.
pub fn capture(asked: Asked<'_>) -> anyhow::Result<Environment> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    let config = asked
        .broker_config
        .map(|path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())));
    let broker_config = config.transpose()?;
    let cpu = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let [fdatasync_p50_us, fdatasync_p99_us] = time_syncs(asked.folder)?;
    let limit = |name: &str| {
        read(&format!("/proc/sys/net/core/{name}"))
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    let memory = read("/proc/meminfo").unwrap_or_default();
    let (git_revision, git_is_dirty) = revision();
    Ok(Environment {
        cpu_model: model.map_or(UNKNOWN, |(_, model)| model.trim()).to_owned(),
        cores: cores_online() as u32,
        generator_cores: Process::own().cores(),
        broker_cores: asked.broker_pid.map(|pid| Process::with_id(pid).cores()).unwrap_or_default(),
        memory_bytes: number(&memory, "MemTotal:").unwrap_or_default() * 1024,
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(|_| UNKNOWN.into()),
        file_system: file_system(asked.folder),
        fdatasync_p50_us,
        fdatasync_p99_us,
        rmem_max_bytes: limit("rmem_max"),
        wmem_max_bytes: limit("wmem_max"),
        sync_mode: sync_mode(broker_config.as_deref()),
        // The protocol has nothing else.
        tls: "TLS 1.3".into(),
        build_profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
        generator_version: env!("CARGO_PKG_VERSION").into(),
        generator_sha256: program_sha256().unwrap_or_default(),
        git_revision,
        git_is_dirty,
        broker_version: asked.broker_version,
        broker_config,
    })
}

/// Of this program, as it runs: also if another was put in its place meanwhile.
fn program_sha256() -> std::io::Result<String> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut program = File::open("/proc/self/exe")?;
    let mut part = vec![0; 1 << 20];
    loop {
        match program.read(&mut part)? {
            0 => return Ok(hex::encode(hash.finish())),
            bytes => hash.update(&part[..bytes]),
        }
    }
}

/// The broker syncs each group before it acknowledges anything, unless its engine keeps nothing.
fn sync_mode(config: Option<&str>) -> String {
    let table: Option<toml::Table> = config.and_then(|config| toml::from_str(config).ok());
    let engine = table.as_ref().and_then(|table| table.get("storage")?.get("engine")?.as_str());
    match (engine, config) {
        (Some("memory"), _) => "none".into(),
        (_, Some(_)) => "fsync per group".into(),
        (_, None) => "fsync per group (the broker's default; its configuration was not named)".into(),
    }
}

/// Times appends that are synced; half and 99 % of them took at most so long.
fn time_syncs(folder: &Path) -> anyhow::Result<[u64; 2]> {
    let path = folder.join(format!(".wardline-loadgen-sync-{}", std::process::id()));
    let failed = || format!("cannot time syncs in {}", folder.display());
    // With bounds: one that grows by itself does not grow for a saturating record.
    let mut times = Histogram::<u64>::new_with_bounds(1, SYNC_US_MAX, 3)
        .context("the bounds are constants that are valid")?;
    let mut timing = || -> std::io::Result<()> {
        let mut file = File::create(&path)?;
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0x5a; SYNC_BYTES])?;
            file.sync_data()?;
            times.saturating_record(begun.elapsed().as_micros() as u64);
        }
        Ok(())
    };
    let timed = timing();
    // Whatever became of it, nothing stays behind.
    let removed = fs::remove_file(&path);
    timed.and(removed).with_context(failed)?;
    Ok([times.value_at_quantile(0.5), times.value_at_quantile(0.99)])
}

/// The file system that a folder lies on, from the longest mount point above it.
fn file_system(folder: &Path) -> String {
    let Ok(folder) = folder.canonicalize() else { return UNKNOWN.into() };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(point).then_some((point.len(), kind))
    });
    // The last one mounted there is the one that is seen.
    above.max_by_key(|(length, _)| *length).map_or(UNKNOWN, |(_, kind)| kind).to_owned()
}

/// The revision of the source folder that this was built in, and whether it has changes; as it is
/// now.
fn revision() -> (String, bool) {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| UNKNOWN.into());
    let is_dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    (revision, is_dirty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_from_others() {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let expected = hex::encode(digest::digest(&digest::SHA256, &program));
        assert_eq!(program_sha256().unwrap(), expected);
    }
}
