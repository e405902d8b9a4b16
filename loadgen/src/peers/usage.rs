//! What processes use: CPU time and resident memory, from `/proc`.

use std::time::Duration;

use anyhow::{Context, ensure};

/// What one or more processes have used so far, and hold now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// This process.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(crate) fn of_self() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
        Ok(parse(&stat).context("/proc/self/stat is not understood")?.1)
    }

    /// All processes of these process groups.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(crate) fn of_groups(groups: &[u32]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for entry in std::fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
            if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            // A process that ends meanwhile is not there any more.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some((group, usage)) = parse(&stat)
                && groups.contains(&group)
            {
                all.cpu += usage.cpu;
                all.resident_bytes += usage.resident_bytes;
            }
        }
        Ok(all)
    }
}

/// The time that all cores together were busy so far, what others took from this machine included.
///
/// # Errors
/// If `/proc` cannot be read.
pub(crate) fn machine() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
    // User, nice, system, idle, waiting for disks, interrupts (2), steal; guests count as users.
    ensure!(ticks.len() >= 8, "/proc/stat is not understood");
    Ok(seconds(ticks[..3].iter().chain(&ticks[5..8]).sum()))
}

fn seconds(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Reads the process group and the usage; fields as in `proc_pid_stat(5)`.
fn parse(stat: &str) -> Option<(u32, Usage)> {
    // The name of the program, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    let cpu = seconds(ticks);
    let resident_bytes = number(21)? * rustix::param::page_size() as u64;
    Some((u32::try_from(number(2)?).ok()?, Usage { cpu, resident_bytes }))
}
