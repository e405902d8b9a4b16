//! Figures that are made of a result: the median repetition, cost per delivery, sizes of the
//! workload; and how they are written.
//!
//! Pure. Whatever has no value (no repetition, nothing delivered, an unreadable workload) is
//! `None`, written as a dash.

use crate::measure::samples::Percentile;
use crate::result::{Latency, Repeat, RunResult};

/// Stands for a value that there is not.
const NONE: &str = "–";

/// The distribution that a run is judged by: of deliveries, or of acknowledgements where nobody
/// reads.
pub(super) fn main_latency(repeat: &Repeat) -> Option<(&'static str, &Latency)> {
    ["deliver", "urgent_deliver", "publish_ack", "catch_up", "reconnect"].into_iter().find_map(|name| {
        repeat.latencies.get(name).filter(|latency| latency.count > 0).map(|latency| (name, latency))
    })
}

/// The repetition whose main p99 is the median one (the lower of two), and its number from 1.
pub(super) fn median_repeat(run: &RunResult) -> Option<(usize, &Repeat)> {
    let mut repeats: Vec<(usize, &Repeat)> =
        run.repeats.iter().enumerate().map(|(index, repeat)| (index + 1, repeat)).collect();
    repeats.sort_by_key(|(_, repeat)| main_latency(repeat).map(|(_, latency)| latency.p99_us));
    repeats.get(repeats.len().saturating_sub(1) / 2).copied()
}

/// The median of a figure over all repetitions that have it (the lower of two).
pub(super) fn median(run: &RunResult, figure: impl Fn(&Repeat) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> =
        run.repeats.iter().filter_map(figure).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// A percentile of a distribution, in milliseconds, if enough was measured for it.
pub(super) fn latency_ms(repeat: &Repeat, name: &str, percentile: Percentile) -> Option<f64> {
    repeat.latencies.get(name)?.stated_us(percentile).map(|us| us as f64 / 1000.0)
}

/// Cores that the broker used, on average.
pub(super) fn broker_cores(repeat: &Repeat) -> Option<f64> {
    (repeat.measured_s > 0.0).then(|| Some(repeat.broker?.cpu_s / repeat.measured_s)).flatten()
}

/// The broker's CPU time for each delivery, in microseconds.
pub(super) fn broker_us_per_delivery(repeat: &Repeat) -> Option<f64> {
    broker_us_per(repeat, repeat.counts.delivered)
}

/// The broker's CPU time for each acknowledged message, in microseconds.
pub(super) fn broker_us_per_message(repeat: &Repeat) -> Option<f64> {
    broker_us_per(repeat, repeat.counts.acked)
}

fn broker_us_per(repeat: &Repeat, events: u64) -> Option<f64> {
    (events > 0).then(|| Some(repeat.broker?.cpu_s * 1e6 / events as f64)).flatten()
}

/// The broker's highest memory, in MiB.
pub(super) fn broker_mib(repeat: &Repeat) -> Option<f64> {
    Some(mib(repeat.broker?.resident_bytes_max))
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How large a workload is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    /// Of the largest conversation.
    pub(super) members: f64,
    /// All together.
    pub(super) conversations: f64,
}

/// Reads a workload's size from its file; `None` if that says nothing.
pub(super) fn size(run: &RunResult) -> Option<Size> {
    let file: toml::Table = run.workload_toml.parse().ok()?;
    let audiences: Vec<&toml::Table> =
        file.get("audience")?.as_array()?.iter().filter_map(toml::Value::as_table).collect();
    let conversations: i64 =
        audiences.iter().filter_map(|audience| audience.get("conversations")?.as_integer()).sum();
    let members = audiences
        .iter()
        .filter_map(|audience| audience.get("members")?.as_array()?.last()?.as_integer())
        .max()?;
    (conversations > 0 && members > 0)
        .then_some(Size { members: members as f64, conversations: conversations as f64 })
}

/// What workloads that differ only in size have in common: the name without a number at its end.
pub(super) fn family(run: &RunResult) -> &str {
    let name = run.workload.trim_end_matches(|character: char| character.is_ascii_digit());
    name.trim_end_matches('-')
}

/// Writes a value: to three digits, and whole from 100 on. No figure here is negative.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => match value.abs() {
            size if size >= 1000.0 => count(value.round().max(0.0) as u64),
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        },
        _ => NONE.to_owned(),
    }
}

/// Writes a count, in groups of three digits.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{:.1} GiB", mib(bytes) / 1024.0),
        bytes if bytes >= 1 << 20 => format!("{:.1} MiB", mib(bytes)),
        bytes if bytes >= 1 << 10 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        bytes => format!("{bytes} B"),
    }
}
