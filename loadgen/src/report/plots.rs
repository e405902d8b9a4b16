//! The plots of one repetition, and those that lay several runs over one another.
//!
//! Owns which figures are shown together and how the axes are labelled; `chart` draws. A plot
//! without any value is left out.

use crate::result::{Latency, Repeat, Second};

use super::axis::{Axis, Scale};
use super::chart::{Chart, Mark, Series};
use super::figure;

/// What distributions are called in a legend.
const LATENCIES: &[(&str, &str)] = &[
    ("deliver", "publish to delivery"),
    ("publish_ack", "publish to ack"),
    ("receipt", "publish to receipt"),
    ("urgent_deliver", "urgent: publish to delivery"),
    ("urgent_publish_ack", "urgent: publish to ack"),
    ("urgent_receipt", "urgent: publish to receipt"),
    ("catch_up", "catch-up"),
    ("reconnect", "reconnect"),
];

/// All plots of one repetition.
pub(super) fn of_repeat(repeat: &Repeat) -> Vec<Chart> {
    let mut charts = vec![
        percentiles(repeat),
        latency_over_time(&repeat.series),
        deliveries(&repeat.series),
        acks(&repeat.series),
        backlog(&repeat.series),
        cpu(&repeat.series),
        memory(&repeat.series),
    ];
    if !repeat.search.is_empty() {
        charts.push(search(repeat));
    }
    charts
}

/// The main distribution of several runs in one plot. Names come with the distributions.
pub(super) fn overlay(runs: &[(String, &Latency)]) -> Chart {
    let series = runs.iter().enumerate();
    Chart {
        title: "Latency by percentile, all runs".into(),
        description:
            "The distribution of the time from publish to delivery (to the ack where nobody reads), \
                      a line for each run."
                .into(),
        x: percentile_axis(),
        y: latency_axis(),
        series: series.map(|(index, (name, latency))| Series::line(name, index, curve(latency))).collect(),
    }
}

fn percentiles(repeat: &Repeat) -> Chart {
    let mut series = Vec::new();
    let known = LATENCIES.iter().map(|(name, _)| *name);
    let others = repeat.latencies.keys().map(String::as_str);
    let others = others.filter(|name| !LATENCIES.iter().any(|(known, _)| *known == base(name)));
    for (colour, name) in known.chain(others.filter(|name| !is_service(name))).enumerate() {
        let service = format!("{name}_service");
        for (name, mark) in [(name, Mark::Line), (service.as_str(), Mark::Dashed)] {
            let Some(latency) = repeat.latencies.get(name).filter(|latency| latency.count > 0) else {
                continue;
            };
            series.push(Series::line(title(name), colour, curve(latency)).marked(mark));
        }
    }
    Chart {
        title: "Latency by percentile".into(),
        description:
            "How long things took: the share of them given below took at most so long. Solid lines count \
                      from when a message was due, dashed ones from when it was sent."
                .into(),
        x: percentile_axis(),
        y: latency_axis(),
        series,
    }
}

fn deliveries(seconds: &[Second]) -> Chart {
    Chart {
        title: "Deliveries over time".into(),
        description: "Messages that recipients took from their inboxes in each second.".into(),
        x: time_axis(),
        y: Axis::new("deliveries per second", Scale::Linear),
        series: happening("deliveries", 0, seconds, |second| second.delivered),
    }
}

fn acks(seconds: &[Second]) -> Chart {
    Chart {
        title: "Acknowledged messages over time".into(),
        description: "Messages that became durable and were acknowledged in each second.".into(),
        x: time_axis(),
        y: Axis::new("messages per second", Scale::Linear),
        series: happening("acknowledged messages", 1, seconds, |second| second.acked),
    }
}

fn latency_over_time(seconds: &[Second]) -> Chart {
    // A second without any has none.
    let ms = |us: u64| (us > 0).then_some(us as f64 / 1000.0);
    Chart {
        title: "Latency over time".into(),
        description:
            "Median and 99th percentile of the time from publish to delivery in each second, and the 99th \
                      percentile of the time to the ack."
                .into(),
        x: time_axis(),
        y: latency_axis(),
        series: vec![
            over_time("delivery p50", 2, seconds, |second| ms(second.deliver_p50_us)),
            over_time("delivery p99", 0, seconds, |second| ms(second.deliver_p99_us)),
            over_time("ack p99", 1, seconds, |second| ms(second.ack_p99_us)).marked(Mark::Dashed),
        ],
    }
}

fn backlog(seconds: &[Second]) -> Chart {
    Chart {
        title: "Backlog over time".into(),
        description: "Messages that were due and not acknowledged at the end of each second.".into(),
        x: time_axis(),
        y: Axis::new("messages due, not acknowledged", Scale::Linear),
        series: vec![over_time("backlog", 3, seconds, |second| Some(second.backlog as f64))],
    }
}

fn cpu(seconds: &[Second]) -> Chart {
    Chart {
        title: "CPU over time".into(),
        description: "Cores that the broker and the load generator used in each second.".into(),
        x: time_axis(),
        y: Axis::new("CPU (cores)", Scale::Linear),
        series: vec![
            over_time("broker", 0, seconds, |second| second.broker_cores),
            over_time("load generator", 1, seconds, |second| Some(second.generator_cores)),
        ],
    }
}

fn memory(seconds: &[Second]) -> Chart {
    Chart {
        title: "Memory over time".into(),
        description: "Resident memory of the broker and of the load generator at the end of each second."
            .into(),
        x: time_axis(),
        y: Axis::new("resident memory (MiB)", Scale::Linear),
        series: vec![
            over_time("broker", 0, seconds, |second| Some(figure::mib(second.broker_resident_bytes?))),
            over_time("load generator", 1, seconds, |second| {
                Some(figure::mib(second.generator_resident_bytes))
            }),
        ],
    }
}

fn search(repeat: &Repeat) -> Chart {
    let trials = |is_sustained: bool| {
        let trials = repeat.search.iter().filter(move |trial| trial.is_sustained == is_sustained);
        trials.map(|trial| (trial.offered_per_s, trial.achieved_per_s)).collect::<Vec<_>>()
    };
    let highest = repeat.search.iter().map(|trial| trial.offered_per_s).fold(0.0, f64::max);
    Chart {
        title: "Search for the highest sustainable rate".into(),
        description:
            "Each rate that was tried and what was acknowledged. A full dot was sustained, a ring was not; \
                      on the dashed line everything offered is acknowledged."
                .into(),
        x: Axis::new("offered (messages per second)", Scale::Linear),
        y: Axis::new("acknowledged (messages per second)", Scale::Linear),
        series: vec![
            Series::line("everything acknowledged", 6, vec![(0.0, 0.0), (highest, highest)])
                .marked(Mark::Dashed),
            Series::line("sustained", 2, trials(true)).marked(Mark::Dots),
            Series::line("not sustained", 1, trials(false)).marked(Mark::Rings),
        ],
    }
}

fn over_time(
    name: &str,
    colour: usize,
    seconds: &[Second],
    value: impl Fn(&Second) -> Option<f64>,
) -> Series {
    let points = seconds.iter().filter_map(|second| Some((second.at_s, value(second)?)));
    Series::line(name, colour, points.collect())
}

/// A line of what happened in each second; none if nothing ever did.
fn happening(name: &str, colour: usize, seconds: &[Second], count: fn(&Second) -> u64) -> Vec<Series> {
    let ever = seconds.iter().any(|second| count(second) > 0);
    ever.then(|| over_time(name, colour, seconds, |second| Some(count(second) as f64))).into_iter().collect()
}

/// Quantiles with milliseconds. The last of few measurements stands for a quantile that they can
/// tell.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let highest = 1.0 - 1.0 / (latency.count.max(1) as f64 + 1.0);
    let points = latency.curve.iter().filter(|(_, us)| *us > 0);
    points.map(|&(quantile, us)| (quantile.min(highest), us as f64 / 1000.0)).collect()
}

fn title(name: &str) -> String {
    let known = LATENCIES.iter().find(|(known, _)| *known == base(name)).map(|(_, title)| *title);
    let title = known.map_or_else(|| base(name).replace('_', " "), str::to_owned);
    if is_service(name) { format!("{title}, from sending") } else { title }
}

fn base(name: &str) -> &str {
    name.strip_suffix("_service").unwrap_or(name)
}

fn is_service(name: &str) -> bool {
    name.ends_with("_service")
}

fn percentile_axis() -> Axis {
    Axis::new("percentile (%)", Scale::Percentile)
}

fn latency_axis() -> Axis {
    Axis::new("latency (ms, log scale)", Scale::Log)
}

fn time_axis() -> Axis {
    Axis::new("time since the warm-up (s)", Scale::Linear)
}
