//! Rules about one file at a time.
//!
//! Header: every Rust file opens with `//!` lines, at most 14; at least 3 unless it is short, a
//! test or a build script, which say what they are for in 1. Length: 800 lines are the ceiling;
//! over 500 need a reason in [`REASONS`], and a reason that is no longer needed is a finding too.
//! Words: what marks unfinished code, hides warnings or makes a queue unbounded. Names: a module
//! says what it holds. Events: what the broker logs has a code. Paths: nobody's machine.

use super::finding::Finding;
use super::source::{Source, is_word};

/// Lines from which on a header must have three lines.
pub const SHORT_LINES: usize = 100;
/// Lines over which a file needs a reason.
pub const LONG_LINES: usize = 500;
/// Lines over which no reason helps.
pub const LINES_MAX: usize = 800;
/// Most lines of a header.
pub const HEADER_LINES_MAX: usize = 14;

/// Why these files are longer than [`LONG_LINES`].
pub const REASONS: &[(&str, &str)] = &[];

/// Words that must not stand in code.
const CODE_WORDS: &[(&str, &str)] = &[
    ("todo!", "unfinished"),
    ("unimplemented!", "unfinished"),
    ("dbg!", "left over from debugging"),
    ("unbounded_channel", "every queue has a bound"),
    ("mpsc::channel()", "unbounded; use sync_channel or a bounded channel"),
    ("static mut", "no global state"),
    ("#[ignore", "a test that does not run proves nothing"),
    ("allow(dead_code", "remove what nobody uses"),
    ("expect(dead_code", "remove what nobody uses"),
    ("allow(unused", "remove what nobody uses"),
    ("allow(warnings", "warnings are errors"),
];

/// Words that must not stand in code or comments.
const MARKERS: &[(&str, &str)] = &[
    ("FIXME", "fix it, or write an issue"),
    ("XXX", "fix it, or write an issue"),
    ("TODO", "do it, or write an issue"),
];

/// Names that say nothing about what is in a module.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers", "misc"];

/// Where events have codes.
const EVENT_SOURCES: &[&str] = &["broker/src/", "ehr/src/", "storage/src/", "storage/rocksdb/src/"];

/// Where somebody's machine begins.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/tmp/", "/work/", "/Users/"];

/// Applies all rules of this module to a file.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    if source.is_rust() {
        header(source, findings);
        length(source, findings);
        words(source, findings);
        names(source, findings);
        events(source, findings);
    }
    paths(source, findings);
}

/// Checks that every reason for a long file is still needed.
pub fn check_reasons(sources: &[Source], findings: &mut Vec<Finding>) {
    for (path, _) in REASONS {
        if !sources.iter().any(|source| source.path == *path && source.text.lines().count() > LONG_LINES) {
            let text =
                format!("has a reason in xtask/src/tidy/rules.rs to be over {LONG_LINES} lines, and is not");
            findings.push(Finding { path: (*path).into(), line: 0, text });
        }
    }
}

fn header(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    let is_short = source.text.lines().count() < SHORT_LINES;
    let least = if is_short || source.is_test() || source.stem() == "build" { 1 } else { 3 };
    if lines < least || lines > HEADER_LINES_MAX {
        let text = format!(
            "the header has {lines} lines of `//!`, must have {least} to {HEADER_LINES_MAX}: what the file owns, \
             what it never does, its invariants"
        );
        findings.push(Finding::file(source, text));
    }
}

fn length(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    let has_reason = REASONS.iter().any(|(path, _)| *path == source.path);
    if lines > LINES_MAX {
        findings.push(Finding::file(source, format!("{lines} lines, at most {LINES_MAX}: split it")));
    } else if lines > LONG_LINES && !has_reason {
        let text = format!("{lines} lines: split it, or give the reason in xtask/src/tidy/rules.rs");
        findings.push(Finding::file(source, text));
    }
}

fn words(source: &Source, findings: &mut Vec<Finding>) {
    for (word, why) in CODE_WORDS {
        for (byte, _) in source.code.match_indices(word) {
            findings.push(Finding::at(source, &source.code, byte, format!("`{word}`: {why}")));
        }
    }
    for view in [&source.code, &source.comments] {
        for (word, why) in MARKERS {
            for (byte, _) in view.match_indices(word).filter(|(byte, _)| is_word(view, *byte, word)) {
                findings.push(Finding::at(source, view, byte, format!("`{word}`: {why}")));
            }
        }
    }
}

fn names(source: &Source, findings: &mut Vec<Finding>) {
    let stem = source.stem();
    // `common` is cargo's own way to share what tests use; here that has a name too.
    for name in source.folders().chain([stem.as_str()]) {
        if EMPTY_NAMES.contains(&name) {
            findings
                .push(Finding::file(source, format!("`{name}` says nothing: name it after what it holds")));
        }
    }
    for name in EMPTY_NAMES {
        let inline = format!("mod {name} {{");
        for (byte, _) in source.code.match_indices(&inline) {
            findings.push(Finding::at(source, &source.code, byte, format!("`mod {name}` says nothing")));
        }
    }
}

/// What the broker logs is searched for, and alerted on, by its code.
fn events(source: &Source, findings: &mut Vec<Finding>) {
    if !EVENT_SOURCES.iter().any(|folder| source.path.starts_with(folder)) {
        return;
    }
    let code = source.production_code();
    for level in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
        for (byte, _) in
            code.match_indices(level).filter(|(byte, _)| is_word(code, *byte, &level[..level.len() - 2]))
        {
            let event = &code[byte..];
            let end = event.find(';').unwrap_or(event.len());
            if !source.text[byte..byte + end].contains("code = \"") {
                let text = format!("`{level}…)` has no code: begin it with code = \"what-happened\"");
                findings.push(Finding::at(source, &source.code, byte, text));
            }
        }
    }
}

fn paths(source: &Source, findings: &mut Vec<Finding>) {
    // This file has to name them.
    if source.path == "xtask/src/tidy/rules.rs" {
        return;
    }
    for path in MACHINE_PATHS {
        for (byte, _) in source.text.match_indices(path) {
            // Within a longer path (`target/tmp/`, a URL) it is nobody's machine.
            let before = source.text[..byte].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "._-/}~>".contains(c)) {
                let text = format!("`{path}` is a path of somebody's machine");
                findings.push(Finding::at(source, &source.text, byte, text));
            }
        }
    }
}
