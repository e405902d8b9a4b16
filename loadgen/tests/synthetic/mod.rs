//! Makes up results that look like those of a run, to test what is made of them. The same shape
//! gives the same result.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wardline_loadgen::result::{
    Counts, Environment, Latency, Rates, Repeat, RunResult, SCHEMA, Second, Trial, Usage, Verdict,
};

/// What a run is to look like.
pub(crate) struct Shape {
    pub(crate) members: u32,
    pub(crate) conversations: u32,
    pub(crate) repeats: u64,
    pub(crate) seconds: u32,
    pub(crate) rate: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { members: 100, conversations: 10, repeats: 3, seconds: 60, rate: 200.0 }
    }
}

/// Makes up a run that passed.
pub(crate) fn run(shape: &Shape) -> RunResult {
    RunResult {
        schema: SCHEMA,
        workload: format!("fan-out-{}", shape.members),
        workload_toml: format!(
            "people = {}\n[[audience]]\nname = \"all\"\nconversations = {}\nmembers = [2, {}]\n",
            shape.members, shape.conversations, shape.members
        ),
        command: ["wardline-loadgen", "run", "fan-out-100", "--rate", "200"].map(str::to_owned).into(),
        started_at_ms: 1_790_000_000_000,
        seed: 7,
        warmup_s: Some(5.0),
        duration_s: Some(f64::from(shape.seconds)),
        repetitions: Some(shape.repeats as u32),
        environment: environment(),
        repeats: (0..shape.repeats).map(|seed| repeat(shape, seed)).collect(),
        verdict: Verdict { passed: true, valid: true, reasons: Vec::new() },
    }
}

fn repeat(shape: &Shape, seed: u64) -> Repeat {
    let random = &mut StdRng::seed_from_u64(seed);
    let deliveries = shape.rate * f64::from(shape.members);
    let seconds = f64::from(shape.seconds);
    let series: Vec<Second> = (0..shape.seconds).map(|at| second(shape, at, random)).collect();
    let latencies: BTreeMap<String, Latency> = [
        ("publish_ack", 900),
        ("publish_ack_service", 700),
        ("deliver", 2_100),
        ("deliver_service", 1_800),
        ("receipt", 9_000),
        ("urgent_deliver", 1_200),
    ]
    .map(|(name, median_us)| (name.to_owned(), latency(median_us, deliveries * seconds)))
    .into();
    Repeat {
        offered_per_s: Some(shape.rate),
        loop_kind: "open".into(),
        measured_s: seconds,
        counts: Counts {
            published: (shape.rate * seconds) as u64,
            acked: (shape.rate * seconds) as u64,
            delivered: (deliveries * seconds) as u64,
            ..Counts::default()
        },
        rates: Rates {
            acked_per_s: shape.rate,
            delivered_per_s: deliveries,
            delivered_bytes_per_s: deliveries * 256.0,
        },
        latencies,
        series,
        generator: usage(0.4 * seconds, 90),
        broker: Some(usage(0.02 * f64::from(shape.members).sqrt() * seconds, 120 + u64::from(shape.members))),
        late_send: latency(60, shape.rate * seconds),
        steal: 0.01,
        search: [50.0, 100.0, 200.0, 400.0, 300.0]
            .map(|offered_per_s: f64| Trial {
                offered_per_s,
                achieved_per_s: offered_per_s.min(260.0),
                is_sustained: offered_per_s <= 200.0,
            })
            .into(),
        ..Repeat::default()
    }
}

fn second(shape: &Shape, at: u32, random: &mut StdRng) -> Second {
    let mut around = |value: f64| value * random.random_range(0.9..1.1);
    Second {
        at_s: f64::from(at),
        acked: around(shape.rate) as u64,
        delivered: around(shape.rate * f64::from(shape.members)) as u64,
        backlog: around(3.0) as u64,
        deliver_p50_us: around(2_100.0) as u64,
        deliver_p99_us: around(8_000.0) as u64,
        ack_p99_us: around(4_000.0) as u64,
        generator_cores: around(0.4),
        broker_cores: Some(around(0.6)),
        broker_resident_bytes: Some(around(130e6) as u64),
        generator_resident_bytes: around(90e6) as u64,
    }
}

/// Times that double with each nine.
fn latency(median_us: u64, count: f64) -> Latency {
    let at = |quantile: f64| {
        let nines = -(1.0 - quantile).log10();
        (median_us as f64 * 2_f64.powf(nines - 0.3)) as u64
    };
    let quantiles = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 0.99999];
    let max_us = at(0.999_999);
    Latency {
        count: count as u64,
        min_us: at(0.0),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us,
        curve: quantiles
            .map(|quantile| (quantile, at(quantile)))
            .into_iter()
            .chain([(1.0, max_us)])
            .collect(),
    }
}

fn usage(cpu_s: f64, mib: u64) -> Usage {
    let bytes = mib << 20;
    Usage {
        cpu_s,
        system_s: cpu_s / 3.0,
        resident_bytes_max: bytes,
        resident_bytes_end: bytes,
        written_bytes: 10 * bytes,
    }
}

fn environment() -> Environment {
    Environment {
        cpu_model: "Intel(R) Xeon(R) Processor @ 2.50GHz".into(),
        cores: 2,
        generator_cores: vec![1],
        broker_cores: vec![0],
        memory_bytes: 8 << 30,
        kernel: "6.1.0".into(),
        file_system: "ext4".into(),
        fdatasync_p50_us: 168,
        fdatasync_p99_us: 1_900,
        rmem_max_bytes: 4 << 20,
        wmem_max_bytes: 4 << 20,
        sync_mode: "fsync per group".into(),
        tls: "TLS 1.3".into(),
        build_profile: "release".into(),
        generator_version: "0.1.0".into(),
        generator_sha256: "5a".repeat(32),
        git_revision: "0123456789ab".into(),
        git_is_dirty: false,
        broker_version: "0.1.0".into(),
        broker_config: None,
    }
}
