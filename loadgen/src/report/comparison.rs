//! What the report says of several runs together.
//!
//! Medians side by side, distributions laid over one another, and how the cost grows where runs
//! differ in size. It never judges: whether a difference is a regression is another command's
//! business.

use super::axis::{Axis, Scale};
use super::bars::Bars;
use super::chart::{Chart, Mark, Series};
use super::figure::{self, Size, number};
use super::html::{figures, table};
use super::plots;
use super::read::Run;
use super::section;
use crate::measure::samples::Percentile;
use crate::result::{Latency, Repeat};

/// The part of the report that compares.
pub(super) fn section(runs: &[Run]) -> String {
    let mut html = String::from("<section>\n<h2>Comparison</h2>\n");
    html += &medians(runs);
    html += &figures(bars(runs).into_iter().chain(overlay(runs)));
    let costs: Vec<String> = costs(runs);
    if !costs.is_empty() {
        html += "<h3>Cost by size</h3>\n<p class=\"soft\">What one delivery costs the broker must not grow with the \
                 number of members or conversations; memory may grow as they do.</p>\n";
        html += &figures(costs);
    }
    html + "</section>\n"
}

fn medians(runs: &[Run]) -> String {
    let heading = [
        "run",
        "workload",
        "verdict",
        "acknowledged /s",
        "delivered /s",
        "ack p50 (ms)",
        "ack p99 (ms)",
        "delivery p50 (ms)",
        "delivery p99 (ms)",
        "delivery p99.9 (ms)",
        "broker CPU (cores)",
        "broker CPU (µs per delivery)",
        "broker memory (MiB)",
    ];
    let rows: Vec<Vec<String>> = runs.iter().map(medians_row).collect();
    table("Medians over the repetitions", &heading, &rows)
}

fn medians_row(run: &Run) -> Vec<String> {
    let result = &run.result;
    let cell = |of: &dyn Fn(&Repeat) -> Option<f64>| number(figure::median(result, of));
    let latency = |name: &'static str, percentile: Percentile| {
        number(figure::median(result, |repeat| figure::latency_ms(repeat, name, percentile)))
    };
    vec![
        run.name.clone(),
        result.workload.clone(),
        section::word(result).to_owned(),
        cell(&|repeat| Some(repeat.rates.acked_per_s)),
        cell(&|repeat| Some(repeat.rates.delivered_per_s)),
        latency("publish_ack", Percentile::P50),
        latency("publish_ack", Percentile::P99),
        latency("deliver", Percentile::P50),
        latency("deliver", Percentile::P99),
        latency("deliver", Percentile::P999),
        cell(&figure::broker_cores),
        cell(&figure::broker_us_per_delivery),
        cell(&figure::broker_mib),
    ]
}

fn bars(runs: &[Run]) -> Vec<String> {
    let of = |figure: &dyn Fn(&Repeat) -> Option<f64>| {
        let bars =
            runs.iter().filter_map(|run| Some((run.name.clone(), figure::median(&run.result, figure)?)));
        bars.collect::<Vec<_>>()
    };
    let all = [
        Bars {
            title: "Throughput",
            label: "deliveries per second (median)",
            bars: of(&|repeat| Some(repeat.rates.delivered_per_s)),
        },
        Bars {
            title: "Latency of a delivery",
            label: "p99 from publish to delivery (ms, median)",
            bars: of(&|repeat| figure::latency_ms(repeat, "deliver", Percentile::P99)),
        },
        Bars {
            title: "Cost of a delivery",
            label: "broker CPU per delivery (µs, median)",
            bars: of(&figure::broker_us_per_delivery),
        },
    ];
    all.iter().enumerate().filter_map(|(index, bars)| bars.draw(&format!("bars{index}"))).collect()
}

fn overlay(runs: &[Run]) -> Option<String> {
    let latencies: Vec<(String, &Latency)> = runs
        .iter()
        .filter_map(|run| {
            let (_, repeat) = figure::median_repeat(&run.result)?;
            Some((run.name.clone(), figure::main_latency(repeat)?.1))
        })
        .collect();
    plots::overlay(&latencies).draw("overlay")
}

/// Plots for each measure of size in which runs of one family differ.
fn costs(runs: &[Run]) -> Vec<String> {
    let sized: Vec<(Size, &Run)> =
        runs.iter().filter_map(|run| Some((figure::size(&run.result)?, run))).collect();
    let by = |label: &'static str, measure: fn(&Size) -> f64| {
        let sized: Vec<(f64, &Run)> = sized.iter().map(|(size, run)| (measure(size), *run)).collect();
        costs_by(label, &families(sized))
    };
    let mut pictures = by("members of the largest conversation (log scale)", |size| size.members);
    pictures.extend(by("conversations (log scale)", |size| size.conversations));
    pictures
}

/// Runs of the same kind of workload, by size; only where there is more than one size.
fn families(mut sized: Vec<(f64, &Run)>) -> Vec<(&str, Vec<(f64, &Run)>)> {
    sized.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut families: Vec<(&str, Vec<(f64, &Run)>)> = Vec::new();
    for (size, run) in sized {
        let name = figure::family(&run.result);
        match families.iter_mut().find(|(family, _)| *family == name) {
            Some((_, members)) => members.push((size, run)),
            None => families.push((name, vec![(size, run)])),
        }
    }
    families.retain(|(_, members)| members.windows(2).any(|pair| pair[0].0 < pair[1].0));
    families
}

fn costs_by(label: &'static str, families: &[(&str, Vec<(f64, &Run)>)]) -> Vec<String> {
    let lines = |cost: fn(&Repeat) -> Option<f64>| {
        let lines = families.iter().enumerate().map(|(colour, (name, members))| {
            let points =
                members.iter().filter_map(|(size, run)| Some((*size, figure::median(&run.result, cost)?)));
            Series::line(*name, colour, points.collect()).marked(Mark::Dotted)
        });
        lines.collect::<Vec<_>>()
    };
    let what = label.split(' ').next().unwrap_or_default();
    let charts = [
        cost(what, label, "CPU", "broker CPU per delivery (µs)", lines(figure::broker_us_per_delivery)),
        cost(what, label, "memory", "broker memory (MiB)", lines(figure::broker_mib)),
    ];
    let drawn = charts.iter().enumerate();
    drawn.filter_map(|(index, chart)| chart.draw(&format!("cost-{what}{index}"))).collect()
}

fn cost(size: &str, x: &'static str, kind: &str, y: &'static str, series: Vec<Series>) -> Chart {
    Chart {
        title: format!("Broker {kind} by {size}"),
        description: format!(
            "How the broker's {kind} grows with {size}: a dot for the median of each run, a line for each kind of workload."
        ),
        x: Axis::new(x, Scale::Log),
        y: Axis::new(y, Scale::Linear),
        series,
    }
}
