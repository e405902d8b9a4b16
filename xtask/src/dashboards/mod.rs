//! `cargo xtask dashboards`: Grafana's dashboards, written down in Rust and put into
//! `grafana/dashboards/` as JSON.
//!
//! A panel here is a few lines that say what it shows; layout, data source and colours are the same
//! for all and stand in [`panel`]. In an expression `$i` stands for the brokers that are chosen at
//! the top. A test checks that the JSON in the repository is what this makes;
//! [`observe`](crate::observe) runs every query of that JSON.

pub mod bridge;
mod clients;
mod delivery;
pub mod engines;
mod load;
mod overview;
pub mod panel;
mod storage;

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use panel::Dashboard;

/// All dashboards, in the order in which one looks at them.
pub fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        delivery::dashboard(),
        storage::dashboard(),
        engines::rocksdb(),
        engines::redb(),
        clients::dashboard(),
        bridge::dashboard(),
        load::dashboard(),
    ]
}

/// A query of a dashboard's JSON, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// The expression, with Grafana's variables.
    pub expression: String,
}

/// Writes them.
///
/// # Errors
/// If a file cannot be written.
pub fn write(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("grafana/dashboards");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for dashboard in all() {
        let path = folder.join(dashboard.file());
        fs::write(&path, dashboard.json()).with_context(|| format!("cannot write {}", path.display()))?;
        crate::say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Every query of a dashboard, as it stands in the JSON.
pub fn queries(json: &Value) -> Vec<Query> {
    let panels = json["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default();
        panel["targets"].as_array().into_iter().flatten().map(move |target| (title, target))
    });
    targets
        .map(|(title, target)| Query {
            panel: title.to_owned(),
            expression: target["expr"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}
