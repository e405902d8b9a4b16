//! Reads workload files: TOML in, a checked [`Workload`] or an error with its line out.
//!
//! An unknown key is refused and the nearest known one named: a key that is spelt wrong and
//! silently ignored would make a measurement of something else. Pure but for reading the file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{SHIPPED, Workload};

/// A workload cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// Neither shipped nor a file.
    #[error(
        "there is no workload `{name}` and no such file; did you mean `{nearest}`? `wardline-loadgen list` tells all"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most alike that is shipped.
        nearest: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a workload.
    #[error("{name}, line {line}: {text}")]
    Syntax {
        /// Which workload.
        name: String,
        /// Where.
        line: usize,
        /// What is wrong and what to do.
        text: String,
    },
    /// The workload contradicts itself or a bound.
    #[error("{name}: {text}")]
    Contradiction {
        /// Which workload.
        name: String,
        /// What is wrong and what to do.
        text: String,
    },
}

impl Workload {
    /// Finds a shipped workload by its name, or reads a file.
    ///
    /// # Errors
    /// [`WorkloadError`] with the line and what to do.
    pub fn find(name_or_path: &str) -> Result<Self, WorkloadError> {
        if let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name_or_path) {
            return Self::parse(shipped.name, shipped.text);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            let alike = |name: &str| strsim::normalized_damerau_levenshtein(name, name_or_path);
            let nearest = SHIPPED.iter().map(|shipped| shipped.name);
            let nearest = nearest.max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap_or_default();
            return Err(WorkloadError::Unknown { name: name_or_path.into(), nearest });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| WorkloadError::File { path: path.into(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text)
    }

    /// Reads a workload's text.
    ///
    /// # Errors
    /// [`WorkloadError::Syntax`] or [`WorkloadError::Contradiction`].
    pub fn parse(name: &str, text: &str) -> Result<Self, WorkloadError> {
        let parsed: Result<Self, toml::de::Error> = toml::from_str(text);
        let mut workload = parsed.map_err(|error| WorkloadError::Syntax {
            name: name.into(),
            line: line(text, error.span()),
            text: explain(error.message()),
        })?;
        workload.name = name.into();
        workload.text = text.into();
        workload.check().map_err(|text| WorkloadError::Contradiction { name: name.into(), text })?;
        Ok(workload)
    }
}

fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Names the nearest known key, where serde lists them all.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field").then(|| quoted.next()).flatten();
    let Some(unknown) = unknown else { return message.to_owned() };
    let alike = |key: &str| strsim::normalized_damerau_levenshtein(key, unknown);
    match quoted.max_by(|a, b| alike(a).total_cmp(&alike(b))) {
        Some(nearest) => format!("unknown key `{unknown}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`"),
    }
}
