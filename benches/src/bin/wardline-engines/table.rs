//! The table: a line for each figure, a column for each engine, medians.

use std::fmt::Write as _;

use serde_json::Value;

use crate::options::Sizes;
use crate::turn::Turn;

/// A line of the table: what it is, where it stands in what a turn told, and how it is written.
struct Line {
    name: String,
    pointer: String,
    write: fn(f64) -> String,
}

/// Renders it, with what it was measured on.
pub(crate) fn render(engines: &[&str], turns: &[Turn], rounds: u32, sizes: &Sizes, machine: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "| median of {rounds} | {} |", engines.join(" | "));
    let _ = writeln!(out, "|---|{}", "---:|".repeat(engines.len()));
    for line in lines(sizes) {
        let cells = engines.iter().map(|engine| {
            let of_engine = turns.iter().filter(|turn| turn.engine == *engine);
            let values =
                of_engine.filter_map(|turn| turn.figures.pointer(&line.pointer).and_then(Value::as_f64));
            median(values.collect()).map_or("-".to_owned(), line.write)
        });
        let _ = writeln!(out, "| {} | {} |", line.name, cells.collect::<Vec<_>>().join(" | "));
    }
    let _ = writeln!(out, "\n{machine}");
    out
}

fn lines(sizes: &Sizes) -> Vec<Line> {
    let line = |name: String, pointer: String, write| Line { name, pointer, write };
    let mut lines = Vec::new();
    for group in &sizes.groups {
        let name = format!("commits of {group}, messages/s");
        lines.push(line(name, format!("/commit_{group}_per_s"), count));
    }
    for group in &sizes.groups {
        let name = format!("commits of {group}, bytes written a message");
        lines.push(line(name, format!("/commit_{group}_bytes"), count));
    }
    let (messages, page) = (sizes.messages, sizes.page);
    let more = [
        (
            format!("pages of {page} out of {messages} messages, pages/s"),
            "/pages_per_s",
            count as fn(f64) -> String,
        ),
        ("store with all of these, MiB".to_owned(), "/store_bytes", mib),
        (format!("reclaim of half of {messages} messages, s"), "/reclaim/seconds", fraction),
        ("its memory, MiB more than before".to_owned(), "/reclaim/memory_bytes", mib),
        ("worst commit beside it, ms".to_owned(), "/reclaim/worst_commit_ms", fraction),
        ("opened after a kill, s".to_owned(), "/reopen/open_s", fraction),
        ("and read and committed, s".to_owned(), "/reopen/ready_s", fraction),
    ];
    lines.extend(more.into_iter().map(|(name, pointer, write)| line(name, pointer.to_owned(), write)));
    lines
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A whole number, its thousands apart.
fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mib(bytes: f64) -> String {
    format!("{:.0}", bytes / 1_048_576.0)
}

fn fraction(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
