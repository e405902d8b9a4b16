//! The format version of a store, and the refusal to open a newer one.

use thiserror::Error;

use crate::engine::{Engine, EngineError};

/// The format that this code writes.
pub const FORMAT: u32 = 1;

/// The store cannot be used as it is. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Written by a newer version.
    #[error(
        "the data has format {found}, this version reads up to {FORMAT}: start a newer version of the broker, or restore a backup made by this one"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// Records without a format version: not a store of ours, or a damaged one.
    #[error("the store has records but no format version: this is not Wardline's data, or it is damaged")]
    Missing,
    /// The store could not be read or written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Checks the format of a store, and notes ours in an empty one.
///
/// # Errors
/// [`FormatError`] if the store is of a newer format, not ours, or unreadable.
pub fn check(engine: &dyn Engine) -> Result<(), FormatError> {
    todo!()
}

/// The store's own secret of 32 bytes with which the broker derives ids from names, made from `fresh` on first use.
///
/// # Errors
/// [`EngineError`] if the store could not be read or written.
pub fn id_secret(engine: &dyn Engine, fresh: [u8; 32]) -> Result<[u8; 32], EngineError> {
    todo!()
}
