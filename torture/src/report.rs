//! What came of the programmes: lines and a table for people, and `report.json` with everything
//! that was wrong.
//!
//! Owns the words; what is wrong is decided elsewhere.

use std::fmt::Write as _;
use std::path::Path;

use crate::oracle::Law;
use crate::programme::Outcome;
use anyhow::Context as _;
use serde_json::{Value, json};

/// One line for each programme, and one for each thing that was wrong.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "  {:<10}{:>7}{:>8}{:>9}{:>9}{:>9}{:>10}{:>11}",
        "", "cycles", "s", "acked", "refused", "unknown", "(found)", "read back"
    );
    for law in Law::ALL {
        let _ = write!(table, "{:>15}", law.broken());
    }
    table.push('\n');
    for outcome in outcomes {
        let tally = outcome.tally;
        let _ = write!(
            table,
            "  {:<10}{:>7}{:>8.0}{:>9}{:>9}{:>9}{:>10}{:>11}",
            outcome.name,
            outcome.cycles,
            outcome.took.as_secs_f64(),
            tally.acked,
            tally.refused,
            tally.unknown,
            tally.unknown_found,
            tally.entries_read
        );
        for law in Law::ALL {
            let _ = write!(table, "{:>15}", broken(outcome, law));
        }
        table.push('\n');
        for (name, count) in &outcome.figures {
            let _ = writeln!(table, "      {name}: {count}");
        }
        for objection in outcome.objections.iter().take(5) {
            let _ = writeln!(table, "      {objection}");
        }
        for trouble in outcome.troubles.iter().take(5) {
            let _ = writeln!(table, "      trouble: {trouble}");
        }
    }
    table
}

/// Writes everything to a file.
pub fn write(path: &Path, seed: u64, journals: &str, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let programmes: Vec<Value> = outcomes.iter().map(programme).collect();
    let report = json!({
        "seed": seed,
        "command": std::env::args_os().skip(1).collect::<Vec<_>>().join(" ".as_ref()).to_string_lossy(),
        "journals_on": journals,
        "passed": outcomes.iter().all(Outcome::is_good),
        "programmes": programmes,
    });
    std::fs::write(path, format!("{report:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

fn programme(outcome: &Outcome) -> Value {
    let tally = outcome.tally;
    let laws: serde_json::Map<_, _> =
        Law::ALL.iter().map(|law| (law.broken().to_owned(), json!(broken(outcome, *law)))).collect();
    let figures: serde_json::Map<_, _> =
        outcome.figures.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    json!({
        "name": outcome.name,
        "cycles": outcome.cycles,
        "seconds": outcome.took.as_secs_f64(),
        "invoked": tally.invoked,
        "acked": tally.acked,
        "refused": tally.refused,
        "unknown": tally.unknown,
        "unknown_found": tally.unknown_found,
        "ends": tally.kills,
        "readings": tally.readings,
        "entries_read": tally.entries_read,
        "deliveries": tally.deliveries,
        "receipts": tally.receipts,
        "controls": tally.controls,
        "revocations": tally.revocations,
        "broken": laws,
        "figures": figures,
        "objections": outcome.objections.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "troubles": outcome.troubles,
    })
}

fn broken(outcome: &Outcome, law: Law) -> usize {
    outcome.objections.iter().filter(|objection| objection.law == law).count()
}

/// Prints a line for people.
#[allow(clippy::print_stderr)] // the one place where this program talks to people
pub fn say(line: &str) {
    eprintln!("{line}");
}
