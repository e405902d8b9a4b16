//! The bridge's log: one line an event on stderr, in UTC, for people or as JSON.
//!
//! Every event has a stable `code` to search and alert by. No event has content, names or tokens.
//! What is logged is decided by a filter, which can be changed while the bridge runs. Warnings and
//! errors are counted whatever is logged. Whoever logs waits for nobody: lines that stderr does not
//! take in time are dropped, and counted.

use std::io::{self, IsTerminal as _};

use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

/// The variable that goes before the configuration's filter.
pub const VARIABLE: &str = "WARDLINE_EHR_LOG";
/// Most lines that wait for stderr.
const LINES_MAX: usize = 4096;

const EVENTS: &str = "wardline_ehr_log_events_total";
const DROPPED: &str = "wardline_ehr_log_lines_dropped";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logging cannot be started or changed. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter cannot be understood.
    #[error("{filter:?} is not a filter of the log; write it like info or info,wardline_ehr::listener=debug")]
    Filter {
        /// What was given.
        filter: String,
    },
    /// Somebody logs already.
    #[error("logging cannot start: {0}")]
    Started(String),
    /// Logging has ended.
    #[error("the log's filter cannot be changed any more: {0}")]
    Ended(#[from] reload::Error),
}

/// What is logged; can be changed while the bridge runs.
pub struct Levels {
    filter: Handle<Targets, Registry>,
    dropped: ErrorCounter,
}

impl Levels {
    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// [`LogError::Filter`] if it is none; then nothing changes.
    pub fn reload(&self, filter: &str) -> Result<(), LogError> {
        Ok(self.filter.reload(parse(filter)?)?)
    }

    /// Tells as a metric how many lines were dropped so far.
    pub fn tell(&self) {
        gauge!(DROPPED).set(self.dropped.dropped_lines() as f64);
    }
}

/// Whether a text is a filter.
pub fn is_filter(text: &str) -> bool {
    parse(text).is_ok()
}

/// Starts logging to stderr; metrics are recorded already, if they are to be. The last lines are
/// written when the guard is dropped.
///
/// # Errors
/// [`LogError`] if the filter is none, or somebody logs already.
pub fn start(format: Format, filter: &str) -> Result<(Levels, WorkerGuard), LogError> {
    describe_counter!(EVENTS, "Warnings and errors logged, whatever the log's filter lets through.");
    describe_gauge!(DROPPED, "Lines of the text log that were dropped, since stderr was not read in time.");
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
    let (writer, guard) = builder.finish(io::stderr());
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = lines.with_ansi(io::stderr().is_terminal());
    let lines = match format {
        Format::Human => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    // The filter is that of the lines alone, so that troubles are counted whatever is logged.
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Ear::new().with_filter(LevelFilter::WARN))
        .try_init()
        .map_err(|error| LogError::Started(error.to_string()))?;
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok((Levels { filter: handle, dropped }, guard))
}

/// The usual hook would write to stderr, and wait for whoever reads that.
fn tell_of_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(code = "panicked", place, "a thread panicked: this is a defect of the bridge");
}

/// Levels, and modules with their own: `info,wardline_ehr::listener=debug`. Of the rest errors are
/// logged.
fn parse(filter: &str) -> Result<Targets, LogError> {
    let wrong = || LogError::Filter { filter: filter.into() };
    let mut levels = Targets::new().with_default(LevelFilter::ERROR);
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (module, level) = match directive.split_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, directive),
        };
        // No level would be that of errors.
        let level: LevelFilter = level.parse().ok().filter(|_| !level.is_empty()).ok_or_else(wrong)?;
        levels = match module {
            None => levels.with_default(level),
            Some(module) if is_module(module) => levels.with_target(module, level),
            Some(_) => return Err(wrong()),
        };
    }
    Ok(levels)
}

fn is_module(name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    !name.is_empty() && name.chars().all(is_part)
}

/// Hears of every warning and error, and counts them.
struct Ear {
    errors: Counter,
    warnings: Counter,
}

impl Ear {
    fn new() -> Self {
        Self { errors: counter!(EVENTS, "level" => "error"), warnings: counter!(EVENTS, "level" => "warn") }
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let is_error = *event.metadata().level() == Level::ERROR;
        if is_error { &self.errors } else { &self.warnings }.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_modules_with_levels() {
        for good in ["info", "", "info,wardline_ehr::listener=debug", "off", "warn, wardline_client=trace"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["loud", "wardline_ehr", "wardline_ehr=", "=info", "a b=info", "info=info=info"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
