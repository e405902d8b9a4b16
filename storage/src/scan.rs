//! Scans whose visitor may fail: an error ends the scan and comes out of it.

use std::ops::ControlFlow;

use crate::engine::{Direction, EngineError, Table};
use crate::id::Timestamp;
use crate::key::Span;
use crate::state::State;

/// Visits the records of a span in order until the visitor breaks or fails. An empty span does not
/// reach the engine.
///
/// # Errors
/// What the state or the visitor fails with.
pub(crate) fn each(
    state: &(impl State + ?Sized),
    table: Table,
    span: &Span,
    direction: Direction,
    now: Timestamp,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, EngineError>,
) -> Result<(), EngineError> {
    let range = span.range();
    if range.from >= range.to {
        return Ok(());
    }
    let mut failed = None;
    state.scan(table, range, direction, now, &mut |row| match visit(row.key, row.value) {
        Ok(flow) => flow,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}
