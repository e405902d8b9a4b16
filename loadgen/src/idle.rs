//! Opens many authenticated connections that then do nothing, to see what one costs the broker.
//!
//! The broker's memory is read by whoever knows its process (`--pid`), before the first connection
//! and after the last one, when it has stopped to change. Everything is counted: QUIC, TLS,
//! session, and what the allocator keeps.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wardline_client::DeviceId;

use crate::dialler::Dialler;
use crate::progress::Progress;

/// Longest wait for the broker's memory to settle.
const SETTLE_DEADLINE: Duration = Duration::from_secs(15);

/// What idle connections cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// Connections.
    pub connections: usize,
    /// The broker's resident memory before the first one, in bytes.
    pub before_bytes: u64,
    /// The broker's resident memory with all of them, in bytes.
    pub after_bytes: u64,
    /// The difference for each.
    pub bytes_per_connection: u64,
}

/// Opens the connections and measures the broker with this process id.
///
/// # Errors
/// If somebody could not connect, or the process cannot be looked at.
pub async fn measure(
    dialler: std::sync::Arc<Dialler>,
    connections: usize,
    pid: u32,
    progress: &Progress,
) -> anyhow::Result<Idle> {
    // One connection first: what the broker sets up once is not what a connection costs.
    let first = dialler.dial("idle-first", DeviceId::random()).await?;
    let before_bytes = settled(pid).await?;
    progress.begin("connecting", connections);
    let mut dials = JoinSet::new();
    for number in 0..connections {
        let dialler = dialler.clone();
        dials.spawn(async move { dialler.dial(&format!("idle-{number}"), DeviceId::random()).await });
    }
    let mut sessions = Vec::with_capacity(connections);
    while let Some(dial) = dials.join_next().await {
        sessions.push(dial.context("a task that connects has panicked")??);
        progress.at(sessions.len(), &json!({}));
    }
    let after_bytes = settled(pid).await?;
    ensure!(sessions.len() == connections, "{} of {connections} sessions", sessions.len());
    drop((first, sessions));
    let bytes_per_connection = after_bytes.saturating_sub(before_bytes) / connections.max(1) as u64;
    Ok(Idle { connections, before_bytes, after_bytes, bytes_per_connection })
}

/// The resident memory of a process once it has stopped to change much, in bytes.
async fn settled(pid: u32) -> anyhow::Result<u64> {
    let deadline = Instant::now() + SETTLE_DEADLINE;
    let mut last = resident_bytes(pid)?;
    loop {
        sleep(Duration::from_secs(2)).await;
        let now = resident_bytes(pid)?;
        // Within a part in a thousand.
        if now.abs_diff(last) <= now / 1000 || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}

fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS: not Linux?")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
    Ok(kib * 1024)
}
