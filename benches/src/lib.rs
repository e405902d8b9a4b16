//! The harness that the benches share.
