//! What a dashboard is made of, and how it becomes Grafana's JSON.
//!
//! Panels flow from left to right in rows of 24 columns. Every one has a title, a sentence that
//! says what is seen, and a unit; those with limits show them as lines and colours.

use serde_json::{Value, json};

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;
const GREEN: &str = "green";
const YELLOW: &str = "#EAB839";
const RED: &str = "red";

/// A dashboard.
pub struct Dashboard {
    /// In its address and its file's name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Which question it answers.
    pub about: &'static str,
    /// Its rows, from the top.
    pub rows: Vec<(&'static str, Vec<Panel>)>,
}

/// How figures are written.
#[derive(Clone, Copy)]
pub enum Unit {
    /// A number.
    Count,
    /// A number for each second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes for each second.
    BytesPerSecond,
    /// Time.
    Seconds,
    /// A share of one.
    Share,
    /// A moment, in seconds since 1970, shown as how far off it is.
    Moment,
}

enum Kind {
    /// Lines over time.
    Lines,
    /// The latest figure, large.
    Figure,
}

/// A panel.
pub struct Panel {
    title: &'static str,
    about: &'static str,
    kind: Kind,
    unit: Unit,
    width: u32,
    queries: Vec<(String, &'static str)>,
    /// From where it is yellow, and from where red; the other way round if red is lower.
    limits: Option<(f64, f64)>,
    maximum: Option<f64>,
}

/// Lines over time, a third of the width.
pub fn lines(title: &'static str, unit: Unit, about: &'static str) -> Panel {
    Panel {
        title,
        about,
        kind: Kind::Lines,
        unit,
        width: 8,
        queries: Vec::new(),
        limits: None,
        maximum: None,
    }
}

/// The latest figure, an eighth of the width.
pub fn figure(title: &'static str, unit: Unit, about: &'static str) -> Panel {
    Panel { kind: Kind::Figure, width: 3, ..lines(title, unit, about) }
}

impl Panel {
    /// Shows an expression; `$i` stands for the brokers that are chosen.
    pub fn query(mut self, expression: &str, legend: &'static str) -> Self {
        let expression = expression.replace("$i", "instance=~\"$instance\"");
        self.queries.push((expression, legend));
        self
    }

    /// The 50th, 99th and 99.9th percentile of a histogram.
    pub fn percentiles(self, metric: &str, labels: &str) -> Self {
        let of = |quantile: &str| {
            let matcher = if labels.is_empty() { "$i".to_owned() } else { format!("{labels}, $i") };
            format!(
                "histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket{{{matcher}}}[$__rate_interval])))"
            )
        };
        self.query(&of("0.5"), "p50").query(&of("0.99"), "p99").query(&of("0.999"), "p99.9")
    }

    /// Yellow from `warn` on, red from `bad` on; downwards if `bad` is lower.
    pub fn limits(mut self, warn: f64, bad: f64) -> Self {
        self.limits = Some((warn, bad));
        self
    }

    /// So many of the 24 columns.
    pub fn wide(mut self, columns: u32) -> Self {
        self.width = columns;
        self
    }

    /// The scale ends here.
    pub fn up_to(mut self, maximum: f64) -> Self {
        self.maximum = Some(maximum);
        self
    }

    fn height(&self) -> u32 {
        match self.kind {
            Kind::Lines => 8,
            Kind::Figure => 4,
        }
    }

    fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> = (0u8..)
            .zip(&self.queries)
            .map(|(number, (expression, legend))| {
                json!({
                    "refId": char::from(b'A' + number).to_string(),
                    "expr": expression,
                    "legendFormat": legend,
                })
            })
            .collect();
        let mut defaults = json!({
            "unit": self.unit.grafana(),
            "thresholds": {"mode": "absolute", "steps": self.steps()},
        });
        if !matches!(self.unit, Unit::Moment) {
            defaults["min"] = json!(0);
        }
        if let Some(maximum) = self.maximum {
            defaults["max"] = json!(maximum);
        }
        let (kind, options) = match self.kind {
            Kind::Lines => {
                defaults["custom"] = json!({
                    "fillOpacity": 8,
                    "lineWidth": 1,
                    "showPoints": "never",
                    "spanNulls": false,
                    "thresholdsStyle": {"mode": if self.limits.is_some() { "dashed" } else { "off" }},
                });
                (
                    "timeseries",
                    json!({
                        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                        "tooltip": {"mode": "multi", "sort": "desc"},
                    }),
                )
            }
            Kind::Figure => (
                "stat",
                json!({
                    "colorMode": "value",
                    "graphMode": "area",
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                    "textMode": "auto",
                }),
            ),
        };
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.about,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height()},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": targets,
        })
    }

    fn steps(&self) -> Value {
        let step = |color: &str, value: Option<f64>| json!({"color": color, "value": value});
        match self.limits {
            None => json!([step(GREEN, None)]),
            Some((warn, bad)) if bad >= warn => {
                json!([step(GREEN, None), step(YELLOW, Some(warn)), step(RED, Some(bad))])
            }
            Some((warn, bad)) => json!([step(RED, None), step(YELLOW, Some(bad)), step(GREEN, Some(warn))]),
        }
    }
}

impl Unit {
    /// Grafana's name of it.
    fn grafana(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::PerSecond => "ops",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::Seconds => "s",
            Self::Share => "percentunit",
            Self::Moment => "dateTimeFromNow",
        }
    }
}

impl Dashboard {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.json", self.name)
    }

    /// As Grafana takes it in.
    pub fn json(&self) -> String {
        let variable = |name: &str, rest: Value| {
            let mut variable = json!({"name": name, "type": "query", "refresh": 2, "hide": 0});
            for (key, value) in rest.as_object().into_iter().flatten() {
                variable[key] = value.clone();
            }
            variable
        };
        let datasource = variable(
            "datasource",
            json!({"type": "datasource", "query": "prometheus", "label": "Prometheus"}),
        );
        let instance = variable(
            "instance",
            json!({
                "label": "Broker",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "query": "label_values(wardline_build_info, instance)",
                "includeAll": true,
                "multi": true,
                "current": {"text": "All", "value": "$__all"},
            }),
        );
        let dashboard = json!({
            "uid": format!("wardline-{}", self.name),
            "title": format!("Wardline: {}", self.title),
            "description": self.about,
            "tags": ["wardline"],
            "timezone": "utc",
            "schemaVersion": 39,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "graphTooltip": 1,
            "links": [{"type": "dashboards", "title": "Wardline", "tags": ["wardline"], "asDropdown": true, "keepTime": true}],
            "templating": {"list": [datasource, instance]},
            "annotations": {"list": [restarts()]},
            "panels": self.panels(),
        });
        format!("{dashboard:#}\n")
    }

    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        for (title, row) in &self.rows {
            id += 1;
            panels.push(json!({
                "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in row {
                if x + panel.width > COLUMNS {
                    (x, y, height) = (0, y + height, 0);
                }
                id += 1;
                panels.push(panel.json(id, x, y));
                x += panel.width;
                height = height.max(panel.height());
            }
            y += height;
        }
        panels
    }
}

/// A line in every panel where a broker started.
fn restarts() -> Value {
    json!({
        "name": "Broker started",
        "enable": true,
        "iconColor": "blue",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": "changes(process_start_time_seconds{job=\"wardline\"}[$__interval]) > 0",
        "titleFormat": "{{instance}} started",
    })
}
