//! What is backed up: a checkpoint, and what is known of the store that it was made of.

use std::path::PathBuf;

use wardline_storage::model::Applied;

use super::identity::StoreIdentity;

/// What is backed up.
#[derive(Clone, Debug)]
pub struct Source {
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// The engine that made it.
    pub engine: String,
    /// The store's format.
    pub format: u32,
    /// How far it has come, at least.
    pub applied: Applied,
    /// Which store it is; `None`: it was never served from, or its broker is of a version before.
    pub store: Option<StoreIdentity>,
}
