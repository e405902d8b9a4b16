//! Markdown has one sentence a line, so that a change of one sentence is a change of one line.
//!
//! A sentence may take several lines; none begins behind the end of another. An end is `.`, `!` or
//! `?` before a space, with a capital letter or code behind it; abbreviations end nothing. Tables
//! and blocks of code are left alone.

use super::finding::Finding;
use super::source::Source;

/// Words whose full stop ends no sentence.
const ABBREVIATIONS: &[&str] =
    &["e.g", "i.e", "etc", "cf", "vs", "ca", "No", "Nr", "Fig", "Dr", "Mr", "Mrs", "St"];
/// What may stand between a full stop and the space, or between the space and the first letter.
const QUOTES: &[char] = &['"', '\'', '(', ')', '[', ']', '*', '_', '“', '”', '‘', '’'];
/// Stands for a span of code.
const CODE: char = '\u{1}';

/// Looks for lines with more than one sentence.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    if !source.is_markdown() {
        return;
    }
    let is_table = |line: &str| line.trim_start().starts_with('|');
    for (number, line) in unfenced(&source.text).filter(|(_, line)| !is_table(line)) {
        if let Some(second) = second_sentence(line) {
            let begin: String = second.chars().take(24).map(|c| if c == CODE { '`' } else { c }).collect();
            let text = format!("a second sentence begins in this line: break it before \"{begin}\"");
            findings.push(Finding { path: source.path.clone(), line: number + 1, text });
        }
    }
}

/// The lines that stand in no block of code, with their numbers from 0.
pub(super) fn unfenced(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter(move |(_, line)| {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                return false;
            }
            _ => {}
        }
        fence.is_none()
    })
}

/// Where in a line the second of its sentences begins.
fn second_sentence(line: &str) -> Option<String> {
    let chars = without_code(without_mark(line));
    let at = (0..chars.len()).find(|at| ends(&chars, *at))?;
    let begin = (at..chars.len()).find(|at| begins(chars[*at]))?;
    Some(chars[begin..].iter().collect())
}

/// Whether a sentence ends here and another one begins behind it.
fn ends(chars: &[char], at: usize) -> bool {
    if !matches!(chars[at], '.' | '!' | '?') {
        return false;
    }
    let rest = &chars[at + 1..];
    let closed = rest.iter().take_while(|c| QUOTES.contains(c)).count();
    let spaces = rest[closed..].iter().take_while(|c| c.is_whitespace()).count();
    let opened = rest[closed + spaces..].iter().take_while(|c| QUOTES.contains(c)).count();
    spaces > 0
        && rest.get(closed + spaces + opened).is_some_and(|c| begins(*c))
        && !(chars[at] == '.' && is_abbreviation(&chars[..at]))
}

fn begins(c: char) -> bool {
    c.is_uppercase() || c == CODE
}

/// Whether what stands before a full stop is an abbreviation or an initial.
fn is_abbreviation(before: &[char]) -> bool {
    let word = before.iter().rev().take_while(|c| c.is_alphanumeric() || **c == '.').count();
    let word: String = before[before.len() - word..].iter().collect();
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    is_initial || ABBREVIATIONS.contains(&word.as_str())
}

/// The line without what makes it an item of a list, a numbered heading or a quotation.
fn without_mark(line: &str) -> &str {
    let line = line.trim_start().trim_start_matches(['-', '*', '>', '#']).trim_start();
    let behind = line.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.strip_prefix(". ").filter(|_| behind.len() < line.len()).unwrap_or(line)
}

/// The characters of a line, with one for each span of code.
fn without_code(line: &str) -> Vec<char> {
    let mut chars = Vec::new();
    for (number, part) in line.split('`').enumerate() {
        if number % 2 == 0 {
            chars.extend(part.chars());
        } else {
            chars.push(CODE);
        }
    }
    chars
}
