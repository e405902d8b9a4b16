//! A Prometheus of the chore's own: started with the repository's rules, asked over HTTP, ended
//! with the chore.
//!
//! Looks at the broker and the load generator every second. It is ready when it has seen the broker
//! once, since what happens before the first scrape is in no rate.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::draw::{self, Line};
use crate::process::{Children, Running};

/// Longest start.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// How far back drawings go.
pub(super) const SHOWN: Duration = Duration::from_secs(120);
/// Longest answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Prometheus.
pub struct Prometheus {
    address: SocketAddr,
    _process: Running,
}

/// A port that nobody has now.
///
/// # Errors
/// If there is none.
pub(super) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?)
}

impl Prometheus {
    /// Starts one that looks at the broker and the load generator every second.
    ///
    /// # Errors
    /// If it does not become ready; its log says why.
    pub fn start(
        root: &Path,
        folder: &Path,
        broker: SocketAddr,
        generator: SocketAddr,
        children: &Children,
    ) -> anyhow::Result<Self> {
        let rules = root.join("grafana/rules");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{0}/recording.yml\", \"{0}/alerts.yml\"]\n\
             scrape_configs:\n\
             - job_name: wardline\n  static_configs: [{{ targets: [\"{broker}\"] }}]\n\
             - job_name: wardline-loadgen\n  static_configs: [{{ targets: [\"{generator}\"] }}]\n",
            rules.display()
        );
        let path = folder.join("prometheus.yml");
        fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))?;
        let address = free_port()?;
        let log = folder.join("prometheus.log");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let started = Self { address, _process: children.spawn(&mut command)? };
        let deadline = Instant::now() + READY_DEADLINE;
        // What happens before the first scrape is in no rate.
        while !started.has_data("up{job=\"wardline\"} == 1").is_ok_and(|is_up| is_up) {
            ensure!(
                Instant::now() < deadline,
                "Prometheus does not see the broker; its log is {}",
                log.display()
            );
            sleep(POLL);
        }
        Ok(started)
    }

    /// Whether an expression has a value now that is a number.
    ///
    /// # Errors
    /// If Prometheus does not understand it.
    pub fn has_data(&self, expression: &str) -> anyhow::Result<bool> {
        let answer = self.query(expression)?;
        let values = answer["data"]["result"].as_array().into_iter().flatten();
        Ok(values.filter_map(|series| series["value"][1].as_str()).any(|value| value != "NaN"))
    }

    /// Asks an expression, as of now.
    ///
    /// # Errors
    /// If Prometheus does not understand it.
    pub fn query(&self, expression: &str) -> anyhow::Result<Value> {
        self.api("/api/v1/query", &[("query", expression)]).with_context(|| format!("the query {expression}"))
    }

    /// The last minutes, in Unix times in seconds.
    pub(super) fn shown() -> (u64, u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        (now - SHOWN.as_secs(), now)
    }

    /// Asks an expression over a span of Unix times in seconds; a line for each series.
    ///
    /// # Errors
    /// If Prometheus does not understand it.
    pub(super) fn range(
        &self,
        expression: &str,
        legend: &str,
        (start, end): (u64, u64),
    ) -> anyhow::Result<Vec<Line>> {
        let (start, end) = (start.to_string(), end.to_string());
        let arguments = [("query", expression), ("start", &start), ("end", &end), ("step", "2")];
        let answer = self.api("/api/v1/query_range", &arguments)?;
        let mut lines = Vec::new();
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            let labels: BTreeMap<String, String> =
                serde_json::from_value(series["metric"].clone()).unwrap_or_default();
            let values = series["values"].as_array().into_iter().flatten();
            let points = values.filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?)));
            let points = points.filter(|(_, value): &(f64, f64)| value.is_finite()).collect();
            lines.push(Line { legend: draw::legend(legend, &labels), points });
        }
        Ok(lines)
    }

    /// The alerting rules, and how they stand.
    ///
    /// # Errors
    /// If Prometheus does not answer.
    pub fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.api("/api/v1/rules", &[("type", "alert")])?;
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        Ok(groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).cloned().collect())
    }

    /// Waits until an alert fires; how long that took.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn wait_for_alert(&self, name: &str, deadline: Duration) -> anyhow::Result<Duration> {
        let (began, expression) =
            (Instant::now(), format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}"));
        while began.elapsed() < deadline {
            if self.has_data(&expression)? {
                return Ok(began.elapsed());
            }
            sleep(POLL);
        }
        bail!("{name} does not fire within {} s", deadline.as_secs())
    }

    fn api(&self, path: &str, arguments: &[(&str, &str)]) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_str(&self.fetch(path, arguments)?).context("not JSON")?;
        ensure!(answer["status"] == "success", "Prometheus says: {}", answer["error"]);
        Ok(answer)
    }

    fn fetch(&self, path: &str, arguments: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut request = ureq::get(format!("http://{}{path}", self.address))
            .config()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        for (name, value) in arguments {
            request = request.query(*name, *value);
        }
        let mut response = request.call()?;
        let (status, text) = (response.status(), response.body_mut().read_to_string()?);
        // A refused query is told in the text.
        ensure!(status.is_success() || text.starts_with('{'), "{status}: {text}");
        Ok(text)
    }
}
