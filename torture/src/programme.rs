//! What programmes share: what they are given, what comes of them, and that this machine may be
//! unable to carry one out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::oracle::{Objection, Tally};

/// What all programmes share.
pub struct Context {
    /// The `wardline` program.
    pub program: PathBuf,
    /// What its store lies in, unless it is to choose.
    pub engine: Option<String>,
    /// One that can crash at a chosen step.
    pub fail_points_program: Option<PathBuf>,
    /// Where data lies, and the report.
    pub folder: PathBuf,
    /// Where journals, keys and logs lie: another file system.
    pub journals: PathBuf,
    /// Draws everything that is drawn.
    pub seed: u64,
    /// After each cycle one member reads everything back, in turn, and all of them at the end.
    pub is_brief: bool,
    /// When it is enough.
    pub deadline: Option<Instant>,
}

impl Context {
    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// What came of a programme.
pub struct Outcome {
    /// Whose.
    pub name: String,
    /// How many there were.
    pub cycles: u64,
    /// How long.
    pub took: Duration,
    /// What was heard, in numbers.
    pub tally: Tally,
    /// Promises that were broken.
    pub objections: Vec<Objection>,
    /// What went wrong beside the promises.
    pub troubles: Vec<String>,
    /// Figures of the programme's own, by name.
    pub figures: Vec<(&'static str, u64)>,
}

/// This machine cannot carry a programme out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

impl Outcome {
    /// One of a programme that could not be carried through.
    pub fn failed(name: &str, took: Duration, error: &anyhow::Error) -> Self {
        Self {
            name: name.into(),
            cycles: 0,
            took,
            tally: Tally::default(),
            objections: Vec::new(),
            troubles: vec![format!("{error:#}")],
            figures: Vec::new(),
        }
    }

    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.objections.is_empty() && self.troubles.is_empty()
    }
}
