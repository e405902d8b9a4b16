//! Tells how far things are: a bar for people, lines for a parent process.
//!
//! The bar stands on stderr, and becomes a plain line every few seconds when that is not a
//! terminal. With `--control`, JSON lines go to stdout for the process that kills and restarts the
//! broker. Nothing is decided here.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How a phase of so many steps looks.
const BAR: &str = "{msg:<12} {wide_bar} {pos:>6}/{len} {elapsed:>4}";

/// An error and its causes, each said once: many a text has its cause in it already.
pub fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

/// Tells how far things are.
pub struct Progress {
    bar: ProgressBar,
    has_parent: bool,
    /// Without a terminal: when the last line was printed.
    lines: Option<Mutex<Instant>>,
}

impl Progress {
    /// Tells people, and the parent process if there is one.
    pub fn new(has_parent: bool) -> Self {
        let bar = ProgressBar::new(0);
        let lines = (!std::io::stderr().is_terminal()).then(|| Mutex::new(Instant::now()));
        Self { bar, has_parent, lines }
    }

    /// Begins a phase of so many steps.
    pub fn begin(&self, phase: &'static str, steps: usize) {
        self.bar.reset();
        self.bar.set_style(ProgressStyle::with_template(BAR).expect("the template is valid"));
        self.bar.set_message(phase);
        self.bar.set_length(steps as u64);
        self.event(&json!({"event": "phase", "phase": phase, "steps": steps}));
        if self.lines.is_some() {
            say(&format!("{phase}: {steps}"));
        }
    }

    /// Tells that so many steps of the phase are done; `details` for the parent.
    pub fn at(&self, done: usize, details: &Value) {
        self.bar.set_position(done as u64);
        self.event(&json!({"event": "progress", "done": done, "details": details}));
        if let Some(last) = &self.lines {
            let mut last = last.lock();
            if last.elapsed() >= LINE_EVERY {
                *last = Instant::now();
                let steps = self.bar.length().unwrap_or_default();
                say(&format!("{}: {done} of {steps}", self.bar.message()));
            }
        }
    }

    /// Shows how it stands, over what was shown before; without a terminal, every few seconds.
    pub fn live(&self, line: &str) {
        match &self.lines {
            None => {
                self.bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is valid"));
                self.bar.set_message(line.to_owned());
                self.bar.tick();
            }
            Some(last) => {
                let mut last = last.lock();
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    say(line);
                }
            }
        }
    }

    /// Tells people something without disturbing the bar.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn event(&self, event: &Value) {
        if self.has_parent {
            // A parent that is gone is noticed on stdin.
            let _ = writeln!(std::io::stdout().lock(), "{event}");
        }
    }
}

/// Prints a line for people.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
