//! Three faults, made for real: readers that stall, a broker that is killed, a disk that is nearly
//! full. After each the right alert must fire, through broker, scrape and rule.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::prometheus::Prometheus;
use super::scene::{load, start_broker};
use crate::broker::Broker;
use crate::cargo::Programs;
use crate::process::Children;
use crate::say;

/// Longest time from the fault until its alert fires: the longest `for` of the three, and what it
/// takes for the readers' windows to fill.
const PATIENCE: Duration = Duration::from_secs(90);

/// A third of the readers stop reading, of a department that gets more than their windows hold.
const STALLING: &str = r#"
about = "a third of the readers stop"
source = "made for this check"
people = 60
rate = 100
warmup = "1s"
duration = "5m"

[[audience]]
name = "department"
kind = "group"
conversations = 1
members = [60, 60]

[[traffic]]
name = "publish"
to = { department = 1.0 }
share = 1.0
payload_bytes = 4096
publishers = "one"

[slow]
share = 0.33
from = "1s"
for = "5m"
"#;

/// Makes them, one after the other, and waits for the alerts; whether all fired.
///
/// # Errors
/// If one could not be made.
pub(super) fn run(
    programs: &Programs,
    broker: Broker,
    prometheus: &Prometheus,
    folder: &Path,
    children: &Children,
) -> anyhow::Result<bool> {
    let workload = folder.join("stalling.toml");
    fs::write(&workload, STALLING).with_context(|| format!("cannot write {}", workload.display()))?;
    let stalling = load(programs, &broker, folder, &workload.to_string_lossy(), &[], children)?;
    let mut fired = tell(prometheus, "readers stalled", "WardlineReadersStalled");
    drop(stalling);

    let http = broker.http.context("the broker serves no pages")?;
    broker.kill();
    fired &= tell(prometheus, "broker killed", "WardlineDown");
    drop(broker);

    // No disk has that much free.
    let broker = start_broker(programs, folder, http, &["--set", "storage.reserve=1024GiB"], children)?;
    fired &= tell(prometheus, "disk nearly full", "WardlineDiskFull");
    broker.stop()?;
    Ok(fired)
}

fn tell(prometheus: &Prometheus, fault: &str, alert: &str) -> bool {
    match prometheus.wait_for_alert(alert, PATIENCE) {
        Ok(after) => {
            say(&format!("fault: {fault}: {alert} fired after {:.0} s", after.as_secs_f64()));
            true
        }
        Err(error) => {
            say(&format!("fault: {fault}: {error:#}"));
            false
        }
    }
}
