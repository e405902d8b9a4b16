//! The closing tables of chores, from their summaries.
//!
//! Shows what is in `summary.json` and computes nothing, so that the two cannot differ. A number
//! that is not there shows as a dash.

use std::fmt::Write;

use serde_json::Value;

/// The demo's table.
pub fn demo(summary: &Value) -> String {
    let mut table = String::new();
    let recovery = &summary["recovery"];
    row(&mut table, "people (of them away for a time)", &[&summary["people"], &summary["people_away"]]);
    row(&mut table, "messages, acknowledged", &[&summary["messages"], &summary["acked"]]);
    row(&mut table, "for somebody who was away", &[&summary["to_absent"]]);
    row(
        &mut table,
        "lost, duplicated, reordered, foreign",
        &pick(summary, &["lost", "duplicated", "reordered", "foreign"]),
    );
    row(
        &mut table,
        "receipts missing, gone back",
        &pick(summary, &["receipts_missing", "receipts_regressed"]),
    );
    row(&mut table, "kills, messages in flight", &[&summary["kills"], &recovery["in_flight_at_kill"]]);
    row(&mut table, "kill to ready, ms (1 s of it a pause)", &[&recovery["kill_to_ready_ms"]]);
    row(&mut table, "kill to first ack, ms", &[&recovery["kill_to_first_ack_ms"]]);
    row(&mut table, "kill to last client back, ms", &[&recovery["kill_to_last_reconnect_ms"]]);
    let _ = writeln!(table, "  {:<44}{:>12}{:>12}{:>12}{:>12}", "latency, ms", "p50", "p99", "p99.9", "max");
    for (name, key) in [("publish to ack", "publish_ack"), ("publish to deliver", "publish_to_deliver")] {
        for (part, part_name) in [("steady", "away from the kill"), ("all", "all")] {
            let latency = &summary[key][part];
            let name = format!("{name}, {part_name}");
            row(&mut table, &name, &pick(latency, &["p50_ms", "p99_ms", "p999_ms", "max_ms"]));
        }
    }
    let times = [&summary["replay_s"], &summary["check_s"], &summary["duration_s"]];
    row(&mut table, "replay, check, all of it, s", &times);
    table
}

fn pick<'a>(object: &'a Value, keys: &[&str]) -> Vec<&'a Value> {
    keys.iter().map(|key| &object[*key]).collect()
}

/// A line: a name and its values.
pub(crate) fn row(table: &mut String, name: &str, values: &[&Value]) {
    let _ = write!(table, "  {name:<44}");
    for value in values {
        let text = match (value.as_u64(), value.as_f64()) {
            (Some(count), _) => count.to_string(),
            (None, Some(number)) => format!("{number:.1}"),
            (None, None) => value.as_str().unwrap_or("-").to_owned(),
        };
        let _ = write!(table, "{text:>12}");
    }
    table.push('\n');
}
