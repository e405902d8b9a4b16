//! What the report says of one run: its verdict first, then what was asked, what came of it, and
//! where.
//!
//! Owns the order and the tables; plots and figures come from their own modules. Every repetition
//! has its row, so that nobody has to take a median's word for it.

use std::fmt::Write as _;

use crate::measure::samples::Percentile;
use crate::result::{Environment, Integrity, Latency, Repeat, RunResult};

use super::figure::{self, bytes, count, number};
use super::html::{escape, facts, figures, table};
use super::plots;
use super::read::Run;

/// A run's part of the report; `number` tells its pictures from those of other runs.
pub(super) fn section(run: &Run, number: usize) -> String {
    let result = &run.result;
    // Writing to a string does not fail.
    let mut html = String::new();
    let _ = writeln!(html, "<section>\n<h2>{}: {}</h2>", escape(&run.name), escape(&result.workload));
    html += &verdict(result);
    let command = result.command.join(" ");
    let _ = writeln!(html, "<h3>Command</h3>\n<pre>{}</pre>", escape(&command));
    if let Some(kind) = result.repeats.first().map(|repeat| &repeat.loop_kind).filter(|kind| !kind.is_empty())
    {
        let _ = writeln!(html, "<p class=\"soft\">{}</p>", escape(kind));
    }
    html += &rates(result);
    html += &latencies(result);
    html += &integrity(result);
    if let Some((which, repeat)) = figure::median_repeat(result) {
        let _ =
            writeln!(html, "<h3>Plots</h3>\n<p class=\"soft\">{}</p>", escape(&shown(result, which, repeat)));
        let charts = plots::of_repeat(repeat);
        let pictures = charts.iter().enumerate();
        let pictures = pictures.filter_map(|(plot, chart)| chart.draw(&format!("run{number}-plot{plot}")));
        html += &figures(pictures);
        html += &trials(repeat);
    }
    html += &environment(result);
    let workload = escape(&result.workload_toml);
    let _ = writeln!(html, "<details><summary>Workload file</summary><pre>{workload}</pre></details>");
    if let Some(config) = &result.environment.broker_config {
        let config = escape(config);
        let _ =
            writeln!(html, "<details><summary>Broker configuration</summary><pre>{config}</pre></details>");
    }
    html + "</section>\n"
}

/// In a word, for tables.
pub(super) fn word(result: &RunResult) -> &'static str {
    match (result.verdict.passed, result.verdict.valid) {
        (false, _) => "failed",
        (true, false) => "not valid",
        (true, true) => "passed",
    }
}

fn verdict(result: &RunResult) -> String {
    let (class, text) = match word(result) {
        "failed" => ("bad", "Failed: the broker did something wrong."),
        "not valid" => {
            ("doubt", "Not valid: nothing was found wrong with the broker, but these figures do not hold.")
        }
        _ => (
            "good",
            "Passed: nothing lost, duplicated or reordered, and the generator was not the bottleneck.",
        ),
    };
    let mut html = format!("<p class=\"verdict {class}\">{text}</p>\n");
    if !result.verdict.reasons.is_empty() {
        let reasons = result.verdict.reasons.iter();
        let reasons: String = reasons.map(|reason| format!("<li>{}</li>\n", escape(reason))).collect();
        let _ = writeln!(html, "<ul>\n{reasons}</ul>");
    }
    html
}

fn rates(result: &RunResult) -> String {
    let heading = [
        "repetition",
        "offered /s",
        "acknowledged /s",
        "delivered /s",
        "delivered MiB/s",
        "broker CPU (cores)",
        "broker CPU (µs per message)",
        "broker CPU (µs per delivery)",
        "broker memory (MiB)",
        "generator CPU (cores)",
        "late sends p99 (ms)",
        "others' CPU (cores)",
        "steal (%)",
    ];
    let rows: Vec<Vec<String>> = result.repeats.iter().enumerate().map(rates_row).collect();
    table("Rates and cost", &heading, &rows)
}

fn rates_row((index, repeat): (usize, &Repeat)) -> Vec<String> {
    let partial = if repeat.is_partial { " (cut short)" } else { "" };
    let generator = (repeat.measured_s > 0.0).then(|| repeat.generator.cpu_s / repeat.measured_s);
    vec![
        format!("{}{partial}", index + 1),
        number(repeat.offered_per_s),
        number(Some(repeat.rates.acked_per_s)),
        number(Some(repeat.rates.delivered_per_s)),
        number(Some(repeat.rates.delivered_bytes_per_s / f64::from(1 << 20))),
        number(figure::broker_cores(repeat)),
        number(figure::broker_us_per_message(repeat)),
        number(figure::broker_us_per_delivery(repeat)),
        number(figure::broker_mib(repeat)),
        number(generator),
        number(Some(repeat.late_send.p99_us as f64 / 1000.0)),
        number(Some(repeat.others_cores)),
        number(Some(repeat.steal * 100.0)),
    ]
}

fn latencies(result: &RunResult) -> String {
    let heading = ["what", "repetition", "count", "least", "p50", "p90", "p99", "p99.9", "greatest"];
    let mut rows = Vec::new();
    for (index, repeat) in result.repeats.iter().enumerate() {
        for (name, latency) in &repeat.latencies {
            rows.push(latency_row(name, index + 1, latency));
        }
    }
    // All repetitions of one thing together.
    rows.sort_by(|a, b| a[0].cmp(&b[0]));
    table("Latencies (ms)", &heading, &rows)
}

fn latency_row(name: &str, repeat: usize, latency: &Latency) -> Vec<String> {
    let extreme = |us| (latency.count > 0).then_some(us);
    let times = [
        extreme(latency.min_us),
        latency.stated_us(Percentile::P50),
        latency.stated_us(Percentile::P90),
        latency.stated_us(Percentile::P99),
        latency.stated_us(Percentile::P999),
        extreme(latency.max_us),
    ];
    let times = times.map(|us| number(us.map(|us| us as f64 / 1000.0)));
    [name.to_owned(), repeat.to_string(), count(latency.count)].into_iter().chain(times).collect()
}

fn integrity(result: &RunResult) -> String {
    let heading = [
        "repetition",
        "published",
        "acknowledged",
        "delivered",
        "lost",
        "duplicated",
        "reordered",
        "foreign",
        "misnumbered",
        "given up",
        "unanswered",
        "reconnects",
    ];
    let rows: Vec<Vec<String>> = result
        .repeats
        .iter()
        .enumerate()
        .map(|(index, repeat)| {
            let Integrity { lost, duplicated, reordered, foreign, misnumbered } = repeat.integrity;
            let counts = &repeat.counts;
            let cells = [
                counts.published,
                counts.acked,
                counts.delivered,
                lost,
                duplicated,
                reordered,
                foreign,
                misnumbered,
                counts.failed,
                counts.unanswered,
                counts.reconnects,
            ];
            std::iter::once(index as u64 + 1).chain(cells).map(count).collect()
        })
        .collect();
    table("Integrity: everything from lost to misnumbered must be 0", &heading, &rows)
}

fn shown(result: &RunResult, which: usize, repeat: &Repeat) -> String {
    let all = result.repeats.len();
    let mut text = match (all, figure::main_latency(repeat)) {
        (1, _) | (_, None) => format!("Repetition {which} of {all}."),
        (_, Some((name, _))) => {
            format!("Repetition {which} of {all}: the one whose p99 of `{name}` is the median.")
        }
    };
    if let Some(bottleneck) = &repeat.bottleneck {
        let _ = write!(text, " The generator was the bottleneck: {bottleneck}");
    }
    text
}

fn trials(repeat: &Repeat) -> String {
    if repeat.search.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = repeat
        .search
        .iter()
        .enumerate()
        .map(|(index, trial)| {
            let sustained = if trial.is_sustained { "yes" } else { "no" };
            let (offered, achieved) = (number(Some(trial.offered_per_s)), number(Some(trial.achieved_per_s)));
            vec![(index + 1).to_string(), offered, achieved, sustained.to_owned()]
        })
        .collect();
    table("Rates that were tried", &["trial", "offered /s", "acknowledged /s", "sustained"], &rows)
}

fn environment(result: &RunResult) -> String {
    let here: &Environment = &result.environment;
    let dirty = if here.git_is_dirty { ", with uncommitted changes" } else { "" };
    let machine = [
        ("processor", here.cpu_model.clone()),
        ("cores", here.cores.to_string()),
        ("generator's cores", list(&here.generator_cores)),
        ("broker's cores", list(&here.broker_cores)),
        ("memory", bytes(here.memory_bytes)),
        ("kernel", here.kernel.clone()),
        ("file system", here.file_system.clone()),
        (
            "fdatasync of 4 KiB",
            format!(
                "p50 {} ms, p99 {} ms",
                number(Some(here.fdatasync_p50_us as f64 / 1000.0)),
                number(Some(here.fdatasync_p99_us as f64 / 1000.0))
            ),
        ),
        (
            "UDP buffers at most",
            format!("{} receive, {} send", bytes(here.rmem_max_bytes), bytes(here.wmem_max_bytes)),
        ),
    ];
    let software = [
        ("broker", here.broker_version.clone()),
        ("before an ack", here.sync_mode.clone()),
        ("encryption", here.tls.clone()),
        ("load generator", format!("{}, {} build", here.generator_version, here.build_profile)),
        ("source revision", format!("{}{dirty}", here.git_revision)),
        ("seed", result.seed.to_string()),
        ("started", started(result.started_at_ms)),
    ];
    format!("<div class=\"columns\">\n{}{}</div>\n", facts("Machine", &machine), facts("Software", &software))
}

fn list(cores: &[u32]) -> String {
    if cores.is_empty() {
        return "unknown".into();
    }
    cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn started(at_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(at_ms));
    // Years of more than four digits cannot be written that way.
    let at = at.filter(|_| at_ms < 253_402_300_800_000);
    at.map_or_else(|| "unknown".into(), |at| humantime::format_rfc3339_seconds(at).to_string())
}
