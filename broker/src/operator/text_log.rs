//! The broker's log: one line an event on stderr, in UTC, for people or as JSON.
//!
//! Every event has a stable `code` to search and alert by. No event has content, names or tokens.
//! What is logged is decided by a filter, a level for each module, which can be changed while the
//! broker runs. Warnings and errors are counted as metrics whatever is logged.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, counter, describe_counter};
use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

/// The variable that goes before the configuration's filter.
pub const VARIABLE: &str = "WARDLINE_LOG";

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
    #[error(
        "{filter:?} is not a filter of the log; write it like info or info,wardline_broker::session=debug"
    )]
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

/// What is logged; can be changed while the broker runs.
#[derive(Clone)]
pub struct Levels {
    filter: Handle<Targets, Registry>,
    troubles: Arc<Troubles>,
}

impl Levels {
    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// [`LogError::Filter`] if it is none; then nothing changes.
    pub fn reload(&self, filter: &str) -> Result<(), LogError> {
        Ok(self.filter.reload(parse(filter)?)?)
    }

    /// Tells of warnings and errors as metrics from now on: to be called once somebody records
    /// them.
    pub fn record(&self) {
        const NAME: &str = "wardline_log_events_total";
        describe_counter!(NAME, "Warnings and errors logged, whatever the log's filter lets through.");
        // A second call finds them set, and means the same.
        let _ = self.troubles.recorded.set(["error", "warn"].map(|level| counter!(NAME, "level" => level)));
        self.troubles.tell();
    }
}

/// Whether a text is a filter.
pub fn is_filter(text: &str) -> bool {
    parse(text).is_ok()
}

/// Starts logging to stderr.
///
/// # Errors
/// [`LogError`] if the filter is none, or somebody logs already.
pub fn start(format: Format, filter: &str) -> Result<Levels, LogError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = match format {
        Format::Human => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    let troubles = Arc::new(Troubles::default());
    // The filter is that of the lines alone, so that troubles are counted whatever is logged.
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Ear(Arc::clone(&troubles)).with_filter(LevelFilter::WARN))
        .try_init()
        .map_err(|error| LogError::Started(error.to_string()))?;
    Ok(Levels { filter: handle, troubles })
}

/// Starts logging for people, as a command line does. The variable goes before the filter.
///
/// # Errors
/// [`LogError`] if the filter is none, or somebody logs already.
pub fn start_for_people(filter: &str) -> Result<(), LogError> {
    let filter = std::env::var(VARIABLE).unwrap_or_else(|_| filter.into());
    start(Format::Human, &filter).map(|_levels| ())
}

/// Levels, and modules with their own: `info,wardline_broker::session=debug`. Of the rest errors
/// are logged.
fn parse(filter: &str) -> Result<Targets, LogError> {
    let mut levels = Targets::new().with_default(LevelFilter::ERROR);
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (module, level) = match directive.split_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, directive),
        };
        // No level would be that of errors.
        let level: Option<LevelFilter> = level.parse().ok().filter(|_| !level.is_empty());
        levels = match (module, level) {
            (None, Some(level)) => levels.with_default(level),
            (Some(module), Some(level)) if is_module(module) => levels.with_target(module, level),
            _ => return Err(LogError::Filter { filter: filter.into() }),
        };
    }
    Ok(levels)
}

fn is_module(name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    !name.is_empty() && name.chars().all(is_part)
}

/// Counts warnings and errors, from the first event on; as metrics once somebody records them.
#[derive(Default)]
struct Troubles {
    errors: AtomicU64,
    warnings: AtomicU64,
    recorded: OnceLock<[Counter; 2]>,
}

impl Troubles {
    fn tell(&self) {
        if let Some([errors, warnings]) = self.recorded.get() {
            errors.absolute(self.errors.load(Ordering::Relaxed));
            warnings.absolute(self.warnings.load(Ordering::Relaxed));
        }
    }
}

/// Hears of every warning and error.
struct Ear(Arc<Troubles>);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let is_error = *event.metadata().level() == Level::ERROR;
        let count = if is_error { &self.0.errors } else { &self.0.warnings };
        count.fetch_add(1, Ordering::Relaxed);
        self.0.tell();
    }
}
