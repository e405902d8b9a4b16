//! Recording and alerting rules: checked by `promtool`, each alert with a case that fires and one
//! that is silent.
//!
//! Reads the files as text, a line at a time: they are written so, and a test of this would see
//! otherwise. In a running Prometheus every rule must be evaluated, and every metric that it names
//! must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::prometheus::Prometheus;
use crate::say;

/// What `promtool` is asked, in `grafana/`.
const CHECKS: [&[&str]; 3] = [
    &["check", "config", "prometheus.yml"],
    &["check", "rules", "rules/recording.yml", "rules/alerts.yml", "rules/bridge.yml"],
    &["test", "rules", "rules/alerts.test.yml", "rules/bridge.test.yml"],
];

/// Has `promtool` check configuration, rules and their tests, and counts the tests; whether all is
/// right.
///
/// # Errors
/// If it cannot be run.
pub fn check(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("grafana");
    let mut is_right = true;
    for arguments in CHECKS {
        let output = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let output = output.context("cannot run promtool")?;
        if !output.status.success() {
            say(&format!("promtool {}: FAILED", arguments.join(" ")));
            say(&String::from_utf8_lossy(&output.stdout));
            say(&String::from_utf8_lossy(&output.stderr));
            is_right = false;
        }
    }
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read grafana/{name}"))
    };
    let alerts = alerts(&(read("rules/alerts.yml")? + &read("rules/bridge.yml")?));
    let untested = untested(&alerts, &(read("rules/alerts.test.yml")? + &read("rules/bridge.test.yml")?));
    say(&format!(
        "alerts: {} rules, {} with a case that fires and one that is silent",
        alerts.len(),
        alerts.len() - untested.len()
    ));
    for alert in &untested {
        say(&format!("  {alert} has no such test beside its rules in grafana/rules"));
    }
    Ok(is_right && untested.is_empty())
}

/// The names of the alerts in a file of rules.
pub fn alerts(rules: &str) -> BTreeSet<String> {
    let named = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    named.map(|name| name.trim().to_owned()).collect()
}

/// Those that have no test with an instance that fires and one that is silent.
pub fn untested(alerts: &BTreeSet<String>, tests: &str) -> BTreeSet<String> {
    let is_test_of = |test: &str, alert: &str| {
        let asked = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        test.contains(&asked)
            && ["fires", "silent"].iter().all(|one| test.contains(&format!("{{instance=\"{one}\"")))
            && test.contains("labels: '{instance=\"fires\"}'")
            && !test.contains("labels: '{instance=\"silent\"}'")
    };
    let tests: Vec<&str> = tests.split("\n  - name:").skip(1).collect();
    let is_untested = |alert: &&String| !tests.iter().any(|test| is_test_of(test, alert));
    alerts.iter().filter(is_untested).cloned().collect()
}

/// Tells how the alerts stand in a running Prometheus; whether every rule was evaluated.
///
/// # Errors
/// If Prometheus does not answer.
pub fn tell_alerts(prometheus: &Prometheus) -> anyhow::Result<bool> {
    let rules = prometheus.alerts()?;
    let name = |rule: &serde_json::Value| rule["name"].as_str().unwrap_or_default().to_owned();
    let bad: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok").map(name).collect();
    let firing: Vec<_> = rules.iter().filter(|rule| rule["state"] == "firing").map(name).collect();
    let mut empty = Vec::new();
    for rule in &rules {
        for metric in metrics(rule["query"].as_str().unwrap_or_default()) {
            if !prometheus.has_data(&format!("count({metric})"))? {
                empty.push(format!("{}: nothing has the metric {metric}", name(rule)));
            }
        }
    }
    say(&format!(
        "alerts: {} rules, {} evaluated, {} firing{}",
        rules.len(),
        rules.len() - bad.len(),
        firing.len(),
        if firing.is_empty() { String::new() } else { format!(": {}", firing.join(", ")) }
    ));
    for trouble in bad.iter().map(|rule| format!("{rule}: not evaluated")).chain(empty.iter().cloned()) {
        say(&format!("  {trouble}"));
    }
    Ok(bad.is_empty() && empty.is_empty() && !rules.is_empty())
}

/// The names of metrics in an expression: the broker's, the process's, those of recording rules.
pub fn metrics(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let words = expression.split(|c: char| !is_part(c));
    let is_metric = |word: &&str| {
        word.starts_with("wardline_")
            || word.starts_with("process_")
            || word.contains(":wardline_")
            || *word == "up"
    };
    words.filter(is_metric).map(str::to_owned).collect()
}
