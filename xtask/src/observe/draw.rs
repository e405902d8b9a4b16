//! Draws a dashboard from its JSON and what Prometheus has: one HTML page with an SVG for each
//! panel, laid out as in Grafana. For documentation, and to be looked at where there is no Grafana.
//! Shows what the JSON says and nothing else: titles, units, limits, legends, the last minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// A column and a row of the grid, in pixels.
const CELL: (f64, f64) = (66.0, 34.0);
/// Room for the title, in pixels.
const HEAD: f64 = 72.0;
/// Room for the scale, for a row of legends, and the most legends of a panel, in pixels and lines.
const LEFT: f64 = 56.0;
const LEGEND: f64 = 14.0;
const LEGENDS_MAX: usize = 10;
const COLOURS: [&str; 8] =
    ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d"];
const STYLE: &str = "body{margin:0;background:#111217;color:#ccccdc;font:12px sans-serif}h1{font-size:18px;margin:12px}\
    p{margin:0 12px 8px;color:#8e8e99}.grid{position:relative}.panel{position:absolute;box-sizing:border-box;padding:6px 8px;\
    background:#181b1f;border:1px solid #25272e;overflow:hidden}.row{position:absolute;font-weight:bold;padding:9px 8px}\
    .title{font-weight:bold;white-space:nowrap}.about{color:#8e8e99;font-size:10px;line-height:14px;margin-bottom:3px}\
    .chart .about{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}.legends{display:grid;grid-template-columns:1fr 1fr}.legend{line-height:14px;font-size:11px;\
    white-space:nowrap;overflow:hidden}.big{font-size:26px;margin-top:10px}";

/// A line of a panel: its legend, and values by time.
pub(super) struct Line {
    pub(super) legend: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A dashboard as a page, and the room that it takes, in pixels.
pub(super) struct Drawing {
    pub(super) html: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The page of a dashboard over a span of Unix times in seconds; `lines` asks for what a target
/// shows.
///
/// # Errors
/// As `lines`.
pub(super) fn page(
    dashboard: &Value,
    span: (f64, f64),
    mut lines: impl FnMut(&Value) -> anyhow::Result<Vec<Line>>,
) -> anyhow::Result<Drawing> {
    let (mut body, mut bottom) = (String::new(), 0.0_f64);
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let at = |key: &str| panel["gridPos"][key].as_f64().unwrap_or_default();
        let (x, y, width, height) = (at("x") * CELL.0, at("y") * CELL.1, at("w") * CELL.0, at("h") * CELL.1);
        bottom = bottom.max(y + height);
        let place = format!("left:{x}px;top:{y}px;width:{}px;height:{}px", width - 4.0, height - 4.0);
        let title = escape(panel["title"].as_str().unwrap_or_default());
        if panel["type"] == "row" {
            write!(body, "<div class=row style=\"{place}\">{title}</div>")?;
            continue;
        }
        let mut all = Vec::new();
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.extend(lines(target)?);
        }
        let (kind, inner) = match panel["type"].as_str() {
            Some("stat") => ("stat", figure(panel, &all)),
            _ => ("chart", chart(panel, &all, span, (width - 22.0, height - 54.0))),
        };
        let about = escape(panel["description"].as_str().unwrap_or_default());
        write!(
            body,
            "<div class=\"panel {kind}\" style=\"{place}\"><div class=title>{title}</div>\
             <div class=about>{about}</div>{inner}</div>"
        )?;
    }
    let width = 24.0 * CELL.0;
    let html = format!(
        "<!doctype html><meta charset=utf-8><style>{STYLE}</style><h1>{}</h1><p>{}</p>\
         <div class=grid style=\"width:{width}px;height:{bottom}px\">{body}</div>\n",
        escape(dashboard["title"].as_str().unwrap_or_default()),
        escape(dashboard["description"].as_str().unwrap_or_default()),
    );
    Ok(Drawing { html, width: width as u32, height: (bottom + HEAD) as u32 })
}

/// A legend with the labels of a series put in.
pub(super) fn legend(format: &str, labels: &BTreeMap<String, String>) -> String {
    labels
        .iter()
        .fold(format.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

fn figure(panel: &Value, lines: &[Line]) -> String {
    let unit = unit(panel);
    let shown = lines.iter().filter_map(|line| {
        let (_, last) = line.points.last()?;
        Some(format!("<span style=\"color:{}\">{}</span>", colour_of(panel, *last), human(unit, *last)))
    });
    format!("<div class=big>{}</div>", shown.collect::<Vec<_>>().join(" / "))
}

fn chart(panel: &Value, lines: &[Line], span: (f64, f64), (width, height): (f64, f64)) -> String {
    let unit = unit(panel);
    let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array();
    let limits: Vec<(f64, &str)> = steps
        .into_iter()
        .flatten()
        .filter_map(|step| Some((step["value"].as_f64()?, shade(step["color"].as_str()?))))
        .collect();
    let shown = lines.len().min(LEGENDS_MAX);
    let rows = shown.div_ceil(2) + usize::from(!limits.is_empty());
    let height = height - LEGEND * rows as f64 - 20.0;
    let plot = Plot::of(panel, lines, span, (width, height));
    let mut svg = format!("<svg width={width} height={}>", height + 16.0);
    plot.axes(unit, &mut svg);
    for (value, colour) in limits.iter().filter(|(value, _)| *value <= plot.top) {
        let at = plot.y(*value);
        let _ = write!(
            svg,
            "<line x1={LEFT} x2={width} y1={at} y2={at} stroke=\"{colour}\" stroke-dasharray=\"6 4\" />"
        );
    }
    let mut legends = String::new();
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", plot.x(*at), plot.y(*value)))
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=none stroke=\"{colour}\" stroke-width=1.4 />",
            path.join(" ")
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()).take(shown) {
        let last = line.points.last().map_or("-".to_owned(), |(_, value)| human(unit, *value));
        let _ = write!(
            legends,
            "<div class=legend><span style=\"color:{colour}\">&#9644;</span> {} <b>{last}</b></div>",
            escape(&line.legend)
        );
    }
    let limits = limits.iter().map(|(value, colour)| {
        format!("<span style=\"color:{colour}\">&#9476; from {}</span> ", human(unit, *value))
    });
    let limits: String = limits.collect();
    format!("{svg}</svg><div class=legends>{legends}</div><div class=legend>{limits}</div>")
}

/// Where points lie in a panel.
struct Plot {
    from: f64,
    to: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Plot {
    fn of(panel: &Value, lines: &[Line], (from, to): (f64, f64), (width, height): (f64, f64)) -> Self {
        let points = lines.iter().flat_map(|line| &line.points);
        let highest = points.fold(0.0_f64, |high, (_, value)| high.max(*value));
        let base = if unit(panel) == "bytes" { 1024.0 } else { 1000.0 };
        let top = panel["fieldConfig"]["defaults"]["max"].as_f64();
        Self { from, to, top: top.unwrap_or_else(|| round_up(highest, base)), width, height }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.from) / (self.to - self.from) * (self.width - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.height - value.clamp(0.0, self.top) / self.top * self.height
    }

    fn axes(&self, unit: &str, svg: &mut String) {
        for part in [0.0, 0.5, 1.0] {
            let at = self.y(self.top * part).clamp(0.5, self.height);
            let label = human(unit, self.top * part);
            let _ = write!(
                svg,
                "<line x1={LEFT} x2={} y1={at} y2={at} stroke=#2c2e35 /><text x={} y={} fill=#8e8e99 font-size=10 \
                 text-anchor=end>{label}</text>",
                self.width,
                LEFT - 4.0,
                (at + 4.0).max(9.0)
            );
        }
        for (at, anchor) in [(self.from, "start"), (self.to, "end")] {
            let _ = write!(
                svg,
                "<text x={} y={} fill=#8e8e99 font-size=10 text-anchor={anchor}>{}</text>",
                self.x(at),
                self.height + 13.0,
                clock(at)
            );
        }
    }
}

/// The next of 1, 2, 5, 10, ... of a unit's powers; 1 for nothing.
fn round_up(value: f64, base: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = base.powf((value.ln() / base.ln()).floor());
    let within = value / power;
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    power * steps.into_iter().find(|step| within <= *step).unwrap_or(base)
}

/// The time of day (UTC) of a Unix time in seconds.
fn clock(at: f64) -> String {
    let seconds = at as u64 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn unit(panel: &Value) -> &str {
    panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default()
}

fn colour_of(panel: &Value, value: f64) -> String {
    let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().into_iter().flatten();
    let mut reached = steps.filter(|step| step["value"].as_f64().is_none_or(|from| value >= from));
    reached.next_back().and_then(|step| step["color"].as_str()).map_or(COLOURS[0], shade).to_owned()
}

/// What Grafana paints for the name of a colour.
fn shade(name: &str) -> &str {
    match name {
        "green" => COLOURS[0],
        "yellow" => COLOURS[1],
        "red" => COLOURS[4],
        other => other,
    }
}

/// A value with its unit, as short as it can be read.
fn human(unit: &str, value: f64) -> String {
    let scaled = |base: f64, units: [&str; 4]| {
        let power =
            if value.abs() < 1.0 { 0 } else { (value.abs().ln() / base.ln()).floor().min(3.0) as usize };
        format!("{}{}", short(value / base.powi(power as i32)), units[power])
    };
    match unit {
        "bytes" => scaled(1024.0, [" B", " KiB", " MiB", " GiB"]),
        "Bps" => scaled(1000.0, [" B/s", " kB/s", " MB/s", " GB/s"]),
        "ops" => format!("{}/s", scaled(1000.0, ["", "k", "M", "G"])),
        "percentunit" => format!("{} %", short(value * 100.0)),
        "s" if value == 0.0 => "0 s".into(),
        "s" if value < 1e-3 => format!("{} µs", short(value * 1e6)),
        "s" if value < 1.0 => format!("{} ms", short(value * 1e3)),
        "s" => format!("{} s", short(value)),
        "dateTimeFromNow" => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            format!("in {} days", ((value / 1e3 - now.as_secs_f64()) / 86_400.0).round())
        }
        _ => scaled(1000.0, ["", "k", "M", "G"]),
    }
}

fn short(value: f64) -> String {
    let decimals = if value == value.round() || value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
