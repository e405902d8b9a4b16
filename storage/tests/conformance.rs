//! The memory engine passes the suite that every engine must pass.

use wardline_storage::conformance;
use wardline_storage::memory::MemoryEngine;

#[test]
fn the_memory_engine_conforms() {
    conformance::run(&mut || Box::new(MemoryEngine::default()));
}
