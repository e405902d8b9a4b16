//! What all deliveries share.

use std::sync::Arc;

use super::topics::Topics;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::requests::reads::Reads;

/// What all deliveries share.
pub(crate) struct Deliveries {
    pub(crate) topics: Arc<Topics>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
}
