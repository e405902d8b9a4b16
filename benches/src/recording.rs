//! A memory engine that remembers the last batch that it was given: what a group of commands comes
//! to.
//!
//! For preparing limits, never for measuring: remembering costs.

use std::sync::{Mutex, PoisonError};

use wardline_storage::engine::{Durability, Engine, EngineError, Mutation};
use wardline_storage::hooked::{HookedEngine, Hooks};

/// See the module's documentation.
pub type Recording = HookedEngine<LastBatch>;

/// The last batch that was committed.
#[derive(Default)]
pub struct LastBatch(Mutex<Vec<Mutation>>);

impl LastBatch {
    /// Its changes.
    pub fn batch(&self) -> Vec<Mutation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Hooks for LastBatch {
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = batch.to_vec();
        below.commit(batch, durability)
    }
}
