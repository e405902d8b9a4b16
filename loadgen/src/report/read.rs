//! Reads the folders that `run` left behind.
//!
//! Owns what can be wrong with them. A result of a newer schema is refused rather than misread.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::result::{RunResult, SCHEMA};

/// The file within a run's folder.
pub const FILE: &str = "result.json";

/// A run and where it came from.
#[derive(Clone, Debug)]
pub struct Run {
    /// How the report names it: its folder.
    pub name: String,
    /// What was measured.
    pub result: RunResult,
}

/// Why a folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no result in it, or it may not be read.
    #[error("cannot read {path}: {source}; name folders that `wardline-loadgen run --out DIR` made")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a result.
    #[error("{path} is damaged, or no result: {source}; run it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why, and where.
        source: serde_json::Error,
    },
    /// It was written by a newer version of this program.
    #[error(
        "{path} has schema {schema}, and this program reads up to {SCHEMA}: use the version that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: u64,
    },
}

/// Reads a run's folder.
///
/// # Errors
/// [`ReadError`] if there is no result that this version understands.
pub fn read(folder: &Path) -> Result<Run, ReadError> {
    let path = folder.join(FILE);
    let damaged = |source| ReadError::Damaged { path: path.clone(), source };
    let text =
        std::fs::read_to_string(&path).map_err(|source| ReadError::Missing { path: path.clone(), source })?;
    let value: Value = serde_json::from_str(&text).map_err(damaged)?;
    if let Some(schema) = value.get("schema").and_then(Value::as_u64).filter(|&it| it > u64::from(SCHEMA)) {
        return Err(ReadError::Newer { path, schema });
    }
    // From the text again: then an error says where.
    let result = serde_json::from_str(&text).map_err(damaged)?;
    Ok(Run { name: name(folder), result })
}

/// The folder's own name, or the whole path if it has none (`.`, `..`).
fn name(folder: &Path) -> String {
    let canonical = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    canonical.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
