//! The store's own figures as metrics: `wardline_<engine>_<figure>`.
//!
//! Which figures there are is the engine's business; they are always the same ones, so the number
//! of series is constant. Handles are resolved when a figure is first told.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Label, counter, describe_counter, describe_gauge, gauge};
use wardline_storage::engine::{Figure, Value};

/// What tells an engine's figures apart: name, and the value of the label if there is one.
type Series = (&'static str, Option<&'static str>);

/// The handles of an engine's figures.
pub(crate) struct Figures {
    prefix: String,
    handles: HashMap<Series, Handle>,
}

enum Handle {
    Gauge(Gauge),
    Counter(Counter),
}

impl Figures {
    /// Of an engine of this name.
    pub(crate) fn new(engine: &str) -> Self {
        Self { prefix: format!("wardline_{engine}_"), handles: HashMap::new() }
    }

    /// Tells how they stand.
    pub(crate) fn tell(&mut self, figures: Vec<Figure>) {
        let Self { prefix, handles } = self;
        for figure in figures {
            let series = (figure.name, figure.label.map(|(_, value)| value));
            let handle = handles.entry(series).or_insert_with(|| resolve(prefix, &figure));
            match (handle, figure.value) {
                (Handle::Gauge(gauge), Value::Gauge(value)) => gauge.set(value),
                (Handle::Counter(counter), Value::Counter(value)) => counter.absolute(value),
                // A figure does not change its kind.
                (Handle::Gauge(_), Value::Counter(_)) | (Handle::Counter(_), Value::Gauge(_)) => {}
            }
        }
    }
}

fn resolve(prefix: &str, figure: &Figure) -> Handle {
    let name = format!("{prefix}{}", figure.name);
    let labels: Vec<Label> =
        figure.label.iter().map(|(name, value)| Label::from_static_parts(name, value)).collect();
    match figure.value {
        Value::Gauge(_) => {
            describe_gauge!(name.clone(), figure.meaning);
            Handle::Gauge(gauge!(name, labels))
        }
        Value::Counter(_) => {
            describe_counter!(name.clone(), figure.meaning);
            Handle::Counter(counter!(name, labels))
        }
    }
}
