//! What processes and the machine use, from `/proc`.
//!
//! Read once a second. What cannot be read is absent, never zero: a broker that died, or one of
//! another user.

use std::fs;

use crate::result::Usage;

/// Clock ticks of `/proc/PID/stat` a second: 100 on every Linux that is in use (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// A process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: u32,
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    pub(crate) resident_bytes: u64,
    written_bytes: u64,
}

impl Used {
    pub(crate) fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// What was used since `before`; `resident_bytes_max` is the highest that was seen.
    pub(crate) fn since(&self, before: &Self, resident_bytes_max: u64) -> Usage {
        Usage {
            cpu_s: self.cpu_s() - before.cpu_s(),
            system_s: self.system_s - before.system_s,
            resident_bytes_max: resident_bytes_max.max(self.resident_bytes),
            resident_bytes_end: self.resident_bytes,
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

impl Process {
    pub(crate) fn own() -> Self {
        Self { pid: std::process::id() }
    }

    pub(crate) fn with_id(pid: u32) -> Self {
        Self { pid }
    }

    /// What it has used; `None`: it cannot be looked at.
    pub(crate) fn used(self) -> Option<Used> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name in brackets may hold anything, blanks and brackets too.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11);
        let mut seconds = || fields.next()?.parse().ok().map(|ticks: f64| ticks / TICKS_PER_S);
        let (user_s, system_s) = (seconds()?, seconds()?);
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let resident_bytes = number(&status, "VmRSS:")? * 1024;
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid)).unwrap_or_default();
        let written_bytes = number(&io, "write_bytes:").unwrap_or_default();
        Some(Used { user_s, system_s, resident_bytes, written_bytes })
    }

    /// The cores it may use; empty: unknown.
    pub(crate) fn cores(self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.map(|list| cores(list.trim())).unwrap_or_default()
    }
}

/// Jiffies of all cores since boot, and those that others took from this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Machine {
    all: u64,
    stolen: u64,
    idle: u64,
}

impl Machine {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let Some(line) = stat.lines().next() else { return Self::default() };
        let fields: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guests are within user.
        let field = |place: usize| fields.get(place).copied().unwrap_or_default();
        Self { all: fields.iter().take(8).sum(), stolen: field(7), idle: field(3) + field(4) }
    }

    /// CPU time that was used since `before`, by whomever.
    pub(crate) fn busy_s_since(self, before: Self) -> f64 {
        let busy = |it: Self| it.all.saturating_sub(it.idle + it.stolen);
        busy(self).saturating_sub(busy(before)) as f64 / TICKS_PER_S
    }

    /// Share of the time since `before` that was stolen.
    pub(crate) fn steal_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// Cores that the machine has online.
pub(crate) fn cores_online() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|it: char| it.is_ascii_digit()))
    };
    stat.lines().filter(is_core).count().max(1) as f64
}

/// The number after a name in a file of `/proc`.
pub(crate) fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Reads a list like `0-2,5`.
fn cores(list: &str) -> Vec<u32> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cores.extend(first..=last);
        }
    }
    cores
}
