//! The one way to read the store: as of now, off the async threads, so many reads at once.
//!
//! Requests, devices that catch up and urgent messages have a line each, so that none waits for
//! another. In a line principals have turns by what their reads cost: records that were looked at,
//! and KiB of them ([`line`](crate::shares::line)). A read is a bounded step; what needs more takes
//! several.

use std::sync::Arc;

use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::id::Timestamp;
use wardline_storage::view::{Spent, View};

use crate::clock::Clock;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::shares::line::{Bounds, Line, Turn};
use crate::shares::principal::{self, Principal};

/// What a read costs beside what it looks at: a thread has to take it up.
const READ_COST: u64 = 4;
/// One principal has one part in so many of the turns that are had at once.
const TURNS_SHARE: usize = 4;

/// Reads the store.
pub(crate) struct Reads {
    engine: Arc<dyn Engine>,
    clock: Arc<Clock>,
    requests: Arc<Line>,
    catch_up: Arc<Line>,
    urgent: Arc<Line>,
}

impl Reads {
    /// Of this store, by this clock; `Limits::catch_up_reads_max` for requests, and as many for
    /// catching up.
    pub(crate) fn new(engine: Arc<dyn Engine>, clock: Arc<Clock>, limits: &Limits) -> Self {
        let turns_max = limits.catch_up_reads_max;
        let bounds = Bounds {
            turns_max,
            principal_turns_max: principal::part(turns_max, TURNS_SHARE),
            cost_per_second: limits.principal_read_cost,
        };
        Self {
            engine,
            clock,
            requests: Line::new(bounds),
            catch_up: Line::new(bounds),
            urgent: Line::new(bounds),
        }
    }

    /// The time by which it is read.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits for a principal's turn to read for a request.
    ///
    /// # Errors
    /// A refusal if the broker stops.
    ///
    /// # Cancellation
    /// Whoever waits behind moves up.
    pub(crate) async fn turn(&self, whose: Principal) -> Result<Turn, Refusal> {
        self.requests.turn(whose).await.ok_or_else(Refusal::internal)
    }

    /// Reads for a device that catches up, or for what is made good in the background.
    ///
    /// # Errors
    /// A refusal if the store could not be read; what happened is logged.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn to_catch_up<T: Send + 'static>(
        self: &Arc<Self>,
        whose: Principal,
        read: impl FnOnce(View<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = self.catch_up.turn(whose).await.ok_or_else(Refusal::internal)?;
        self.within(turn, read).await.map(|(value, _)| value)
    }

    /// Reads urgent messages that a device has not received, or what is needed to find them.
    ///
    /// # Errors
    /// As [`Reads::to_catch_up`].
    ///
    /// # Cancellation
    /// As [`Reads::to_catch_up`].
    pub(crate) async fn for_urgent<T: Send + 'static>(
        self: &Arc<Self>,
        whose: Principal,
        read: impl FnOnce(View<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = self.urgent.turn(whose).await.ok_or_else(Refusal::internal)?;
        self.within(turn, read).await.map(|(value, _)| value)
    }

    /// How many are under way: for requests, to catch up, and for urgent messages.
    pub(crate) fn under_way(&self) -> [usize; 3] {
        [&self.requests, &self.catch_up, &self.urgent].map(|line| line.given())
    }

    /// Reads in a turn; tells what it cost.
    ///
    /// # Errors
    /// As [`Reads::to_catch_up`].
    ///
    /// # Cancellation
    /// As [`Reads::to_catch_up`]; the turn ends with the read.
    pub(crate) async fn within<T: Send + 'static>(
        self: &Arc<Self>,
        mut turn: Turn,
        read: impl FnOnce(View<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<(T, u64), Refusal> {
        let reads = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let spent = Spent::default();
            let value = read(View::metered(reads.engine.as_ref(), reads.clock.now(), &spent));
            let cost = READ_COST + spent.records() + spent.bytes() / 1024;
            turn.cost(cost);
            drop(turn);
            value.map(|value| (value, cost))
        });
        match reading.await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => {
                tracing::error!(code = "store-unreadable", %error, "the store could not be read");
                Err(Refusal::internal())
            }
            Err(error) => {
                tracing::error!(code = "store-read-ended", %error, "a read of the store ended early");
                Err(Refusal::internal())
            }
        }
    }
}
