//! What a measurement leaves behind: `result.json`, the one thing that reports and comparisons are
//! made of.
//!
//! Written once, at the end of a run or when it is stopped; read by people, scripts, `report` and
//! `compare`. Every field has its unit in its name. Latencies are microseconds and count from the
//! intended time unless their name says `_service`; percentiles come from merged histograms (saved
//! beside as `.hlog`), never from averages. The schema only grows: a reader refuses a `schema`
//! above its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version that this crate writes.
pub const SCHEMA: u32 = 1;

/// One invocation of `run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the workload.
    pub workload: String,
    /// The workload's file, as it was.
    pub workload_toml: String,
    /// The whole command line.
    pub command: Vec<String>,
    /// When it began, Unix time.
    pub started_at_ms: u64,
    /// What was drawn from.
    pub seed: u64,
    /// How long nothing counted, as asked for. `None`, here and in the next two: not known, of
    /// before it was kept.
    #[serde(default)]
    pub warmup_s: Option<f64>,
    /// How long was measured, as asked for.
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// How many repetitions were asked for.
    #[serde(default)]
    pub repetitions: Option<u32>,
    /// Where it ran.
    pub environment: Environment,
    /// Each repetition.
    pub repeats: Vec<Repeat>,
    /// Whether its figures may be used.
    pub verdict: Verdict,
}

/// Whether a run's figures may be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The broker did everything right: nothing lost, duplicated, reordered or made up. `false`
    /// exits with 1.
    pub passed: bool,
    /// The generator was not the bottleneck, the run was not cut short, and enough was measured for
    /// the percentiles that it states. `false`: the figures say nothing, and it exits with 3.
    pub valid: bool,
    /// Why not, a sentence each.
    pub reasons: Vec<String>,
}

/// One repetition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Repeat {
    /// What was asked for, messages a second; `None`: the highest sustainable rate was looked for.
    pub offered_per_s: Option<f64>,
    /// Whether it was an open loop; for people.
    #[serde(default)]
    pub loop_kind: String,
    /// How long was measured, warm-up not counted.
    pub measured_s: f64,
    /// Whether it was cut short.
    pub is_partial: bool,
    /// What happened while it was measured.
    pub counts: Counts,
    /// Rates while it was measured.
    pub rates: Rates,
    /// What was wrong, warm-up included.
    pub integrity: Integrity,
    /// By name: `publish_ack`, `publish_ack_service`, `deliver`, `deliver_service`, `receipt`, the
    /// same with `urgent_` before them, `catch_up`, `reconnect`, and others that a workload may
    /// add.
    pub latencies: BTreeMap<String, Latency>,
    /// The same of what was offered alone before the rest of the load began, where the workload
    /// asks for that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alone: BTreeMap<String, Latency>,
    /// Second by second, warm-up not included.
    pub series: Vec<Second>,
    /// What the two sides used while it was measured.
    pub generator: Usage,
    /// The same of the broker; `None`: it could not be looked at.
    pub broker: Option<Usage>,
    /// Late sends: how far behind its intended time a message was handed to the SDK.
    pub late_send: Latency,
    /// Share of all cores' time that others took from this machine (steal).
    pub steal: f64,
    /// Cores that neither of the two processes used and that were not idle: what else ran on this
    /// machine.
    #[serde(default)]
    pub others_cores: f64,
    /// Why the generator was the bottleneck, if it was.
    pub bottleneck: Option<String>,
    /// With `--rate max` or a part of it: the rates that were tried, and whether they were
    /// sustained.
    pub search: Vec<Trial>,
}

/// One rate that was tried.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Trial {
    /// Messages a second.
    pub offered_per_s: f64,
    /// What was acknowledged a second.
    pub achieved_per_s: f64,
    /// Whether the backlog stayed bounded.
    pub is_sustained: bool,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Messages handed to the SDK.
    pub published: u64,
    /// Messages acknowledged: durable.
    pub acked: u64,
    /// Messages that a recipient took from its inbox; those of their own publisher apart.
    pub delivered: u64,
    /// Messages that their own publisher took from its inbox: every member is delivered every
    /// message.
    #[serde(default)]
    pub echoed: u64,
    /// Receipts that a publisher was told of, coalesced ones counted once.
    pub receipts: u64,
    /// Publishes that the SDK gave up.
    pub failed: u64,
    /// Publishes without an answer at the end, warm-up included.
    #[serde(default)]
    pub unanswered: u64,
    /// Sessions that were lost and opened again, planned ones apart.
    pub reconnects: u64,
}

/// Events a second, over the measured time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Acknowledged messages.
    pub acked_per_s: f64,
    /// Deliveries.
    pub delivered_per_s: f64,
    /// Payload bytes delivered.
    pub delivered_bytes_per_s: f64,
}

/// What must all be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// Acknowledged messages that a recipient never got.
    pub lost: u64,
    /// Messages that a recipient got twice.
    pub duplicated: u64,
    /// Messages that came after a later one of the same publisher and conversation (urgent ones may
    /// overtake).
    pub reordered: u64,
    /// Deliveries that nobody sent, or whose bytes differ from what was sent.
    pub foreign: u64,
    /// Acks that named a sequence which another message has, or one that went back.
    pub misnumbered: u64,
}

/// The distribution of a time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The least.
    pub min_us: u64,
    /// Half took at most so long.
    pub p50_us: u64,
    /// 90 % took at most so long.
    pub p90_us: u64,
    /// 99 % took at most so long.
    pub p99_us: u64,
    /// 99.9 % took at most so long.
    pub p999_us: u64,
    /// The worst.
    pub max_us: u64,
    /// For plots: quantile (0 to 1) and value in microseconds, ascending.
    pub curve: Vec<(f64, u64)>,
}

/// One second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// From the beginning of the measured time.
    pub at_s: f64,
    /// Messages acknowledged in it.
    pub acked: u64,
    /// Deliveries in it.
    pub delivered: u64,
    /// Messages due and not acknowledged at its end.
    pub backlog: u64,
    /// Of the deliveries in it, from the intended time.
    pub deliver_p50_us: u64,
    /// Of the deliveries in it, from the intended time.
    pub deliver_p99_us: u64,
    /// Of the acks in it, from the intended time.
    pub ack_p99_us: u64,
    /// Cores that the generator used.
    pub generator_cores: f64,
    /// Cores that the broker used.
    pub broker_cores: Option<f64>,
    /// The broker's resident memory.
    pub broker_resident_bytes: Option<u64>,
    /// The generator's resident memory.
    pub generator_resident_bytes: u64,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu_s: f64,
    /// Of it, in the kernel.
    pub system_s: f64,
    /// Highest resident memory.
    pub resident_bytes_max: u64,
    /// Resident memory at the end.
    pub resident_bytes_end: u64,
    /// Bytes written to storage.
    pub written_bytes: u64,
}

/// Where a run took place. What could not be found out says `unknown`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// As the processor names itself.
    pub cpu_model: String,
    /// Cores that the machine has online.
    pub cores: u32,
    /// Cores that the generator may use (affinity).
    pub generator_cores: Vec<u32>,
    /// Cores that the broker may use; empty: unknown.
    pub broker_cores: Vec<u32>,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system under the broker's data folder, or under the output folder if that is unknown.
    pub file_system: String,
    /// Time of one 4 KiB append and fdatasync there, half of them.
    pub fdatasync_p50_us: u64,
    /// The same, 99 % of them.
    pub fdatasync_p99_us: u64,
    /// `net.core.rmem_max`.
    pub rmem_max_bytes: u64,
    /// `net.core.wmem_max`.
    pub wmem_max_bytes: u64,
    /// What the broker does before an ack: `fsync per group`, or `none`.
    pub sync_mode: String,
    /// `TLS 1.3`, or `none`.
    pub tls: String,
    /// How the generator was built: `release` or `debug`.
    pub build_profile: String,
    /// The generator's version.
    pub generator_version: String,
    /// SHA-256 of the generator's program, in hexadecimal: whether two runs are of the same. Empty:
    /// unknown.
    #[serde(default)]
    pub generator_sha256: String,
    /// The source revision that the generator was built from.
    pub git_revision: String,
    /// Whether that source had uncommitted changes.
    pub git_is_dirty: bool,
    /// The broker's version, as it told in its Welcome.
    pub broker_version: String,
    /// The broker's configuration, if its file was named.
    pub broker_config: Option<String>,
}
