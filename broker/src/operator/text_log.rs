//! The broker's log: one line an event on stderr, in UTC, for people or as JSON.
//!
//! Every event has a stable `code` to search and alert by. No event has content, names or tokens.
//! What is logged is decided by a filter, a level for each module, which can be changed while the
//! broker runs. Warnings and errors are counted as metrics whatever is logged. A broker's lines go
//! through the scribe: whoever logs waits for nobody.

mod scribe;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, counter, describe_counter};
use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

pub use scribe::LastLines;
use scribe::{Desk, Tally};

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
    /// There is no thread, or no descriptor, for it.
    #[error("the log cannot be written: {0}; see what this user may have of processes and open files")]
    Scribe(#[from] io::Error),
    /// Logging has ended.
    #[error("the log's filter cannot be changed any more: {0}")]
    Ended(#[from] reload::Error),
}

/// What is logged; can be changed while the broker runs.
#[derive(Clone)]
pub struct Levels {
    filter: Handle<Targets, Registry>,
    troubles: Arc<Troubles>,
    tally: Arc<Tally>,
}

impl Levels {
    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// [`LogError::Filter`] if it is none; then nothing changes.
    pub fn reload(&self, filter: &str) -> Result<(), LogError> {
        Ok(self.filter.reload(parse(filter)?)?)
    }

    /// Tells of warnings, errors and dropped lines as metrics from now on: to be called once
    /// somebody records them.
    pub fn record(&self) {
        const EVENTS: &str = "wardline_log_events_total";
        const DROPPED: &str = "wardline_log_lines_dropped_total";
        describe_counter!(EVENTS, "Warnings and errors logged, whatever the log's filter lets through.");
        describe_counter!(
            DROPPED,
            "Lines of the text log that were dropped, because stderr was not read in time or could not be written."
        );
        // A second call finds them set, and means the same.
        let _ = self.troubles.recorded.set(["error", "warn"].map(|level| counter!(EVENTS, "level" => level)));
        self.troubles.tell();
        self.tally.record(counter!(DROPPED));
    }
}

/// Whether a text is a filter.
pub fn is_filter(text: &str) -> bool {
    parse(text).is_ok()
}

/// Starts logging to stderr as a broker does: nobody who logs waits, and panics are logged as all
/// else. The last lines are written when the second part is dropped.
///
/// # Errors
/// [`LogError`] if the filter is none, or somebody logs already.
pub fn start(format: Format, filter: &str) -> Result<(Levels, LastLines), LogError> {
    // A descriptor of its own: whoever else writes to stderr would hold its lock.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (desk, last) = Desk::open(stderr, tell_of_dropped)?;
    let (troubles, tally) = (Arc::new(Troubles::default()), desk.tally());
    let filter = install(format, filter, move || desk.clone(), Arc::clone(&troubles))?;
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok((Levels { filter, troubles, tally }, last))
}

/// Starts logging for people, as a command line does: line by line, and on without stderr if that
/// is gone. The variable goes before the filter.
///
/// # Errors
/// [`LogError`] if the filter is none, or somebody logs already.
pub fn start_for_people(filter: &str) -> Result<(), LogError> {
    let filter = std::env::var(VARIABLE).unwrap_or_else(|_| filter.into());
    install(Format::Human, &filter, io::stderr, Arc::default()).map(|_handle| ())
}

fn install<W>(
    format: Format,
    filter: &str,
    writer: W,
    troubles: Arc<Troubles>,
) -> Result<Handle<Targets, Registry>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    // Told otherwise, it would panic where stderr cannot be written.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = lines.with_ansi(io::stderr().is_terminal());
    let lines = match format {
        Format::Human => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    // The filter is that of the lines alone, so that troubles are counted whatever is logged.
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Ear(troubles).with_filter(LevelFilter::WARN))
        .try_init()
        .map_err(|error| LogError::Started(error.to_string()))?;
    Ok(handle)
}

fn tell_of_dropped(lines: u64) {
    tracing::warn!(
        code = "log-lines-dropped",
        lines,
        "lines of this log were dropped: stderr was not read in time, or could not be written"
    );
}

/// The usual hook would write to stderr, and wait for whoever reads that.
fn tell_of_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let said =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or_default();
    tracing::error!(code = "panicked", place, said, "a thread panicked: this is a defect of the broker");
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
