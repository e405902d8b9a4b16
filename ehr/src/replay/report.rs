//! What came of all messages: a table, or JSON.
//!
//! The two say the same, but for long lists, which the table cuts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::hl7::flaw::Flaw;
use crate::hl7::header::Kind;
use crate::hl7::read::{Read, Reading};
use crate::record::What;

/// Most refusals that are listed one by one in the table; JSON has all.
const LISTED_MAX: usize = 200;

/// What came of it.
#[derive(Default)]
pub(super) struct Report {
    kinds: BTreeMap<String, Counts>,
    refusals: Vec<Refusal>,
    others: Vec<NotHl7>,
    /// Reports of results, and how many of them were critical.
    reports: (u64, u64),
    /// Whether something could not be read.
    has_unread: bool,
}

/// Of one type of message.
#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    accepted: u64,
    ignored: u64,
    refused: u64,
}

/// A message that is not taken.
#[derive(Serialize)]
struct Refusal {
    file: String,
    /// Which of the file's messages, from 1 on.
    message: usize,
    kind: String,
    /// Of HL7 table 0357.
    code: u16,
    reason: String,
    /// Where in the message.
    at: String,
    /// Of HL7 v2.5.1.
    section: String,
}

/// A file that is none of ours.
#[derive(Serialize)]
struct NotHl7 {
    file: String,
    why: &'static str,
}

/// All of it, for other programs.
#[derive(Serialize)]
struct Json<'r> {
    messages: u64,
    accepted: u64,
    ignored: u64,
    refused: u64,
    reports: u64,
    critical_reports: u64,
    kinds: &'r BTreeMap<String, Counts>,
    refusals: &'r [Refusal],
    not_hl7: &'r [NotHl7],
}

impl Report {
    /// Counts a message that was read.
    pub(super) fn message(&mut self, file: &str, number: usize, read: Read) {
        let flaw = match read.outcome {
            Ok(Reading::Event(event)) => {
                self.results(&event.what);
                self.counts(read.kind).accepted += 1;
                return;
            }
            Ok(Reading::Ignored | Reading::Acknowledgement) => {
                self.counts(read.kind).ignored += 1;
                return;
            }
            Err(flaw) => flaw,
        };
        self.refused(file, number, read.kind, &flaw);
    }

    /// Counts one that is not taken.
    pub(super) fn refused(&mut self, file: &str, number: usize, kind: Option<Kind>, flaw: &Flaw) {
        self.counts(kind).refused += 1;
        self.refusals.push(Refusal {
            file: printable(file),
            message: number,
            kind: label(kind),
            code: flaw.reason.code().number(),
            reason: flaw.reason.to_string(),
            at: flaw.at.to_string(),
            section: flaw.section(),
        });
    }

    /// Notes a file that has no message.
    pub(super) fn not_hl7(&mut self, file: &str, why: &'static str, is_unread: bool) {
        self.others.push(NotHl7 { file: printable(file), why });
        self.has_unread |= is_unread;
    }

    /// How many messages there were.
    pub(super) fn messages(&self) -> u64 {
        self.kinds.values().map(|counts| counts.accepted + counts.ignored + counts.refused).sum()
    }

    /// Whether nothing was refused, and everything could be read.
    pub(super) fn is_right(&self) -> bool {
        self.refusals.is_empty() && !self.has_unread
    }

    fn counts(&mut self, kind: Option<Kind>) -> &mut Counts {
        self.kinds.entry(label(kind)).or_default()
    }

    fn results(&mut self, what: &What) {
        let What::Results(results) = what else { return };
        for report in results.iter().flat_map(|results| &results.reports) {
            self.reports.0 += 1;
            self.reports.1 += u64::from(report.is_critical);
        }
    }

    fn all(&self) -> Counts {
        let mut all = Counts::default();
        for counts in self.kinds.values() {
            all.accepted += counts.accepted;
            all.ignored += counts.ignored;
            all.refused += counts.refused;
        }
        all
    }

    /// One JSON object.
    pub(super) fn json(&self) -> String {
        let Counts { accepted, ignored, refused } = self.all();
        let json = Json {
            messages: accepted + ignored + refused,
            accepted,
            ignored,
            refused,
            reports: self.reports.0,
            critical_reports: self.reports.1,
            kinds: &self.kinds,
            refusals: &self.refusals,
            not_hl7: &self.others,
        };
        let text = serde_json::to_string_pretty(&json).expect("names and numbers are JSON");
        format!("{text}\n")
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = format!("{:<16}{:>10}{:>10}{:>10}\n", "type", "accepted", "ignored", "refused");
        let mut row = |name: &str, counts: Counts| {
            let Counts { accepted, ignored, refused } = counts;
            let _ = writeln!(table, "{name:<16}{accepted:>10}{ignored:>10}{refused:>10}");
        };
        self.kinds.iter().for_each(|(kind, counts)| row(kind, *counts));
        row("all", self.all());
        if self.reports.0 > 0 {
            let _ =
                writeln!(table, "\nresults: {} reports, {} of them critical", self.reports.0, self.reports.1);
        }
        self.table_of_refusals(&mut table);
        if !self.others.is_empty() {
            table.push_str("\nnot HL7, or not read:\n");
        }
        for other in self.others.iter().take(LISTED_MAX) {
            let _ = writeln!(table, "  {}: {}", other.file, other.why);
        }
        more(&mut table, self.others.len());
        table
    }

    fn table_of_refusals(&self, table: &mut String) {
        if self.refusals.is_empty() {
            return;
        }
        table.push_str("\nrefused, with the section of HL7 v2.5.1 in which the rule stands:\n");
        for refusal in self.refusals.iter().take(LISTED_MAX) {
            let Refusal { file, message, kind, code, reason, at, section } = refusal;
            let _ = writeln!(table, "  {file}, message {message}, {kind}, {at}:");
            let _ = writeln!(table, "    {code} {reason} ({section})");
        }
        more(table, self.refusals.len());
    }
}

fn more(table: &mut String, count: usize) {
    if count > LISTED_MAX {
        let _ = writeln!(table, "  and {} more; --json lists all", count - LISTED_MAX);
    }
}

fn label(kind: Option<Kind>) -> String {
    kind.map_or_else(|| "unreadable".to_owned(), |kind| kind.to_string())
}

/// A file's name cannot move the cursor.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}
