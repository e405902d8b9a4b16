//! Failures that have an exit code of their own.

use thiserror::Error;

/// Failures that have an exit code of their own.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The store failed while serving.
    #[error(
        "the store failed: {0}; nothing acknowledged is lost; see to the disk, or to what else this names, then start the \
         broker again"
    )]
    Storage(String),
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(&'static str),
}
