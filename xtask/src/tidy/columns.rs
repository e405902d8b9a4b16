//! Prose keeps to 100 columns: Markdown, tables included, and comments in any language.
//!
//! So that it can be read in any editor, beside a diff, on a terminal. Code is rustfmt's business.
//! A line that is an address and nothing else is as long as the address.

use super::finding::Finding;
use super::source::Source;

/// Most columns of a line of prose.
pub const COLUMNS_MAX: usize = 100;

/// Looks for lines that are too long.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    let prose = if source.is_markdown() { &source.text } else { &source.comments };
    for (number, (prose, line)) in prose.lines().zip(source.text.lines()).enumerate() {
        let columns = prose.trim_end().chars().count();
        if columns > COLUMNS_MAX && !is_address(line) {
            let what = if source.is_markdown() { "line" } else { "comment" };
            let text = format!("the {what} has {columns} columns, at most {COLUMNS_MAX}: break it");
            findings.push(Finding { path: source.path.clone(), line: number + 1, text });
        }
    }
}

/// Whether a line has one word that is an address, beside what marks a list, a quotation, a comment
/// or a reference.
fn is_address(line: &str) -> bool {
    let is_mark = |word: &&str| {
        matches!(*word, "-" | "*" | ">" | "#") || word.starts_with("//") || word.ends_with("]:")
    };
    let mut words = line.split_whitespace().skip_while(is_mark);
    words.next().is_some_and(|word| word.contains("://")) && words.next().is_none()
}
