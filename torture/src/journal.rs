//! The journal: one line for each event, in the order in which the oracle hears them.
//!
//! Owns the oracle of a trial and the file of the journal, on another file system than the broker's
//! data. Also takes down troubles: what the oracle has no law for, such as a broker that does not
//! start. A reading stands in the file by its numbers only; what was wrong with it stands in the
//! report.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::{Event, Index};
use crate::oracle::{Objection, Oracle, Tally};
use anyhow::Context;
use parking_lot::Mutex;
use wardline_client::TimeMs;

/// Objections and troubles kept; a broken broker breaks every promise at every reading.
const KEPT_MAX: usize = 50;

/// What the clients share.
pub struct Journal {
    inner: Mutex<Inner>,
}

struct Inner {
    oracle: Oracle,
    file: BufWriter<File>,
    troubles: Vec<String>,
}

impl Journal {
    /// Begins one in a file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let inner = Inner { oracle: Oracle::default(), file: BufWriter::new(file), troubles: Vec::new() };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Writes an event down and tells the oracle; gives how many it has heard by then.
    pub fn note(&self, event: Event) -> Index {
        let at_ms = self.now_ms();
        let inner = &mut *self.inner.lock();
        inner.oracle.hear(&event);
        let heard = inner.oracle.heard();
        let written = match &event {
            Event::Read(reading) => writeln!(
                inner.file,
                "{} {at_ms} Read {{ reader: {:?}, room: {:?}, since: {}, head: {}, entries: {} }}",
                heard.0,
                reading.reader,
                reading.room,
                reading.since.0,
                reading.head,
                reading.entries.len()
            ),
            event => writeln!(inner.file, "{} {at_ms} {event:?}", heard.0),
        };
        if let Err(error) = written {
            inner.troubles.push(format!("the journal cannot be written: {error}"));
        }
        heard
    }

    /// Notes what went wrong beside the promises.
    pub fn trouble(&self, text: String) {
        let inner = &mut *self.inner.lock();
        if inner.troubles.len() < KEPT_MAX {
            inner.troubles.push(text);
        }
    }

    /// Asks the oracle.
    pub fn oracle<T>(&self, ask: impl FnOnce(&Oracle) -> T) -> T {
        ask(&self.inner.lock().oracle)
    }

    /// How many events the oracle has heard.
    pub fn heard(&self) -> Index {
        self.oracle(Oracle::heard)
    }

    /// The time; the broker runs on the same machine.
    pub fn now_ms(&self) -> TimeMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as u64
    }

    /// Whether nothing was wrong so far.
    pub fn is_clean(&self) -> bool {
        let inner = self.inner.lock();
        inner.troubles.is_empty() && inner.oracle.objections().is_empty()
    }

    /// What was heard and what was wrong: the numbers, objections, troubles. Writes out what is
    /// buffered.
    pub fn verdict(&self) -> (Tally, Vec<Objection>, Vec<String>) {
        let inner = &mut *self.inner.lock();
        if let Err(error) = inner.file.flush() {
            inner.troubles.push(format!("the journal cannot be written: {error}"));
        }
        let objections = inner.oracle.objections().iter().take(KEPT_MAX).cloned().collect();
        (inner.oracle.tally(), objections, inner.troubles.clone())
    }
}
