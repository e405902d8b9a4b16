//! The engine that the rules try, and how they open it.

use std::path::Path;
use std::sync::Arc;

use crate::engine::Engine;
use crate::open::{OpenError, Opener, Options};

/// An engine, and what the rules need to know to try it.
#[derive(Clone, Copy)]
pub struct OnDisk<'a> {
    /// The engine.
    pub engine: &'a dyn Opener,
    /// The name of the test that calls this, as the test runner shows it: `module::name`.
    pub test: &'a str,
    /// Variables that its children get.
    pub variables: &'a [(&'a str, &'a str)],
    /// Makes of a closed store one that a later version of the engine wrote.
    pub make_newer: &'a dyn Fn(&Path),
}

/// Little, so that an engine has to write files.
pub(super) const MEMORY: Options = Options::with_memory(8 << 20);

impl OnDisk<'_> {
    pub(super) fn try_open(&self, folder: &Path) -> Result<Arc<dyn Engine>, OpenError> {
        self.engine.open(folder, MEMORY)
    }

    #[track_caller]
    pub(super) fn open(&self, folder: &Path) -> Arc<dyn Engine> {
        self.try_open(folder).expect("a sound store opens")
    }
}
