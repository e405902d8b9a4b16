//! Which segments belong to an order, and to an observation of it.

use super::super::message::Segment;

/// Segments of one order.
#[derive(Clone)]
pub(super) struct Order<'m> {
    /// The order as it was placed, if the message has that.
    pub(super) orc: Option<Segment<'m>>,
    pub(super) obr: Segment<'m>,
    /// Notes on the whole.
    pub(super) notes: Vec<Segment<'m>>,
    pub(super) observations: Vec<Observed<'m>>,
}

/// An observation and the notes on it.
#[derive(Clone)]
pub(super) struct Observed<'m> {
    pub(super) obx: Segment<'m>,
    pub(super) notes: Vec<Segment<'m>>,
}
