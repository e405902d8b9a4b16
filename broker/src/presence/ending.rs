//! The end of a session: that it has come, and why.
//!
//! Whoever finds that a session must end says so here: the session itself, a newer connection of
//! its device, or the broker's stop. The first reason counts, and is what the client is told.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// Why and whether a session ends. The first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    reason: OnceLock<Refusal>,
    token: CancellationToken,
}

impl Ending {
    /// Ends the session.
    pub(crate) fn end(&self, reason: Refusal) {
        // If there is a reason already, that one counts.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        self.token.cancelled().await;
    }

    /// Why; `None` if it has not ended, or the client went by itself.
    pub(crate) fn reason(&self) -> Option<&Refusal> {
        self.reason.get()
    }

    /// Ends it without a reason: nobody is there to be told one.
    pub(crate) fn gone(&self) {
        self.token.cancel();
    }
}
